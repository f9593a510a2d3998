/**
 * Where things are in a directory's data fork, which form it has, and how its blocks are fetched and made.
 *
 * 1. The form follows from what is mapped, never from a magic: nothing beyond block 0 = block form, an index block =
 *    leaf form, a free index block = node form. So every block can be fetched as the one type it must have.
 * 2. Buffers are fetched, changed and left alone before the next block is fetched or made: `edit` does both steps.
 */
import type { BlockType } from '../../formats/block-type.ts';
import { DA_NODE, DA_NODE_MAGIC, DaHeader, foldByte, nameHash, nameHashFolded } from '../../formats/da.ts';
import {
  DIR_BLOCK,
  DIR_BLOCK_MAGIC,
  DIR_DATA,
  DIR_DATA_MAGIC,
  DIR_FREE,
  DIR_FREE_MAGIC,
  DIR_LEAF1,
  DIR_LEAF1_MAGIC,
  DIR_LEAFN,
  DIR_LEAFN_MAGIC,
  DIR_SPACE_BYTES,
  DirDataHeader,
} from '../../formats/directory.ts';
import type { Buffer } from '../buffer/buffer.ts';
import type { ForkBlocks, ForkReader } from '../buffer/fork-blocks.ts';
import { corrupt } from '../errors.ts';

/** One past the greatest dablk. */
export const DABLK_END = 2 ** 32;

export type DirectoryForm = 'local' | 'block' | 'leaf' | 'node';

/** First dablk of the hash index; also the number of dablks of each space. */
export function leafStart(fork: ForkReader): number {
  return DIR_SPACE_BYTES / fork.geometry.blockSize;
}
/** First dablk of the free index. */
export function freeStart(fork: ForkReader): number {
  return 2 * leafStart(fork);
}

/** The form, from what is mapped. Throws `corrupt` (DIR_NO_BLOCKS, DIR_NO_INDEX) when it is none. */
export function directoryForm(fork: ForkReader): DirectoryForm {
  if (fork.local()) return 'local';
  const last = fork.lastMapped(DABLK_END);
  if (last === undefined) throw corrupt('DIR_NO_BLOCKS', 'directory has neither local bytes nor blocks', at(fork));
  if (last === 0) return 'block';
  if (last >= freeStart(fork)) return 'node';
  if (last >= leafStart(fork)) return 'leaf';
  throw corrupt('DIR_NO_INDEX', 'directory has several data blocks but no hash index', at(fork));
}

/** `where` of an error about this directory. */
export function at(fork: ForkReader, fileBlock?: number): { where: { inode: number; fileBlock?: number } } {
  return { where: fileBlock === undefined ? { inode: fork.inode } : { inode: fork.inode, fileBlock } };
}

const MAGICS = new Map<BlockType, number>([
  [DIR_BLOCK, DIR_BLOCK_MAGIC],
  [DIR_DATA, DIR_DATA_MAGIC],
  [DIR_FREE, DIR_FREE_MAGIC],
  [DIR_LEAF1, DIR_LEAF1_MAGIC],
  [DIR_LEAFN, DIR_LEAFN_MAGIC],
  [DA_NODE, DA_NODE_MAGIC],
]);
const hasDaHeader = (type: BlockType): boolean => type.crcOffset === DaHeader.offsets.crc;

/** The block at a dablk, to look at. Throws `corrupt` where there is none or it belongs to another inode. */
export function block(fork: ForkReader, fileBlock: number, type: BlockType): Buffer {
  const buffer = fork.find(fileBlock, type);
  if (!buffer) throw corrupt('DIR_MISSING_BLOCK', `directory has no ${type.name} at ${fileBlock}`, at(fork, fileBlock));
  const offset = hasDaHeader(type) ? DaHeader.offsets.owner : DirDataHeader.offsets.owner;
  const owner = buffer.view.getUint32(offset) * 2 ** 32 + buffer.view.getUint32(offset + 4);
  if (owner !== fork.inode) {
    throw corrupt('BAD_OWNER', `${type.name} belongs to inode ${owner}, not ${fork.inode}`, {
      ...at(fork, fileBlock),
      expected: fork.inode,
      found: owner,
    });
  }
  return buffer;
}

/** The block at a dablk, already announced as changed. */
export function edit(fork: ForkBlocks, fileBlock: number, type: BlockType): Buffer {
  const buffer = block(fork, fileBlock, type);
  fork.change(buffer);
  return buffer;
}

/** A new block with its header filled in (magic, own address, uuid, owner), everything else zero. */
export function create(fork: ForkBlocks, fileBlock: number, type: BlockType): Buffer {
  const buffer = fork.create(fileBlock, type);
  const { view, data } = buffer;
  setMagic(buffer, type);
  const fields = hasDaHeader(type) ? DaHeader.offsets : DirDataHeader.offsets;
  setWide(view, fields.blkno, buffer.daddr);
  data.set(fork.geometry.metaUuid, fields.uuid);
  setWide(view, fields.owner, fork.inode);
  return buffer;
}

/** Turn a block that is already announced as changed into another type of the same family. */
export function retype(buffer: Buffer, type: BlockType): void {
  buffer.type = type;
  setMagic(buffer, type);
}

function setMagic(buffer: Buffer, type: BlockType): void {
  const magic = MAGICS.get(type)!;
  if (hasDaHeader(type)) buffer.view.setUint16(DaHeader.offsets.magic, magic);
  else buffer.view.setUint32(0, magic);
}

/** Write a 64-bit number below 2^53. */
export function setWide(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, Math.floor(value / 2 ** 32));
  view.setUint32(offset + 4, value % 2 ** 32);
}

/** dataptr of a byte offset in a data block. */
export function dataPointer(fork: ForkReader, dataBlock: number, offset: number): number {
  return (dataBlock * fork.blockBytes + offset) / 8;
}

/** Hash of a name in this directory. */
export function directoryHash(fork: ForkReader, name: Uint8Array, start = 0, end = name.length): number {
  return fork.geometry.features.asciiCi ? nameHashFolded(name, start, end) : nameHash(name, start, end);
}

/** True when `name` equals the bytes of `other` from `start` on (its length was compared already). */
export function sameName(fold: boolean, name: Uint8Array, other: Uint8Array, start: number): boolean {
  if (fold) {
    for (let i = 0; i < name.length; i++) if (foldByte(name[i]!) !== foldByte(other[start + i]!)) return false;
    return true;
  }
  for (let i = 0; i < name.length; i++) if (name[i] !== other[start + i]) return false;
  return true;
}

/** di_size of a directory with blocks: up to the end of its last data block. */
export function updateSize(fork: ForkBlocks): void {
  const last = fork.lastMapped(leafStart(fork)) ?? 0;
  fork.setSize((last / fork.blockBlocks + 1) * fork.blockBytes);
}

/** Unmap every block; nothing is read, so it works on a damaged directory too. */
export function freeAllBlocks(fork: ForkBlocks): void {
  for (const fileBlock of [...fork.mapped(0, DABLK_END)]) fork.free(fileBlock);
}
