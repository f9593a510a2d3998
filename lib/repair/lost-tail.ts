/**
 * An image that was cut short: what lay behind its end is gone. Files keep everything before; the blocks that are gone
 * become holes, and are named. Structures that are gone are for the other stages: they see zeroes there.
 */
import { RMAP_ATTR_FORK } from '../../formats/btree-blocks.ts';
import { MODE, S_IFMT } from '../../formats/inode.ts';
import { NONE } from '../check/inode-table.ts';
import { readExtents } from './forks/extents.ts';
import { ForkExtents } from './pending.ts';
import type { RepairState } from './state.ts';

/** @param imageBytes how long the image was when the repair began. */
export function cutLostTail(state: RepairState, imageBytes: number): void {
  const { geometry, plan } = state;
  const { tables, inodes } = state.claims;
  const whole = Math.floor(imageBytes / geometry.blockSize);
  const cut = new Set<number>();
  for (let ag = Math.floor(whole / geometry.agBlocks); ag < geometry.agCount; ag++) {
    const first = Math.max(0, whole - ag * geometry.agBlocks);
    const table = tables[ag]!;
    for (let row = 0; row < table.length; row++) {
      if (table.start[row]! + table.count[row]! <= first || !table.isForkData(row)) continue;
      if ((table.offsetHi[row]! & RMAP_ATTR_FORK) !== 0) continue;
      const index = inodes.indexOf(table.owner(row));
      if (index !== NONE && (inodes.mode[index]! & S_IFMT) === MODE.FILE) cut.add(table.owner(row));
    }
  }
  for (const inode of [...cut].sort((a, b) => a - b)) {
    const pending = state.pendingFork(inode, false);
    const before = pending?.extents ?? readExtents(plan, geometry, inode, false);
    const { kept, lost } = split(before, (fsBlock) => {
      return whole - geometry.agOfFsBlock(fsBlock) * geometry.agBlocks - geometry.agBlockOfFsBlock(fsBlock);
    });
    if (lost.length === 0) continue;
    state.setFork({ inode, attr: false, extents: kept });
    for (let i = 0; i < lost.length; i++) {
      const [fileBlock, blockCount] = [lost.fileBlock[i]!, lost.blockCount[i]!];
      const text = `${blockCount} blocks of the file lay behind the end of the image: they are a hole now`;
      state.report.lose('data', text, { inode, fileBlock, blockCount });
    }
  }
}

/** Extents before and behind the end of the image. @param left blocks from an fs block to the end of the image. */
function split(all: ForkExtents, left: (fsBlock: number) => number): { kept: ForkExtents; lost: ForkExtents } {
  const kept = new ForkExtents();
  const lost = new ForkExtents();
  for (let i = 0; i < all.length; i++) {
    const count = all.blockCount[i]!;
    const there = Math.min(count, Math.max(0, left(all.startBlock[i]!)));
    if (there > 0) kept.push(all.fileBlock[i]!, all.startBlock[i]!, there, all.unwritten[i]!);
    // What was never written has lost nothing.
    if (there === count) continue;
    const list = all.unwritten[i] ? kept : lost;
    list.push(all.fileBlock[i]! + there, all.startBlock[i]! + there, count - there, all.unwritten[i]!);
  }
  return { kept, lost };
}
