/**
 * The independent reader: a whole image of either dialect into plain data, by docs/FORMAT.md alone (section 15), held
 * against the rules of section 14 on the way. See image.ts for what it is for.
 */
import { createHash } from 'node:crypto';
import { readDirectory } from './directories.ts';
import { type Attribute, type Claim, Inode } from './files.ts';
import { crc32c, Image, must, text } from './image.ts';
import { compareRegister } from './register.ts';
import { type AgContent, readAg } from './trees.ts';

/** One path of an image. */
export interface FileInfo {
  ino: number;
  type: string;
  /** The lower 12 bits. */
  mode: number;
  uid: number;
  gid: number;
  nlink: number;
  size: number;
  /** Nanoseconds since 1970. */
  mtime: bigint;
  device: { major: number; minor: number };
  target: Uint8Array | undefined;
  attributes: Attribute[];
  /** Of files up to 64 MiB. */
  sha256: string | undefined;
  /** Content: bytes of one block of the file, zeroes in holes; and the file blocks that may hold anything else. */
  block(fileBlock: number): Uint8Array;
  written: { fileBlock: number; count: number }[];
}

/** How often each form was met: so that a test can tell what it has proven. */
export interface Forms {
  [form: string]: number;
}

export interface ReadImage {
  dialect: string;
  blockSize: number;
  /** By path: bytes as latin-1 text, '' for the root, '/a/b' below. */
  tree: Map<string, FileInfo>;
  forms: Forms;
}

const WHOLE = 64 << 20;
const FTYPES: Record<number, string> = {
  1: 'file',
  2: 'directory',
  3: 'char',
  4: 'block',
  5: 'fifo',
  6: 'socket',
  7: 'symlink',
};

/** Read and verify everything; throws at the first rule that is broken. The result is good for `use` only. */
export function readImage<T>(path: string, use: (found: ReadImage) => T): T {
  const image = new Image(path);
  try {
    must(image.logIsClean(), 'the log is not clean');
    const groups = Array.from({ length: image.agcount }, (_, ag) => readAg(image, ag));
    const claims: Claim[] = [];
    const forms: Forms = {};
    const inodes = readInodes(image, groups, claims);
    const written = compareRegister(image, groups, claims, inodes);
    const tree = readTree(image, inodes, groups, forms);
    for (const inode of inodes.values()) countForms(inode, forms);
    for (const group of groups) {
      for (const [name, blocks] of Object.entries(group.blocks))
        if (blocks.length > 1) bump(forms, `${name} with nodes`);
      if (group.chunks.some((chunk) => chunk.holemask !== 0)) bump(forms, 'sparse chunk');
      if (group.refcounts.length > 0) bump(forms, 'shared blocks');
    }
    verifyChecksums(image, groups, written);
    return use({ dialect: image.dialect, blockSize: image.bs, tree, forms });
  } finally {
    image.close();
  }
}

const bump = (forms: Forms, form: string): void => {
  forms[form] = (forms[form] ?? 0) + 1;
};

function countForms(inode: Inode, forms: Forms): void {
  for (const fork of [inode.data, inode.attr]) {
    if (!fork) continue;
    const name = fork.isAttr ? 'attr' : inode.type;
    const format = ['dev', 'local', 'extents', 'btree'][fork.format];
    bump(forms, `${name} ${format}${format === 'btree' ? ` of height ${fork.bytes.getUint16(0) + 1}` : ''}`);
    if (fork.extents.some((each) => each.unwritten)) bump(forms, 'unwritten');
  }
}

/** 6.3, 6.4: every slot of every chunk; in use exactly where the free bit is clear. Returns those in use. */
function readInodes(image: Image, groups: AgContent[], claims: Claim[]): Map<number, Inode> {
  const inodes = new Map<number, Inode>();
  const { sb } = image;
  const align = sb.getUint32(180);
  for (const { ag, chunks } of groups) {
    let end = 0;
    for (const chunk of chunks) {
      const what = `chunk ${chunk.start} of AG ${ag}`;
      must(chunk.start >= end, `${what}: overlaps the one before`);
      end = chunk.start + 64;
      if (align > 1) must((chunk.start / 2 ** image.inopblog) % align === 0, `${what}: alignment`);
      let count = 0;
      let free = 0;
      for (let i = 0; i < 64; i++) {
        const isFree = ((chunk.free >> BigInt(i)) & 1n) === 1n;
        if ((chunk.holemask >> Math.floor(i / 4)) & 1) {
          must(isFree, `${what}: free bits of holes`);
          continue;
        }
        count++;
        if (isFree) free++;
        const number = ag * 2 ** (image.agblklog + image.inopblog) + chunk.start + i;
        const inode = new Inode(image, number, claims);
        must((inode.mode === 0) === isFree, `inode ${number}: mode against the free bit`);
        if (!isFree) inodes.set(number, inode);
      }
      must(count === chunk.count && free === chunk.freeCount, `${what}: count and freeCount`);
    }
  }
  return inodes;
}

/** 14.9: the tree from the root; parents, link counts, types, and that nothing in use is left over. */
function readTree(image: Image, inodes: Map<number, Inode>, groups: AgContent[], forms: Forms): Map<string, FileInfo> {
  const tree = new Map<string, FileInfo>();
  const links = new Map<number, number>();
  const infos = new Map<number, FileInfo>();
  const pointers = new Map<number, string[]>();
  const infoOf = (inode: Inode): FileInfo => {
    const known = infos.get(inode.number);
    if (known) return known;
    const info = describe(image, inode, groups);
    infos.set(inode.number, info);
    return info;
  };
  const visit = (number: number, parent: number, path: string): void => {
    const inode = inodes.get(number);
    must(inode?.type === 'directory', `${path}: inode ${number} is no directory in use`);
    must(!links.has(number), `${path}: directory ${number} is reached twice`);
    tree.set(path, infoOf(inode));
    const directory = readDirectory(inode);
    bump(forms, `directory in ${directory.form} form`);
    if (directory.levels > 1) bump(forms, `directory index of ${directory.levels} levels of nodes`);
    must(directory.parent === parent, `${path}: ".." is ${directory.parent}, expected ${parent}`);
    links.set(number, 2);
    const names = new Set<string>();
    for (const { name, ino, ftype } of directory.entries) {
      const key = text(name);
      must(!names.has(key) && !/[/\0]/.test(key), `${path}: name ${key}`);
      names.add(key);
      const child = inodes.get(ino);
      must(child !== undefined, `${path}/${key}: inode ${ino} is not in use`);
      must(FTYPES[ftype] === child.type, `${path}/${key}: type ${ftype}`);
      pointers.set(ino, [...(pointers.get(ino) ?? []), `${number} ${key}`]);
      if (child.type === 'directory') {
        visit(ino, number, `${path}/${key}`);
        links.set(number, links.get(number)! + 1);
      } else {
        links.set(ino, (links.get(ino) ?? 0) + 1);
        tree.set(`${path}/${key}`, infoOf(child));
      }
    }
  };
  visit(image.rootino, image.rootino, '');
  // 3.2
  const special = [image.rootino + 1, image.rootino + 2];
  for (const at of [160, 168, 232]) special.push(Number(image.sb.getBigUint64(at)));
  for (const inode of inodes.values()) {
    const count = links.get(inode.number) ?? (special.includes(inode.number) ? 1 : 0);
    must(count > 0, `inode ${inode.number} is in use, but nothing leads to it`);
    must(inode.nlink === count, `inode ${inode.number}: nlink ${inode.nlink}, counted ${count}`);
    if ((image.sb.getUint32(216) & 0x80) === 0) continue;
    // 10.5: value u64 parent, u32 generation.
    const found = inode.attributes().filter((each) => each.flags & 8);
    const named = found.map((each) => `${new DataView(each.value.buffer).getBigUint64(0)} ${text(each.name)}`);
    const expected = pointers.get(inode.number) ?? [];
    must(named.sort().join() === expected.sort().join(), `inode ${inode.number}: parent pointers`);
  }
  return tree;
}

function describe(image: Image, inode: Inode, groups: AgContent[]): FileInfo {
  const { view, type, size } = inode;
  const fork = inode.data!;
  const written = fork.extents.filter((each) => !each.unwritten);
  const block = (fileBlock: number): Uint8Array => {
    const extent = written.find((each) => each.fileBlock <= fileBlock && fileBlock < each.fileBlock + each.count);
    if (!extent) return new Uint8Array(image.bs);
    const bytes = image.bytes(inode.blockAt(fork, fileBlock)!, image.bs);
    if (!image.features.checksums) return bytes;
    // 15.6
    const { ag, agbno } = image.split(extent.fsbno);
    const expected = groups[ag]!.checksums.get(agbno + fileBlock - extent.fileBlock);
    must(expected === crc32c(bytes), `inode ${inode.number}, file block ${fileBlock}: data checksum`);
    return bytes;
  };
  let sha256: string | undefined;
  if (type === 'file' && size <= WHOLE) {
    const hash = createHash('sha256');
    for (let at = 0; at < size; at += image.bs)
      hash.update(block(at / image.bs).subarray(0, Math.min(image.bs, size - at)));
    sha256 = hash.digest('hex');
  }
  return {
    ino: inode.number,
    type,
    mode: inode.mode & 0o7777,
    uid: view.getUint32(8),
    gid: view.getUint32(12),
    nlink: inode.nlink,
    size,
    mtime: inode.time(40),
    device: fork.format === 0 ? inode.device : { major: 0, minor: 0 },
    target: type === 'symlink' ? inode.target() : undefined,
    attributes: inode.attributes().filter((each) => (each.flags & 8) === 0),
    sha256,
    block,
    written: written.map(({ fileBlock, count }) => ({ fileBlock, count })),
  };
}

/** 6.7: exactly the written blocks of regular files have one, and it is that of the block. */
function verifyChecksums(image: Image, groups: AgContent[], written: Set<number>[]): void {
  if (!image.features.checksums) return;
  for (const { ag, checksums } of groups) {
    for (const agbno of written[ag]!) {
      must(checksums.has(agbno), `AG ${ag}, block ${agbno}: no checksum`);
      const found = crc32c(image.bytes(image.agByte(ag, agbno), image.bs));
      must(checksums.get(agbno) === found, `AG ${ag}, block ${agbno}: data checksum`);
    }
    for (const agbno of checksums.keys())
      must(written[ag]!.has(agbno), `AG ${ag}, block ${agbno}: a checksum too many`);
  }
}
