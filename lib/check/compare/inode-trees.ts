/** The free-inode tree must hold exactly the inode tree's records with free inodes, byte for byte. */
import type { CheckContext } from '../context.ts';
import type { ChunkList } from '../inode-table.ts';

export function compareInodeTrees(context: CheckContext, ag: number, all: ChunkList, free: ChunkList): void {
  const { geometry, problems } = context;
  const report = (start: number, expected: string, found: string): void => {
    const block = geometry.agBlockOfAgInode(start);
    problems.add('FREE_INODE_TREE', { ag, block, structure: 'finobt', field: `chunk at ${start}` }, expected, found);
  };
  let k = 0;
  for (let i = 0; i < all.length; i++) {
    const start = all.start[i]!;
    while (k < free.length && free.start[k]! < start) report(free.start[k++]!, 'no chunk', 'a record');
    const has = k < free.length && free.start[k] === start;
    if (!hasFree(all, i)) {
      if (has) report(start, 'no free inode', 'a record');
    } else if (!has) report(start, describe(all, i), 'nothing');
    else if (
      all.holemask[i] !== free.holemask[k] ||
      all.freeHi[i] !== free.freeHi[k] ||
      all.freeLo[i] !== free.freeLo[k]
    ) {
      report(start, describe(all, i), describe(free, k));
    }
    if (has) k++;
  }
  while (k < free.length) report(free.start[k++]!, 'no chunk', 'a record');
}

/** A slot that exists and is free. */
function hasFree(list: ChunkList, i: number): boolean {
  for (let bit = 0; bit < 16; bit++) {
    if (((list.holemask[i]! >>> bit) & 1) !== 0) continue;
    const word = bit < 8 ? list.freeLo[i]! : list.freeHi[i]!;
    if (((word >>> (4 * (bit % 8))) & 0xf) !== 0) return true;
  }
  return false;
}

const hex = (value: number): string => value.toString(16).padStart(8, '0');
function describe(list: ChunkList, i: number): string {
  return `free bits 0x${hex(list.freeHi[i]!)}${hex(list.freeLo[i]!)}, holes 0x${list.holemask[i]!.toString(16)}`;
}
