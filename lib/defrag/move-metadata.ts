/**
 * Moving metadata blocks that belong to an inode: blocks of directories and attributes, targets of symlinks, blocks of extent
 * trees. They go through the log, so nothing is copied outside of the transaction; each says its own address, which changes
 * with it.
 */
import { BASIC_BLOCK } from '../../formats/geometry.ts';
import { FORMAT } from '../../formats/inode.ts';
import { setU64 } from '../../formats/struct.ts';
import { relocateBlock } from '../btree/btree.ts';
import type { Transaction } from '../buffer/transaction.ts';
import { corrupt } from '../errors.ts';
import { Fork, type ForkName } from '../file/fork.ts';
import { readFork } from '../file/inode-fork-blocks.ts';
import { kindOf } from '../journal/recovery/block-kinds.ts';
import { inodeOwner } from '../space/owner.ts';
import type { Editor } from '../volume/editor.ts';
import { RunTaken } from './guards.ts';

/** Where a block with its uuid at byte 16 says its address: those of attribute values and symlinks. Others: 16 before the uuid. */
const VALUE_UUID = 16;
const VALUE_ADDRESS = 40;

export interface ForkRange {
  readonly inode: number;
  readonly fork: ForkName;
  readonly fileBlock: number;
  readonly blockCount: number;
}

/**
 * Let the blocks of a range of a fork, all of them mapped, lie one behind the other from fs block `target` on. The range
 * consists of whole blocks of the directory.
 * Throws RunTaken when that place is not free, `corrupt` when a block cannot be read.
 */
export function moveForkRange(editor: Editor, tx: Transaction, range: ForkRange, target: number): void {
  const { space } = editor;
  const { fileBlock: first, blockCount } = range;
  const inode = editor.inode(tx, range.inode);
  const fork = new Fork(inode, range.fork);
  const owner = inodeOwner(range.inode);
  const attr = fork.isAttr;
  const got = space.allocate(tx, { min: blockCount, max: blockCount, exact: target, reserved: true });
  if (!got) throw new RunTaken();
  copyBlocks(editor, tx, range, target);
  let moved = 0;
  fork.unmap(tx, space, first, first + blockCount, (fileBlock, startBlock, count, unwritten) => {
    if (unwritten || fileBlock !== first + moved) throw new RunTaken();
    space.free(tx, startBlock, count, owner, { attr, fileBlock });
    moved += count;
  });
  if (moved !== blockCount) throw new RunTaken();
  space.mapRmap(tx, target, blockCount, owner, { attr, fileBlock: first });
  fork.map(tx, space, first, target, blockCount, false);
}

/** The content, block by block, each with its new address. */
function copyBlocks(editor: Editor, tx: Transaction, range: ForkRange, target: number): void {
  const { geometry } = editor.volume;
  const inode = editor.inode(tx, range.inode);
  const blocks = readFork(inode, range.fork);
  // A symlink has one block for each of its extents.
  const step = inode.isSymlink ? range.blockCount : blocks.blockBlocks;
  const fork = new Fork(inode, range.fork);
  for (let done = 0; done < range.blockCount; done += step) {
    const cursor = fork.cursor();
    const fileBlock = range.fileBlock + done;
    if (!cursor.seekLE(fileBlock) || cursor.endBlock <= fileBlock) throw new RunTaken();
    const place = cursor.startBlock + (fileBlock - cursor.fileBlock);
    const kind = kindAt(editor, geometry.fsBlockToDaddr(place));
    const where = { inode: range.inode, fileBlock };
    if (!kind)
      throw corrupt('UNKNOWN_BLOCK', `inode ${range.inode}: file block ${fileBlock} is no metadata`, { where });
    const old = inode.isSymlink
      ? tx.get(geometry.fsBlockToDaddr(place), step * geometry.blockSize, kind.type)
      : blocks.find(fileBlock, kind.type);
    if (!old) throw new RunTaken();
    const daddr = geometry.fsBlockToDaddr(target + done);
    const bytes = old.data;
    const moved = tx.create(daddr, step * geometry.blockSize, kind.type);
    moved.data.set(bytes);
    setU64(moved.view, kind.uuidOffset === VALUE_UUID ? VALUE_ADDRESS : kind.uuidOffset - 16, daddr);
  }
}

/** What a block is: the cache knows, or its bytes on the device say it. */
function kindAt(editor: Editor, daddr: number): ReturnType<typeof kindOf> {
  const { cache, device, geometry } = editor.volume;
  const cached = cache.peek(daddr);
  if (cached) return kindOf(cached.view, geometry);
  const head = new Uint8Array(BASIC_BLOCK);
  device.read(daddr * BASIC_BLOCK, head);
  return kindOf(new DataView(head.buffer), geometry);
}

/**
 * Let a block of a fork's extent tree lie at fs block `target`.
 * @returns false when the tree has no such block any more. Throws RunTaken when the place is not free.
 */
export function moveTreeBlock(
  editor: Editor,
  tx: Transaction,
  number: number,
  name: ForkName,
  block: number,
  level: number,
  target: number,
): boolean {
  const { space } = editor;
  const inode = editor.inode(tx, number);
  const fork = new Fork(inode, name);
  // Its extents may have become few enough for the inode meanwhile.
  if (!fork.exists || fork.format !== FORMAT.BTREE) return false;
  const owner = inodeOwner(number);
  const place = { attr: fork.isAttr, bmbt: true };
  if (!space.allocate(tx, { min: 1, max: 1, exact: target, owner, place, reserved: true })) throw new RunTaken();
  if (relocateBlock(tx, fork.tree(space), block, level, target)) {
    space.free(tx, block, 1, owner, place);
    return true;
  }
  space.free(tx, target, 1, owner, place);
  return false;
}
