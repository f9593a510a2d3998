/** What the pictures say of the classes of blocks. */
import type { BlockClass } from '../../lib/map/block-classes.ts';

export const MEANINGS: { readonly [N in BlockClass]: string } = {
  data: 'content of one file',
  shared: 'content of several files',
  metadata: 'directories, attributes, extent trees, AG headers and trees',
  inodes: 'inodes',
  log: 'the log',
  free: 'free',
  lost: 'nobody has it, and it is not free',
};

/** A part of all blocks. What is there at all is more than 0. */
export function percent(blocks: number, totals: readonly number[]): string {
  const share =
    (blocks /
      Math.max(
        1,
        totals.reduce((sum, each) => sum + each, 0),
      )) *
    100;
  return blocks > 0 && share < 0.1 ? '<0.1%' : `${share.toFixed(1)}%`;
}
