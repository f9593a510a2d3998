/**
 * Entries without an inode and inodes without an entry: which belong together. Only what is certain, or the only
 * possibility, is done; every rule asks for exactly one partner on both sides.
 *
 *   1 the inode's parent pointers name directory and name
 *   2 the entry's number differs from the inode's in one bit, or by one
 *   3 a directory whose ".." is the directory of the entry
 *   4 the only entry and the only inode of that type. An inode also misses a name when it has more links than entries.
 */
import { FTYPE, ftypeOfMode } from '../../../formats/inode.ts';
import { CHUNK, NONE, STATE } from '../../check/inode-table.ts';
import { readFork } from '../../file/inode-fork-blocks.ts';
import { showPath } from '../../volume/path.ts';
import { listParents, type Parent } from '../../xattr/read.ts';
import type { Census, NamelessEntry } from './census.ts';
import { addEntry, pointEntry, removeEntry } from './entries.ts';
import { attempt, type Workshop } from './workshop.ts';

/** So many of either: more are compared with nobody. */
const MOST_COMPARED = 2000;

export interface Unplaced {
  /** Indexes of inodes that no entry names. */
  orphans: Set<number>;
  /** Indexes of files that fewer entries name than they have links. */
  short: Set<number>;
  /** Entries without an inode. */
  nameless: NamelessEntry[];
}

/** Bring together what belongs together; what is left of `unplaced` found no partner. */
export function reconnect(shop: Workshop, census: Census, unplaced: Unplaced): void {
  const wanting = unplaced.orphans.size + unplaced.short.size;
  if (wanting === 0) return;
  const open = unplaced.nameless.filter(({ inode, mistaken }) => mistaken || !wasInode(shop, inode));
  if (open.length > MOST_COMPARED || unplaced.orphans.size > MOST_COMPARED) return;
  new Matcher(shop, census, unplaced, new Set(open)).run();
}

/** The number was that of an inode when this pass began: the entry is right, what it names has gone. */
function wasInode(shop: Workshop, inode: number): boolean {
  const first = shop.state.first.observed?.inodes;
  const index = first ? first.indexOf(inode) : NONE;
  if (!first || index === NONE) return false;
  if ((first.state[index]! & (STATE.used | STATE.unreadable)) !== 0) return true;
  const ag = first.agOf(index);
  return !first.chunks[ag]!.isFree(Math.floor(index / CHUNK) - first.firstChunk[ag]!, index % CHUNK);
}

class Matcher {
  readonly #shop: Workshop;
  readonly #census: Census;
  readonly #unplaced: Unplaced;
  readonly #open: Set<NamelessEntry>;

  constructor(shop: Workshop, census: Census, unplaced: Unplaced, open: Set<NamelessEntry>) {
    this.#shop = shop;
    this.#census = census;
    this.#unplaced = unplaced;
    this.#open = open;
  }

  run(): void {
    const { table } = this.#census;
    if (this.#shop.geometry.features.parent) this.#byParentPointers();
    this.#pairUp('its number differs in one bit', (entry, index) => isNear(entry.inode, table.numberOf(index)));
    this.#pairUp('its ".." leads here', (entry, index) => {
      const up = this.#census.up[index]!;
      return this.#census.isDirectory(index) && up !== NONE && table.numberOf(up) === entry.directory;
    });
    this.#pairUp('nothing else of that type misses a name', () => true);
  }

  #byParentPointers(): void {
    const { table } = this.#census;
    const pointers = new Map<number, Parent[]>();
    for (const index of this.#wanting()) pointers.set(index, parentPointers(this.#shop, table.numberOf(index)));
    this.#pairUp('its parent pointer says so', (entry, index) =>
      pointers.get(index)!.some(({ inode, name }) => inode === entry.directory && sameBytes(name, entry.name)),
    );
    for (const index of [...this.#unplaced.orphans]) {
      for (const pointer of pointers.get(index)!) this.#enter(index, pointer);
    }
  }

  /** The entry that a parent pointer names is gone, or names another inode that knows nothing of it. */
  #enter(index: number, pointer: Parent): void {
    const { table } = this.#census;
    const directory = table.indexOf(pointer.inode);
    if (directory === NONE || !this.#census.isDirectory(directory) || !this.#unplaced.orphans.has(index)) return;
    if (table.generation[directory] !== pointer.generation) return;
    const type = ftypeOfMode(table.mode[index]!);
    const number = table.numberOf(index);
    const there = this.#shop.lookUp(pointer.inode, pointer.name);
    if (there) {
      const says = parentPointers(this.#shop, there.inode);
      const isIts = says.some(({ inode, name }) => inode === pointer.inode && sameBytes(name, pointer.name));
      const other = table.indexOf(there.inode);
      if (isIts || other === NONE || (table.state[other]! & STATE.used) === 0) return;
      pointEntry(this.#shop, pointer.inode, pointer.name, number, type);
      this.#census.discount(directory, other);
      if (table.parent[other] === NONE) this.#unplaced.orphans.add(other);
    } else addEntry(this.#shop, pointer.inode, pointer.name, number, type);
    this.#census.count(directory, index);
    this.#unplaced.orphans.delete(index);
    const text = `entry "${showPath(pointer.name)}" names inode ${number} again: its parent pointer says so`;
    this.#shop.report.did('directories', text, { inode: pointer.inode });
  }

  #wanting(): number[] {
    return [...this.#unplaced.orphans, ...this.#unplaced.short];
  }

  /** Entries that an inode still wants. */
  #wants(index: number): number {
    const { table } = this.#census;
    return this.#census.isDirectory(index) ? 1 : Math.max(1, table.nlink[index]! - table.counted[index]!);
  }

  /** Every entry and inode that `may` be partners, types included, and have no other possible partner. */
  #pairUp(why: string, may: (entry: NamelessEntry, index: number) => boolean): void {
    const { table } = this.#census;
    const candidates = (entry: NamelessEntry): number[] =>
      this.#wanting().filter((index) => {
        const type = ftypeOfMode(table.mode[index]!);
        return (entry.ftype === FTYPE.UNKNOWN || entry.ftype === type) && may(entry, index);
      });
    const rivals = new Map<number, number>();
    const chosen = new Map<NamelessEntry, number>();
    for (const entry of this.#open) {
      const all = candidates(entry);
      for (const index of all) rivals.set(index, (rivals.get(index) ?? 0) + 1);
      if (all.length === 1) chosen.set(entry, all[0]!);
    }
    const given = new Map([...rivals].filter(([index, count]) => count <= this.#wants(index)));
    for (const [entry, index] of chosen) if (given.has(index)) this.#connect(entry, index, why);
  }

  #connect(entry: NamelessEntry, index: number, why: string): void {
    const { table } = this.#census;
    const directory = table.indexOf(entry.directory);
    const inode = table.numberOf(index);
    const type = ftypeOfMode(table.mode[index]!);
    if (directory === NONE || !this.#census.isDirectory(directory)) return;
    const meant = entry.mistaken && entry.stands ? table.indexOf(entry.inode) : NONE;
    // An entry for a directory that has another one was never counted.
    if (meant !== NONE && !this.#census.isDirectory(meant)) this.#census.discount(directory, meant);
    if (entry.stands) pointEntry(this.#shop, entry.directory, entry.name, inode, type);
    else if (!addEntry(this.#shop, entry.directory, entry.name, inode, type)) return;
    this.#census.count(directory, index);
    this.#unplaced.orphans.delete(index);
    if (table.counted[index]! >= table.nlink[index]!) this.#unplaced.short.delete(index);
    this.#open.delete(entry);
    this.#unplaced.nameless.splice(this.#unplaced.nameless.indexOf(entry), 1);
    const text = `entry "${showPath(entry.name)}", which named ${entry.inode}, names inode ${inode} again: ${why}`;
    this.#shop.report.did('directories', text, { inode: entry.directory });
  }
}

/** Entries that found nobody go, by name; a file may have one more, a directory may not. */
export function dropNameless(shop: Workshop, census: Census, nameless: readonly NamelessEntry[]): void {
  for (const { directory, name, inode, stands, mistaken } of nameless) {
    if (mistaken && (!stands || !census.isDirectory(census.table.indexOf(inode)))) continue;
    if (stands) removeEntry(shop, directory, name);
    const why = mistaken ? 'is a directory that has its place elsewhere' : 'is none, or has been cleared';
    const text = `entry "${showPath(name)}" removed: inode ${inode} ${why}`;
    shop.report.lose('entry', text, { inode: directory });
  }
}

/** One bit or one step apart. */
function isNear(a: number, b: number): boolean {
  if (Math.abs(a - b) === 1) return true;
  const low = ((a % 2 ** 32) ^ (b % 2 ** 32)) >>> 0;
  const high = (Math.floor(a / 2 ** 32) ^ Math.floor(b / 2 ** 32)) >>> 0;
  const isBit = (word: number): boolean => word !== 0 && (word & (word - 1)) === 0;
  return (high === 0 && isBit(low)) || (low === 0 && isBit(high));
}

/** Who an inode says names it. */
export function parentPointers(shop: Workshop, number: number): Parent[] {
  const inode = shop.tryInode(number);
  if (!inode || inode.core.forkoff === 0) return [];
  return attempt(() => listParents(readFork(inode, 'attr'))) ?? [];
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
