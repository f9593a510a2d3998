/**
 * Who names whom: one pass over all directories of the plan, against all inodes. What does not fit is collected; deciding
 * about it is others' business. Afterwards `table.counted` and `table.parent` are what entries say, and are kept so by
 * everybody who changes entries.
 */
import { FTYPE, ftypeOfMode, MODE, S_IFMT } from '../../../formats/inode.ts';
import type { Carry } from '../../check/carry.ts';
import type { EntryLog } from '../../check/entry-log.ts';
import { type InodeTable, NONE, STATE } from '../../check/inode-table.ts';
import { forEachEntry, parentOf } from '../../directory/directory.ts';
import { readFork } from '../../file/inode-fork-blocks.ts';
import { attempt, type Workshop } from './workshop.ts';

/** An entry whose inode number is none. */
export interface NamelessEntry {
  /** Inode number of the directory it stands (or stood) in. */
  readonly directory: number;
  readonly name: Uint8Array;
  readonly ftype: number;
  /** The number that it has. */
  readonly inode: number;
  /** It still stands in its directory. */
  readonly stands: boolean;
  /** The number is that of an inode, but hardly of the one that was meant. */
  readonly mistaken?: boolean;
}

/** An entry that says another type than its inode has. */
export interface WrongType {
  readonly directory: number;
  readonly name: Uint8Array;
  readonly ftype: number;
  readonly inode: number;
}

/** A second entry for a directory. */
export interface SecondEntry {
  readonly directory: number;
  readonly name: Uint8Array;
  /** The directory named. */
  readonly inode: number;
}

export class Census {
  readonly table: InodeTable;
  /** Index of the directory that ".." of a directory names; NONE when it names none. */
  readonly up: Uint32Array;
  readonly nameless: NamelessEntry[] = [];
  readonly wrongTypes: WrongType[] = [];
  readonly seconds: SecondEntry[] = [];
  /** Entries that name a directory that has a place, and say that it is none. Not counted. */
  readonly mistaken: NamelessEntry[] = [];
  /** Every directory could be read whole: who has no name has none. */
  complete: boolean;
  /** Inode numbers of those whose names have changed since. */
  readonly touched = new Set<number>();
  #isOver = false;

  constructor(table: InodeTable) {
    this.table = table;
    this.up = new Uint32Array(table.length).fill(NONE);
    this.complete = table.complete;
  }

  isDirectory(index: number): boolean {
    const { state, mode } = this.table;
    return (state[index]! & STATE.used) !== 0 && (mode[index]! & S_IFMT) === MODE.DIR;
  }

  /** Read all directories. @param carry has the entries of those that are as the check saw them. */
  run(shop: Workshop, carry: Carry | undefined): void {
    const { state } = this.table;
    for (let index = 0; index < state.length; index++) {
      if ((state[index]! & STATE.unreadable) !== 0) this.complete = false;
      else if (this.isDirectory(index)) {
        const known = carry?.findEntries(this.table.numberOf(index));
        if (known === undefined || !this.#known(index, carry!.before.entries!, known)) this.#directory(shop, index);
      }
    }
    this.#weak();
    this.#isOver = true;
  }

  /** Directories whose only entry says that they are something else have their place there all the same. */
  #weak(): void {
    const { table } = this;
    for (const { directory, name, ftype, inode } of this.wrongTypes) {
      const target = table.indexOf(inode);
      if (!this.isDirectory(target)) continue;
      const isRoot = inode === table.geometry.rootInode;
      if (table.parent[target] === NONE && !isRoot) this.count(table.indexOf(directory), target);
      else this.mistaken.push({ directory, name, ftype, inode, stands: true, mistaken: true });
    }
  }

  /** Entries that are known without their names; false, and nothing counted, when one of them does not fit. */
  #known(index: number, entries: EntryLog, i: number): boolean {
    const { table } = this;
    const { state, mode, parent, geometry } = table;
    const directories: number[] = [];
    let fits = true;
    entries.forEachEntry(i, (inode, ftype) => {
      const target = fits ? table.indexOf(inode) : NONE;
      fits &&= target !== NONE && (state[target]! & STATE.used) !== 0 && ftypeOfMode(mode[target]!) === ftype;
      if (!fits || ftype !== FTYPE.DIR) return;
      fits = parent[target] === NONE && inode !== geometry.rootInode;
      if (!fits) return;
      parent[target] = index;
      directories.push(target);
    });
    for (const target of directories) parent[target] = NONE;
    if (!fits) return false;
    const up = table.indexOf(entries.parent(i));
    if (up !== NONE && this.isDirectory(up)) this.up[index] = up;
    entries.forEachEntry(i, (inode) => this.count(index, table.indexOf(inode)));
    return true;
  }

  #directory(shop: Workshop, index: number): void {
    const { table } = this;
    const directory = table.numberOf(index);
    const read = attempt(() => {
      const inode = shop.inode(directory);
      // An unlinked directory may have been emptied already.
      if (inode.size === 0 && inode.core.nlink === 0) return true;
      const fork = readFork(inode, 'data');
      const up = table.indexOf(parentOf(fork));
      if (up !== NONE && this.isDirectory(up)) this.up[index] = up;
      forEachEntry(fork, (number, ftype, bytes, start, end) =>
        this.#entry(index, directory, number, ftype, bytes, start, end),
      );
      return true;
    });
    if (!read) this.complete = false;
    shop.settle();
  }

  #entry(
    index: number,
    directory: number,
    inode: number,
    ftype: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    const { table } = this;
    const target = table.indexOf(inode);
    const state = target === NONE ? 0 : table.state[target]!;
    if ((state & STATE.unreadable) !== 0) return;
    if ((state & STATE.used) === 0) {
      if (target === NONE && !table.complete) return;
      this.nameless.push({ directory, name: bytes.slice(start, end), ftype, inode, stands: true });
      return;
    }
    const type = ftypeOfMode(table.mode[target]!);
    if (type !== ftype) this.wrongTypes.push({ directory, name: bytes.slice(start, end), ftype, inode });
    // Weak: counts only if the directory has no better entry.
    if (type === FTYPE.DIR && ftype !== type) return;
    const isFirst = table.parent[target] === NONE && inode !== table.geometry.rootInode;
    if (type === FTYPE.DIR && !isFirst) {
      this.seconds.push({ directory, name: bytes.slice(start, end), inode });
      return;
    }
    this.count(index, target);
  }

  /** An entry of `directory` names `target`. */
  count(directory: number, target: number): void {
    const { table } = this;
    if (this.#isOver) this.touched.add(table.numberOf(target));
    if (table.parent[target] === NONE) table.parent[target] = directory;
    if (this.isDirectory(target)) table.counted[directory]!++;
    else table.counted[target]!++;
  }

  /** An entry of `directory` does not name `target` any more. */
  discount(directory: number, target: number): void {
    const { table } = this;
    this.touched.add(table.numberOf(target));
    if (this.isDirectory(target)) {
      table.counted[directory]!--;
      table.parent[target] = NONE;
    } else if (--table.counted[target]! === 0) table.parent[target] = NONE;
  }
}
