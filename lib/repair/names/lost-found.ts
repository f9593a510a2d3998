/**
 * lost+found: made when it is first needed, and never overwritten. What comes here keeps its name where one is known, else
 * it is called by its inode number. Directories bring what is below them.
 *
 * Entries are gathered until `finish`: many are written as one new directory, in a fraction of the time.
 */

import { FTYPE, ftypeOfMode, MODE } from '../../../formats/inode.ts';
import { NONE, STATE } from '../../check/inode-table.ts';
import {
  buildDirectory,
  type DirectoryEntry,
  forEachEntry,
  initialise,
  insert,
  parentOf,
  readEntries,
  setParent,
} from '../../directory/directory.ts';
import { nameKey } from '../../directory/names.ts';
import { editFork, readFork } from '../../file/inode-fork-blocks.ts';
import { showPath } from '../../volume/path.ts';
import type { Census } from './census.ts';
import { addEntry } from './entries.ts';
import type { Workshop } from './workshop.ts';

const NAME = 'lost+found';
const MODE_BITS = 0o700;
const MOST_TWINS = 100;
/** So many new entries are put in one by one; more are written together with those that stand there. */
const FEW = 64;
const encoder = new TextEncoder();

export class LostFound {
  readonly #shop: Workshop;
  readonly #census: Census;
  #directory: number | undefined;
  #name = NAME;
  /** Directories put here: the table has no place for an inode that was made after it. */
  #directories = 0;
  /** Entries to come, and all names that are taken. */
  readonly #entries: DirectoryEntry[] = [];
  #names: Set<string> | undefined;

  constructor(shop: Workshop, census: Census) {
    this.#shop = shop;
    this.#census = census;
  }

  /** Link an inode that no entry names. @param known the name it had, where that is known. */
  add(index: number, known: Uint8Array | undefined): void {
    const { table } = this.#census;
    const number = table.numberOf(index);
    const name = this.#link(number, ftypeOfMode(table.mode[index]!), known ?? encoder.encode(String(number)));
    if (this.#census.isDirectory(index)) {
      setParent(editFork(this.#shop.tx, this.#shop.space, this.#shop.inode(number), 'data'), this.directory);
    }
    const here = table.indexOf(this.directory);
    if (here !== NONE) this.#census.count(here, index);
    else {
      if (this.#census.isDirectory(index)) this.#directories++;
      else table.counted[index]!++;
      // Its ".." is right already.
      this.placed.add(index);
      this.#census.touched.add(number);
    }
    this.#found(number, name, known);
  }

  /** Link a new file that the table does not know as one without a name. */
  addNew(number: number, wanted: Uint8Array): void {
    const { table } = this.#census;
    const name = this.#link(number, FTYPE.FILE, wanted);
    const index = table.indexOf(number);
    if (index !== NONE) {
      table.state[index] = STATE.used;
      table.mode[index] = MODE.FILE;
      table.nlink[index] = table.counted[index] = 1;
      table.parent[index] = table.indexOf(this.directory);
    }
    this.#census.touched.add(number);
    this.#found(number, name, undefined);
  }

  #found(inode: number, name: Uint8Array, known: Uint8Array | undefined): void {
    const path = `/${this.#name}/${showPath(name)}`;
    this.#shop.report.found.push({ inode, path, ...(known ? { name: showPath(known) } : {}) });
  }

  /** Inodes that stand here although `table.parent` cannot say so. */
  readonly placed = new Set<number>();

  /** Enter a name; ".1", ".2" ... is added when it is taken. @returns the name. */
  #link(number: number, ftype: number, wanted: Uint8Array): Uint8Array {
    for (let i = 0; ; i++) {
      // A name that so many have says nothing.
      if (i === MOST_TWINS) wanted = encoder.encode(`inode-${number}`);
      const tail = i === 0 ? new Uint8Array(0) : encoder.encode(`.${i}`);
      const head = wanted.subarray(0, 255 - tail.length);
      const name = new Uint8Array(head.length + tail.length);
      name.set(head);
      name.set(tail, head.length);
      const key = this.#key(name);
      if (this.#taken.has(key)) continue;
      this.#taken.add(key);
      this.#entries.push({ name, inode: number, ftype });
      return name;
    }
  }

  get #taken(): Set<string> {
    if (!this.#names) {
      const names = new Set<string>();
      forEachEntry(readFork(this.#shop.inode(this.directory), 'data'), (_inode, _ftype, bytes, start, end) => {
        names.add(this.#key(bytes.subarray(start, end)));
      });
      this.#names = names;
    }
    return this.#names;
  }

  #key(name: Uint8Array): string {
    return nameKey(name, this.#shop.geometry.features.asciiCi);
  }

  /** Inode number of the directory. */
  get directory(): number {
    return (this.#directory ??= this.#find() ?? this.#make());
  }

  #find(): number | undefined {
    const { geometry } = this.#shop;
    for (let i = 0; i < 100; i++) {
      const name = i === 0 ? NAME : `${NAME}.${i}`;
      const found = this.#shop.lookUp(geometry.rootInode, encoder.encode(name));
      this.#name = name;
      if (!found) return undefined;
      if (this.#shop.tryInode(found.inode)?.isDirectory) return found.inode;
    }
    return undefined;
  }

  #make(): number {
    const { tx, space, geometry } = this.#shop;
    const { table, up } = this.#census;
    const root = geometry.rootInode;
    const number = space.allocateInode(tx, { parentInode: root, isDirectory: true, generation: 1 });
    const inode = this.#shop.newInode(number, MODE.DIR | MODE_BITS, 2);
    initialise(editFork(tx, space, inode, 'data'), number, root);
    while (this.#shop.lookUp(root, encoder.encode(this.#name))) this.#name += '+';
    addEntry(this.#shop, root, encoder.encode(this.#name), number, FTYPE.DIR);
    const rootIndex = table.indexOf(root);
    const index = table.indexOf(number);
    table.counted[rootIndex]!++;
    if (index !== NONE) {
      table.state[index] = STATE.used;
      table.mode[index] = MODE.DIR | MODE_BITS;
      table.nlink[index] = 2;
      table.counted[index] = 0;
      table.parent[index] = rootIndex;
      up[index] = rootIndex;
    }
    this.#census.touched.add(number);
    this.#shop.report.did('links', `/${this.#name} made`);
    return number;
  }

  /** Everything is here: write the entries, and store how many directories are among them. */
  finish(): void {
    this.#write();
    if (this.#directories === 0 || this.#directory === undefined) return;
    const inode = this.#shop.inode(this.#directory);
    inode.change(this.#shop.tx);
    inode.core.nlink += this.#directories;
  }

  #write(): void {
    const { tx, space } = this.#shop;
    const added = this.#entries;
    if (added.length === 0) return;
    const number = this.directory;
    if (added.length > FEW) {
      const fork = readFork(this.#shop.inode(number), 'data');
      const [parent, standing] = [parentOf(fork), readEntries(fork)];
      const all = [...standing, ...added];
      buildDirectory(editFork(tx, space, this.#shop.inode(number), 'data'), number, parent, all);
      this.#shop.settle();
      return;
    }
    for (const { name, inode, ftype } of added) {
      insert(editFork(tx, space, this.#shop.inode(number), 'data'), name, inode, ftype);
      this.#shop.settle();
    }
  }
}
