/** All trees and headers of one AG, new. */
import { rowOf, writtenRuns } from '../../check/compare/checksums.ts';
import { RunList } from '../../check/rows.ts';
import type { TreeName } from '../../space/allocation-group.ts';
import type { RepairState } from '../state.ts';
import {
  type ChunkRecords,
  distinctRows,
  freeByLength,
  freeByStart,
  type RecordSource,
  RmapRecords,
  refcountRecords,
  sharedRuns,
} from './ag-records.ts';
import { newestChunk, type TreeRoot, writeFreeHeaders, writeInodeHeader } from './headers.ts';
import { ChecksumRecords } from './old-checksums.ts';
import { placeTrees } from './placement.ts';
import { asSet, complement, coveredBy, unite } from './runs.ts';
import { loadTree } from './tree-writer.ts';

/** Files named in the report for their unproven data. */
const MOST_NAMED = 16;

/** Throws `noSpace`. */
export function rebuildGroup(state: RepairState, ag: number, chunks: ChunkRecords): void {
  const { plan, geometry, report, claims } = state;
  const { features } = geometry;
  const table = claims.tables[ag]!;
  const unclaimed = complement(
    unite(coveredBy(table), keptRuns(state, ag)),
    geometry.headerBlocks,
    geometry.agLength(ag),
  );
  const shared = features.reflink ? sharedRuns(table, claims.inodes) : new RunList();
  const [checksums, tellChecksums] = features.dataChecksums ? checksumRecords(state, ag, unclaimed) : [];
  const rows = features.rmapbt ? distinctRows(table) : undefined;
  const place = placeTrees(
    geometry,
    ag,
    {
      inobt: chunks.all.length,
      finobt: features.finobt ? chunks.withFree.length : undefined,
      refcountbt: features.reflink ? shared.length : undefined,
      csumbt: checksums?.length,
      rmapbt: rows,
    },
    unclaimed,
    state.free,
  );
  // The first that is read from an old tree is also the first that could be overwritten by a new one.
  checksums?.prepare(place.overChecksums);
  const newino = newestChunk(plan, geometry, ag, chunks);
  const sources: { [N in TreeName]?: RecordSource } = {
    bnobt: freeByStart(place.free),
    cntbt: freeByLength(place.free),
    inobt: chunks.all,
    ...(features.finobt ? { finobt: chunks.withFree } : {}),
    ...(features.reflink ? { refcountbt: refcountRecords(shared) } : {}),
    ...(rows === undefined ? {} : { rmapbt: new RmapRecords(table, rows, place.own) }),
    ...(checksums ? { csumbt: checksums } : {}),
  };
  const roots: { [N in TreeName]?: TreeRoot } = {};
  for (const [name, source] of Object.entries(sources) as [TreeName, RecordSource][]) {
    const pointers = place.pointers[name]!;
    const write = (view: DataView, offset: number, index: number): void => source.write(view, offset, index);
    const loaded = loadTree(plan, geometry, ag, name, source.length, write, pointers, place.leafSlack[name]!);
    roots[name] = { ...loaded, blocks: pointers.length };
  }
  writeFreeHeaders(plan, geometry, ag, roots, place.free, place.freeList);
  writeInodeHeader(plan, geometry, ag, roots, chunks.inodes, chunks.freeInodes, newino);
  const records = Object.entries(sources).map(([name, source]) => `${name} ${source.length}`);
  tellChecksums?.();
  report.did('ag', `headers and trees rebuilt from what is claimed; records: ${records.join(', ')}`, { ag });
}

/** Ranges of an AG that stage 5 makes files of: neither free nor owned until then. */
function keptRuns(state: RepairState, ag: number): RunList {
  const list = new RunList();
  for (const range of state.kept) if (range.ag === ag) list.push(range.agBlock, range.blockCount);
  return asSet(list);
}

/** @returns the records, and what to call when all of them were written. */
function checksumRecords(state: RepairState, ag: number, unclaimed: RunList): [ChecksumRecords, () => void] {
  const { plan, geometry, report, claims, first } = state;
  const { observed } = first;
  const table = claims.tables[ag]!;
  const unproven = new Map<number, number>();
  let blocks = 0;
  let unreadable = 0;
  const records = new ChecksumRecords({
    plan,
    geometry,
    ag,
    runs: writtenRuns(table, claims.inodes),
    agfs: observed?.headers.map(({ agf }) => agf) ?? [],
    copies: state.copies,
    complete: observed?.trees[ag]?.seen.csumbt?.complete === true,
    unclaimed,
    neverProven: (block) => {
      blocks++;
      const row = rowOf(table, block);
      const inode = row < 0 ? -1 : table.owner(row);
      if (unproven.has(inode) || unproven.size < MOST_NAMED) unproven.set(inode, (unproven.get(inode) ?? 0) + 1);
    },
    unreadable: () => unreadable++,
  });
  const tell = (): void => {
    const text = 'got a checksum computed from what they hold: never proven to be what was written';
    for (const [inode, count] of unproven) {
      if (inode >= 0) report.did('checksums', `${count} blocks of the file ${text}`, { ag, inode });
    }
    if (blocks > 0) report.did('checksums', `in all ${blocks} blocks of data ${text}`, { ag });
    if (unreadable > 0) {
      report.lose(
        'data',
        `${unreadable} blocks of data in AG ${ag} cannot be read: they got a checksum nothing matches`,
      );
    }
  };
  return [records, tell];
}
