/**
 * The naive model of an image's space: per AG a list of claims for every block. What every tree, list and counter must
 * say follows from it by brute force. Trees are read here by a decoder of their own, straight from the blocks.
 *
 * The model is told of file mappings, staging extents, inodes and checksums; which blocks hold trees, free list and inode
 * chunks it reads from the image, and requires that no block is claimed by two of them.
 */
import { Agf, Agfl, Agi } from '../../formats/ag-headers.ts';
import { AGF_TYPE, AGFL_TYPE, AGI_TYPE } from '../../formats/ag-verify.ts';
import { BTREES, type BtreeLayout, RMAP_OWNER } from '../../formats/btree-blocks.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { NULL32 } from '../../formats/struct.ts';
import { TREE_TYPES } from '../../lib/btree/btree.ts';
import type { BlockReader } from '../../lib/buffer/transaction.ts';

const SPECIAL = 'special';

/** One claim on one block. `flags`: attr, bmbt, unwritten. */
export interface Claim {
  owner: number | typeof SPECIAL;
  /** Low word of a special owner. */
  special: number;
  fileBlock: number;
  attr: boolean;
  bmbt: boolean;
  unwritten: boolean;
}

export const dataClaim = (owner: number, fileBlock: number, unwritten = false): Claim => ({
  owner,
  special: 0,
  fileBlock,
  attr: false,
  bmbt: false,
  unwritten,
});
const specialClaim = (special: number): Claim => ({ ...dataClaim(0, 0), owner: SPECIAL, special });

/** A tree as the naive decoder sees it. */
export interface DecodedTree {
  blocks: number[];
  /** Records in order, as raw bytes. */
  records: DataView[];
}

/** Read a short-form tree and require every structural rule that can be said in a line. */
export function decodeTree(
  reader: BlockReader,
  ag: number,
  layout: BtreeLayout,
  root: number,
  height: number,
): DecodedTree {
  const { geometry } = reader;
  const { maxLeaf, maxNode } = geometry.btree[layout.name];
  const blocks: number[] = [];
  const records: DataView[] = [];
  const levels: number[][] = Array.from({ length: height }, () => []);
  const fail = (block: number, what: string): never => {
    throw new Error(`${layout.name} of AG ${ag}, block ${block}: ${what}`);
  };
  const type = TREE_TYPES[layout.name].blockType;
  const visit = (block: number, level: number): DataView => {
    const { view } = reader.get(geometry.agBlockToDaddr(ag, block), geometry.blockSize, type);
    if (blocks.includes(block)) fail(block, 'visited twice');
    blocks.push(block);
    levels[level]!.push(block);
    const count = view.getUint16(6);
    const max = level === 0 ? maxLeaf : maxNode;
    if (view.getUint16(4) !== level) fail(block, `level ${view.getUint16(4)} instead of ${level}`);
    if (count > max || (block !== root && count < Math.floor(max / 2))) fail(block, `${count} of ${max} entries`);
    if (block === root && height > 1 && count < 2) fail(block, 'root with one child');
    if (level === 0) {
      for (let i = 0; i < count; i++) {
        const at = view.byteOffset + layout.headerSize + i * layout.recordSize;
        records.push(new DataView(view.buffer.slice(at, at + layout.recordSize)));
      }
      return view;
    }
    const keyBytes = layout.keySize * (layout.hasHighKeys ? 2 : 1);
    for (let i = 0; i < count; i++) {
      const child = visit(view.getUint32(layout.headerSize + maxNode * keyBytes + 4 * i), level - 1);
      // Every tree but the reverse map has the first bytes of the first entry as its key.
      const words = layout.name === 'rmapbt' ? 3 : layout.keySize / 4;
      for (let word = 0; word < words; word++) {
        const source = layout.name === 'rmapbt' && level === 1 && word > 0 ? word + 1 : word;
        const key = view.getUint32(layout.headerSize + i * keyBytes + 4 * word);
        if (key !== child.getUint32(layout.headerSize + 4 * source)) fail(block, `key ${i} is not its child's first`);
      }
    }
    return view;
  };
  visit(root, height - 1);
  for (const row of levels) {
    row.forEach((block, i) => {
      const { view } = reader.get(geometry.agBlockToDaddr(ag, block), geometry.blockSize, type);
      if (view.getUint32(8) !== (row[i - 1] ?? NULL32)) fail(block, 'left sibling');
      if (view.getUint32(12) !== (row[i + 1] ?? NULL32)) fail(block, 'right sibling');
    });
  }
  return { blocks, records };
}

export class SpaceModel {
  readonly geometry: Geometry;
  /** claims[ag][agBlock]: file mappings and staging. */
  readonly claims: Claim[][][];
  readonly inodes = new Set<number>();
  /** By fs block. */
  readonly checksums = new Map<number, number>();

  constructor(geometry: Geometry) {
    this.geometry = geometry;
    this.claims = Array.from({ length: geometry.agCount }, (_, ag) =>
      Array.from({ length: geometry.agLength(ag) }, () => []),
    );
  }

  at(fsBlock: number): Claim[] {
    return this.claims[this.geometry.agOfFsBlock(fsBlock)]![this.geometry.agBlockOfFsBlock(fsBlock)]!;
  }
  /** An owner maps blocks; `claim` is that of the first. */
  map(fsBlock: number, count: number, claim: Claim): void {
    const step = claim.owner === SPECIAL || claim.bmbt ? 0 : 1;
    for (let i = 0; i < count; i++) this.at(fsBlock + i).push({ ...claim, fileBlock: claim.fileBlock + i * step });
  }
  unmap(fsBlock: number, count: number, claim: Claim): void {
    const step = claim.owner === SPECIAL || claim.bmbt ? 0 : 1;
    for (let i = 0; i < count; i++) {
      const list = this.at(fsBlock + i);
      const index = list.findIndex(
        (c) =>
          c.owner === claim.owner &&
          c.special === claim.special &&
          c.attr === claim.attr &&
          c.bmbt === claim.bmbt &&
          c.unwritten === claim.unwritten &&
          c.fileBlock === claim.fileBlock + i * step,
      );
      if (index < 0) throw new Error(`model: block ${fsBlock + i} has no such claim`);
      list.splice(index, 1);
      if (list.length === 0) this.checksums.delete(fsBlock + i);
    }
  }
  stage(fsBlock: number, count: number): void {
    this.map(fsBlock, count, specialClaim(RMAP_OWNER.COW));
  }
  unstage(fsBlock: number, count: number): void {
    this.unmap(fsBlock, count, specialClaim(RMAP_OWNER.COW));
  }

  /** What is wrong with the image: one line each. */
  differences(reader: BlockReader): string[] {
    const out: string[] = [];
    for (let ag = 0; ag < this.geometry.agCount; ag++) this.#compareAg(reader, ag, out);
    return out;
  }

  #compareAg(reader: BlockReader, ag: number, out: string[]): void {
    const { geometry } = this;
    const { features } = geometry;
    const say = (what: string, expected: unknown, found: unknown): void => {
      const [a, b] = [JSON.stringify(expected), JSON.stringify(found)];
      if (a !== b) out.push(`AG ${ag}: ${what}: expected ${shorten(a, b)}, found ${shorten(b, a)}`);
    };
    const header = (sector: 1 | 2 | 3, type: typeof AGF_TYPE): DataView =>
      reader.get(geometry.agHeaderDaddr(ag, sector), geometry.sectorSize, type).view;
    const agf = Agf.at(header(1, AGF_TYPE));
    const agi = Agi.at(header(2, AGI_TYPE));
    const agfl = header(3, AGFL_TYPE);
    const decode = (layout: BtreeLayout, root: number, level: number, on = true): DecodedTree =>
      on ? decodeTree(reader, ag, layout, root, level) : { blocks: [], records: [] };
    const bno = decode(BTREES.bnobt, agf.bnoRoot, agf.bnoLevel);
    const cnt = decode(BTREES.cntbt, agf.cntRoot, agf.cntLevel);
    const ino = decode(BTREES.inobt, agi.root, agi.level);
    const fino = decode(BTREES.finobt, agi.freeRoot, agi.freeLevel, features.finobt);
    const rmap = decode(BTREES.rmapbt, agf.rmapRoot, agf.rmapLevel, features.rmapbt);
    const refc = decode(BTREES.refcountbt, agf.refcountRoot, agf.refcountLevel, features.reflink);
    const csum = decode(BTREES.csumbt, agf.csumRoot, agf.csumLevel, features.dataChecksums);

    // Claims: the model's, and those of metadata.
    const claims = this.claims[ag]!.map((list) => [...list]);
    const claim = (block: number, owner: number): void => void claims[block]!.push(specialClaim(owner));
    for (let block = 0; block < geometry.headerBlocks; block++) claim(block, RMAP_OWNER.FS);
    if (geometry.agOfFsBlock(geometry.logStart) === ag) {
      const start = geometry.agBlockOfFsBlock(geometry.logStart);
      for (let i = 0; i < geometry.logBlocks; i++) claim(start + i, RMAP_OWNER.LOG);
    }
    for (const block of [...bno.blocks, ...cnt.blocks, ...rmap.blocks]) claim(block, RMAP_OWNER.AG);
    for (const block of [...ino.blocks, ...fino.blocks]) claim(block, RMAP_OWNER.INOBT);
    for (const block of refc.blocks) claim(block, RMAP_OWNER.REFC);
    for (const block of csum.blocks) claim(block, RMAP_OWNER.CSUM);
    for (let i = 0; i < agf.flcount; i++) {
      claim(agfl.getUint32(Agfl.size + 4 * ((agf.flfirst + i) % geometry.agflSlots)), RMAP_OWNER.AG);
    }
    const inUse: number[] = [];
    let exist = 0;
    let free = 0;
    let lastStart = -1;
    const chunkBlocks = new Set<number>();
    for (const record of ino.records) {
      const start = record.getUint32(0);
      if (
        start <= lastStart ||
        (geometry.inodeAlignment > 0 && geometry.agBlockOfAgInode(start) % geometry.inodeAlignment)
      ) {
        out.push(`AG ${ag}: inode record at ${start} out of order or not aligned`);
      }
      lastStart = start;
      const holes = features.sparse ? record.getUint16(4) : 0;
      let recordExists = 0;
      let recordFree = 0;
      for (let slot = 0; slot < 64; slot++) {
        const isFree = ((record.getUint32(slot < 32 ? 12 : 8) >>> (slot & 31)) & 1) === 1;
        if ((holes >>> (slot >> 2)) & 1) {
          if (!isFree) out.push(`AG ${ag}: hole ${start}+${slot} is not marked free`);
          continue;
        }
        recordExists++;
        chunkBlocks.add(geometry.agBlockOfAgInode(start + slot));
        if (isFree) recordFree++;
        else inUse.push(geometry.inodeNumber(ag, start + slot));
      }
      say(
        `free count of inode record ${start}`,
        recordFree,
        features.sparse ? record.getUint8(7) : record.getUint32(4),
      );
      if (features.sparse) say(`count of inode record ${start}`, recordExists, record.getUint8(6));
      exist += recordExists;
      free += recordFree;
    }
    for (const block of chunkBlocks) claim(block, RMAP_OWNER.INODES);
    claims.forEach((list, block) => {
      const data = list.filter((c) => c.owner !== SPECIAL && !c.attr && !c.bmbt).length;
      if (list.length > 1 && data < list.length)
        out.push(`AG ${ag}: block ${block} is claimed as ${JSON.stringify(list)}`);
    });

    // Free space.
    const runs: [number, number][] = [];
    claims.forEach((list, block) => {
      if (list.length > 0) return;
      const last = runs.at(-1);
      if (last && last[0] + last[1] === block) last[1]++;
      else runs.push([block, 1]);
    });
    const pair = (r: DataView): [number, number] => [r.getUint32(0), r.getUint32(4)];
    say('bnobt', runs, bno.records.map(pair));
    const bySize = [...runs].sort((a, b) => a[1] - b[1] || a[0] - b[0]);
    say('cntbt', bySize, cnt.records.map(pair));
    say(
      'freeblks',
      runs.reduce((sum, [, n]) => sum + n, 0),
      agf.freeblks,
    );
    say('longest', bySize.at(-1)?.[1] ?? 0, agf.longest);
    const nonRoot = bno.blocks.length - 1 + (cnt.blocks.length - 1) + Math.max(0, rmap.blocks.length - 1);
    say('btreeblks', nonRoot, agf.btreeblks);
    if (features.rmapbt) say('rmapBlocks', rmap.blocks.length, agf.rmapBlocks);
    if (features.reflink) say('refcountBlocks', refc.blocks.length, agf.refcountBlocks);
    if (features.dataChecksums) say('csumBlocks', csum.blocks.length, agf.csumBlocks);
    if (features.inobtcount)
      say('inode tree blocks', [ino.blocks.length, fino.blocks.length], [agi.iblocks, agi.fblocks]);

    // Reverse map and refcounts.
    if (features.rmapbt) say('rmapbt', expectedRmap(claims), rmap.records.map(rmapText));
    if (features.reflink)
      say(
        'refcountbt',
        expectedRefcounts(claims),
        refc.records.map((r) => [...pair(r), r.getUint32(8)]),
      );

    // Inodes.
    const expected = [...this.inodes].filter((inode) => geometry.agOfInode(inode) === ag).sort((a, b) => a - b);
    say('inodes in use', expected, inUse);
    say('agi count and freecount', [exist, free], [agi.count, agi.freecount]);
    const hex = (r: DataView): string => Buffer.from(r.buffer).toString('hex');
    if (features.finobt) {
      const withFree = ino.records.filter((r) => (features.sparse ? r.getUint8(7) : r.getUint32(4)) > 0);
      say('finobt', withFree.map(hex), fino.records.map(hex));
    }

    // Checksums.
    if (features.dataChecksums) {
      const found: [number, number][] = [];
      for (const r of csum.records) {
        const [start, count] = pair(r);
        if (count < 1 || count > 14) out.push(`AG ${ag}: checksum record of ${count} blocks`);
        for (let i = 0; i < 14; i++) {
          if (i < count) found.push([start + i, r.getUint32(8 + 4 * i)]);
          else if (r.getUint32(8 + 4 * i) !== 0)
            out.push(`AG ${ag}: checksum record ${start}: unused slot ${i} not zero`);
        }
      }
      const wanted = [...this.checksums]
        .filter(([block]) => geometry.agOfFsBlock(block) === ag)
        .map(([block, crc]): [number, number] => [geometry.agBlockOfFsBlock(block), crc])
        .sort((a, b) => a[0] - b[0]);
      say('checksums', wanted, found);
    }
  }
}

const ownerBig = (c: Claim): bigint =>
  c.owner === SPECIAL ? 0xffffffff00000000n + BigInt(c.special) : BigInt(c.owner);
const offsetBig = (c: Claim): bigint =>
  (c.attr ? 1n << 63n : 0n) |
  (c.bmbt ? 1n << 62n : 0n) |
  (c.unwritten ? 1n << 61n : 0n) |
  BigInt(c.bmbt ? 0 : c.fileBlock);

function rmapText(r: DataView): string {
  return [r.getUint32(0), r.getUint32(4), r.getBigUint64(8).toString(16), r.getBigUint64(16).toString(16)].join(' ');
}

/** All claims of one owner and kind on one diagonal (block - file block) that touch are one record. */
function expectedRmap(claims: Claim[][]): string[] {
  const groups = new Map<string, { start: number; count: number; claim: Claim }[]>();
  claims.forEach((list, block) => {
    for (const claim of list) {
      const placed = claim.owner !== SPECIAL && !claim.bmbt;
      const key = `${ownerBig(claim)} ${claim.attr} ${claim.bmbt} ${claim.unwritten} ${placed ? block - claim.fileBlock : ''}`;
      let runs = groups.get(key);
      if (!runs) groups.set(key, (runs = []));
      const last = runs.at(-1);
      if (last && last.start + last.count === block) last.count++;
      else runs.push({ start: block, count: 1, claim });
    }
  });
  const unwritten = 1n << 61n;
  return [...groups.values()]
    .flat()
    .map((run) => ({ ...run, owner: ownerBig(run.claim), offset: offsetBig(run.claim) }))
    .sort((a, b) => {
      if (a.start !== b.start) return a.start - b.start;
      if (a.owner !== b.owner) return a.owner < b.owner ? -1 : 1;
      const [x, y] = [a.offset & ~unwritten, b.offset & ~unwritten];
      return x < y ? -1 : x > y ? 1 : 0;
    })
    .map((run) => [run.start, run.count, run.owner.toString(16), run.offset.toString(16)].join(' '));
}

function expectedRefcounts(claims: Claim[][]): number[][] {
  const shared: [number, number, number][] = [];
  const staging: [number, number, number][] = [];
  claims.forEach((list, block) => {
    const count = list.filter((c) => c.owner !== SPECIAL && !c.attr && !c.bmbt).length;
    if (count > 1) add(shared, block, count);
    if (list.some((c) => c.owner === SPECIAL && c.special === RMAP_OWNER.COW)) add(staging, block + 0x80000000, 1);
  });
  return [...shared, ...staging];
}
function add(runs: [number, number, number][], block: number, count: number): void {
  const last = runs.at(-1);
  if (last && last[0] + last[1] === block && last[2] === count) last[1]++;
  else runs.push([block, 1, count]);
}

/** Long lists: only the stretch around the first difference. */
function shorten(text: string, other: string): string {
  let i = 0;
  while (i < text.length && text[i] === other[i]) i++;
  return text.length < 300 ? text : `...${text.slice(Math.max(0, i - 120), i + 180)}...`;
}
