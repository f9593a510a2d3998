/**
 * Paths of inodes that have problems. The inode table knows the directory that names an inode; the name itself is looked
 * up only now, one pass over each directory that is on the way of any of them.
 */
import { forEachEntry } from '../directory/directory.ts';
import { CadastreError } from '../errors.ts';
import { joinPath, showPath } from '../volume/path.ts';
import type { CheckContext } from './context.ts';
import { type InodeTable, NONE } from './inode-table.ts';
import { DirectoryFork } from './observe/directories.ts';

/** Deeper than any sane tree: a ring. */
const MAX_DEPTH = 4096;

/** Fill in `path` of problems and claimants. */
export function addPaths(context: CheckContext, table: InodeTable): void {
  const { problems } = context.problems;
  const wanted = new Set<number>();
  for (const problem of problems) {
    if (problem.where.inode !== undefined) wanted.add(problem.where.inode);
    for (const claimant of problem.claimants ?? []) if (claimant.inode !== undefined) wanted.add(claimant.inode);
  }
  const paths = pathsOf(context, table, wanted);
  for (const problem of problems) {
    const path = problem.where.inode === undefined ? undefined : paths.get(problem.where.inode);
    if (path !== undefined) {
      problem.path = path;
      problem.where.path = path;
    }
    for (const claimant of problem.claimants ?? []) {
      const other = claimant.inode === undefined ? undefined : paths.get(claimant.inode);
      if (other !== undefined) claimant.path = other;
    }
  }
}

/** Paths of those of these inodes that have one, as text. The table must be the one the directories were observed with. */
export function pathsOf(context: CheckContext, table: InodeTable, inodes: Iterable<number>): Map<number, string> {
  const asked = [...inodes];
  const wanted = new Set<number>();
  for (const inode of asked) {
    let index = table.indexOf(inode);
    for (let depth = 0; index !== NONE && depth < MAX_DEPTH && !wanted.has(index); depth++) {
      wanted.add(index);
      index = table.parent[index]!;
    }
  }
  const names = namesOf(context, table, wanted);
  const root = table.indexOf(context.geometry.rootInode);
  const paths = new Map<number, Uint8Array | undefined>([[root, Uint8Array.of(0x2f)]]);
  const pathOf = (index: number): Uint8Array | undefined => {
    // From the inode up to a known path, then down again.
    const way: number[] = [];
    let at = index;
    while (at !== NONE && !paths.has(at) && way.length < MAX_DEPTH) {
      way.push(at);
      at = table.parent[at]!;
    }
    let path = at === NONE || way.length >= MAX_DEPTH ? undefined : paths.get(at);
    for (const step of way.reverse()) {
      const name = names.get(step);
      path = path && name ? joinPath(path, name) : undefined;
      paths.set(step, path);
    }
    return path;
  };
  const found = new Map<number, string>();
  for (const inode of asked) {
    const index = table.indexOf(inode);
    const path = index === NONE ? undefined : pathOf(index);
    if (path) found.set(inode, showPath(path));
  }
  return found;
}

/** Names of these inodes in their directories. */
function namesOf(context: CheckContext, table: InodeTable, wanted: ReadonlySet<number>): Map<number, Uint8Array> {
  const names = new Map<number, Uint8Array>();
  const directories = new Set<number>();
  for (const index of wanted) if (table.parent[index] !== NONE) directories.add(table.parent[index]!);
  const opener = new DirectoryFork(context);
  for (const directory of directories) {
    const fork = opener.open(table.numberOf(directory));
    if (!fork) continue;
    try {
      context.problems.mute(() =>
        forEachEntry(fork, (inode, _ftype, bytes, start, end) => {
          const index = table.indexOf(inode);
          if (index !== NONE && table.parent[index] === directory && wanted.has(index) && !names.has(index)) {
            names.set(index, bytes.slice(start, end));
          }
        }),
      );
    } catch (error) {
      if (!(error instanceof CadastreError)) throw error;
    }
  }
  return names;
}
