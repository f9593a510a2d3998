/**
 * The independent reader, part 3: inodes, forks, symlinks and attributes (FORMAT.md 7, 8, 10, 11). Directories are in
 * directories.ts. Every block that a fork leads to is noted as a claim, for register.ts to compare.
 */
import { type Identity, type Image, must, NULL32, text, viewOf } from './image.ts';
import { KINDS, TreeWalk } from './trees.ts';

export const DA: Identity = { crc: 12, self: 16, owner: 48, uuid: 32, wide: true };
const REMOTE: Identity = { crc: 12, self: 40, owner: 32, uuid: 16, wide: true };

export interface ForkExtent {
  fileBlock: number;
  fsbno: bigint;
  count: number;
  unwritten: boolean;
}
export interface Fork {
  format: number;
  /** Bytes of the fork inside the inode. */
  bytes: DataView;
  extents: ForkExtent[];
  isAttr: boolean;
}
export interface Attribute {
  flags: number;
  name: Uint8Array;
  value: Uint8Array;
}
/** Blocks that a fork holds; offset is an rmap offset word (6.6). */
export interface Claim {
  ag: number;
  start: number;
  count: number;
  owner: bigint;
  offset: bigint;
  /** Of a regular file's data fork. */
  isFileData: boolean;
}

export const TYPES: Record<number, string> = {
  4096: 'fifo',
  8192: 'char',
  16384: 'directory',
  24576: 'block',
  32768: 'file',
  40960: 'symlink',
  49152: 'socket',
};

/** One slot of an inode chunk, in use or free. */
export class Inode {
  readonly image: Image;
  readonly number: number;
  readonly view: DataView;
  readonly mode: number;
  readonly size: number;
  readonly nlink: number;
  readonly flags2: number;
  readonly data: Fork | undefined;
  readonly attr: Fork | undefined;

  /** @param claims receives what the forks hold. */
  constructor(image: Image, number: number, claims: Claim[]) {
    this.image = image;
    this.number = number;
    const what = `inode ${number}`;
    const byte = image.inodeByte(number);
    const bytes = image.bytes(byte, image.inodeSize);
    image.identify(what, bytes, byte, { crc: 100, self: -1, owner: 152, uuid: 160, wide: true }, number);
    const view = viewOf(bytes);
    this.view = view;
    must(text(bytes.subarray(0, 2)) === 'IN' && view.getUint8(4) === 3, `${what}: magic and version`);
    this.mode = view.getUint16(2);
    this.nlink = view.getUint32(16);
    this.size = Number(view.getBigUint64(56));
    this.flags2 = Number(view.getBigUint64(120));
    must(view.getUint32(96) === NULL32, `${what}: nextUnlinked`);
    if (this.mode === 0) {
      // 7.5
      for (const at of [16, 64, 68]) must(view.getUint32(at) === 0, `${what}: free, but byte ${at}`);
      must(view.getUint8(82) === 0, `${what}: free, but forkoff`);
      return;
    }
    must(this.type !== undefined, `${what}: mode 0${this.mode.toString(8)}`);
    if (image.dialect === 'cadastre') must((this.flags2 & 0x18) === 0x18, `${what}: BIGTIME and NREXT64`);
    const literal = image.inodeSize - 176;
    const forkoff = view.getUint8(82) * 8;
    must(forkoff < literal, `${what}: forkoff`);
    // 7.2
    const wide = (this.flags2 & 0x10) !== 0;
    const dataExtents = wide ? Number(view.getBigUint64(24)) : view.getUint32(76);
    const attrExtents = wide ? view.getUint32(76) : view.getUint16(80);
    must(wide ? view.getUint16(80) === 0 : view.getBigUint64(24) === 0n, `${what}: extent counts`);
    const blocksBefore = claims.length;
    this.data = this.#fork(false, view.getUint8(5), forkoff || literal, dataExtents, claims);
    if (forkoff > 0) this.attr = this.#fork(true, view.getUint8(83), literal - forkoff, attrExtents, claims);
    else must(view.getUint8(83) === 2 && attrExtents === 0, `${what}: aformat without an attr fork`);
    let blocks = 0;
    for (const claim of claims.slice(blocksBefore)) blocks += claim.count;
    must(Number(view.getBigUint64(64)) === blocks, `${what}: nblocks ${view.getBigUint64(64)}, counted ${blocks}`);
    const formats: Record<string, number[]> = { file: [2, 3], directory: [1, 2, 3], symlink: [1, 2] };
    must((formats[this.type] ?? [0]).includes(this.data.format), `${what}: format ${this.data.format}`);
  }

  get type(): string {
    return TYPES[this.mode & 0xf000]!;
  }

  /** Section 8. */
  #fork(isAttr: boolean, format: number, bytes: number, count: number, claims: Claim[]): Fork {
    const { image, view, number } = this;
    const start = isAttr ? 176 + view.getUint8(82) * 8 : 176;
    const fork: Fork = {
      format,
      bytes: new DataView(view.buffer, view.byteOffset + start, bytes),
      extents: [],
      isAttr,
    };
    const what = `inode ${number}, ${isAttr ? 'attr' : 'data'} fork`;
    if (format < 2) {
      must(count === 0, `${what}: extents in format ${format}`);
      must(format !== 1 || isAttr || this.size <= bytes, `${what}: local, but longer than the fork`);
      return fork;
    }
    must(format <= 3, `${what}: format ${format}`);
    const inline = Math.floor(bytes / 16);
    const forkFlag = isAttr ? 1n << 63n : 0n;
    if (format === 2) {
      must(count <= inline, `${what}: ${count} extents inline`);
      for (let i = 0; i < count; i++) fork.extents.push(unpack(fork.bytes, 16 * i));
    } else {
      must(count > inline, `${what}: ${count} extents need no tree`);
      const level = fork.bytes.getUint16(0);
      const children = fork.bytes.getUint16(2);
      const room = Math.floor((bytes - 4) / 16);
      must(level >= 1 && children >= 1 && children <= room, `${what}: root`);
      const list = Array.from({ length: children }, (_, i) => ({
        key: [fork.bytes.getBigUint64(4 + 8 * i)],
        pointer: fork.bytes.getBigUint64(4 + 8 * room + 8 * i),
      }));
      const tree = new TreeWalk(image, KINDS.bmbt, number, what).fromRoot(list, level - 1);
      for (const record of tree.records) fork.extents.push(unpack(record.view, record.at));
      for (const block of tree.blocks) {
        const { ag, agbno } = image.split(block);
        const offset = (1n << 62n) | forkFlag;
        claims.push({ ag, start: agbno, count: 1, owner: BigInt(number), offset, isFileData: false });
      }
    }
    must(fork.extents.length === count, `${what}: ${fork.extents.length} extents, the inode says ${count}`);
    let end = 0;
    for (const each of fork.extents) {
      must(each.fileBlock >= end && each.count > 0, `${what}: extent at ${each.fileBlock}`);
      end = each.fileBlock + each.count;
      const { ag, agbno } = image.split(each.fsbno);
      must(agbno >= image.headerBlocks && agbno + each.count <= image.agLength(ag), `${what}: extent inside an AG`);
      const isFileData = !isAttr && this.type === 'file';
      must(isFileData || !each.unwritten, `${what}: unwritten`);
      const offset = BigInt(each.fileBlock) | forkFlag | (each.unwritten ? 1n << 61n : 0n);
      claims.push({ ag, start: agbno, count: each.count, owner: BigInt(number), offset, isFileData });
    }
    return fork;
  }

  /** 7.3: nanoseconds since 1970. */
  time(at: number): bigint {
    if ((this.flags2 & 0x8) !== 0) return this.view.getBigUint64(at) - (1n << 31n) * 1_000_000_000n;
    return BigInt(this.view.getInt32(at)) * 1_000_000_000n + BigInt(this.view.getUint32(at + 4));
  }

  /** 7.1: major and minor of a device node. */
  get device(): { major: number; minor: number } {
    const word = this.data!.bytes.getUint32(0);
    return { major: word >>> 18, minor: word & 0x3ffff };
  }

  /** Blocks `dablk ..` of a fork, one behind the other; undefined when the first is a hole. */
  forkBlocks(fork: Fork, dablk: number, count: number): Uint8Array | undefined {
    const { bs } = this.image;
    const into = new Uint8Array(count * bs);
    for (let i = 0; i < count; i++) {
      const place = this.blockAt(fork, dablk + i);
      if (place === undefined) {
        must(i === 0, `inode ${this.number}: dablk ${dablk + i} is a hole`);
        return undefined;
      }
      into.set(this.image.bytes(place, bs), i * bs);
    }
    return into;
  }

  /** Byte of a file block in the image. */
  blockAt(fork: Fork, fileBlock: number): number | undefined {
    const extent = fork.extents.find((each) => each.fileBlock <= fileBlock && fileBlock < each.fileBlock + each.count);
    return extent && this.image.byteOf(extent.fsbno) + (fileBlock - extent.fileBlock) * this.image.bs;
  }

  /** Section 11. */
  target(): Uint8Array {
    const fork = this.data!;
    if (fork.format === 1) return new Uint8Array(fork.bytes.buffer, fork.bytes.byteOffset, this.size).slice();
    const target = new Uint8Array(this.size);
    let at = 0;
    for (const { fsbno, count } of fork.extents) {
      const what = `inode ${this.number}, symlink`;
      const piece = this.image.checked(what, this.image.byteOf(fsbno), count * this.image.bs, REMOTE, this.number);
      must(text(new Uint8Array(piece.buffer, 0, 4)) === 'XSLM', `${what}: magic`);
      const length = piece.getUint32(8);
      must(piece.getUint32(4) === at, `${what}: targetOffset`);
      must(length === Math.min(piece.byteLength - 56, this.size - at), `${what}: targetBytes`);
      target.set(new Uint8Array(piece.buffer, 56, length), at);
      at += length;
    }
    must(at === this.size && at > 0 && at <= 1023, `inode ${this.number}: symlink of ${at} bytes`);
    return target;
  }

  /** Section 10: all attributes, parent pointers too, INCOMPLETE ones left out. */
  attributes(): Attribute[] {
    const fork = this.attr;
    if (!fork) return [];
    if (fork.format === 1) return shortAttributes(fork.bytes, `inode ${this.number}`);
    const found: Attribute[] = [];
    if (fork.extents.length === 0) return found;
    const { leaves } = hashTree(this, fork, 0, this.image.bs, [0x3bee]);
    for (const { view, least, most } of leaves) this.#leaf(fork, view, least, most, found);
    const names = found.map(
      (each) => `${each.flags & 0xe} ${text(each.name)}${each.flags & 8 ? text(each.value) : ''}`,
    );
    must(new Set(names).size === names.length, `inode ${this.number}: an attribute twice`);
    return found;
  }

  #leaf(fork: Fork, view: DataView, least: number, most: number, found: Attribute[]): void {
    const what = `inode ${this.number}, attribute leaf`;
    const { bs } = this.image;
    const count = view.getUint16(56);
    let used = 0;
    let lowest = bs;
    const heap: [number, number][] = [];
    let previous = least;
    for (let i = 0; i < count; i++) {
      const hash = view.getUint32(80 + 8 * i);
      const at = view.getUint16(80 + 8 * i + 4);
      const flags = view.getUint8(80 + 8 * i + 6);
      must(hash >= previous && hash <= most, `${what}: hash order`);
      previous = hash;
      must(at % 4 === 0 && at >= 80 + 8 * count, `${what}: nameidx ${at}`);
      const local = (flags & 1) !== 0;
      const nameLength = view.getUint8(at + (local ? 2 : 8));
      const valueLength = local ? view.getUint16(at) : view.getUint32(at + 4);
      const nameAt = at + (local ? 3 : 9);
      const bytes = local ? Math.ceil((3 + nameLength + valueLength) / 4) * 4 : Math.ceil((11 + nameLength) / 4) * 4;
      must(at + bytes <= bs && nameLength > 0 && valueLength <= 65536, `${what}: record at ${at}`);
      const inLeaf = Math.ceil((3 + nameLength + valueLength) / 4) * 4 < bs / 2 + bs / 4;
      must(local === inLeaf, `${what}: a value of ${valueLength} bytes is ${local ? 'local' : 'remote'}`);
      used += bytes;
      lowest = Math.min(lowest, at);
      heap.push([at, at + bytes]);
      const name = new Uint8Array(view.buffer, view.byteOffset + nameAt, nameLength).slice();
      let value: Uint8Array = new Uint8Array(
        view.buffer,
        view.byteOffset + nameAt + nameLength,
        local ? valueLength : 0,
      );
      if (!local) value = this.#remote(fork, view.getUint32(at), valueLength);
      let expected = nameHash(name);
      if (flags & 8)
        expected = (expected ^ viewOf(value.slice()).getUint32(0) ^ viewOf(value.slice()).getUint32(4)) >>> 0;
      must(hash === expected, `${what}: hash of ${text(name)}`);
      if ((flags & 0x80) === 0) found.push({ flags, name, value: value.slice() });
    }
    heap.sort((a, b) => a[0] - b[0]);
    for (let i = 1; i < heap.length; i++) must(heap[i - 1]![1] <= heap[i]![0], `${what}: records overlap`);
    must(view.getUint16(58) === used, `${what}: usedbytes`);
    const firstused = view.getUint16(60) || 65536;
    must(view.getUint8(62) ? firstused <= lowest : firstused === lowest, `${what}: firstused`);
    for (let i = 0; i < 3; i++) {
      const [base, size] = [view.getUint16(64 + 4 * i), view.getUint16(66 + 4 * i)];
      if (size === 0) continue;
      must(base % 4 === 0 && size % 4 === 0 && base >= 80 + 8 * count, `${what}: freemap ${base}+${size}`);
      must(!heap.some(([from, to]) => from < base + size && base < to), `${what}: freemap over a record`);
    }
  }

  /** 10.4 */
  #remote(fork: Fork, dablk: number, length: number): Uint8Array {
    const { bs } = this.image;
    const value = new Uint8Array(length);
    must(dablk > 0, `inode ${this.number}: valueblk`);
    for (let at = 0, i = 0; at < length; i++) {
      const what = `inode ${this.number}, attribute value block ${dablk + i}`;
      const place = this.blockAt(fork, dablk + i);
      must(place !== undefined, `${what}: a hole`);
      const view = this.image.checked(what, place, bs, REMOTE, this.number);
      must(text(new Uint8Array(view.buffer, 0, 4)) === 'XARM', `${what}: magic`);
      const piece = view.getUint32(8);
      must(view.getUint32(4) === at && piece === Math.min(bs - 56, length - at), `${what}: offset and bytes`);
      must(view.getUint32(48) === NULL32 && view.getUint32(52) === NULL32, `${what}: lsn`);
      value.set(new Uint8Array(view.buffer, 56, piece), at);
      at += piece;
    }
    return value;
  }
}

/** 8.2 */
function unpack(view: DataView, at: number): ForkExtent {
  const l0 = view.getBigUint64(at);
  const l1 = view.getBigUint64(at + 8);
  return {
    unwritten: l0 >> 63n === 1n,
    fileBlock: Number((l0 >> 9n) & ((1n << 54n) - 1n)),
    fsbno: ((l0 & 0x1ffn) << 43n) | (l1 >> 21n),
    count: Number(l1 & 0x1fffffn),
  };
}

/** 10.2 */
function shortAttributes(bytes: DataView, what: string): Attribute[] {
  const found: Attribute[] = [];
  let at = 4;
  for (let left = bytes.getUint8(2); left > 0; left--) {
    const [nameLength, valueLength] = [bytes.getUint8(at), bytes.getUint8(at + 1)];
    const start = bytes.byteOffset + at + 3;
    const name = new Uint8Array(bytes.buffer, start, nameLength).slice();
    const value = new Uint8Array(bytes.buffer, start + nameLength, valueLength).slice();
    found.push({ flags: bytes.getUint8(at + 2), name, value });
    at += 3 + nameLength + valueLength;
  }
  must(bytes.getUint16(0) === at, `${what}: attributes of ${at} bytes, totsize ${bytes.getUint16(0)}`);
  return found;
}

/** 9.7 */
export function nameHash(name: Uint8Array, fold = false): number {
  let hash = 0;
  for (let byte of name) {
    if (fold && ((byte >= 0x41 && byte <= 0x5a) || (byte >= 0xc0 && byte <= 0xde && byte !== 0xd7))) byte += 32;
    hash = (byte ^ ((hash << 7) | (hash >>> 25))) >>> 0;
  }
  return hash;
}

export interface HashTree {
  /** Levels of nodes above the leaves. */
  levels: number;
  /** In hash order, each with the hashes it may hold. */
  leaves: { view: DataView; least: number; most: number }[];
}

/** 9.6, 10.3: the leaves below the block at `root`, in hash order. @param bytes of one block. @param leafMagics of leaves. */
export function hashTree(inode: Inode, fork: Fork, root: number, bytes: number, leafMagics: number[]): HashTree {
  const leaves: HashTree['leaves'] = [];
  const last = new Map<number, { self: number; forw: number }>();
  const perBlock = bytes / inode.image.bs;
  const visit = (dablk: number, level: number | undefined, least: number, most: number): number => {
    const what = `inode ${inode.number}, hash tree block ${dablk}`;
    const block = inode.forkBlocks(fork, dablk, perBlock);
    must(block !== undefined, `${what}: a hole`);
    inode.image.identify(what, block, inode.blockAt(fork, dablk)!, DA, inode.number);
    const view = viewOf(block);
    const magic = view.getUint16(8);
    const isNode = magic === 0x3ebe;
    must(isNode || leafMagics.includes(magic), `${what}: magic 0x${magic.toString(16)}`);
    const own = isNode ? view.getUint16(58) : 0;
    must(level === undefined || own === level, `${what}: level ${own}, expected ${level}`);
    const before = last.get(own);
    must(view.getUint32(4) === (before?.self ?? 0), `${what}: back`);
    must(!before || before.forw === dablk, `${what}: forw of ${before?.self}`);
    last.set(own, { self: dablk, forw: view.getUint32(0) });
    const count = view.getUint16(56);
    if (!isNode) {
      leaves.push({ view, least, most });
      const entries = magic === 0x3bee ? 80 : 64;
      must(count > 0 || level === undefined, `${what}: empty`);
      return count === 0 ? 0 : view.getUint32(entries + 8 * (count - 1));
    }
    must(own >= 1 && own <= 5 && count >= 1 && count <= (bytes - 64) / 8, `${what}: level and count`);
    let from = least;
    for (let i = 0; i < count; i++) {
      const hash = view.getUint32(64 + 8 * i);
      must(hash >= from, `${what}: hash order`);
      const greatest = visit(view.getUint32(64 + 8 * i + 4), own - 1, from, hash);
      must(greatest === hash, `${what}: hash ${i} is ${hash}, the child's greatest ${greatest}`);
      from = hash;
    }
    return from;
  };
  visit(root, undefined, 0, NULL32);
  for (const { forw } of last.values()) must(forw === 0, `inode ${inode.number}: last block of a level`);
  return { levels: Math.max(...last.keys()), leaves };
}
