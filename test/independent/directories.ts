/** The independent reader, part 4: directories in all five forms (FORMAT.md 9). */
import { type Fork, hashTree, type Inode, nameHash } from './files.ts';
import { type Identity, must, text, viewOf } from './image.ts';

const DATA: Identity = { crc: 4, self: 8, owner: 40, uuid: 24, wide: true };

export interface Entry {
  name: Uint8Array;
  ino: number;
  ftype: number;
}
export interface Directory {
  form: 'short' | 'block' | 'leaf' | 'node';
  /** Levels of nodes above the hash index's leaves. */
  levels: number;
  parent: number;
  /** Without "." and "..". */
  entries: Entry[];
}

export function readDirectory(inode: Inode): Directory {
  const fork = inode.data!;
  return fork.format === 1 ? readShort(inode, fork) : readBlocks(inode, fork);
}

/** 9.2 */
function readShort(inode: Inode, fork: Fork): Directory {
  const what = `directory ${inode.number}`;
  const { bytes } = fork;
  const count = bytes.getUint8(0);
  const wide = bytes.getUint8(1);
  const width = wide === 0 ? 4 : 8;
  const number = (at: number): number => (width === 4 ? bytes.getUint32(at) : Number(bytes.getBigUint64(at)));
  const parent = number(2);
  let large = parent > 0xffffffff ? 1 : 0;
  let at = 2 + width;
  let place = 96;
  const entries: Entry[] = [];
  for (let i = 0; i < count; i++) {
    const length = bytes.getUint8(at);
    const offset = bytes.getUint16(at + 1);
    must(length > 0 && offset >= place, `${what}: entry ${i}`);
    place = offset + entrySize(length);
    const name = new Uint8Array(bytes.buffer, bytes.byteOffset + at + 3, length).slice();
    const ino = number(at + 4 + length);
    if (ino > 0xffffffff) large++;
    entries.push({ name, ino, ftype: bytes.getUint8(at + 3 + length) });
    at += 4 + length + width;
  }
  must(at === inode.size, `${what}: size ${inode.size}, the short form has ${at} bytes`);
  must(large === wide, `${what}: i8count`);
  must(place + 8 * (count + 2) + 8 <= inode.image.dbs, `${what}: the block form would not fit`);
  return { form: 'short', levels: 0, parent, entries };
}

const entrySize = (nameLength: number): number => Math.ceil((nameLength + 12) / 8) * 8;

interface Found extends Entry {
  dataptr: number;
}

/** 9.3: tiles of one data block. @returns its longest unused region. */
function readData(inode: Inode, view: DataView, block: number, end: number, found: Found[]): number {
  const what = `directory ${inode.number}, data block ${block}`;
  const unused: [number, number][] = [];
  let wasUnused = false;
  let at = 64;
  while (at < end) {
    if (view.getUint16(at) === 0xffff) {
      const length = view.getUint16(at + 2);
      must(length > 0 && length % 8 === 0 && !wasUnused, `${what}: unused region at ${at}`);
      must(view.getUint16(at + length - 2) === at, `${what}: tag of the unused region at ${at}`);
      unused.push([at, length]);
      at += length;
      wasUnused = true;
      continue;
    }
    wasUnused = false;
    const length = view.getUint8(at + 8);
    const size = entrySize(length);
    must(length > 0 && view.getUint16(at + size - 2) === at, `${what}: tag of the entry at ${at}`);
    const name = new Uint8Array(view.buffer, view.byteOffset + at + 9, length).slice();
    const dataptr = (block * inode.image.dbs + at) / 8;
    found.push({ name, ino: Number(view.getBigUint64(at)), ftype: view.getUint8(at + 9 + length), dataptr });
    at += size;
  }
  must(at === end, `${what}: entries end at ${at}, not at ${end}`);
  // The header lists the three longest; among equals any.
  const lengths = unused.map(([, length]) => length).sort((a, b) => b - a);
  const listed = new Set<number>();
  for (let i = 0; i < 3; i++) {
    const [offset, length] = [view.getUint16(48 + 4 * i), view.getUint16(50 + 4 * i)];
    must(length === (lengths[i] ?? 0), `${what}: best ${i} is ${length}, expected ${lengths[i] ?? 0}`);
    if (length === 0) continue;
    must(!listed.has(offset) && unused.some((each) => each[0] === offset && each[1] === length), `${what}: best ${i}`);
    listed.add(offset);
  }
  return lengths[0] ?? 0;
}

/** 9.3 to 9.6 */
function readBlocks(inode: Inode, fork: Fork): Directory {
  const { image } = inode;
  const { bs, dbs } = image;
  const what = `directory ${inode.number}`;
  const perBlock = dbs / bs;
  const leafSpace = 2 ** 35 / bs;
  const freeSpace = 2 ** 36 / bs;
  const found: Found[] = [];
  /** Longest unused region by data block. */
  const bests = new Map<number, number>();
  let form: Directory['form'] = 'leaf';
  let levels = 0;
  let index: { hash: number; dataptr: number }[] = [];
  const starts = new Set<number>();
  for (const each of fork.extents) {
    for (let i = 0; i < each.count; i++) starts.add(each.fileBlock + i - ((each.fileBlock + i) % perBlock));
  }
  for (const dablk of [...starts].sort((a, b) => a - b)) {
    if (dablk >= leafSpace) break;
    const bytes = inode.forkBlocks(fork, dablk, perBlock)!;
    image.identify(`${what}, dablk ${dablk}`, bytes, inode.blockAt(fork, dablk)!, DATA, inode.number);
    const view = viewOf(bytes);
    const magic = text(bytes.subarray(0, 4));
    const block = dablk / perBlock;
    if (magic === 'XDB3') {
      must(dablk === 0 && starts.size === 1, `${what}: block form with several blocks`);
      form = 'block';
      const count = view.getUint32(dbs - 8);
      const end = dbs - 8 - 8 * count;
      readData(inode, view, 0, end, found);
      index = entriesAt(view, end, count, view.getUint32(dbs - 4), what);
    } else {
      must(magic === 'XDD3', `${what}: magic ${magic}`);
      bests.set(block, readData(inode, view, block, dbs, found));
    }
  }
  const last = Math.max(0, ...bests.keys());
  must(inode.size === (last + 1) * dbs, `${what}: size ${inode.size}`);
  if (form !== 'block') {
    const { leaves, ...tree } = hashTree(inode, fork, leafSpace, dbs, [0x3df1, 0x3dff]);
    levels = tree.levels;
    for (const { view } of leaves) {
      index.push(...entriesAt(view, 64, view.getUint16(56), view.getUint16(58), what));
    }
    if (leaves[0]!.view.getUint16(8) === 0x3df1) {
      const { view } = leaves[0]!;
      const count = view.getUint32(dbs - 4);
      must(leaves.length === 1 && count === last + 1, `${what}: bestcount`);
      checkBests(what, count, (i) => view.getUint16(dbs - 4 - 2 * count + 2 * i), bests, 0);
    } else {
      form = 'node';
      readFreeIndex(inode, fork, starts, freeSpace, bests, last);
    }
  }
  // 9.4: every entry once in the index, in hash order, with its hash.
  const expected = found.map((each) => `${nameHash(each.name, image.features.asciiCi)} ${each.dataptr}`).sort();
  for (let i = 1; i < index.length; i++) must(index[i - 1]!.hash <= index[i]!.hash, `${what}: hash order`);
  const live = index.filter((each) => each.dataptr !== 0).map((each) => `${each.hash} ${each.dataptr}`);
  must(live.sort().join() === expected.join(), `${what}: the index does not match the entries`);
  const [dot, dotdot] = found;
  must(dot !== undefined && text(dot.name) === '.' && dot.ino === inode.number && dot.dataptr === 8, `${what}: "."`);
  must(dotdot !== undefined && text(dotdot.name) === '..' && dotdot.dataptr === 10, `${what}: ".."`);
  return { form, levels, parent: dotdot.ino, entries: found.slice(2) };
}

function entriesAt(view: DataView, at: number, count: number, stale: number, what: string) {
  const entries = Array.from({ length: count }, (_, i) => ({
    hash: view.getUint32(at + 8 * i),
    dataptr: view.getUint32(at + 8 * i + 4),
  }));
  must(entries.filter((each) => each.dataptr === 0).length === stale, `${what}: stale`);
  return entries;
}

function checkBests(
  what: string,
  count: number,
  best: (i: number) => number,
  bests: Map<number, number>,
  first: number,
) {
  for (let i = 0; i < count; i++) {
    const expected = bests.get(first + i) ?? 0xffff;
    must(best(i) === expected, `${what}: best of data block ${first + i} is ${best(i)}, expected ${expected}`);
  }
}

/** 9.6 */
function readFreeIndex(
  inode: Inode,
  fork: Fork,
  starts: Set<number>,
  freeSpace: number,
  bests: Map<number, number>,
  last: number,
): void {
  const { dbs, bs } = inode.image;
  const slots = Math.floor((dbs - 64) / 2);
  const what = `directory ${inode.number}, free index`;
  for (let k = 0; k * slots <= last; k++) {
    const dablk = freeSpace + (k * dbs) / bs;
    const covered = [...bests.keys()].filter((block) => Math.floor(block / slots) === k);
    if (!starts.has(dablk)) {
      must(covered.length === 0, `${what}: block ${k} is missing`);
      continue;
    }
    const bytes = inode.forkBlocks(fork, dablk, dbs / bs)!;
    inode.image.identify(what, bytes, inode.blockAt(fork, dablk)!, DATA, inode.number);
    const view = viewOf(bytes);
    must(text(bytes.subarray(0, 4)) === 'XDF3', `${what}: magic`);
    must(view.getUint32(48) === k * slots, `${what}: firstdb`);
    const valid = view.getUint32(52);
    must(valid === Math.max(...covered) - k * slots + 1, `${what}: nvalid`);
    must(view.getUint32(56) === covered.length, `${what}: nused`);
    checkBests(what, valid, (i) => view.getUint16(64 + 2 * i), bests, k * slots);
  }
}
