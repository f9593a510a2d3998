/**
 * Copying the content of moved blocks to where they are going to be: long writes in the order of the new place, and reads that
 * take neighbours on the disk in one go. Where the image keeps data checksums every block is compared with its own first: damage is found, never carried along.
 */
import { crc32c } from '../../formats/checksum.ts';
import { corrupt } from '../errors.ts';
import type { Editor } from '../volume/editor.ts';
import type { FreeRuns } from './free-runs.ts';
import { Disturbed, RunTaken } from './guards.ts';
import type { Moves } from './moves.ts';

/** Bytes written at once. */
const PIECE = 1 << 20;
/** What lies in between is read along when it is less than so many bytes: that is faster than another read. */
const GAP = 32 << 10;

/** Blocks of one piece: from an fs block to a block of the buffer. */
interface Part {
  readonly from: number;
  readonly count: number;
  readonly at: number;
}

export class BlockCopier {
  readonly #editor: Editor;
  readonly #runs: FreeRuns;
  readonly #buffer: Uint8Array;
  readonly #crcs: Uint32Array;
  readonly #most: number;
  /** What is read at once for several runs. */
  #span = new Uint8Array(0);

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
    const parts: Part[] = [];
    const write = (): number => {
      this.#read(parts);
      // Somebody may have got these blocks meanwhile.
      if (journal.commits !== seen) throw new Disturbed();
      const bytes = used * blockSize;
      this.#editor.data.write(geometry.fsBlockToByte(start), this.#buffer.subarray(0, bytes));
      used = 0;
      parts.length = 0;
      return bytes;
    };
    for (let i = 0; i < moves.length; i++) {
      if (moves.unwritten[i]) continue;
      const to = moves.to[i]!;
      for (let done = 0; done < moves.count[i]!; ) {
        if (used > 0 && (start + used !== to + done || used === this.#most)) yield write();
        if (used === 0) start = to + done;
        const count = Math.min(moves.count[i]! - done, this.#most - used);
        parts.push({ from: moves.from[i]! + done, count, at: used });
        used += count;
        done += count;
      }
    }
    if (used > 0) yield write();
  }

  /** All parts into the buffer, in the order of the disk. */
  #read(parts: readonly Part[]): void {
    const { volume, data } = this.#editor;
    const { geometry } = volume;
    const { blockSize, features } = geometry;
    const order = [...parts].sort((a, b) => a.from - b.from);
    for (let i = 0; i < order.length; ) {
      const first = order[i]!;
      let end = first.from + first.count;
      let behind = i + 1;
      for (; behind < order.length; behind++) {
        const { from, count } = order[behind]!;
        if ((from - end) * blockSize >= GAP || from + count - first.from > this.#most) break;
        // Numbers of blocks go on from one AG to the next with a gap of their own.
        if (geometry.agOfFsBlock(from) !== geometry.agOfFsBlock(first.from)) break;
        end = from + count;
      }
      const place = geometry.fsBlockToByte(first.from);
      if (behind === i + 1) data.read(place, this.#target(first));
      else {
        if (this.#span.length === 0) this.#span = new Uint8Array(this.#buffer.length);
        data.read(place, this.#span.subarray(0, (end - first.from) * blockSize));
        for (let k = i; k < behind; k++) {
          const { from, count } = order[k]!;
          const at = (from - first.from) * blockSize;
          this.#target(order[k]!).set(this.#span.subarray(at, at + count * blockSize));
        }
      }
      i = behind;
    }
    if (features.dataChecksums) for (const part of order) this.#verify(part);
  }

  #target({ at, count }: Part): Uint8Array {
    const { blockSize } = this.#editor.volume.geometry;
    return this.#buffer.subarray(at * blockSize, (at + count) * blockSize);
  }

  #verify(part: Part): void {
    const { volume, space } = this.#editor;
    const { blockSize } = volume.geometry;
    const bytes = this.#target(part);
    const { from: start, count } = part;
    const present = space.readChecksums(volume.cache, start, count, this.#crcs);
    for (let i = 0; i < count; i++) {
      const found = crc32c(bytes.subarray(i * blockSize, (i + 1) * blockSize));
      if (present[i] && found === this.#crcs[i]) continue;
      throw corrupt('DATA_CHECKSUM', `block ${start + i}: the data is not what was written`, {
        where: { block: start + i },
        expected: present[i] ? `0x${this.#crcs[i]!.toString(16)}` : 'a checksum',
        found: `0x${found.toString(16)}`,
      });
    }
  }
}
