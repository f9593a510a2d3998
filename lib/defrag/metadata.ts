/**
 * The metadata of inodes: extent trees built anew as full as they can be, their blocks one behind the other close to the data;
 * directories built anew from their entries, which takes the fewest blocks; attribute blocks moved together.
 *
 * 1. Each is one transaction, so it happens or does not. What the log cannot take, or no free run can hold, stays as it is.
 * 2. Nothing is touched that would not get better: fewer blocks, or the same in fewer pieces.
 * 3. Times and change counters stay. Positions in a directory (cookies) and its size may change.
 */
import { writeExtent } from '../../formats/extent.ts';
import { FORMAT } from '../../formats/inode.ts';
import { bulkLoad, bulkShape, rootRoom } from '../btree/btree.ts';
import type { Transaction } from '../buffer/transaction.ts';
import { buildDirectory, builtBlocks, parentOf } from '../directory/directory.ts';
import { noSpace } from '../errors.ts';
import { Fork, type ForkName, homeBlock } from '../file/fork.ts';
import type { Inode } from '../file/inode.ts';
import { editFork, readFork } from '../file/inode-fork-blocks.ts';
import { forkLayout } from '../frag/ideal.ts';
import { inodeOwner } from '../space/owner.ts';
import { ReservedRun } from '../space/reserved-run.ts';
import type { Editor } from '../volume/editor.ts';
import type { FreeRuns } from './free-runs.ts';
import { moveForkRange } from './move-metadata.ts';
import { type RunList, readRuns } from './run-list.ts';

/** Bytes of metadata that were given a new place: 0 when the inode is as good as it can be. */
export function tidyInode(editor: Editor, runs: FreeRuns, number: number): number {
  let blocks = 0;
  const { volume } = editor;
  if (volume.inode(number).isDirectory) blocks += tidyDirectory(editor, number);
  for (const name of ['data', 'attr'] as const) {
    const fork = new Fork(volume.inode(number), name);
    if (!fork.hasExtents) continue;
    if (name === 'attr') blocks += joinAttributes(editor, runs, number);
    if (fork.format === FORMAT.BTREE) blocks += rebuildExtentTree(editor, number, name);
  }
  return blocks * volume.geometry.blockSize;
}

/** @returns fs blocks written. */
function tidyDirectory(editor: Editor, number: number): number {
  const { volume, space } = editor;
  const inode = volume.inode(number);
  const fork = new Fork(inode, 'data');
  if (!fork.hasExtents) return 0;
  const blocks = readFork(inode, 'data');
  const entries = volume.entries(inode);
  const wanted = builtBlocks(blocks, entries) * blocks.blockBlocks;
  const { extents, ideal } = forkLayout(fork);
  if (wanted >= readRuns(fork).blocks && extents <= ideal) return 0;
  const parent = parentOf(blocks);
  const owner = inodeOwner(number);
  return editor.transact((tx) => {
    const changed = editor.inode(tx, number);
    const run = wanted > 0 ? ReservedRun.open(space, tx, wanted, wanted, homeBlock(changed)) : undefined;
    if (wanted > 0 && !run) throw noSpace('no free run for a directory');
    const give = (fileBlock: number, max: number) => run?.take(tx, 1, max, owner, { fileBlock });
    buildDirectory(editFork(tx, space, changed, 'data', give), number, parent, entries);
    run?.close(tx);
    return wanted;
  });
}

/** Attribute blocks one behind the other. @returns fs blocks written. */
function joinAttributes(editor: Editor, free: FreeRuns, number: number): number {
  const { geometry } = editor.volume;
  const fork = new Fork(editor.volume.inode(number), 'attr');
  const { extents, ideal } = forkLayout(fork);
  if (extents <= ideal) return 0;
  const runs = readRuns(fork);
  const home = geometry.agOfFsBlock(runs.start[0]!);
  const target = free.find(runs.blocks, home, false);
  if (!target) throw noSpace('no free run for attributes');
  editor.transact((tx) => {
    let done = 0;
    for (const { fileBlock, blockCount } of stretchesOf(runs)) {
      moveForkRange(editor, tx, { inode: number, fork: 'attr', fileBlock, blockCount }, target.fsBlock + done);
      done += blockCount;
    }
  });
  return runs.blocks;
}

/** Ranges of a fork without a hole. */
function stretchesOf(runs: RunList): { fileBlock: number; blockCount: number }[] {
  const list: { fileBlock: number; blockCount: number }[] = [];
  for (let i = 0; i < runs.length; i++) {
    const last = list.at(-1);
    if (last && last.fileBlock + last.blockCount === runs.fileBlock[i]) last.blockCount += runs.count[i]!;
    else list.push({ fileBlock: runs.fileBlock[i]!, blockCount: runs.count[i]! });
  }
  return list;
}

/** @returns fs blocks written. */
function rebuildExtentTree(editor: Editor, number: number, name: ForkName): number {
  const { volume } = editor;
  const fork = new Fork(volume.inode(number), name);
  const old: number[] = [];
  fork.tree().forEachBlock(volume.cache, (pointer) => old.push(pointer));
  const sorted = [...old].sort((a, b) => a - b);
  const isTogether = sorted.every((pointer, i) => i === 0 || pointer === sorted[i - 1]! + 1);
  const count = fork.extentCount;
  const tree = fork.tree();
  const shape = bulkShape(tree.type, volume.geometry, count, {}, rootRoom(tree.inodeRoot!.view()));
  if (isTogether && old.length <= shape.blocks) return 0;
  editor.transact((tx) => build(editor, tx, editor.inode(tx, number), name, old, shape.blocks));
  return shape.blocks;
}

function build(editor: Editor, tx: Transaction, inode: Inode, name: ForkName, old: number[], blocks: number): void {
  const { space } = editor;
  const fork = new Fork(inode, name);
  const records = new DataView(new ArrayBuffer(16 * fork.extentCount));
  let count = 0;
  let near = homeBlock(inode);
  fork.forEachExtent((fileBlock, startBlock, blockCount, unwritten) => {
    writeExtent(records, 16 * count++, fileBlock, startBlock, blockCount, unwritten);
    near = startBlock + blockCount;
  });
  const owner = inodeOwner(inode.number);
  const place = { attr: fork.isAttr, bmbt: true };
  const run = space.allocate(tx, { min: blocks, max: blocks, near, owner, place });
  if (!run) throw noSpace('no free run for an extent tree');
  inode.change(tx);
  inode.core.nblocks += blocks;
  const source = fork.treeBlocks(space);
  for (const pointer of old) {
    source.free(tx, pointer);
    tx.forget(inode.geometry.fsBlockToDaddr(pointer), inode.geometry.blockSize);
  }
  const pointers = Array.from({ length: blocks }, (_, i) => run.fsBlock + i);
  const bytes = new Uint8Array(records.buffer);
  const write = (view: DataView, offset: number, index: number): void => {
    new Uint8Array(view.buffer, view.byteOffset + offset, 16).set(bytes.subarray(16 * index, 16 * index + 16));
  };
  bulkLoad(tx, fork.tree(space), count, write, { pointers });
}
