/** Every structure of an image as places, read off the raw bytes: for scenes, for tests that break each field of each of them. */
import { BTREES, InobtRecord, maxLeafRecords } from '../../formats/btree-blocks.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { InodeCore, MODE, S_IFMT } from '../../formats/inode.ts';
import type { Device } from '../device/device.ts';
import { readBytes } from '../inspect/dump.ts';
import { inodeByte, mapFork } from './fork-map.ts';
import { childPointer, ROOTS } from './locate.ts';
import { type AgTree, HEADERS, type Place } from './place.ts';

const MAX_DEPTH = 10;
/** Structures of one inode: a fork whose lengths are nonsense has more. */
const MOST_PLACES = 1 << 16;

export type TreePlace = Extract<Place, { kind: 'btree' }>;

/** Trees that an image has. */
export function treesOf({ features }: Geometry): AgTree[] {
  const trees: AgTree[] = ['bnobt', 'cntbt', 'inobt'];
  if (features.finobt) trees.push('finobt');
  if (features.rmapbt) trees.push('rmapbt');
  if (features.reflink) trees.push('refcountbt');
  if (features.dataChecksums) trees.push('csumbt');
  return trees;
}

/** Visit the blocks of an AG's tree, parents first; return true to stop. Loops end. */
export function forEachTreeBlock(
  device: Device,
  geometry: Geometry,
  tree: AgTree,
  ag: number,
  visit: (place: TreePlace, view: DataView, agBlock: number) => boolean | void,
): void {
  const seen = new Set<number>();
  const walk = (agBlock: number, children: readonly number[]): boolean => {
    if (!geometry.isAgBlock(ag, agBlock) || seen.has(agBlock) || children.length > MAX_DEPTH) return false;
    seen.add(agBlock);
    const view = readBytes(device, geometry.agBlockToByte(ag, agBlock), geometry.blockSize);
    if (view.byteLength < geometry.blockSize) return false;
    if (visit({ kind: 'btree', tree, ag, children }, view, agBlock)) return true;
    for (let i = 0; ; i++) {
      const pointer = childPointer(view, tree, i);
      if (pointer === undefined) return false;
      if (walk(pointer, [...children, i])) return true;
    }
  };
  const { header, at } = ROOTS[tree];
  const head = geometry.agBlockToByte(ag, 0) + HEADERS.indexOf(header) * geometry.sectorSize;
  const view = readBytes(device, head + at, 4);
  if (view.byteLength === 4) walk(view.getUint32(0), []);
}

/** A record of a leaf of an AG's tree. */
export interface PlacedRecord {
  readonly place: TreePlace;
  readonly index: number;
  readonly view: DataView;
  /** Its byte in `view`. */
  readonly at: number;
}

/** The first record that fits. */
export function findRecord(
  device: Device,
  geometry: Geometry,
  tree: AgTree,
  ag: number,
  fits: (view: DataView, at: number) => boolean,
): PlacedRecord | undefined {
  const layout = BTREES[tree];
  let found: PlacedRecord | undefined;
  forEachTreeBlock(device, geometry, tree, ag, (place, view) => {
    if (view.getUint16(4) !== 0 || view.getUint32(0) !== layout.magic) return false;
    const count = Math.min(view.getUint16(6), maxLeafRecords(layout, geometry.blockSize));
    for (let index = 0; index < count && !found; index++) {
      const at = layout.headerSize + index * layout.recordSize;
      if (fits(view, at)) found = { place, index, view, at };
    }
    return found !== undefined;
  });
  return found;
}

/** Visit the inodes that the inode trees say exist, free ones too. */
export function forEachInode(device: Device, geometry: Geometry, visit: (inode: number) => void): void {
  const record = InobtRecord.view();
  for (let ag = 0; ag < geometry.agCount; ag++) {
    findRecord(device, geometry, 'inobt', ag, (view, at) => {
      const { startInode, holemask } = record.at(view, at);
      for (let i = 0; i < 64; i++) {
        const isHole = geometry.features.sparse && (holemask & (1 << (i >> 2))) !== 0;
        const inode = geometry.inodeNumber(ag, startInode + i);
        if (!isHole && geometry.isInode(inode)) visit(inode);
      }
      return false;
    });
  }
}

/** The structures of one inode, as many as a sane one has: its slot, the blocks of its extent trees, and what its forks hold but file data. */
export function placesOfInode(device: Device, geometry: Geometry, inode: number): Place[] {
  const places: Place[] = [{ kind: 'inode', inode }];
  const slot = readBytes(device, inodeByte(geometry, inode), geometry.inodeSize);
  if (slot.byteLength < geometry.inodeSize) return places;
  const { mode } = InodeCore.at(slot);
  if (mode === 0) return places;
  for (const fork of ['data', 'attr'] as const) {
    const { extents, treeBlocks } = mapFork(device, geometry, inode, fork);
    for (const { children } of treeBlocks) places.push({ kind: 'bmbt', inode, fork, children });
    const type = mode & S_IFMT;
    if (fork === 'data' && type === MODE.SYMLINK) {
      for (const { fileBlock } of extents) places.push({ kind: 'symlink', inode, fileBlock });
    }
    if (fork === 'data' && type !== MODE.DIR) continue;
    const kind = fork === 'attr' ? 'attr' : 'dir';
    const step = kind === 'dir' ? geometry.dirBlockBlocks : 1;
    for (const { fileBlock, blockCount } of extents) {
      const first = Math.ceil(fileBlock / step) * step;
      for (let block = first; block < fileBlock + blockCount && places.length < MOST_PLACES; block += step)
        places.push({ kind, inode, fileBlock: block });
    }
  }
  return places;
}

/** Visit every structure of an image. */
export function forEachPlace(device: Device, geometry: Geometry, visit: (place: Place) => void): void {
  for (let ag = 0; ag < geometry.agCount; ag++) {
    for (const kind of HEADERS) visit({ kind, ag });
    for (const tree of treesOf(geometry)) forEachTreeBlock(device, geometry, tree, ag, (place) => visit(place));
  }
  forEachInode(device, geometry, (inode) => {
    for (const place of placesOfInode(device, geometry, inode)) visit(place);
  });
  visit({ kind: 'log' });
}
