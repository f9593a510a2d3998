/**
 * Blocks of an AG's trees that nobody leads to: a tree whose header or upper blocks are lost is still there, and each of its
 * blocks says of itself what it is, where it stands and whose it is.
 */

import { type BlockType, checkBlock } from '../../../formats/block-type.ts';
import { BTREES, type BtreeLayout } from '../../../formats/btree-blocks.ts';
import { BTREE_BLOCK_TYPES } from '../../../formats/btree-verify.ts';
import type { Geometry } from '../../../formats/geometry.ts';
import type { RunList } from '../../check/rows.ts';
import type { Device } from '../../device/device.ts';
import { scanBlocks } from './block-scan.ts';

const TYPES = new Map<number, BlockType>(
  Object.values(BTREES).map((layout: BtreeLayout) => [layout.magic, BTREE_BLOCK_TYPES[layout.name]]),
);

/**
 * The tree block at `offset`, if it is one with one of these magic numbers and everything it says of itself is right: CRC,
 * own address, uuid, AG. A view of its bytes alone.
 */
export function soundTreeBlock(
  view: DataView,
  offset: number,
  geometry: Geometry,
  ag: number,
  agBlock: number,
  magics: readonly number[],
): DataView | undefined {
  const magic = view.getUint32(offset);
  if (!magics.includes(magic)) return undefined;
  const block = new DataView(view.buffer, view.byteOffset + offset, geometry.blockSize);
  const bytes = new Uint8Array(block.buffer, block.byteOffset, block.byteLength);
  const fault = checkBlock(TYPES.get(magic)!, bytes, block, geometry, geometry.agBlockToDaddr(ag, agBlock));
  return fault ? undefined : block;
}

/** Every sound tree block with this magic number, in ascending order; see `soundTreeBlock`. */
export function treeBlocks(
  device: Device,
  geometry: Geometry,
  ag: number,
  runs: RunList,
  magic: number,
  visit: (view: DataView, agBlock: number) => void,
): void {
  const magics = [magic];
  scanBlocks(device, geometry, ag, runs, (view, offset, agBlock) => {
    const block = soundTreeBlock(view, offset, geometry, ag, agBlock, magics);
    if (block) visit(block, agBlock);
  });
}
