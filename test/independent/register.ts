/**
 * The independent reader, part 5: who owns which block. Everything that trees, chunks and forks claim against the free
 * extents, the reverse map, the refcounts and the counters of the superblock (FORMAT.md 6.1, 6.6, 6.8, 4.5).
 */
import type { Claim, Inode } from './files.ts';
import { type Image, must } from './image.ts';
import { type AgContent, nonRoots, type Rmap } from './trees.ts';

const special = (low: number): bigint => (1n << 64n) - BigInt(low);
const OWNER = {
  FS: special(3),
  LOG: special(4),
  AG: special(5),
  INOBT: special(6),
  INODES: special(7),
  REFC: special(8),
  COW: special(9),
  CSUM: special(16),
};

interface Row extends Rmap {
  isFileData: boolean;
}

/** Throws when anything disagrees. @returns per AG the blocks that hold written data of regular files. */
export function compareRegister(
  image: Image,
  groups: AgContent[],
  claims: Claim[],
  inodes: Map<number, Inode>,
): Set<number>[] {
  const rows: Row[][] = groups.map((group) => ownClaims(image, group));
  for (const claim of claims) rows[claim.ag]!.push(claim);
  const shared = new Set<bigint>();
  const written = groups.map((group) => compareBlocks(group, rows[group.ag]!, shared));
  for (const owner of shared) {
    const inode = inodes.get(Number(owner))!;
    must((inode.flags2 & 2) !== 0, `inode ${owner} shares blocks without REFLINK`);
  }
  for (const group of groups) if (image.features.rmapbt) compareRmap(group, rows[group.ag]!);

  const { sb } = image;
  const total = (of: (group: AgContent) => number): bigint => BigInt(groups.reduce((sum, group) => sum + of(group), 0));
  const free = total((group) => group.agf.getUint32(52) + group.list.length + nonRoots(group, image.features.rmapbt));
  must(sb.getBigUint64(144) === free, `fdblocks is ${sb.getBigUint64(144)}, counted ${free}`);
  must(sb.getBigUint64(128) === total((group) => group.agi.getUint32(16)), 'icount');
  must(sb.getBigUint64(136) === total((group) => group.agi.getUint32(28)), 'ifree');
  return written;
}

/** What the AG itself claims: all but forks. */
function ownClaims(image: Image, group: AgContent): Row[] {
  const rows: Row[] = [];
  const claim = (start: number, count: number, owner: bigint): void => {
    rows.push({ start, count, owner, offset: 0n, isFileData: false });
  };
  claim(0, image.headerBlocks, OWNER.FS);
  const log = image.split(image.logstart);
  if (log.ag === group.ag) claim(log.agbno, image.logblocks, OWNER.LOG);
  const { bnobt, cntbt, rmapbt, inobt, finobt, refcountbt, csumbt } = group.blocks;
  for (const block of [...bnobt, ...cntbt, ...rmapbt, ...group.list]) claim(block, 1, OWNER.AG);
  for (const block of [...inobt, ...finobt]) claim(block, 1, OWNER.INOBT);
  for (const block of refcountbt) claim(block, 1, OWNER.REFC);
  for (const block of csumbt) claim(block, 1, OWNER.CSUM);
  const chunkBlocks = new Set<number>();
  for (const { start, holemask } of group.chunks) {
    for (let i = 0; i < 64; i++) {
      if (((holemask >> Math.floor(i / 4)) & 1) === 0) chunkBlocks.add(Math.floor((start + i) / 2 ** image.inopblog));
    }
  }
  for (const block of chunkBlocks) claim(block, 1, OWNER.INODES);
  for (const each of group.refcounts) if (each.staging) claim(each.start, each.count, OWNER.COW);
  return rows;
}

/** 6.1 and 6.8: one owner or free, shared file data excepted, and the refcounts of that. */
function compareBlocks(group: AgContent, rows: Row[], shared: Set<bigint>): Set<number> {
  const { ag, length } = group;
  const owners = new Uint32Array(length);
  const fileData = new Uint32Array(length);
  const written = new Set<number>();
  for (const { start, count, owner, offset, isFileData } of rows) {
    must(start + count <= length, `AG ${ag}: ${start}+${count} of ${owner} lies behind the end`);
    for (let block = start; block < start + count; block++) {
      owners[block]!++;
      if (!isFileData) continue;
      fileData[block]!++;
      if ((offset & (1n << 61n)) === 0n) written.add(block);
    }
  }
  for (const { start, count } of group.free) {
    for (let block = start; block < start + count; block++) {
      must(owners[block] === 0, `AG ${ag}, block ${block}: free and claimed`);
      owners[block]!++;
    }
  }
  const expected: { start: number; count: number; refcount: number }[] = [];
  for (let block = 0; block < length; block++) {
    must(owners[block]! > 0, `AG ${ag}, block ${block}: neither free nor claimed`);
    must(owners[block] === 1 || owners[block] === fileData[block], `AG ${ag}, block ${block}: ${owners[block]} claims`);
    const refcount = owners[block]!;
    if (refcount === 1) continue;
    const last = expected.at(-1);
    if (last && last.start + last.count === block && last.refcount === refcount) last.count++;
    else expected.push({ start: block, count: 1, refcount });
  }
  const recorded = group.refcounts.filter((each) => !each.staging);
  const show = (list: typeof expected): string =>
    list.map((each) => `${each.start}+${each.count}x${each.refcount}`).join();
  must(show(expected) === show(recorded), `AG ${ag}: refcounts ${show(recorded)}, counted ${show(expected)}`);
  for (const { start, count, owner } of rows) {
    if (expected.some((each) => each.start < start + count && start < each.start + each.count)) shared.add(owner);
  }
  return written;
}

/** 6.6: the register is the claims, merged. */
function compareRmap(group: AgContent, rows: Row[]): void {
  const lines = new Map<string, Row[]>();
  for (const row of rows) {
    const flags = row.offset >> 61n;
    const hasPlace = row.owner < 1n << 63n && (row.offset & (1n << 62n)) === 0n;
    // On one line are the claims that would be one record if their blocks touched.
    const line = hasPlace ? (row.offset & ((1n << 54n) - 1n)) - BigInt(row.start) : 0n;
    const key = `${row.owner} ${flags} ${line}`;
    lines.set(key, [...(lines.get(key) ?? []), row]);
  }
  const merged: string[] = [];
  for (const list of lines.values()) {
    list.sort((a, b) => a.start - b.start);
    let at = { ...list[0]! };
    for (const row of list.slice(1)) {
      if (at.start + at.count === row.start) at.count += row.count;
      else {
        merged.push(show(at));
        at = { ...row };
      }
    }
    merged.push(show(at));
  }
  const recorded = group.rmaps.map(show);
  const [inRegister, inClaims] = [new Set(recorded), new Set(merged)];
  const missing = merged.filter((each) => !inRegister.has(each)).slice(0, 5);
  const extra = recorded.filter((each) => !inClaims.has(each)).slice(0, 5);
  must(missing.length + extra.length === 0, `AG ${group.ag}: rmap lacks ${missing}; has ${extra}`);
  must(recorded.length === merged.length, `AG ${group.ag}: rmap records ${recorded.length}, claims ${merged.length}`);
}

const show = ({ start, count, owner, offset }: Rmap): string => `${start}+${count} of ${owner} at ${offset}`;
