/**
 * The entries of sound directories as a check saw them, without their names: whoever wants to know later who names whom
 * need not read a directory again that has not changed. Nine bytes an entry.
 */
const TYPES = 256;

/** Directories in the order of their inode numbers, which is that of the inode table. */
export class EntryLog {
  /** Inode numbers of the directories, and their "..". */
  readonly #directories: number[] = [];
  readonly #parents: number[] = [];
  /** First entry of each directory, and the end of the last one. */
  readonly #firsts: number[] = [0];
  #targets = new Float64Array(1024);
  #types = new Uint8Array(1024);
  #length = 0;

  /** An entry of the directory being read. */
  add(target: number, ftype: number): void {
    if (this.#length === this.#targets.length) this.#grow();
    this.#targets[this.#length] = target;
    this.#types[this.#length++] = ftype % TYPES;
  }

  /** A directory was read: keep the entries added since the last one. */
  keep(directory: number, parent: number): void {
    this.#directories.push(directory);
    this.#parents.push(parent);
    this.#firsts.push(this.#length);
  }

  /** A directory was read, and it is not sound: forget them. */
  drop(): void {
    this.#length = this.#firsts[this.#firsts.length - 1]!;
  }

  /** Number of a directory in the log. */
  find(directory: number): number | undefined {
    let low = 0;
    let high = this.#directories.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#directories[middle]! < directory) low = middle + 1;
      else high = middle;
    }
    return this.#directories[low] === directory ? low : undefined;
  }

  directory(i: number): number {
    return this.#directories[i]!;
  }
  parent(i: number): number {
    return this.#parents[i]!;
  }

  forEachEntry(i: number, visit: (target: number, ftype: number) => void): void {
    const end = this.#firsts[i + 1]!;
    for (let k = this.#firsts[i]!; k < end; k++) visit(this.#targets[k]!, this.#types[k]!);
  }

  #grow(): void {
    const targets = new Float64Array(2 * this.#targets.length);
    targets.set(this.#targets);
    this.#targets = targets;
    const types = new Uint8Array(2 * this.#types.length);
    types.set(this.#types);
    this.#types = types;
  }
}
