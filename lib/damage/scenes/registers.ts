/** Records of the trees that say who owns what: missing, stale, or naming somebody else. */
import { NULL32 } from '../../../formats/struct.ts';
import { findRecord, forEachTreeBlock, type PlacedRecord } from '../enumerate.ts';
import type { FileMap, Stage } from './stage.ts';

const TWO32 = 2 ** 32;
const STAGING = 0x80000000;

/** A reverse-map record of a named file, or of any. */
function rmapRecord(stage: Stage): { record: PlacedRecord; file: FileMap } {
  const { geometry, device } = stage;
  if (!geometry.features.rmapbt) throw stage.impossible('the image has no reverse map');
  for (const file of stage.regularFiles()) {
    const extent = file.map.extents[0];
    if (!extent) continue;
    const start = geometry.agBlockOfFsBlock(extent.startBlock);
    const record = findRecord(device, geometry, 'rmapbt', geometry.agOfFsBlock(extent.startBlock), (view, at) => {
      const first = view.getUint32(at);
      const inside = start >= first && start < first + view.getUint32(at + 4);
      return inside && view.getUint32(at + 8) * TWO32 + view.getUint32(at + 12) === file.inode;
    });
    if (record) return { record, file };
  }
  throw stage.impossible('no file has a record in the reverse map: name one with data');
}

export function missingRmap(stage: Stage): string {
  const { record, file } = rmapRecord(stage);
  stage.removeRecord(record);
  stage.involved.add(file.path);
  return `the reverse map has lost the record of the first blocks of ${file.path}`;
}

/** With two names, the second one becomes the owner. */
export function wrongRmapOwner(stage: Stage): string {
  const { record, file } = rmapRecord(stage);
  const other = stage.paths[1] === undefined ? file.inode + 1 : stage.inode(stage.paths[1]).number;
  stage.set(record.place, `recs[${record.index}].owner`, other);
  stage.involved.add(file.path);
  if (stage.paths[1] !== undefined) stage.involved.add(stage.paths[1]);
  return `the reverse map says that the first blocks of ${file.path} belong to inode ${other}`;
}

function refcountRecord(stage: Stage): PlacedRecord {
  const { geometry, device } = stage;
  if (!geometry.features.reflink) throw stage.impossible('the image has no reference counts');
  for (let ag = 0; ag < geometry.agCount; ag++) {
    const record = findRecord(device, geometry, 'refcountbt', ag, (view, at) => view.getUint32(at) < STAGING);
    if (record) return record;
  }
  throw stage.impossible('no blocks are shared');
}

export function staleRefcount(stage: Stage): string {
  const record = refcountRecord(stage);
  const owners = record.view.getUint32(record.at + 8);
  stage.set(record.place, `recs[${record.index}].refcount`, owners + 1);
  return `AG ${record.place.ag}: blocks with ${owners} owners are recorded with ${owners + 1}`;
}

export function missingRefcount(stage: Stage): string {
  const record = refcountRecord(stage);
  stage.removeRecord(record);
  return `AG ${record.place.ag}: shared blocks are no longer recorded as shared`;
}

/** The chunk of a named object, else the last one of AG 0 that has inodes in use. */
export function lostInodeChunk(stage: Stage): string {
  const { geometry, device } = stage;
  const path = stage.paths[0];
  const inode = path === undefined ? undefined : stage.inode(path).number;
  const ag = inode === undefined ? 0 : geometry.agOfInode(inode);
  let last: PlacedRecord | undefined;
  findRecord(device, geometry, 'inobt', ag, (view, at) => {
    const start = view.getUint32(at);
    if (inode !== undefined) {
      const agInode = geometry.agInodeOfInode(inode);
      if (agInode < start || agInode >= start + 64) return false;
    } else if (view.getUint32(at + 8) === NULL32 && view.getUint32(at + 12) === NULL32) return false;
    last = { place: { kind: 'btree', tree: 'inobt', ag, children: [] }, index: 0, view, at };
    return false;
  });
  const found = last && placeOf(stage, ag, last.view.getUint32(last.at));
  if (!found) throw stage.impossible('there is no such chunk');
  const start = found.view.getUint32(found.at);
  stage.removeRecord(found);
  if (path !== undefined) stage.involved.add(path);
  return `the inode tree of AG ${ag} has lost the chunk of inodes ${geometry.inodeNumber(ag, start)} and up`;
}

const placeOf = (stage: Stage, ag: number, startInode: number): PlacedRecord | undefined =>
  findRecord(stage.device, stage.geometry, 'inobt', ag, (view, at) => view.getUint32(at) === startInode);

/** Zeroes over the first leaf of the tree by start. */
export function lostFreeSpaceLeaf(stage: Stage): string {
  const { geometry, device } = stage;
  const ag = stage.pick(geometry.agCount);
  forEachTreeBlock(device, geometry, 'bnobt', ag, (_place, view, agBlock) => {
    if (view.getUint16(4) !== 0) return false;
    stage.overwrite(`bnobt ${ag}`, geometry.agBlockToByte(ag, agBlock), new Uint8Array(geometry.blockSize));
    return true;
  });
  return `AG ${ag}: a leaf of the free-space tree by start is gone`;
}

/** Garbage over the roots of a tree, in every AG. */
function loseRoots(stage: Stage, tree: 'rmapbt' | 'refcountbt'): void {
  const { geometry, device } = stage;
  for (let ag = 0; ag < geometry.agCount; ag++) {
    let root = -1;
    forEachTreeBlock(device, geometry, tree, ag, (_place, _view, agBlock) => {
      root = agBlock;
      return true;
    });
    if (root < 0) continue;
    const byte = geometry.agBlockToByte(ag, root);
    stage.overwrite(`root of the ${tree} of AG ${ag}`, byte, stage.garbage(geometry.blockSize));
  }
}

export function lostRmapRoots(stage: Stage): string {
  if (!stage.geometry.features.rmapbt) throw stage.impossible('the image has no reverse map');
  loseRoots(stage, 'rmapbt');
  return 'the roots of all reverse maps are garbage';
}

export function lostRefcountRoots(stage: Stage): string {
  if (!stage.geometry.features.reflink) throw stage.impossible('the image has no reference counts');
  loseRoots(stage, 'refcountbt');
  return 'the roots of all reference-count trees are garbage';
}

/** With it everything that says where the trees of free space and owners are. */
export function lostAgf(stage: Stage): string {
  const { geometry } = stage;
  const ag = stage.pick(geometry.agCount);
  const byte = geometry.agBlockToByte(ag, 0) + geometry.sectorSize;
  stage.overwrite(`AGF of AG ${ag}`, byte, stage.garbage(geometry.sectorSize));
  return `the AGF of AG ${ag} is garbage`;
}
