/**
 * Copying the content of moved blocks to where they are going to be: long writes in the order of the new place. Where the
 * image keeps data checksums every block is compared with its own first: damage is found, never carried along.
 */
import { crc32c } from '../../formats/checksum.ts';
import { corrupt } from '../errors.ts';
import type { Editor } from '../volume/editor.ts';
import type { FreeRuns } from './free-runs.ts';
import { Disturbed, RunTaken } from './guards.ts';
import type { Moves } from './moves.ts';

/** Bytes written at once. */
const PIECE = 1 << 20;

export class BlockCopier {
  readonly #editor: Editor;
  readonly #runs: FreeRuns;
  readonly #buffer: Uint8Array;
  readonly #crcs: Uint32Array;
  readonly #most: number;

  constructor(editor: Editor, runs: FreeRuns) {
    const { blockSize } = editor.volume.geometry;
    this.#runs = runs;
    this.#editor = editor;
    this.#most = Math.max(1, Math.floor(PIECE / blockSize));
    this.#buffer = new Uint8Array(this.#most * blockSize);
    this.#crcs = new Uint32Array(this.#most);
  }

  /**
   * Copy all written blocks of a set of moves whose targets are free and lie one behind the other. Yields the bytes written
   * each time; who stops here has changed nothing that anybody can see. Throws RunTaken before anything is written,
   * Disturbed, `corrupt` DATA_CHECKSUM with the block: nothing points at the copies then either.
   */
  *copy(moves: Moves): Generator<number, void, undefined> {
    const { journal } = this.#editor;
    const first = moves.to[0]!;
    const last = moves.length - 1;
    const target = { fsBlock: first, blockCount: moves.to[last]! + moves.count[last]! - first };
    if (!this.#runs.isFree(target)) throw new RunTaken();
    const seen = journal.commits;
    const { geometry } = this.#editor.volume;
    const { blockSize } = geometry;
    let start = 0;
    let used = 0;
    const write = (): number => {
      // Somebody may have got these blocks meanwhile.
      if (journal.commits !== seen) throw new Disturbed();
      const bytes = used * blockSize;
      this.#editor.data.write(geometry.fsBlockToByte(start), this.#buffer.subarray(0, bytes));
      used = 0;
      return bytes;
    };
    for (let i = 0; i < moves.length; i++) {
      if (moves.unwritten[i]) continue;
      const to = moves.to[i]!;
      for (let done = 0; done < moves.count[i]!; ) {
        if (used > 0 && (start + used !== to + done || used === this.#most)) yield write();
        if (used === 0) start = to + done;
        const count = Math.min(moves.count[i]! - done, this.#most - used);
        this.#read(moves.from[i]! + done, count, used * blockSize);
        used += count;
        done += count;
      }
    }
    if (used > 0) yield write();
  }

  /** Blocks into the buffer at a byte of it. */
  #read(start: number, count: number, at: number): void {
    const { volume, space, data } = this.#editor;
    const { blockSize, features } = volume.geometry;
    const into = this.#buffer.subarray(at, at + count * blockSize);
    data.read(volume.geometry.fsBlockToByte(start), into);
    if (!features.dataChecksums) return;
    const present = space.readChecksums(volume.cache, start, count, this.#crcs);
    for (let i = 0; i < count; i++) {
      const found = crc32c(into.subarray(i * blockSize, (i + 1) * blockSize));
      if (present[i] && found === this.#crcs[i]) continue;
      throw corrupt('DATA_CHECKSUM', `block ${start + i}: the data is not what was written`, {
        where: { block: start + i },
        expected: present[i] ? `0x${this.#crcs[i]!.toString(16)}` : 'a checksum',
        found: `0x${found.toString(16)}`,
      });
    }
  }
}
