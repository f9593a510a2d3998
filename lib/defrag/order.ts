/**
 * In which order files are done: worst first; but of those that share blocks, however many others lie between them, the one
 * with most blocks comes first and so has the say in what order the blocks lie.
 */

/** A file that could be better. */
export interface Candidate {
  readonly inode: number;
  readonly path: Uint8Array | undefined;
  readonly extents: number;
  readonly ideal: number;
  readonly blocks: number;
}

/** Sets of inodes that are joined with each other. */
export class Groups {
  readonly #above = new Map<number, number>();

  /** One inode that stands for the group of another. */
  of(inode: number): number {
    let top = inode;
    for (let next = this.#above.get(top); next !== undefined; next = this.#above.get(top)) top = next;
    // The way is short from now on.
    for (let at = inode; at !== top; ) {
      const next = this.#above.get(at)!;
      this.#above.set(at, top);
      at = next;
    }
    return top;
  }

  join(one: number, other: number): void {
    const top = this.of(one);
    const second = this.of(other);
    if (top !== second) this.#above.set(second, top);
  }
}

/** @param groups files that share blocks; undefined when none does. */
export function inOrder(candidates: Iterable<Candidate>, groups: Groups | undefined): Candidate[] {
  const members = new Map<number, Candidate[]>();
  for (const each of candidates) {
    const group = groups?.of(each.inode) ?? each.inode;
    const list = members.get(group);
    if (list) list.push(each);
    else members.set(group, [each]);
  }
  const lists = [...members.values()].map((files) => {
    files.sort((a, b) => b.blocks - a.blocks || a.inode - b.inode);
    let worst = 0;
    for (const { extents, ideal } of files) worst = Math.max(worst, extents - ideal);
    return { files, worst };
  });
  lists.sort(
    (a, b) => b.worst - a.worst || b.files[0]!.blocks - a.files[0]!.blocks || a.files[0]!.inode - b.files[0]!.inode,
  );
  return lists.flatMap(({ files }) => files);
}
