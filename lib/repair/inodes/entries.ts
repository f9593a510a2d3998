/**
 * What directories say of some inodes: that there is a name for them, and of which type. Only directories that can matter
 * are read: those that are known to name one of the inodes, and those with entries that lead nowhere or say another type.
 */
import { ftypeOfMode, MODE, S_IFMT } from '../../../formats/inode.ts';
import { INODE_DAMAGE } from '../../check/damaged.ts';
import { type InodeTable, NONE, STATE } from '../../check/inode-table.ts';
import { DirectoryFork } from '../../check/observe/directories.ts';
import { checkDirectory } from '../../directory/check.ts';
import { showPath } from '../../volume/path.ts';
import type { RepairState } from '../state.ts';

/** Entries for one inode. */
export interface Named {
  /** Type byte of the first entry. */
  readonly ftype: number;
  /** The directory that holds it, and the name as text. */
  readonly directory: number;
  readonly name: string;
}

/** How a directory may be looked through. */
export type Scope = 'likely' | 'all';

export class EntryEvidence {
  readonly #named = new Map<number, Named>();
  /** Inodes whose entry says another type than the inode. */
  readonly mistyped: number[] = [];
  /** Inodes named by an entry but not in use. */
  readonly dangling: number[] = [];

  constructor(state: RepairState, inodes: ReadonlySet<number>, scope: Scope) {
    const { observed, damaged } = state.first;
    if (!observed) return;
    const wantBad = damaged.codes.has('ENTRY_TYPE') || damaged.codes.has('ENTRY_DANGLING');
    // Nobody is asked for.
    if (inodes.size === 0 && !wantBad) return;
    const { inodes: table, context } = observed;
    const directories = scope === 'all' ? allDirectories(table) : likelyDirectories(state, table, inodes);
    const opener = new DirectoryFork(context);
    context.problems.mute(() => {
      for (const directory of directories) {
        const fork = opener.open(directory);
        if (!fork) continue;
        checkDirectory(
          fork,
          () => {},
          (inode, ftype, bytes, start, end) => {
            const index = table.indexOf(inode);
            const bits = index === NONE ? 0 : table.state[index]!;
            const isUsed = (bits & STATE.used) !== 0;
            const isBad = wantBad && (!isUsed || ftypeOfMode(table.mode[index]!) !== ftype);
            if (isBad) (isUsed ? this.mistyped : this.dangling).push(inode);
            if ((!isBad && !inodes.has(inode)) || this.#named.has(inode)) return;
            this.#named.set(inode, { ftype, directory, name: showPath(bytes.slice(start, end)) });
          },
        );
      }
    });
  }

  of(inode: number): Named | undefined {
    return this.#named.get(inode);
  }
}

function allDirectories(table: InodeTable): number[] {
  const out: number[] = [];
  for (let index = 0; index < table.mode.length; index++) {
    if ((table.mode[index]! & S_IFMT) === MODE.DIR) out.push(table.numberOf(index));
  }
  return out;
}

function likelyDirectories(state: RepairState, table: InodeTable, inodes: ReadonlySet<number>): Set<number> {
  const out = new Set<number>();
  for (const inode of inodes) {
    const index = table.indexOf(inode);
    const parent = index === NONE ? NONE : table.parent[index]!;
    if (parent !== NONE) out.add(table.numberOf(parent));
  }
  for (const [inode, bits] of state.first.damaged.inodes) {
    if ((bits & INODE_DAMAGE.directory) !== 0) out.add(inode);
  }
  return out;
}
