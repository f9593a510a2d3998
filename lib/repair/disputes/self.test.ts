/** What a header of a directory's block proves, and where. */
import { expect, it } from 'vitest';
import { damageImage } from '../../../test/damage/image.ts';
import { readExtents } from '../forks/extents.ts';
import { SelfDescriptions } from './self.ts';

it.each([
  ['xfs', 'data', 'leaf'],
  ['xfs', 'leaf', 'data'],
  ['xfs-1k', 'data', 'leaf'],
  ['xfs-1k', 'leaf', 'data'],
] as const)('%s: a header of the %s part proves no place in the %s part', (name, own, other) => {
  const { device, geometry, inodes } = damageImage(name);
  const inode = inodes.get('/leaf')!;
  const extentsOf = (number: number, attr: boolean) => readExtents(device, geometry, number, attr);
  const extents = extentsOf(inode, false);
  const self = new SelfDescriptions(device, geometry, extentsOf);
  const places = { data: 0, leaf: 2 ** 35 / geometry.blockSize };
  const fsBlock = extents.startBlock[extents.fileBlock.indexOf(places[own])]!;
  const block = { ag: geometry.agOfFsBlock(fsBlock), agBlock: geometry.agBlockOfFsBlock(fsBlock) };
  const proof = (fileBlock: number) => self.proves({ kind: 'directory', inode, fileBlock, ...block });
  expect(proof(places[own])).toContain(`of inode ${inode}`);
  expect(proof(places[other])).toBeUndefined();
  // Nor in the middle of a block.
  if (geometry.dirBlockBlocks > 1) expect(proof(places[own] + 1)).toBeUndefined();
});
