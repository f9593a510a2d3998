/**
 * The independent reader, part 2: B+trees of any kind, and an AG's headers, free list and trees (FORMAT.md 4 to 6).
 * Structure, keys, siblings and counters are held against the text on the way; what records mean together is register.ts's.
 */
import { type Identity, type Image, must, NULL32, NULL64, text } from './image.ts';

const SHORT: Identity = { crc: 52, self: 16, owner: 48, uuid: 32 };
const LONG: Identity = { crc: 64, self: 24, owner: 56, uuid: 40, wide: true };
const UNWRITTEN = 1n << 61n;

type Key = bigint[];

/** 5.1 to 5.3 as data. */
interface TreeKind {
  magic: string;
  record: number;
  key: number;
  long?: boolean;
  /** Key of a leaf record. */
  of(view: DataView, at: number): Key;
  /** Key as it stands in a node. */
  inNode(view: DataView, at: number): Key;
  /** High key of a leaf record: trees with two keys only. */
  high?(view: DataView, at: number): Key;
}

const u32 = (view: DataView, at: number): bigint => BigInt(view.getUint32(at));
const pair = (view: DataView, at: number): Key => [u32(view, at), u32(view, at + 4)];
const one = (view: DataView, at: number): Key => [u32(view, at)];
const byLength = (view: DataView, at: number): Key => [u32(view, at + 4), u32(view, at)];

export const KINDS = {
  bnobt: { magic: 'AB3B', record: 8, key: 8, of: pair, inNode: pair },
  cntbt: { magic: 'AB3C', record: 8, key: 8, of: byLength, inNode: byLength },
  inobt: { magic: 'IAB3', record: 16, key: 4, of: one, inNode: one },
  finobt: { magic: 'FIB3', record: 16, key: 4, of: one, inNode: one },
  rmapbt: {
    magic: 'RMB3',
    record: 24,
    key: 20,
    of: (view, at) => [u32(view, at), view.getBigUint64(at + 8), view.getBigUint64(at + 16) & ~UNWRITTEN],
    inNode: (view, at) => [u32(view, at), view.getBigUint64(at + 4), view.getBigUint64(at + 12)],
    high(view, at) {
      const more = u32(view, at + 4) - 1n;
      const owner = view.getBigUint64(at + 8);
      const offset = view.getBigUint64(at + 16) & ~UNWRITTEN;
      const moves = owner < 1n << 63n && (offset & (1n << 62n)) === 0n;
      return [u32(view, at) + more, owner, moves ? offset + more : offset];
    },
  },
  refcountbt: { magic: 'R3FC', record: 12, key: 4, of: one, inNode: one },
  csumbt: { magic: 'CSM3', record: 64, key: 4, of: one, inNode: one },
  bmbt: {
    magic: 'BMA3',
    record: 16,
    key: 8,
    long: true,
    // 8.2: file block = bits 9..62 of l0.
    of: (view, at) => [(view.getBigUint64(at) >> 9n) & ((1n << 54n) - 1n)],
    inNode: (view, at) => [view.getBigUint64(at)],
  },
} as const satisfies Record<string, TreeKind>;

const compare = (a: Key, b: Key): number => {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! < b[i]! ? -1 : 1;
  return 0;
};
const show = (key: Key): string => key.join(':');

/** Walks one tree; gathers its records (16 bytes at `at` of `view`, say) and its blocks. */
export class TreeWalk {
  readonly records: { view: DataView; at: number }[] = [];
  /** Pointers of all blocks. */
  readonly blocks: bigint[] = [];
  readonly #image: Image;
  readonly #kind: TreeKind;
  readonly #owner: number;
  readonly #what: string;
  readonly #last = new Map<number, { self: bigint; right: bigint }>();
  #previous: Key | undefined;

  constructor(image: Image, kind: TreeKind, owner: number, what: string) {
    this.#image = image;
    this.#kind = kind;
    this.#owner = owner;
    this.#what = what;
  }

  /** A tree whose root is a block: height from the AG header. */
  fromBlock(root: number, height: number): this {
    must(height >= 1 && height <= 10, `${this.#what}: height ${height}`);
    this.#block(BigInt(root), height - 1, true);
    return this.#finish();
  }

  /** A tree whose root lies in a fork: keys and pointers of the children, which are at `level`. */
  fromRoot(children: { key: Key; pointer: bigint }[], level: number): this {
    for (const { key, pointer } of children) {
      const { first } = this.#block(pointer, level, true);
      must(compare(first, key) === 0, `${this.#what}: key in the root`);
    }
    return this.#finish();
  }

  #finish(): this {
    for (const [level, { right }] of this.#last)
      must(right === this.#null, `${this.#what}: last block of level ${level}`);
    must(new Set(this.blocks).size === this.blocks.length, `${this.#what}: a block twice`);
    return this;
  }

  get #null(): bigint {
    return this.#kind.long ? NULL64 : BigInt(NULL32);
  }

  /** @param exempt from the minimum: a root, or right under a root in an inode. */
  #block(pointer: bigint, level: number, exempt: boolean): { first: Key; high: Key } {
    const kind = this.#kind;
    const image = this.#image;
    const what = `${this.#what} block ${pointer}`;
    must(this.blocks.length < image.dblocks, `${what}: a loop`);
    this.blocks.push(pointer);
    const byte = kind.long ? image.byteOf(pointer) : image.agByte(this.#owner, Number(pointer));
    if (!kind.long) must(Number(pointer) >= image.headerBlocks && Number(pointer) < image.agLength(this.#owner), what);
    const view = image.checked(what, byte, image.bs, kind.long ? LONG : SHORT, this.#owner);
    must(text(new Uint8Array(view.buffer, 0, 4)) === kind.magic, `${what}: magic`);
    must(view.getUint16(4) === level, `${what}: level ${view.getUint16(4)}, expected ${level}`);
    const count = view.getUint16(6);
    const left = kind.long ? view.getBigUint64(8) : u32(view, 8);
    const right = kind.long ? view.getBigUint64(16) : u32(view, 12);
    const before = this.#last.get(level);
    must(left === (before?.self ?? this.#null), `${what}: left sibling`);
    must(!before || before.right === pointer, `${what}: right sibling of ${before?.self}`);
    this.#last.set(level, { self: pointer, right });

    const header = kind.long ? 72 : 56;
    const keyBytes = kind.high ? 2 * kind.key : kind.key;
    const most = Math.floor((image.bs - header) / (level === 0 ? kind.record : keyBytes + (kind.long ? 8 : 4)));
    must(count <= most, `${what}: ${count} entries of ${most}`);
    must(exempt || count >= Math.floor(most / 2), `${what}: only ${count} entries of ${most}`);
    must(count > 0 || (level === 0 && exempt), `${what}: empty`);
    let first: Key = [];
    let high: Key = [];
    for (let i = 0; i < count; i++) {
      let key: Key;
      let top: Key = [];
      if (level === 0) {
        const at = header + i * kind.record;
        key = kind.of(view, at);
        must(!this.#previous || compare(this.#previous, key) < 0, `${what}: record ${i} (${show(key)}) out of order`);
        this.#previous = key;
        this.records.push({ view, at });
        if (kind.high) top = kind.high(view, at);
      } else {
        const at = header + i * keyBytes;
        key = kind.inNode(view, at);
        const pointers = header + most * keyBytes;
        const child = kind.long ? view.getBigUint64(pointers + 8 * i) : u32(view, pointers + 4 * i);
        const below = this.#block(child, level - 1, false);
        must(compare(below.first, key) === 0, `${what}: key ${i} is ${show(key)}, the child's ${show(below.first)}`);
        if (kind.high) {
          top = kind.inNode(view, at + kind.key);
          must(compare(top, below.high) === 0, `${what}: high key ${i} is ${show(top)}, expected ${show(below.high)}`);
        }
      }
      if (i === 0) first = key;
      if (kind.high && (i === 0 || compare(top, high) > 0)) high = top;
    }
    return { first, high };
  }
}

export interface Extent {
  start: number;
  count: number;
}
export interface Chunk {
  start: number;
  holemask: number;
  count: number;
  freeCount: number;
  free: bigint;
}
export interface Rmap extends Extent {
  owner: bigint;
  offset: bigint;
}
export interface Refcount extends Extent {
  refcount: number;
  staging: boolean;
}

/** Everything the headers of one AG lead to. */
export interface AgContent {
  ag: number;
  length: number;
  agf: DataView;
  agi: DataView;
  free: Extent[];
  list: number[];
  chunks: Chunk[];
  rmaps: Rmap[];
  refcounts: Refcount[];
  /** agbno to checksum. */
  checksums: Map<number, number>;
  /** Blocks of each tree. */
  blocks: Record<'bnobt' | 'cntbt' | 'inobt' | 'finobt' | 'rmapbt' | 'refcountbt' | 'csumbt', number[]>;
}

const hexOf = ({ view, at }: { view: DataView; at: number }, length: number): string =>
  Buffer.from(view.buffer, view.byteOffset + at, length).toString('hex');

/** Section 4 and 6 for one AG. */
export function readAg(image: Image, ag: number): AgContent {
  const { ss, features } = image;
  const base = image.agByte(ag, 0);
  const length = image.agLength(ag);
  const header = (what: string, sector: number, magic: string, id: Identity): DataView => {
    const view = image.checked(`${what} ${ag}`, base + sector * ss, ss, id, ag);
    must(text(new Uint8Array(view.buffer, 0, 4)) === magic, `${what} ${ag}: magic`);
    return view;
  };
  const agf = header('AGF', 1, 'XAGF', { crc: 216, self: -1, owner: 8, uuid: 64 });
  const agi = header('AGI', 2, 'XAGI', { crc: 312, self: -1, owner: 8, uuid: 296 });
  const agfl = header('AGFL', 3, 'XAFL', { crc: 32, self: -1, owner: 4, uuid: 8 });
  for (const view of [agf, agi]) {
    must(view.getUint32(4) === 1, `AG ${ag}: header version`);
    must(view.getUint32(12) === length, `AG ${ag}: length`);
  }
  // 4.4
  const slots = Math.floor((ss - 36) / 4);
  const [flfirst, fllast, flcount] = [agf.getUint32(40), agf.getUint32(44), agf.getUint32(48)];
  const list: number[] = [];
  for (let i = 0; i < flcount; i++) list.push(agfl.getUint32(36 + 4 * ((flfirst + i) % slots)));
  must(flcount === 0 || (flfirst + flcount - 1) % slots === fllast, `AGFL ${ag}: fllast`);
  for (let bucket = 0; bucket < 64; bucket++) {
    must(agi.getUint32(40 + 4 * bucket) === NULL32, `AGI ${ag}: unlinked bucket ${bucket}`);
  }

  const blocks: AgContent['blocks'] = {
    bnobt: [],
    cntbt: [],
    inobt: [],
    finobt: [],
    rmapbt: [],
    refcountbt: [],
    csumbt: [],
  };
  const walk = (name: keyof typeof blocks, view: DataView, rootAt: number, levelAt: number): TreeWalk['records'] => {
    const tree = new TreeWalk(image, KINDS[name], ag, `${name} of AG ${ag}`);
    tree.fromBlock(view.getUint32(rootAt), view.getUint32(levelAt));
    blocks[name] = tree.blocks.map(Number);
    return tree.records;
  };
  const extent = ({ view, at }: { view: DataView; at: number }): Extent => {
    const found = { start: view.getUint32(at), count: view.getUint32(at + 4) };
    must(found.count > 0 && found.start + found.count <= length, `AG ${ag}: extent ${found.start}+${found.count}`);
    return found;
  };

  // 6.2
  const free = walk('bnobt', agf, 16, 28).map(extent);
  const sorted = walk('cntbt', agf, 20, 32).map(extent);
  sorted.sort((a, b) => a.start - b.start);
  must(JSON.stringify(sorted) === JSON.stringify(free), `AG ${ag}: bnobt and cntbt differ`);
  free.forEach((each, i) => {
    must(
      i === 0 || free[i - 1]!.start + free[i - 1]!.count < each.start,
      `AG ${ag}: free extents touch at ${each.start}`,
    );
  });

  // 6.4, 6.5
  const inodeRecords = walk('inobt', agi, 20, 24);
  const chunks = inodeRecords.map(({ view, at }): Chunk => {
    const { sparse } = features;
    return {
      start: view.getUint32(at),
      holemask: sparse ? view.getUint16(at + 4) : 0,
      count: sparse ? view.getUint8(at + 6) : 64,
      freeCount: sparse ? view.getUint8(at + 7) : view.getUint32(at + 4),
      free: view.getBigUint64(at + 8),
    };
  });
  if (features.finobt) {
    const found = walk('finobt', agi, 328, 332).map((record) => hexOf(record, 16));
    const expected = inodeRecords.filter((_, i) => chunks[i]!.freeCount > 0).map((record) => hexOf(record, 16));
    must(found.join() === expected.join(), `AG ${ag}: finobt is not the inobt records with free inodes`);
  }

  // 6.6, 6.8, 6.7
  const rmaps = !features.rmapbt
    ? []
    : walk('rmapbt', agf, 24, 36).map((record) => ({
        ...extent(record),
        owner: record.view.getBigUint64(record.at + 8),
        offset: record.view.getBigUint64(record.at + 16),
      }));
  const refcounts = !features.reflink
    ? []
    : walk('refcountbt', agf, 88, 92).map(({ view, at }): Refcount => {
        const word = view.getUint32(at);
        const staging = word >= 0x80000000;
        const start = staging ? word - 0x80000000 : word;
        return { start, count: view.getUint32(at + 4), refcount: view.getUint32(at + 8), staging };
      });
  const checksums = new Map<number, number>();
  if (features.checksums) {
    let end = 0;
    for (const { view, at } of walk('csumbt', agf, 96, 100)) {
      const { start, count } = extent({ view, at });
      must(count <= 14 && start >= end, `checksum record at ${start}`);
      end = start + count;
      for (let i = 0; i < 14; i++) {
        const word = view.getUint32(at + 8 + 4 * i);
        if (i < count) checksums.set(start + i, word);
        else must(word === 0, `checksum record at ${start}: unused words`);
      }
    }
  }
  checkCounters(image, { ag, length, agf, agi, free, list, chunks, rmaps, refcounts, checksums, blocks });
  return { ag, length, agf, agi, free, list, chunks, rmaps, refcounts, checksums, blocks };
}

/** 4.5 */
function checkCounters(image: Image, content: AgContent): void {
  const { ag, agf, agi, free, blocks, chunks } = content;
  const { features } = image;
  const is = (what: string, found: number, expected: number): void =>
    must(found === expected, `AG ${ag}: ${what} is ${found}, counted ${expected}`);
  const sum = (numbers: number[]): number => numbers.reduce((a, b) => a + b, 0);
  is('freeblks', agf.getUint32(52), sum(free.map((each) => each.count)));
  is('longest', agf.getUint32(56), Math.max(0, ...free.map((each) => each.count)));
  is('btreeblks', agf.getUint32(60), nonRoots(content, features.rmapbt));
  is('rmapBlocks', agf.getUint32(80), blocks.rmapbt.length);
  is('refcountBlocks', agf.getUint32(84), blocks.refcountbt.length);
  is('csumBlocks', agf.getUint32(104), blocks.csumbt.length);
  is('count', agi.getUint32(16), sum(chunks.map((each) => each.count)));
  is('freecount', agi.getUint32(28), sum(chunks.map((each) => each.freeCount)));
  if (features.inobtcnt) is('iblocks', agi.getUint32(336), blocks.inobt.length);
  if (features.inobtcnt) is('fblocks', agi.getUint32(340), blocks.finobt.length);
}

/** `btreeblks` as counted. */
export function nonRoots({ blocks }: AgContent, rmapbt: boolean): number {
  return blocks.bnobt.length - 1 + (blocks.cntbt.length - 1) + (rmapbt ? blocks.rmapbt.length - 1 : 0);
}
