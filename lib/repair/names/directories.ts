/**
 * Directories whose structure is damaged are written anew from the entries that are left of them. No entry is lost to a
 * damaged header, index or neighbour; what has no inode any more is handed on with its name.
 */

import { FTYPE, ftypeOfMode, MODE, S_IFMT } from '../../../formats/inode.ts';
import { type InodeTable, NONE, STATE } from '../../check/inode-table.ts';
import { buildDirectory, checkDirectory, type DirectoryEntry, type DirectoryFault } from '../../directory/directory.ts';
import { nameKey } from '../../directory/names.ts';
import type { Inode } from '../../file/inode.ts';
import { editFork, readFork } from '../../file/inode-fork-blocks.ts';
import { showPath } from '../../volume/path.ts';
import type { NamelessEntry } from './census.ts';
import { type FoundEntry, typeOfInode } from './salvage-blocks.ts';
import { salvageDirectory } from './salvage-directory.ts';
import { attempt, type Workshop } from './workshop.ts';

export interface MendedDirectories {
  /** Entries without an inode; they stand in no directory any more. */
  readonly nameless: NamelessEntry[];
  /** Names that entries had which did not fit back: for whom nobody else names. */
  readonly lostNames: Map<number, Uint8Array>;
}

/**
 * Look at directories and write those anew that are damaged.
 * @param suspects inode numbers to look at; undefined: all.
 */
export function mendDirectories(
  shop: Workshop,
  table: InodeTable,
  suspects: ReadonlySet<number> | undefined,
): MendedDirectories {
  const result: MendedDirectories = { nameless: [], lostNames: new Map() };
  const look = (index: number): void => {
    if ((table.state[index]! & STATE.used) === 0 || (table.mode[index]! & S_IFMT) !== MODE.DIR) return;
    const number = table.numberOf(index);
    const inode = shop.tryInode(number);
    const isWaiting = inode?.size === 0 && inode.core.nlink === 0 && number !== shop.geometry.rootInode;
    if (!inode || isWaiting) return;
    const fault = directoryFault(inode);
    if (fault !== undefined) rebuild(shop, table, number, fault, result);
    shop.settle();
  };
  if (!suspects) for (let index = 0; index < table.length; index++) look(index);
  else {
    for (const number of suspects) {
      const index = table.indexOf(number);
      if (index !== NONE) look(index);
    }
  }
  return result;
}

/** The first thing that is wrong with a directory, in words. */
export function directoryFault(inode: Inode): string | undefined {
  let first: DirectoryFault | undefined;
  const summary = attempt(() =>
    checkDirectory(readFork(inode, 'data'), (fault) => {
      first ??= fault;
    }),
  );
  if (first) return `${first.field} was ${first.found}`;
  if (!summary) return 'a block cannot be read';
  return summary.size === inode.size ? undefined : `size was ${inode.size}`;
}

function rebuild(shop: Workshop, table: InodeTable, number: number, fault: string, result: MendedDirectories): void {
  const { report } = shop;
  const left = salvageDirectory(shop, shop.inode(number), table);
  const entries = storable(shop, table, number, left.entries, result);
  const fork = editFork(shop.tx, shop.space, shop.inode(number), 'data');
  buildDirectory(fork, number, left.parent ?? shop.geometry.rootInode, entries);
  report.did('directories', `directory written anew with ${entries.length} entries: ${fault}`, { inode: number });
  if (left.foreign > 0) {
    report.lose('directory blocks', `${left.foreign} blocks of the directory are those of another one`, {
      inode: number,
    });
  }
  if (left.missing > 0) {
    report.lose('entries', `${left.missing} names of the directory are gone with their blocks`, { inode: number });
  }
}

/** Entries that can stand in a directory: the inode exists, the name is new. */
function storable(
  shop: Workshop,
  table: InodeTable,
  directory: number,
  found: readonly FoundEntry[],
  result: MendedDirectories,
): DirectoryEntry[] {
  const { report, geometry } = shop;
  const entries: DirectoryEntry[] = [];
  const names = new Map<string, { place: number; proven: boolean }>();
  for (const { name, inode, ftype, renamed, proven } of found) {
    const index = table.indexOf(inode);
    const type = typeOfInode(table, inode);
    if (type === 0) {
      result.nameless.push({ directory, name, ftype, inode, stands: false });
      continue;
    }
    // A type that does not fit is looked at with all others: it may be the inode number that is wrong.
    const known = ftype === FTYPE.UNKNOWN && type > 0 ? ftypeOfMode(table.mode[index]!) : ftype;
    const entry = { name, inode, ftype: known };
    const key = nameKey(name, geometry.features.asciiCi);
    const twin = names.get(key);
    if (twin) {
      const other = entries[twin.place]!;
      // Of two that are called the same, the index tells whose name it is.
      const isBetter = proven && !twin.proven;
      if (isBetter) {
        entries[twin.place] = entry;
        twin.proven = true;
      }
      if (other.inode !== inode) result.lostNames.set(isBetter ? other.inode : inode, name);
      report.did('directories', `second entry "${showPath(name)}" removed`, { inode: directory });
      continue;
    }
    names.set(key, { place: entries.length, proven });
    if (renamed) {
      report.did('directories', `a name with bytes that no name may have is now "${showPath(name)}"`, {
        inode: directory,
      });
    }
    entries.push(entry);
  }
  return entries;
}
