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

/** Sound blocks (CRC, own address, uuid, AG) with one of these magic numbers, in ascending order; the view is a copy. */
export function treeBlocks(
  device: Device,
  geometry: Geometry,
  ag: number,
  runs: RunList,
  magics: readonly number[],
  visit: (view: DataView, agBlock: number) => void,
): void {
  const { blockSize } = geometry;
  scanBlocks(device, geometry, ag, runs, (view, offset, agBlock) => {
    const magic = view.getUint32(offset);
    if (!magics.includes(magic)) return;
    const bytes = new Uint8Array(view.buffer, view.byteOffset + offset, blockSize).slice();
    const copy = new DataView(bytes.buffer);
    const daddr = geometry.agBlockToDaddr(ag, agBlock);
    if (!checkBlock(TYPES.get(magic)!, bytes, copy, geometry, daddr)) visit(copy, agBlock);
  });
}
