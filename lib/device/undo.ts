/**
 * Undo: a device that keeps what it writes over, and the way back.
 *
 * 1. Before a page of the image is first written over, its old bytes are in the undo file and durable. Small writes are
 *    gathered first, so that one flush of the undo file protects many of them.
 * 2. Reads see what was written, gathered or not; `flush` brings everything to the image.
 * 3. Undo restores every byte and the size. It can be cut off and repeated.
 * 4. It refuses when a page holds neither its old bytes nor what this edit wrote, or a watched range has changed: somebody
 *    went on working on the image, and the old bytes would tear that apart.
 */
import { crc32c } from '../../formats/checksum.ts';
import { corrupt, deviceError } from '../errors.ts';
import type { Device } from './device.ts';
import { checkRange } from './range.ts';
import { PAGE, SparsePages } from './sparse-map.ts';
import {
  decodeSeal,
  forEachBlock,
  forEachRun,
  KIND,
  OLD,
  readUndoHeader,
  type SavedRun,
  type Seal,
  UndoFileWriter,
  type WatchedRange,
} from './undo-file.ts';

/** Small writes held back, in pages. */
const MAX_PENDING = 2048;
/** Writes of at least so many bytes are not held back. */
const DIRECT_BYTES = 256 << 10;
/** Pages of one run. */
const RUN_PAGES = 256;
/** Bytes of the image where the file systems of this family have their uuid. */
const UUID_AT = 32;
const UUID_BYTES = 16;

/** One bit for each page of an image, only where one is set. */
class PageSet {
  readonly #chunks = new Map<number, Uint8Array>();

  has(page: number): boolean {
    const chunk = this.#chunks.get(Math.floor(page / 32768));
    return chunk !== undefined && (chunk[(page % 32768) >> 3]! & (1 << (page & 7))) !== 0;
  }

  add(page: number): void {
    const index = Math.floor(page / 32768);
    let chunk = this.#chunks.get(index);
    if (!chunk) this.#chunks.set(index, (chunk = new Uint8Array(4096)));
    chunk[(page % 32768) >> 3]! |= 1 << (page & 7);
  }
}

export class UndoDevice implements Device {
  readonly #image: Device;
  readonly #file: Device;
  readonly #writer: UndoFileWriter;
  readonly #pending = new SparsePages();
  readonly #saved = new PageSet();
  readonly #sizeBefore: number;
  readonly #watch: ((image: Device) => readonly WatchedRange[]) | undefined;
  #open = true;

  /**
   * @param file an empty file that nobody else has.
   * @param watch asked at the end: ranges that every later change of the image would touch.
   * @param isNew the image did not exist before.
   */
  constructor(image: Device, file: Device, watch?: (image: Device) => readonly WatchedRange[], isNew = false) {
    this.#image = image;
    this.#file = file;
    this.#watch = watch;
    this.#sizeBefore = image.size;
    this.#writer = UndoFileWriter.start(file, image.size, uuidOf(image), isNew);
  }

  get size(): number {
    return this.#image.size;
  }
  get readOnly(): boolean {
    return this.#image.readOnly;
  }
  /** Nothing was written over so far: there is nothing to undo. */
  get isEmpty(): boolean {
    return this.#writer.blocks === 0;
  }

  read(offset: number, into: Uint8Array): void {
    this.#image.read(offset, into);
    if (this.#pending.pages.size === 0) return;
    this.#pending.forEachPiece(offset, into.length, (page, inPage, at, count) => {
      const bytes = this.#pending.pages.get(page);
      if (bytes) into.set(bytes.subarray(inPage, inPage + count), at);
    });
  }

  write(offset: number, from: Uint8Array): void {
    checkRange(this.size, offset, from.length, 'write');
    if (from.length < DIRECT_BYTES) {
      this.#hold(offset, from);
      if (this.#pending.pages.size > MAX_PENDING) this.drain();
      return;
    }
    const start = Math.ceil(offset / PAGE) * PAGE;
    const end = Math.floor((offset + from.length) / PAGE) * PAGE;
    this.#hold(offset, from.subarray(0, start - offset));
    this.#hold(end, from.subarray(end - offset));
    this.drain();
    for (let at = start; at < end; at += RUN_PAGES * PAGE) {
      const bytes = from.subarray(at - offset, Math.min(end, at + RUN_PAGES * PAGE) - offset);
      this.#writer.save(this.#runs(at / PAGE, bytes));
      this.#image.write(at, bytes);
    }
  }

  flush(): void {
    this.drain();
    this.#image.flush();
  }

  dataIn(from: number, to: number): readonly [number, number] {
    return this.#pending.pages.size === 0 && this.#image.dataIn ? this.#image.dataIn(from, to) : [from, to];
  }

  /** Writes only where something else stands, so that a sparse file stays sparse. */
  zero(offset: number, length: number): void {
    checkRange(this.size, offset, length, 'write');
    const chunk = new Uint8Array(Math.min(length, RUN_PAGES * PAGE));
    for (let done = 0; done < length; done += chunk.length) {
      const piece = chunk.subarray(0, Math.min(chunk.length, length - done));
      this.read(offset + done, piece);
      if (isZero(piece)) continue;
      this.write(offset + done, piece.fill(0));
    }
  }

  resize(size: number): void {
    this.drain();
    const { size: now } = this;
    for (let at = Math.floor(size / PAGE) * PAGE; size < now && at < now; at += RUN_PAGES * PAGE) {
      // What is cut off is saved as if zeroes were written over it.
      const bytes = new Uint8Array(Math.min(RUN_PAGES * PAGE, Math.ceil((now - at) / PAGE) * PAGE));
      if (at < size) this.#image.read(at, bytes.subarray(0, size - at));
      this.#writer.save(this.#runs(at / PAGE, bytes));
    }
    this.#image.resize(size);
  }

  /** Write everything, note how the image looks, close both. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    try {
      this.drain();
      this.#image.flush();
      const watched = (this.#watch?.(this.#image) ?? []).map((range) => ({
        ...range,
        crc: crcOfRange(this.#image, range),
      }));
      this.#writer.seal({ size: this.size, watched });
    } finally {
      this.#file.close();
      this.#image.close();
    }
  }

  /** Close both as they are, without a word on the end: the edit failed, or is to look so. */
  abandon(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#file.close();
    this.#image.close();
  }

  /** Save what the held writes would overwrite, then write them. */
  drain(): void {
    const { pages } = this.#pending;
    if (pages.size === 0) return;
    const order = [...pages.keys()].sort((a, b) => a - b);
    const writes: { page: number; bytes: Uint8Array }[] = [];
    const runs: SavedRun[] = [];
    for (let i = 0; i < order.length; ) {
      const first = order[i]!;
      let count = 1;
      while (i + count < order.length && order[i + count] === first + count && count < RUN_PAGES) count++;
      const bytes = new Uint8Array(count * PAGE);
      for (let k = 0; k < count; k++) bytes.set(pages.get(first + k)!, k * PAGE);
      for (const run of this.#runs(first, bytes)) runs.push(run);
      writes.push({ page: first, bytes });
      i += count;
    }
    this.#writer.save(runs);
    pages.clear();
    for (const { page, bytes } of writes) {
      const length = Math.min(bytes.length, this.size - page * PAGE);
      this.#image.write(page * PAGE, bytes.subarray(0, length));
    }
  }

  #hold(offset: number, from: Uint8Array): void {
    this.#pending.forEachPiece(offset, from.length, (page, inPage, at, count) => {
      let bytes = this.#pending.pages.get(page);
      if (!bytes) {
        bytes = new Uint8Array(PAGE);
        if (count < PAGE) readPadded(this.#image, page * PAGE, bytes);
        this.#pending.pages.set(page, bytes);
      }
      bytes.set(from.subarray(at, at + count), inPage);
    });
  }

  /** What the undo file is to say before these whole pages are written. */
  #runs(first: number, content: Uint8Array): SavedRun[] {
    const runs: SavedRun[] = [];
    const pages = content.length / PAGE;
    for (let i = 0; i < pages; ) {
      const isNew = this.#isNew(first + i);
      let end = i + 1;
      while (end < pages && this.#isNew(first + end) === isNew) end++;
      const count = end - i;
      const newCrcs = new Uint32Array(count);
      for (let k = 0; k < count; k++) newCrcs[k] = crc32c(content.subarray((i + k) * PAGE, (i + k + 1) * PAGE));
      let bytes: Uint8Array | undefined;
      let old: number = OLD.NONE;
      if (isNew) {
        bytes = new Uint8Array(count * PAGE);
        readPadded(this.#image, (first + i) * PAGE, bytes);
        old = isZero(bytes) ? OLD.ZERO : OLD.BYTES;
        for (let k = 0; k < count; k++) this.#saved.add(first + i + k);
      }
      runs.push({ page: first + i, count, old, newCrcs, bytes: old === OLD.BYTES ? bytes : undefined });
      i = end;
    }
    return runs;
  }

  #isNew(page: number): boolean {
    return page * PAGE < this.#sizeBefore && !this.#saved.has(page);
  }
}

export interface UndoOptions {
  /** Restore although the image was changed since, or was restored already. */
  force?: boolean;
}

export interface UndoResult {
  /** Bytes put back. */
  restoredBytes: number;
  size: number;
  /** The edit had come to its end. */
  finished: boolean;
  /** There was no image before: what is left of it is nothing, and may go. */
  wasNew: boolean;
}

/**
 * Put an image back to what it was before the edit that wrote the undo file.
 * Throws `device` CHANGED_SINCE, OTHER_IMAGE, ALREADY_UNDONE (not with `force`), `corrupt` UNDO_DAMAGED; nothing is
 * written then.
 */
export function undo(image: Device, file: Device, options: UndoOptions = {}): UndoResult {
  const header = readUndoHeader(file);
  const state = new UndoState(header.size);
  const { blocks, bytes } = forEachBlock(file, (block) => state.take(block.kind, block.payload));
  if (!options.force) refuseChanged(image, header, state);
  file.resize(bytes); // a torn end goes
  const writer = new UndoFileWriter(file, blocks);
  writer.append(KIND.RESTORING, new Uint8Array(0));
  if (image.size < header.size) image.resize(header.size);
  let restoredBytes = 0;
  forEachBlock(file, ({ kind, payload }) => {
    if (kind !== KIND.SAVE) return;
    forEachRun(payload, ({ page, count, old, bytes: saved }) => {
      if (old === OLD.NONE) return;
      const offset = page * PAGE;
      const length = Math.min(count * PAGE, header.size - offset);
      if (saved) image.write(offset, saved.subarray(0, length));
      else image.zero(offset, length);
      restoredBytes += length;
    });
  });
  if (image.size !== header.size) image.resize(header.size);
  image.flush();
  writer.append(KIND.RESTORED, new Uint8Array(0));
  return { restoredBytes, size: header.size, finished: state.seal !== undefined, wasNew: header.isNew };
}

/** What the blocks of an undo file say, gathered. */
class UndoState {
  /** Page → CRCs it may have: what was written last, or everything that was ever written. */
  readonly last = new Map<number, number>();
  readonly earlier = new Map<number, number[]>();
  readonly old = new Map<number, number>();
  seal: Seal | undefined;
  restoring = false;
  restored = false;
  readonly #size: number;

  constructor(size: number) {
    this.#size = size;
  }

  take(kind: number, payload: Uint8Array): void {
    if (kind === KIND.SEAL) this.seal = decodeSeal(payload);
    else if (kind === KIND.RESTORING) {
      this.restoring = true;
      this.restored = false;
    } else if (kind === KIND.RESTORED) this.restored = true;
    else if (kind === KIND.SAVE) forEachRun(payload, (run) => this.#run(run));
  }

  #run({ page, count, old, newCrcs, bytes }: SavedRun): void {
    if (old !== OLD.NONE && (page + count - 1) * PAGE >= this.#size) {
      throw corrupt('UNDO_DAMAGED', 'the undo file is damaged: it names bytes behind the end of the image', {
        expected: `below ${this.#size}`,
        found: page * PAGE,
      });
    }
    for (let i = 0; i < count; i++) {
      const before = this.last.get(page + i);
      if (before !== undefined) {
        const list = this.earlier.get(page + i);
        if (list) list.push(before);
        else this.earlier.set(page + i, [before]);
      }
      this.last.set(page + i, newCrcs[i]!);
      // Behind the old end there was nothing, which an image made longer but not yet written shows as zeroes.
      const isBehind = old === OLD.NONE && !this.old.has(page + i);
      if (old === OLD.ZERO || isBehind) this.old.set(page + i, ZERO_CRC);
      else if (bytes) this.old.set(page + i, crc32c(bytes.subarray(i * PAGE, (i + 1) * PAGE)));
    }
  }

  /** May a page have this CRC? An edit or an undo that was cut off leaves some pages old, some new. */
  allows(page: number, crc: number): boolean {
    if (crc === this.last.get(page)) return true;
    if (this.seal && !this.restoring) return false;
    return crc === this.old.get(page) || this.earlier.get(page)?.includes(crc) === true;
  }
}

const ZERO_CRC = crc32c(new Uint8Array(PAGE));

function refuseChanged(image: Device, header: { size: number; uuid: Uint8Array }, state: UndoState): void {
  if (state.restored) throw deviceError('ALREADY_UNDONE', 'this undo file was used before: the image was restored');
  const { seal } = state;
  const isWhole = seal !== undefined && !state.restoring;
  const page = new Uint8Array(PAGE);
  let wrong: string | undefined;
  if (isWhole && image.size !== seal.size) wrong = `it has ${image.size} bytes, not ${seal.size}`;
  if (isWhole && wrong === undefined) {
    const range = seal.watched.find((each) => crcOfRange(image, each) !== each.crc);
    if (range) wrong = `bytes ${range.offset} to ${range.offset + range.length} are not what the edit left there`;
  }
  if (wrong === undefined) {
    // Cut off in the middle of a restoration, the page the old end lies in may be old before it and new behind it.
    const mixed = state.restoring && header.size % PAGE !== 0 ? Math.floor(header.size / PAGE) : -1;
    for (const each of state.last.keys()) {
      if (each === mixed) continue;
      readPadded(image, each * PAGE, page);
      if (state.allows(each, crc32c(page))) continue;
      wrong = `byte ${each * PAGE} and those behind it are not what the edit left there`;
      break;
    }
  }
  if (wrong === undefined) return;
  const uuid = uuidOf(image);
  const isOther = !state.last.has(0) && header.uuid.some((byte, i) => byte !== uuid[i]);
  throw isOther
    ? deviceError('OTHER_IMAGE', `the undo file belongs to another image: ${wrong}`)
    : deviceError('CHANGED_SINCE', `the image was changed after the edit that is to be undone: ${wrong}`);
}

function uuidOf(image: Device): Uint8Array {
  const uuid = new Uint8Array(UUID_BYTES);
  if (image.size >= UUID_AT + UUID_BYTES) image.read(UUID_AT, uuid);
  return uuid;
}

/** Bytes of the device, zeroes behind its end. */
function readPadded(device: Device, offset: number, into: Uint8Array): void {
  const there = Math.max(0, Math.min(into.length, device.size - offset));
  if (there > 0) device.read(offset, into.subarray(0, there));
  into.fill(0, there);
}

function crcOfRange(device: Device, { offset, length }: WatchedRange): number {
  const piece = new Uint8Array(Math.min(length, 1 << 20));
  let crc = 0;
  for (let done = 0; done < length; done += piece.length) {
    const part = piece.subarray(0, Math.min(piece.length, length - done));
    readPadded(device, offset + done, part);
    crc = crc32c(part, crc);
  }
  return crc;
}

function isZero(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) return false;
  return true;
}
