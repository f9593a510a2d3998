/** Link counts and ".." as the entries say. Last of all: every entry stands where it stays. */
import { NULL32 } from '../../../formats/struct.ts';
import { NONE, STATE } from '../../check/inode-table.ts';
import { parentOf, setParent } from '../../directory/directory.ts';
import { editFork, readFork } from '../../file/inode-fork-blocks.ts';
import type { Census } from './census.ts';
import { attempt, type Workshop } from './workshop.ts';

/** Actions of one kind that are told one by one. */
const MOST_TOLD = 50;

/** @param placed directories whose ".." is right already. @param anyLost somebody lost his name. */
export function mendLinks(shop: Workshop, census: Census, placed: ReadonlySet<number>, anyLost: boolean): void {
  const { table } = census;
  const { state, nlink, counted } = table;
  let links = 0;
  let parents = 0;
  for (let index = 0; index < state.length; index++) {
    const bits = state[index]!;
    if ((bits & STATE.used) === 0) continue;
    const isDirectory = census.isDirectory(index);
    const expected = (bits & STATE.special) !== 0 ? 1 : isDirectory ? counted[index]! + 2 : counted[index]!;
    if (nlink[index] !== expected && setLinks(shop, table.numberOf(index), expected) && ++links <= MOST_TOLD) {
      // Then a name may be that of somebody who is in lost+found now.
      const isOdd = anyLost && !isDirectory && nlink[index]! > 0 && expected > nlink[index]!;
      const doubt = isOdd ? ': one of its names may be that of another inode, which is in lost+found' : '';
      const text = `link count ${nlink[index]} is now ${expected}${doubt}`;
      shop.report.did('links', text, { inode: table.numberOf(index) });
    }
    if (isDirectory && !placed.has(index) && mendParent(shop, census, index) && ++parents <= MOST_TOLD) {
      shop.report.did('directories', '".." corrected', { inode: table.numberOf(index) });
    }
    shop.settle();
  }
  if (links > MOST_TOLD) shop.report.did('links', `${links - MOST_TOLD} more link counts corrected`);
  if (parents > MOST_TOLD) shop.report.did('directories', `".." of ${parents - MOST_TOLD} more directories corrected`);
}

function setLinks(shop: Workshop, number: number, count: number): boolean {
  const inode = shop.tryInode(number);
  // In an unlinked list that is still there: the lists are somebody else's.
  if (!inode || inode.core.nlink === count) return false;
  inode.change(shop.tx);
  inode.core.nlink = count;
  if (count > 0 && inode.core.nextUnlinked !== NULL32) attempt(() => shop.space.removeUnlinked(shop.tx, number));
  return true;
}

/** @returns true when ".." was wrong. */
function mendParent(shop: Workshop, { table, up }: Census, index: number): boolean {
  const { rootInode } = shop.geometry;
  const number = table.numberOf(index);
  const parent = table.parent[index]!;
  if (parent === NONE && number !== rootInode) return false;
  const wanted = number === rootInode ? number : table.numberOf(parent);
  if (up[index] === table.indexOf(wanted)) return false;
  return (
    attempt(() => {
      const inode = shop.inode(number);
      if (parentOf(readFork(inode, 'data')) === wanted) return false;
      setParent(editFork(shop.tx, shop.space, inode, 'data'), wanted);
      return true;
    }) ?? false
  );
}
