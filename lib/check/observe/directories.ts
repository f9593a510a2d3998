/**
 * All directories: structure, and every entry against the inode it names. Runs after all inodes are known. Counts links,
 * remembers the first directory that names an inode (its way to the root), and compares "..".
 */
import { nameHash } from '../../../formats/da.ts';
import {
  DATA_FORK_OFFSET,
  dataExtentCount,
  dataForkBytes,
  FORMAT,
  ftypeOfMode,
  InodeCore,
  MODE,
  S_IFMT,
} from '../../../formats/inode.ts';
import { inodeCoreFault } from '../../../formats/inode-verify.ts';
import { getU64 } from '../../../formats/struct.ts';
import { checkDirectory, type DirectoryFault } from '../../directory/check.ts';
import { showPath } from '../../volume/path.ts';
import type { Carry } from '../carry.ts';
import type { CheckContext } from '../context.ts';
import type { Counts } from '../counts.ts';
import { INODE_DAMAGE } from '../damaged.ts';
import type { EntryLog } from '../entry-log.ts';
import { type InodeTable, NONE, STATE } from '../inode-table.ts';
import type { ProblemPlace } from '../problems.ts';
import { CheckFork, ExtentList, ForkScan } from './forks.ts';
import { linkSum } from './inodes.ts';

const at = InodeCore.offsets;
const NAMELESS = new Uint8Array(0);
/** Faults of the hash index and of the free index: repairable without losing an entry. */
const INDEX_RULES = new Set([
  'DIR_NOT_INDEXED',
  'DIR_BAD_POINTER',
  'DIR_BAD_BEST',
  'DIR_BAD_KEY',
  'DIR_BAD_CHILD',
  'DIR_STRAY_BLOCK',
  'DIR_NO_INDEX',
  'BAD_HASH_ORDER',
  'BAD_SIBLING',
  'BAD_STALE',
  'BAD_BESTFREE',
  'BAD_FIRSTDB',
]);

/** Reads the data fork of one directory again, without judging it a second time. */
export class DirectoryFork {
  readonly #context: CheckContext;
  readonly #scan: ForkScan;
  readonly #list = new ExtentList();
  readonly #slot: Uint8Array;
  readonly view: DataView;

  constructor(context: CheckContext) {
    this.#context = context;
    this.#scan = new ForkScan(context);
    this.#slot = new Uint8Array(context.geometry.inodeSize);
    this.view = new DataView(this.#slot.buffer);
  }

  /** The fork, or undefined when the inode cannot be read. Good until the next call. */
  open(inode: number): CheckFork | undefined {
    const context = this.#context;
    const { geometry } = context;
    const { view } = this;
    const agInode = geometry.agInodeOfInode(inode);
    const block = geometry.agBlockToByte(geometry.agOfInode(inode), geometry.agBlockOfAgInode(agInode));
    if (!context.read(block + (agInode % geometry.inodesPerBlock) * geometry.inodeSize, this.#slot)) return undefined;
    if (inodeCoreFault(view, 0, geometry, inode) || (view.getUint16(at.mode) & S_IFMT) !== MODE.DIR) return undefined;
    const format = view.getUint8(at.format);
    const bytes = dataForkBytes(view, 0, geometry.inodeSize);
    const list = this.#list;
    list.clear();
    if (format === FORMAT.LOCAL) {
      const local = new DataView(this.#slot.buffer, DATA_FORK_OFFSET, bytes);
      return new CheckFork(context, inode, false, local, list);
    }
    const of = { inode, attr: false, regular: false };
    this.#scan.run(view, DATA_FORK_OFFSET, bytes, format, dataExtentCount(view, 0), of, list, false);
    return new CheckFork(context, inode, false, undefined, list);
  }
}

export class DirectoryObserver {
  readonly #context: CheckContext;
  readonly #table: InodeTable;
  readonly #counts: Counts;
  readonly #fork: DirectoryFork;
  readonly #log: EntryLog | undefined;
  #inode = 0;
  #index = 0;
  #generation = 0;

  /** @param log gets the entries of sound directories. */
  constructor(context: CheckContext, table: InodeTable, counts: Counts, log?: EntryLog) {
    this.#context = context;
    this.#table = table;
    this.#counts = counts;
    this.#log = log;
    this.#fork = new DirectoryFork(context);
  }

  /** @param carry has the entries of directories that need not be read. */
  run(carry?: Carry): void {
    const { mode, state } = this.#table;
    let done = 0;
    for (let index = 0; index < mode.length; index++) {
      if ((mode[index]! & S_IFMT) !== MODE.DIR || (state[index]! & STATE.used) === 0) continue;
      if (done++ % 64 === 0) this.#context.step('directories', done, this.#counts.directories);
      const known = carry?.findEntries(this.#table.numberOf(index));
      if (known === undefined) this.#directory(index);
      else this.#known(index, carry!.before.entries!, known);
    }
  }

  /** A directory that was read before; what is wrong with its entries by now is told without their names. */
  #known(index: number, entries: EntryLog, i: number): void {
    this.#inode = entries.directory(i);
    this.#index = index;
    entries.forEachEntry(i, (target, ftype) => this.#entry(target, ftype, NAMELESS, 0, 0));
    this.#parents.push(index, entries.parent(i));
  }

  #directory(index: number): void {
    const table = this.#table;
    const context = this.#context;
    const { problems } = context;
    const inode = table.numberOf(index);
    this.#inode = inode;
    this.#index = index;
    if (table.generation.length > 0) this.#generation = table.generation[index]!;
    const fork = this.#fork.open(inode);
    if (!fork) return;
    const where: ProblemPlace = { inode, structure: 'directory' };
    const size = getU64(this.#fork.view, at.size);
    // An unlinked directory may have been emptied already.
    if (size === 0 && table.nlink[index] === 0) return;
    let faults = 0;
    context.reader.of('DIRECTORY_BLOCK', where);
    const summary = checkDirectory(
      fork,
      (fault) => {
        faults++;
        this.#fault(fault, where);
      },
      this.#entry,
    );
    this.#counts.entries += summary.entries;
    if (faults > 0) table.state[index]! |= STATE.partial;
    if (faults === 0 && summary.size !== size)
      problems.add('DIRECTORY_SIZE', { ...where, field: 'size' }, summary.size, size);
    if (summary.parent !== undefined) this.#parents.push(index, summary.parent);
    if (faults > 0 || summary.parent === undefined || summary.size !== size) this.#log?.drop();
    else this.#log?.keep(inode, summary.parent);
  }

  #fault(fault: DirectoryFault, where: ProblemPlace): void {
    const place = fault.fileBlock < 0 ? where : { ...where, fileBlock: fault.fileBlock };
    const { blockSize } = this.#context.geometry;
    const inIndex = fault.fileBlock >= 2 ** 35 / blockSize || INDEX_RULES.has(fault.code);
    this.#context.problems.fault(inIndex ? 'DIRECTORY_INDEX' : 'DIRECTORY_BLOCK', place, fault);
  }

  /** (index, "..") of every directory whose ".." could be read. */
  readonly #parents: number[] = [];

  readonly #entry = (inode: number, ftype: number, bytes: Uint8Array, start: number, end: number): void => {
    const table = this.#table;
    this.#log?.add(inode, ftype);
    const index = table.indexOf(inode);
    const state = index === NONE ? 0 : table.state[index]!;
    if ((state & STATE.used) === 0) {
      if ((state & STATE.unreadable) !== 0) {
        // The inode is there but cannot be read: that was reported, and the entry may be fine.
        table.counted[index]!++;
        if (table.parent[index] === NONE) table.parent[index] = this.#index;
        return;
      }
      if (index === NONE && !table.complete) return;
      const field = `"${showPath(bytes.subarray(start, end))}"`;
      const where = { inode: this.#inode, structure: 'directory', field };
      const expected = index === NONE ? 'not an inode' : 'free';
      this.#context.problems.add('ENTRY_DANGLING', where, expected, inode);
      return;
    }
    const type = ftypeOfMode(table.mode[index]!);
    if (ftype !== type) {
      const field = `"${showPath(bytes.subarray(start, end))}"`;
      this.#context.problems.add('ENTRY_TYPE', { inode: this.#inode, structure: 'directory', field }, type, ftype);
    }
    if (table.entrySum.length > 0) {
      table.entrySum[index]! += linkSum(nameHash(bytes, start, end), this.#inode, this.#generation);
    }
    const first = table.parent[index]!;
    if (first === NONE) table.parent[index] = this.#index;
    if ((table.mode[index]! & S_IFMT) !== MODE.DIR) {
      table.counted[index]!++;
      return;
    }
    if (first !== NONE || inode === this.#context.geometry.rootInode) {
      const expected = first === NONE ? 'no directory: it is the root' : `inode ${table.numberOf(first)}`;
      const where = { inode, structure: 'directory' };
      this.#context.problems.add('DIRECTORY_LINKED_TWICE', where, expected, `inode ${this.#inode}`);
      this.#context.problems.damaged.inode(this.#inode, INODE_DAMAGE.directory);
      if (first !== NONE) this.#context.problems.damaged.inode(table.numberOf(first), INODE_DAMAGE.directory);
      table.state[index]! |= STATE.reported;
      return;
    }
    table.counted[this.#index]!++;
  };

  /** Compare every ".." with the directory that names it. Call after `run`. */
  compareParents(): void {
    const table = this.#table;
    const { geometry, problems } = this.#context;
    for (let i = 0; i < this.#parents.length; i += 2) {
      const index = this.#parents[i]!;
      const found = this.#parents[i + 1]!;
      const inode = table.numberOf(index);
      const parent = table.parent[index]!;
      const isRoot = inode === geometry.rootInode;
      // A directory nobody names is reported as unreachable.
      if ((parent === NONE && !isRoot) || (table.state[index]! & STATE.reported) !== 0) continue;
      const expected = isRoot ? inode : table.numberOf(parent);
      if (expected !== found) {
        problems.add('DIRECTORY_PARENT', { inode, structure: 'directory', field: '".."' }, expected, found);
      }
    }
  }
}
