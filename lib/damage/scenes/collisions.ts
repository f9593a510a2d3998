/** Blocks that two owners claim: an extent of a file pointed at what belongs to somebody else. */
import { Agf, Agfl } from '../../../formats/ag-headers.ts';
import { readBytes } from '../../inspect/dump.ts';
import type { PlacedExtent } from '../fork-map.ts';
import type { FileMap, Stage } from './stage.ts';

const blocks = (count: number): string => (count === 1 ? '1 block' : `${count} blocks`);
const lie = (count: number): string => (count === 1 ? 'lies' : 'lie');

/** An extent of a file. */
interface Piece {
  readonly file: FileMap;
  readonly extent: PlacedExtent;
}

const pieces = (files: readonly FileMap[]): Piece[] =>
  files.flatMap((file) => file.map.extents.map((extent) => ({ file, extent })));

/** Extents of one file overlap no others of it, so a pair is of two files. */
function pair(stage: Stage, fits: (owner: PlacedExtent, claimant: PlacedExtent) => boolean): [Piece, Piece] {
  const all = pieces(stage.regularFiles()).slice(0, 500);
  for (const owner of all) {
    for (const claimant of all) {
      if (owner.file.inode === claimant.file.inode) continue;
      if (owner.extent.startBlock === claimant.extent.startBlock) continue;
      if (fits(owner.extent, claimant.extent)) return [owner, claimant];
    }
  }
  throw stage.impossible('no two files have extents that fit: name others');
}

function involve(stage: Stage, ...files: readonly FileMap[]): void {
  for (const { path } of files) stage.involved.add(path);
}

/** The second file's blocks become the first one's. With names: the first is the owner, the second the claimant. */
export function crossLink(stage: Stage): string {
  const [owner, claimant] = pair(stage, (a, b) => a.blockCount >= b.blockCount);
  stage.aim(claimant.extent, owner.extent.startBlock);
  involve(stage, owner.file, claimant.file);
  const { blockCount } = claimant.extent;
  return `${blocks(blockCount)} of ${claimant.file.path} now ${lie(blockCount)} on the start of ${owner.file.path}`;
}

export function crossLinkPart(stage: Stage): string {
  const [owner, claimant] = pair(stage, (a, b) => a.blockCount > b.blockCount);
  const skip = owner.extent.blockCount - claimant.extent.blockCount;
  stage.aim(claimant.extent, owner.extent.startBlock + skip);
  involve(stage, owner.file, claimant.file);
  const { blockCount } = claimant.extent;
  return `${blocks(blockCount)} of ${claimant.file.path} now ${lie(blockCount)} on the end of an extent of ${owner.file.path}`;
}

export function crossLinkThree(stage: Stage): string {
  const all = pieces(stage.regularFiles()).slice(0, 500);
  for (const owner of all) {
    const others = all.filter(
      ({ file, extent }, i) =>
        file.inode !== owner.file.inode &&
        extent.blockCount <= owner.extent.blockCount &&
        extent.startBlock !== owner.extent.startBlock &&
        all.findIndex((each) => each.file.inode === file.inode) === i,
    );
    const [second, third] = others;
    if (!second || !third) continue;
    stage.aim(second.extent, owner.extent.startBlock);
    stage.aim(third.extent, owner.extent.startBlock);
    involve(stage, owner.file, second.file, third.file);
    return `${second.file.path} and ${third.file.path} now lie on ${owner.file.path}`;
  }
  throw stage.impossible('no three files have extents that fit: name others');
}

/** Two extents of one file on the same blocks. */
export function selfCollision(stage: Stage): string {
  for (const file of stage.regularFiles()) {
    const [first, ...rest] = file.map.extents;
    const second = rest.find((each) => first && each.blockCount <= first.blockCount);
    if (!first || !second) continue;
    stage.aim(second, first.startBlock);
    involve(stage, file);
    return `file block ${second.fileBlock} of ${file.path} now lies on its file block ${first.fileBlock}`;
  }
  throw stage.impossible('no file has two extents that fit: name one');
}

/** The file that is to claim what is not its own: the extent with the fewest blocks of the first file. */
function claimant(stage: Stage, not = -1): Piece {
  const file = stage.regularFiles().find(({ inode, map }) => inode !== not && map.extents.length > 0);
  const extent = file && [...file.map.extents].sort((a, b) => a.blockCount - b.blockCount)[0];
  if (!file || !extent) throw stage.impossible('no regular file with data: name one');
  involve(stage, file);
  return { file, extent };
}

const claims = ({ file, extent }: Piece, what: string): string =>
  `file block ${extent.fileBlock} of ${file.path} (${blocks(extent.blockCount)}) now lies on ${what}`;

export function fileOverDirectory(stage: Stage): string {
  const directory = stage.directories().find(({ map }) => map.extents.length > 0);
  if (!directory) throw stage.impossible('no directory has blocks of its own: name one');
  const piece = claimant(stage);
  stage.aim(piece.extent, directory.map.extents[0]!.startBlock);
  involve(stage, directory);
  return claims(piece, `the directory ${directory.path}`);
}

export function fileOverBmbt(stage: Stage): string {
  const files = stage.paths.length > 0 ? stage.paths.map((path) => stage.file(path)) : stage.files();
  const owner = files.find(({ map }) => map.treeBlocks.length > 0);
  if (!owner) throw stage.impossible('no file has an extent tree: name one');
  const piece = claimant(stage, owner.inode);
  stage.aim(piece.extent, owner.map.treeBlocks[0]!.fsBlock);
  involve(stage, owner);
  return claims(piece, `the extent tree of ${owner.path}`);
}

/** With two names, the second one's inode is written over. */
export function fileOverInodes(stage: Stage): string {
  const { geometry } = stage;
  const piece = claimant(stage);
  const inode = stage.paths[1] === undefined ? geometry.rootInode + 8 : stage.inode(stage.paths[1]).number;
  if (stage.paths[1] !== undefined) stage.involved.add(stage.paths[1]);
  const block = geometry.agBlockOfAgInode(geometry.agInodeOfInode(inode));
  stage.aim(piece.extent, geometry.fsBlock(geometry.agOfInode(inode), block));
  return claims(piece, `the block of inode ${inode}`);
}

export function fileOverHeader(stage: Stage): string {
  const piece = claimant(stage);
  const ag = stage.pick(stage.geometry.agCount);
  stage.aim(piece.extent, stage.geometry.fsBlock(ag, 0));
  return claims(piece, `the headers of AG ${ag}`);
}

export function fileOverLog(stage: Stage): string {
  const piece = claimant(stage);
  stage.aim(piece.extent, stage.geometry.logStart + stage.pick(stage.geometry.logBlocks - piece.extent.blockCount));
  return claims(piece, 'the log');
}

export function fileOverFreeList(stage: Stage): string {
  const { geometry, device } = stage;
  const piece = claimant(stage);
  const ag = geometry.agOfFsBlock(piece.extent.startBlock);
  const header = (sector: number): DataView =>
    readBytes(device, geometry.agBlockToByte(ag, 0) + sector * geometry.sectorSize, geometry.sectorSize);
  const { flfirst, flcount } = Agf.at(header(1));
  const at = Agfl.size + 4 * flfirst;
  const list = header(3);
  if (flcount === 0 || at + 4 > list.byteLength) throw stage.impossible(`the free list of AG ${ag} is empty`);
  stage.aim(piece.extent, geometry.fsBlock(ag, list.getUint32(at)));
  return claims(piece, `a block of the free list of AG ${ag}`);
}

export function filePastEnd(stage: Stage): string {
  const { geometry } = stage;
  const piece = claimant(stage);
  const ag = geometry.agOfFsBlock(piece.extent.startBlock);
  const inside = Math.floor(piece.extent.blockCount / 2);
  stage.aim(piece.extent, geometry.fsBlock(ag, geometry.agLength(ag) - inside));
  return claims(piece, `${inside === 0 ? 'what is' : 'the end of, and'} behind AG ${ag}`);
}

/** With names: the object with attributes first, then the file. */
export function attrOverData(stage: Stage): string {
  const candidates = stage.paths.length > 0 ? stage.paths.map((path) => stage.file(path)) : withAttributes(stage);
  for (const { path, inode } of candidates) {
    const extent = stage.fork(inode, 'attr').extents[0];
    if (!extent) continue;
    const owner = stage.regularFiles().find((file) => file.inode !== inode && file.map.extents.length > 0);
    if (!owner) break;
    stage.aim(extent, owner.map.extents[0]!.startBlock);
    stage.involved.add(path);
    involve(stage, owner);
    return `the attributes of ${path} (${blocks(extent.blockCount)}) now lie on ${owner.path}`;
  }
  throw stage.impossible('no object has attribute blocks: name one, and a file');
}

const withAttributes = (stage: Stage): FileMap[] => [...stage.regularFiles(), ...stage.directories()];
