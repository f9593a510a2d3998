/**
 * Directories form one tree: an entry each, no rings. Which of two entries stays, and where a ring is broken, is what ".."
 * says; an entry that ".." contradicts is the wrong one.
 */
import { FTYPE } from '../../../formats/inode.ts';
import { NONE } from '../../check/inode-table.ts';
import { forEachEntry } from '../../directory/directory.ts';
import { readFork } from '../../file/inode-fork-blocks.ts';
import { showPath } from '../../volume/path.ts';
import type { Census, NamelessEntry } from './census.ts';
import { removeEntry } from './entries.ts';
import type { Workshop } from './workshop.ts';

/** Directories with several entries keep one. @returns the others: their numbers may be mistaken. */
export function settleSeconds(shop: Workshop, census: Census): NamelessEntry[] {
  const { table } = census;
  const others: NamelessEntry[] = [];
  for (const { directory, name, inode } of census.seconds) {
    const target = table.indexOf(inode);
    const here = table.indexOf(directory);
    const first = table.parent[target]!;
    const isRoot = inode === shop.geometry.rootInode;
    let from = directory;
    let gone: Uint8Array | undefined = name;
    if (!isRoot && first !== here && census.up[target] === here && first !== census.up[target]) {
      from = table.numberOf(first);
      gone = nameIn(shop, from, inode);
      census.discount(first, target);
      census.count(here, target);
    }
    if (!gone) continue;
    removeEntry(shop, from, gone);
    const text = `entry "${showPath(gone)}" removed: the directory it names has its place elsewhere`;
    shop.report.did('directories', text, { inode: from });
    others.push({ directory: from, name: gone, ftype: FTYPE.DIR, inode, stands: false, mistaken: true });
  }
  return others;
}

/** Name of an inode in a directory. */
function nameIn(shop: Workshop, directory: number, inode: number): Uint8Array | undefined {
  let found: Uint8Array | undefined;
  forEachEntry(readFork(shop.inode(directory), 'data'), (number, _ftype, bytes, start, end) => {
    if (number !== inode) return true;
    found = bytes.slice(start, end);
    return false;
  });
  return found;
}

/** Rings of directories that nothing leads into lose one entry each; who lost it has no place then. @returns their names. */
export function breakRings(shop: Workshop, census: Census): Map<number, Uint8Array> {
  const { table } = census;
  const { parent } = table;
  const root = table.indexOf(shop.geometry.rootInode);
  const names = new Map<number, Uint8Array>();
  /** 1: known to end at the root or at somebody without a place; 2: on the way being walked. */
  const marks = new Uint8Array(table.length);
  for (let index = 0; index < table.length; index++) {
    if (marks[index] !== 0 || !census.isDirectory(index)) continue;
    let at = index;
    while (at !== NONE && at !== root && marks[at] === 0) {
      marks[at] = 2;
      at = parent[at]!;
    }
    if (at !== NONE && marks[at] === 2) {
      const name = breakRing(shop, census, at);
      if (name) names.set(name.inode, name.name);
    }
    for (let back = index; back !== NONE && marks[back] === 2; back = parent[back]!) marks[back] = 1;
    marks[at === NONE ? index : at] = 1;
  }
  return names;
}

/** @param start an index in the ring. */
function breakRing(shop: Workshop, census: Census, start: number): { inode: number; name: Uint8Array } | undefined {
  const { table } = census;
  // Best: somebody whose ".." does not agree with the entry. Else the one with the lowest number.
  let best = start;
  let agrees = true;
  for (let at = start, first = true; first || at !== start; at = table.parent[at]!, first = false) {
    const contradicted = census.up[at] !== table.parent[at];
    if (contradicted ? agrees || at < best : agrees && at < best) best = at;
    if (contradicted) agrees = false;
  }
  const above = table.parent[best]!;
  const directory = table.numberOf(above);
  const inode = table.numberOf(best);
  const name = nameIn(shop, directory, inode);
  census.discount(above, best);
  if (!name) return undefined;
  removeEntry(shop, directory, name);
  shop.report.did('directories', `entry "${showPath(name)}" removed: the directories below it led back to it`, {
    inode: directory,
  });
  return { inode, name };
}
