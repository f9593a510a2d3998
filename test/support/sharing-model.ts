/**
 * Files that share blocks, as naive as can be: each is its bytes, and for every block the number of the physical block it
 * would have. Two blocks are shared exactly when their numbers are equal. Random scripts run on this model, on an Editor,
 * and (by xfs_io) on a mounted image.
 */
import fc from 'fast-check';
import { MODE } from '../../formats/inode.ts';
import { cloneFile } from '../../lib/clone/clone-file.ts';
import { cloneRange } from '../../lib/clone/clone-range.ts';
import { unshare } from '../../lib/clone/unshare.ts';
import { type DedupeResult, dedupe } from '../../lib/dedupe/dedupe.ts';
import { CadastreError } from '../../lib/errors.ts';
import { punchHole } from '../../lib/file/truncate.ts';
import { truncate, writeAt } from '../../lib/volume/content.ts';
import type { Editor } from '../../lib/volume/editor.ts';
import { forEachMapped } from '../../lib/volume/extents.ts';
import { create, unlink } from '../../lib/volume/names.ts';

/** Offsets and lengths are in quarters of a block, but for ranges, which are in blocks. */
export type SharingOp =
  | { op: 'write'; file: number; offset: number; length: number; byte: number }
  | { op: 'punch'; file: number; offset: number; length: number }
  | { op: 'truncate'; file: number; size: number }
  | { op: 'unlink'; file: number }
  | { op: 'clone'; from: number; to: number }
  | { op: 'range'; from: number; to: number; source: number; target: number; length: number }
  | { op: 'unshare'; file: number }
  | { op: 'dedupe'; min: number };

export const FILES = 4;
const file = fc.nat(FILES - 1);
const quarter = fc.oneof(
  fc.nat(96),
  fc.nat(24).map((block) => 4 * block),
);
const byte = fc.integer({ min: 1, max: 3 });

/** What the kernel can be asked for as well. */
export const kernelOp: fc.Arbitrary<SharingOp> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ op: fc.constant('write' as const), file, offset: quarter, length: quarter, byte }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('punch' as const), file, offset: quarter, length: quarter }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('truncate' as const), file, size: quarter }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('unlink' as const), file }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('clone' as const), from: file, to: file }) },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant('range' as const),
      from: file,
      to: file,
      source: fc.nat(16),
      target: fc.nat(24),
      length: fc.nat(16),
    }),
  },
);

export const sharingOp: fc.Arbitrary<SharingOp> = fc.oneof(
  { weight: 14, arbitrary: kernelOp },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('unshare' as const), file }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('dedupe' as const), min: fc.integer({ min: 1, max: 6 }) }) },
);

/** A file of the model: `blocks[i]` is the physical block of file block i, 0 in a hole. */
export interface ModelFile {
  content: Uint8Array;
  blocks: number[];
}

export const fileName = (index: number): string => `file-${index}`;

export class SharingModel {
  readonly blockSize: number;
  readonly files: (ModelFile | undefined)[] = Array.from({ length: FILES }, () => undefined);
  /** Bytes that the last range operation was about: 0 = to the end of the source. */
  rangeLength = 0;
  #next = 1;

  constructor(blockSize: number) {
    this.blockSize = blockSize;
  }

  /** @returns the error code that the operation must end with; undefined when it goes well, false when it says nothing. */
  apply(op: SharingOp): string | false | undefined {
    const unit = this.blockSize / 4;
    switch (op.op) {
      case 'write': {
        const at = (this.files[op.file] ??= { content: new Uint8Array(0), blocks: [] });
        if (op.length === 0) return undefined;
        this.#fill(at, op.offset * unit, op.length * unit, op.byte);
        return undefined;
      }
      case 'punch': {
        const at = this.files[op.file];
        if (!at) return false;
        const start = op.offset * unit;
        const end = start + op.length * unit;
        at.content.fill(0, start, end);
        const first = Math.ceil(start / this.blockSize);
        const last = Math.floor(end / this.blockSize);
        for (let i = first; i < Math.min(last, at.blocks.length); i++) at.blocks[i] = 0;
        this.#own(at, start, end);
        return undefined;
      }
      case 'truncate': {
        const at = this.files[op.file];
        if (!at) return false;
        this.#resize(at, op.size * unit);
        return undefined;
      }
      case 'unlink':
        if (!this.files[op.file]) return false;
        this.files[op.file] = undefined;
        return undefined;
      case 'clone': {
        const from = this.files[op.from];
        if (!from || op.from === op.to) return false;
        this.files[op.to] = { content: from.content.slice(), blocks: [...from.blocks] };
        return undefined;
      }
      case 'range':
        return this.#range(op);
      case 'unshare': {
        const at = this.files[op.file];
        if (!at) return false;
        at.blocks = at.blocks.map((block) => (block > 0 && this.#owners(block) > 1 ? this.#next++ : block));
        return undefined;
      }
      case 'dedupe':
        return undefined;
    }
  }

  #range(op: SharingOp & { op: 'range' }): string | false | undefined {
    const { blockSize } = this;
    const from = this.files[op.from];
    const to = this.files[op.to];
    if (!from || !to) return false;
    const source = op.source * blockSize;
    const target = op.target * blockSize;
    this.rangeLength = 0;
    if (source > from.content.length) return 'EINVAL';
    const toEnd = op.length === 0 || source + op.length * blockSize > from.content.length;
    const length = toEnd ? from.content.length - source : op.length * blockSize;
    this.rangeLength = toEnd ? 0 : length;
    if (length === 0) return undefined;
    if (length % blockSize !== 0 && target + length < to.content.length) return 'EINVAL';
    const count = Math.ceil(length / blockSize);
    if (from === to && op.source < op.target + count && op.target < op.source + count) return 'EINVAL';
    const bytes = from.content.slice(source, source + length);
    const blocks = Array.from({ length: count }, (_, i) => from.blocks[op.source + i] ?? 0);
    if (target + length > to.content.length) this.#resize(to, target + length);
    to.content.set(bytes, target);
    for (let i = 0; i < count; i++) to.blocks[op.target + i] = blocks[i]!;
    return undefined;
  }

  #fill(at: ModelFile, offset: number, length: number, byte: number): void {
    if (offset + length > at.content.length) this.#resize(at, offset + length);
    at.content.fill(byte, offset, offset + length);
    for (let i = Math.floor(offset / this.blockSize); i * this.blockSize < offset + length; i++) {
      if (!at.blocks[i] || this.#owners(at.blocks[i]!) > 1) at.blocks[i] = this.#next++;
    }
  }

  #resize(at: ModelFile, size: number): void {
    const old = at.content.length;
    const content = new Uint8Array(size);
    content.set(at.content.subarray(0, size));
    at.content = content;
    at.blocks.length = Math.ceil(size / this.blockSize);
    for (let i = 0; i < at.blocks.length; i++) at.blocks[i] ??= 0;
    this.#own(at, Math.min(old, size), Math.min(old, size));
  }

  /** The blocks in which a range starts and ends may have been zeroed in part: whether that made copies nobody says. */
  #own(at: ModelFile, start: number, end: number): void {
    for (const edge of [start, end]) {
      const block = Math.floor(edge / this.blockSize);
      if (edge % this.blockSize !== 0 && at.blocks[block]) this.maybeCopied.add(at.blocks[block]!);
    }
  }

  /** Blocks that a partial zeroing may have copied (it copies only what is not zero): their sharing is not compared. */
  readonly maybeCopied = new Set<number>();

  #owners(block: number): number {
    let count = 0;
    for (const each of this.files) for (const one of each?.blocks ?? []) if (one === block) count++;
    return count;
  }

  /** For each pair of file blocks: are they the same physical block? As groups of `file:block`, sorted. */
  sharing(): string[] {
    return groups(
      this.files.map((each) => each?.blocks),
      this.maybeCopied,
    );
  }

  /** The same for places found in an image, without the file blocks that are left out here. */
  sharingOf(places: readonly (readonly number[] | undefined)[]): string[] {
    const known = places.map((blocks, i) =>
      blocks?.map((place, block) => (this.maybeCopied.has(this.files[i]?.blocks[block] ?? 0) ? 0 : place)),
    );
    return groups(known, new Set());
  }

  /** Take over where the blocks are: after deduplication, whose choice is its own. */
  adopt(places: readonly (readonly number[] | undefined)[]): void {
    this.maybeCopied.clear();
    let most = this.#next;
    for (const [i, each] of this.files.entries()) {
      if (!each) continue;
      each.blocks = each.blocks.map((_, block) => places[i]?.[block] ?? 0);
      for (const block of each.blocks) most = Math.max(most, block + 1);
    }
    this.#next = most;
  }
}

/** Groups of two or more file blocks that are one physical block. */
function groups(files: readonly (readonly number[] | undefined)[], without: ReadonlySet<number>): string[] {
  const members = new Map<number, string[]>();
  for (const [i, blocks] of files.entries()) {
    for (const [block, place] of (blocks ?? []).entries()) {
      if (place === 0 || without.has(place)) continue;
      const list = members.get(place) ?? [];
      list.push(`${i}:${block}`);
      members.set(place, list);
    }
  }
  return [...members.values()]
    .filter((list) => list.length > 1)
    .map((list) => list.join(' '))
    .sort();
}

const encoder = new TextEncoder();

/** The same operations on an image. */
export class SharingEditor {
  readonly editor: Editor;

  constructor(editor: Editor) {
    this.editor = editor;
  }

  inode(index: number): number | undefined {
    const { volume } = this.editor;
    return volume.child(volume.root, encoder.encode(fileName(index)));
  }

  /** @returns the code of the error it ended with. */
  apply(op: SharingOp, model: SharingModel): string | undefined {
    try {
      this.#apply(op, model);
      return undefined;
    } catch (error) {
      if (!(error instanceof CadastreError) || error.family === 'internal' || error.family === 'corrupt') throw error;
      return error.code;
    }
  }

  #apply(op: SharingOp, model: SharingModel): void {
    const { editor } = this;
    const { rootInode, blockSize } = editor.volume.geometry;
    const unit = blockSize / 4;
    switch (op.op) {
      case 'write': {
        const name = encoder.encode(fileName(op.file));
        const number = this.inode(op.file) ?? create(editor, rootInode, name, { mode: MODE.FILE | 0o644 });
        writeAt(editor, number, op.offset * unit, new Uint8Array(op.length * unit).fill(op.byte));
        return;
      }
      case 'punch': {
        const number = this.inode(op.file)!;
        editor.chain((tx, units) =>
          punchHole(tx, editor.space, editor.data, editor.inode(tx, number), op.offset * unit, op.length * unit, units),
        );
        return;
      }
      case 'truncate':
        truncate(editor, this.inode(op.file)!, op.size * unit);
        return;
      case 'unlink':
        unlink(editor, rootInode, encoder.encode(fileName(op.file)));
        return;
      case 'clone':
        cloneFile(editor, this.inode(op.from)!, rootInode, encoder.encode(fileName(op.to)), true);
        return;
      case 'range':
        cloneRange(editor, this.inode(op.from)!, this.inode(op.to)!, {
          sourceOffset: op.source * blockSize,
          targetOffset: op.target * blockSize,
          length: model.rangeLength,
        });
        return;
      case 'unshare':
        unshare(editor, this.inode(op.file)!);
        return;
      case 'dedupe':
        this.dedupe(op.min);
    }
  }

  dedupe(minBlocks: number): DedupeResult {
    const { volume } = this.editor;
    const start = { inode: volume.root, path: encoder.encode('/') };
    return dedupe(this.editor, [start], { minBytes: minBlocks * volume.geometry.blockSize });
  }

  content(index: number): Uint8Array | undefined {
    const number = this.inode(index);
    if (number === undefined) return undefined;
    const inode = this.editor.volume.inode(number);
    const bytes = new Uint8Array(inode.size);
    this.editor.volume.fileReader(inode).read(0, bytes);
    return bytes;
  }

  /** Physical block + 1 of each file block, 0 in holes. */
  places(): (number[] | undefined)[] {
    const { volume } = this.editor;
    return Array.from({ length: FILES }, (_, index) => {
      const number = this.inode(index);
      if (number === undefined) return undefined;
      const inode = volume.inode(number);
      const places: number[] = new Array(Math.ceil(inode.size / volume.geometry.blockSize)).fill(0);
      forEachMapped(volume, inode, 'data', ({ fileBlock, ag, agBlock, blockCount, unwritten }) => {
        for (let i = 0; i < blockCount && fileBlock + i < places.length; i++) {
          if (!unwritten) places[fileBlock + i] = volume.geometry.fsBlock(ag, agBlock) + i + 1;
        }
      });
      return places;
    });
  }
}

/** The shell command that does the same on a mounted image; undefined for what only we do. */
export function kernelCommand(op: SharingOp, model: SharingModel): string | undefined {
  const { blockSize } = model;
  const unit = blockSize / 4;
  switch (op.op) {
    case 'write': {
      const bytes = `pwrite -q -S ${op.byte} ${op.offset * unit} ${op.length * unit}`;
      return op.length === 0 ? `touch ${fileName(op.file)}` : `xfs_io -f -c '${bytes}' ${fileName(op.file)}`;
    }
    case 'punch':
      if (op.length === 0) return 'true';
      return `xfs_io -c 'fpunch ${op.offset * unit} ${op.length * unit}' ${fileName(op.file)}`;
    case 'truncate':
      return `xfs_io -c 'truncate ${op.size * unit}' ${fileName(op.file)}`;
    case 'unlink':
      return `rm ${fileName(op.file)}`;
    case 'clone':
      return `cp --reflink=always ${fileName(op.from)} ${fileName(op.to)}`;
    case 'range': {
      const range = `${op.source * blockSize} ${op.target * blockSize} ${model.rangeLength}`;
      return `xfs_io -c 'reflink ${fileName(op.from)} ${range}' ${fileName(op.to)} >/dev/null`;
    }
    default:
      return undefined;
  }
}
