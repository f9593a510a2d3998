/**
 * Canned scenes: damage as it happens, each made of changes that the report lists. The table is what `damage --scene` and
 * docs/CLI.md know; the names never change.
 */
import type { Geometry } from '../../../formats/geometry.ts';
import type { Device } from '../../device/device.ts';
import { usage } from '../../errors.ts';
import type { FieldChange } from '../damage.ts';
import {
  attrOverData,
  crossLink,
  crossLinkPart,
  crossLinkThree,
  fileOverBmbt,
  fileOverDirectory,
  fileOverFreeList,
  fileOverHeader,
  fileOverInodes,
  fileOverLog,
  filePastEnd,
  selfCollision,
} from './collisions.ts';
import {
  badDotDot,
  directoryDataGarbage,
  directoryHashGarbage,
  linkCount,
  lostBmbtRoot,
  lostFork,
  misdirectedWrite,
  orphan,
  swappedBlocks,
} from './files.ts';
import {
  lostAgf,
  lostFreeSpaceLeaf,
  lostInodeChunk,
  lostRefcountRoots,
  lostRmapRoots,
  missingRefcount,
  missingRmap,
  staleRefcount,
  wrongRmapOwner,
} from './registers.ts';
import { type RangeChange, Stage } from './stage.ts';
import { cut, wipe1m, wipe64k, wipeAg1, wipeInodes, wipeLog, wipeSectors, wipeSuperblock } from './wipes.ts';

interface Scene {
  readonly play: (stage: Stage) => string;
  /** What the names mean, when some are given. */
  readonly paths: string;
  readonly summary: string;
}

const scene = (play: Scene['play'], summary: string, paths = ''): Scene => ({ play, summary, paths });

export const SCENES: Readonly<Record<string, Scene>> = {
  'cross-link': scene(crossLink, 'a file lies on the start of another', 'OWNER CLAIMANT'),
  'cross-link-part': scene(crossLinkPart, 'a file lies on the end of an extent of another', 'OWNER CLAIMANT'),
  'cross-link-three': scene(crossLinkThree, 'three files on the same blocks', 'OWNER CLAIMANT CLAIMANT'),
  'self-collision': scene(selfCollision, 'two extents of one file on the same blocks', 'FILE'),
  'file-over-directory': scene(fileOverDirectory, 'a file lies on a block of a directory', 'FILE DIRECTORY'),
  'file-over-bmbt': scene(fileOverBmbt, 'a file lies on the extent tree of another', 'FILE OWNER'),
  'file-over-inodes': scene(fileOverInodes, 'a file lies on inodes', 'FILE OBJECT'),
  'file-over-ag-header': scene(fileOverHeader, 'a file lies on the headers of an AG', 'FILE'),
  'file-over-log': scene(fileOverLog, 'a file lies on the log', 'FILE'),
  'file-over-free-list': scene(fileOverFreeList, 'a file lies on a block of the free list', 'FILE'),
  'file-past-ag-end': scene(filePastEnd, 'an extent reaches behind the end of its AG', 'FILE'),
  'attr-over-data': scene(attrOverData, 'attributes lie on a file', 'OBJECT FILE'),
  'stale-refcount': scene(staleRefcount, 'shared blocks counted once too often'),
  'missing-refcount': scene(missingRefcount, 'shared blocks not recorded as shared'),
  'missing-rmap': scene(missingRmap, 'the reverse map lacks an extent of a file', 'FILE'),
  'wrong-rmap-owner': scene(wrongRmapOwner, 'the reverse map names another owner', 'FILE OTHER'),
  'lost-free-space-leaf': scene(lostFreeSpaceLeaf, 'a leaf of a free-space tree is zero'),
  'lost-rmap-roots': scene(lostRmapRoots, 'the roots of all reverse maps are garbage'),
  'lost-refcount-roots': scene(lostRefcountRoots, 'the roots of all reference-count trees are garbage'),
  'lost-agf': scene(lostAgf, 'an AGF is garbage'),
  'lost-inode-chunk': scene(lostInodeChunk, 'the inode tree lacks a chunk', 'OBJECT'),
  'lost-fork': scene(lostFork, 'a file has lost its extents', 'FILE'),
  'lost-bmbt-root': scene(lostBmbtRoot, 'the root of an extent tree is zero', 'FILE'),
  'swapped-blocks': scene(swappedBlocks, 'data blocks of two files have changed places', 'FILE FILE'),
  'misdirected-write': scene(misdirectedWrite, 'a data block was written over that of another file', 'FILE VICTIM'),
  orphan: scene(orphan, 'an entry is gone, its inode is not', 'OBJECT'),
  'bad-dotdot': scene(badDotDot, '".." of a directory names itself', 'DIRECTORY'),
  'link-count': scene(linkCount, 'a link count one too high', 'OBJECT'),
  'dir-hash-garbage': scene(directoryHashGarbage, 'the hash index of a directory is garbage', 'DIRECTORY'),
  'dir-data-garbage': scene(directoryDataGarbage, 'a block of entries is garbage', 'DIRECTORY'),
  'wipe-superblock': scene(wipeSuperblock, 'zeroes over the primary superblock'),
  'wipe-64k': scene(wipe64k, 'zeroes over the first 64 KiB'),
  'wipe-1m': scene(wipe1m, 'zeroes over the first MiB'),
  'wipe-ag1': scene(wipeAg1, 'zeroes over the first MiB of AG 1'),
  'wipe-inodes': scene(wipeInodes, 'zeroes over an inode chunk', 'OBJECT'),
  'wipe-log': scene(wipeLog, 'zeroes over the log'),
  'wipe-sectors': scene(wipeSectors, 'garbage over sectors anywhere (--count N)'),
  cut: scene(cut, 'the last quarter of the image is cut off'),
};

export interface SceneOptions {
  /** Objects of the image that play a part; without them the seed chooses. */
  readonly paths?: readonly string[];
  readonly seed?: number;
  /** wipe-sectors: how many. */
  readonly count?: number;
}

export interface SceneReport {
  readonly scene: string;
  /** What happened, in a sentence. */
  readonly text: string;
  /** Everything that lost or gained something by it, as far as the scene chose it. */
  readonly paths: readonly string[];
  readonly changes: readonly (FieldChange | RangeChange)[];
}

/** Play a scene. Throws usage errors: BAD_SCENE, SCENE_IMPOSSIBLE (then nothing was written), and what opening throws. */
export function playScene(device: Device, geometry: Geometry, name: string, options: SceneOptions = {}): SceneReport {
  if (!Object.hasOwn(SCENES, name)) {
    throw usage('BAD_SCENE', `no scene is called ${name}`, { found: name, expected: Object.keys(SCENES).join(' ') });
  }
  const stage = new Stage(device, geometry, name, options);
  const text = SCENES[name]!.play(stage);
  return { scene: name, text, paths: [...stage.involved], changes: stage.changes };
}
