/** Forks that were lost, data that went to the wrong place, names and links that do not agree. */
import { FORMAT, INODE_FLAG2, InodeCore } from '../../../formats/inode.ts';
import { Superblock } from '../../../formats/superblock.ts';
import { SUPERBLOCK_TYPE } from '../../../formats/superblock-verify.ts';
import { BufferCache } from '../../buffer/cache.ts';
import { DirectTransaction } from '../../buffer/direct.ts';
import type { Device } from '../../device/device.ts';
import { directoryForm, remove } from '../../directory/directory.ts';
import { editFork, readFork } from '../../file/inode-fork-blocks.ts';
import { Space } from '../../space/space.ts';
import { pathBytes, splitPath } from '../../volume/path.ts';
import { listFields } from '../damage.ts';
import { placesOfInode } from '../enumerate.ts';
import { locate } from '../locate.ts';
import type { Place } from '../place.ts';
import type { FileMap, Stage } from './stage.ts';

function firstFile(stage: Stage, fits: (file: FileMap) => boolean, why: string): FileMap {
  const file = stage.regularFiles().find(fits);
  if (!file) throw stage.impossible(why);
  stage.involved.add(file.path);
  return file;
}

/** The fork looks as if the file had never had a block; size and everything else stay. */
export function lostFork(stage: Stage): string {
  const { inode, path, map } = firstFile(stage, (file) => file.map.extents.length > 0, 'no file with data: name one');
  const place: Place = { kind: 'inode', inode };
  const { core } = stage.volume.inode(inode);
  const isWide = (core.flags2Lo & INODE_FLAG2.NREXT64) !== 0;
  const forkBytes = core.forkoff === 0 ? stage.geometry.inodeSize - InodeCore.size : core.forkoff * 8;
  const lost = map.extents.reduce((sum, { blockCount }) => sum + blockCount, map.treeBlocks.length);
  stage.set(place, 'format', FORMAT.EXTENTS);
  stage.set(place, isWide ? 'bigNextents' : 'nextents', 0);
  stage.set(place, 'nblocks', core.nblocks - lost);
  stage.replace(`data fork of inode ${inode}`, place, InodeCore.size, new Uint8Array(forkBytes));
  return `${path} has lost its extents: ${lost} blocks are claimed by nobody`;
}

export function lostBmbtRoot(stage: Stage): string {
  const why = 'no file has an extent tree: name one';
  const { inode, path } = firstFile(stage, (file) => file.map.treeBlocks.length > 0, why);
  const place: Place = { kind: 'inode', inode };
  for (const { name } of listFields(stage.device, locate(stage.device, stage.geometry, place))) {
    if (/^(root\.|keys\[|pointers\[)/.test(name) && name !== 'root.numrecs') stage.set(place, name, 0);
  }
  stage.set(place, 'root.numrecs', 0);
  return `the root of the extent tree of ${path} is zero`;
}

/** The first blocks of two files. With names: of those. */
function twoBlocks(stage: Stage): [FileMap, FileMap, number, number] {
  const files = stage.regularFiles().filter(({ map }) => map.extents.some(({ unwritten }) => !unwritten));
  const [first, ...rest] = files;
  const start = (file: FileMap): number => file.map.extents.find(({ unwritten }) => !unwritten)!.startBlock;
  const second = rest.find((file) => start(file) !== start(first!));
  if (!first || !second) throw stage.impossible('two files with data are needed: name them');
  stage.involved.add(first.path);
  stage.involved.add(second.path);
  return [first, second, start(first), start(second)];
}

export function swappedBlocks(stage: Stage): string {
  const { geometry } = stage;
  const [a, b, aBlock, bBlock] = twoBlocks(stage);
  const [aBytes, bBytes] = [stage.block(aBlock), stage.block(bBlock)];
  stage.overwrite(`first block of ${a.path}`, geometry.fsBlockToByte(aBlock), bBytes);
  stage.overwrite(`first block of ${b.path}`, geometry.fsBlockToByte(bBlock), aBytes);
  return `the first blocks of ${a.path} and ${b.path} have changed places`;
}

export function misdirectedWrite(stage: Stage): string {
  const [a, b, aBlock, bBlock] = twoBlocks(stage);
  stage.overwrite(`first block of ${b.path}`, stage.geometry.fsBlockToByte(bBlock), stage.block(aBlock));
  return `what was to go into the first block of ${a.path} went into that of ${b.path}`;
}

/** The entry goes, properly; the inode stays as it was. */
export function orphan(stage: Stage): string {
  const path = stage.paths[0] ?? firstFile(stage, () => true, 'no file: name something').path;
  const parts = splitPath(pathBytes(path));
  const name = parts.pop();
  if (!name) throw stage.impossible('the root has no entry');
  const { volume, geometry, device } = stage;
  let parent = volume.root.number;
  for (const part of parts) parent = volume.child(volume.inode(parent), part) ?? parent;
  const what = `directory ${parent}: an entry taken out`;
  const recorded: Device = {
    size: device.size,
    readOnly: false,
    read: (offset, into) => device.read(offset, into),
    write: (offset, from) => stage.overwrite(what, offset, from),
    flush: () => {},
    zero: (offset, length) => device.zero(offset, length),
    resize: (size) => device.resize(size),
    close: () => {},
  };
  const tx = new DirectTransaction(new BufferCache(recorded, geometry));
  const space = new Space(geometry);
  const removed = remove(editFork(tx, space, volume.inodeIn(tx, parent), 'data'), name);
  if (!removed) throw stage.impossible(`${path} has no entry`);
  const sector = tx.get(0, geometry.sectorSize, SUPERBLOCK_TYPE);
  const free = space.countFree(tx);
  if (Superblock.at(sector.view).fdblocks !== free) {
    tx.change(sector);
    Superblock.at(sector.view).fdblocks = free;
  }
  tx.close();
  stage.involved.add(path);
  return `${path} has no entry any more; its inode says otherwise`;
}

export function badDotDot(stage: Stage): string {
  const directory = stage.directories()[0];
  if (!directory) throw stage.impossible('no directory but the root: name one');
  const { inode, path } = directory;
  const form = directoryForm(readFork(stage.volume.inode(inode), 'data'));
  // Itself: never right, always an inode number.
  if (form === 'local') stage.set({ kind: 'inode', inode }, 'dir.parent', inode);
  else stage.set({ kind: 'dir', inode, fileBlock: 0 }, 'entries[1].inode', inode);
  stage.involved.add(path);
  return `".." of ${path} names ${path} itself`;
}

export function linkCount(stage: Stage): string {
  const path = stage.paths[0] ?? firstFile(stage, () => true, 'no file: name something').path;
  const { number, core } = stage.inode(path);
  stage.set({ kind: 'inode', inode: number }, 'nlink', core.nlink + 1);
  stage.involved.add(path);
  return `${path} claims ${core.nlink + 1} links`;
}

/** Random bytes over a part of a block of a directory; the CRC no longer fits. */
function spoilDirectory(stage: Stage, wanted: RegExp, from: number, why: string): string {
  for (const { path, inode } of stage.directories()) {
    for (const place of placesOfInode(stage.device, stage.geometry, inode)) {
      if (place.kind !== 'dir') continue;
      const target = locate(stage.device, stage.geometry, place);
      if (!wanted.test(target.structure)) continue;
      const { byte, length } = target.ranges[0]!;
      stage.overwrite(`${target.structure} of ${path}`, byte + from, stage.garbage(length - from));
      stage.involved.add(path);
      return path;
    }
  }
  throw stage.impossible(why);
}

export function directoryHashGarbage(stage: Stage): string {
  return `the hash index of ${spoilDirectory(stage, /^dir-leaf/, 64, 'no directory has leaf blocks: name one')} is garbage`;
}

export function directoryDataGarbage(stage: Stage): string {
  const path = spoilDirectory(stage, /^dir-(block|data)$/, 64, 'no directory has blocks of its own: name one');
  return `the first entries of ${path} are garbage`;
}
