/**
 * The undo file: what an image held before it was changed.
 *
 *   header (64 bytes)  magic, version, CRC, size and uuid of the image as it was, whether there was one
 *   block, block ...   each: 64 bytes of header with its own CRC, then a payload with another; appended, never rewritten
 *
 * A SAVE block holds entries (runs of 4 KiB pages), the CRC of every page as it was written over them, and the old bytes. A
 * SEAL says that the edit came to its end and how the image looked then. RESTORING and RESTORED are put behind by undo
 * itself. All numbers are big-endian; addresses are 2 x 32 bits. A torn last block counts for nothing: the writes it was
 * to protect never happened. Damage before that is an error.
 */
import { crc32c, crcWithHole } from '../../formats/checksum.ts';
import { corrupt, unsupported } from '../errors.ts';
import type { Device } from './device.ts';
import { PAGE } from './sparse-map.ts';

const FILE_MAGIC = Uint8Array.from('CDSTUNDO', (letter) => letter.charCodeAt(0));
const VERSION = 1;
const BLOCK_MAGIC = 0x55424c4b;
const HEAD = 64;
const HEADER_CRC = 12;
/** 1: there was no image; 0 otherwise. */
const HEADER_IS_NEW = 40;
const BLOCK_CRC = 4;
/** No block is longer: what a damaged length says is not believed. */
const MAX_PAYLOAD = 64 << 20;

export const KIND = { SAVE: 1, SEAL: 2, RESTORING: 3, RESTORED: 4 } as const;
/** What an entry says of the old bytes of its pages. */
export const OLD = { BYTES: 0, ZERO: 1, NONE: 2 } as const;
export const ENTRY_BYTES = 16;

/** Pages of an image that are written, with what an entry says of them. */
export interface SavedRun {
  readonly page: number;
  readonly count: number;
  readonly old: number;
  /** CRC of each page after the write. */
  readonly newCrcs: Uint32Array;
  /** count x 4 KiB (zeroes behind the end of the image), for OLD.BYTES. */
  readonly bytes: Uint8Array | undefined;
}

/** A range of the image whose state at the end of the edit was noted, in bytes. */
export interface WatchedRange {
  readonly offset: number;
  readonly length: number;
}

export interface Seal {
  readonly size: number;
  readonly watched: readonly (WatchedRange & { readonly crc: number })[];
}

/** A block as it is read: payload valid until the next one is. */
export interface UndoBlock {
  readonly kind: number;
  readonly payload: Uint8Array;
}

/** Appends blocks. */
export class UndoFileWriter {
  readonly #file: Device;
  #sequence: number;

  /** @param sequence blocks that are in the file already. */
  constructor(file: Device, sequence: number) {
    this.#file = file;
    this.#sequence = sequence;
  }

  /** Blocks in the file. */
  get blocks(): number {
    return this.#sequence;
  }

  /** Start an empty file. @param isNew the image did not exist. */
  static start(file: Device, imageSize: number, uuid: Uint8Array, isNew: boolean): UndoFileWriter {
    const head = new Uint8Array(HEAD);
    const view = new DataView(head.buffer);
    head.set(FILE_MAGIC);
    view.setUint32(8, VERSION);
    putAddress(view, 16, imageSize);
    head.set(uuid.subarray(0, 16), 24);
    head[HEADER_IS_NEW] = isNew ? 1 : 0;
    view.setUint32(HEADER_CRC, crcWithHole(head, HEADER_CRC));
    file.resize(HEAD);
    file.write(0, head);
    file.flush();
    return new UndoFileWriter(file, 0);
  }

  /** Append a block and make it durable. */
  append(kind: number, payload: Uint8Array): void {
    const head = new Uint8Array(HEAD);
    const view = new DataView(head.buffer);
    view.setUint32(0, BLOCK_MAGIC);
    view.setUint32(8, kind);
    view.setUint32(12, this.#sequence++);
    view.setUint32(16, payload.length);
    view.setUint32(20, crc32c(payload));
    view.setUint32(BLOCK_CRC, crcWithHole(head, BLOCK_CRC));
    const at = Math.ceil(this.#file.size / HEAD) * HEAD;
    this.#file.resize(at + HEAD + payload.length);
    this.#file.write(at, head);
    this.#file.write(at + HEAD, payload);
    this.#file.flush();
  }

  save(runs: readonly SavedRun[]): void {
    let length = 4;
    for (const { count, bytes } of runs) length += ENTRY_BYTES + count * 4 + (bytes?.length ?? 0);
    const payload = new Uint8Array(length);
    const view = new DataView(payload.buffer);
    view.setUint32(0, runs.length);
    let at = 4;
    for (const { page, count, old, newCrcs, bytes } of runs) {
      putAddress(view, at, page);
      view.setUint32(at + 8, count);
      view.setUint32(at + 12, old);
      at += ENTRY_BYTES;
      for (let i = 0; i < count; i++, at += 4) view.setUint32(at, newCrcs[i]!);
      if (bytes) payload.set(bytes, at);
      at += bytes?.length ?? 0;
    }
    this.append(KIND.SAVE, payload);
  }

  seal(seal: Seal): void {
    const payload = new Uint8Array(12 + seal.watched.length * 16);
    const view = new DataView(payload.buffer);
    putAddress(view, 0, seal.size);
    view.setUint32(8, seal.watched.length);
    seal.watched.forEach(({ offset, length, crc }, i) => {
      putAddress(view, 12 + i * 16, offset);
      view.setUint32(20 + i * 16, length);
      view.setUint32(24 + i * 16, crc);
    });
    this.append(KIND.SEAL, payload);
  }
}

/** What the header says of the image as it was. Throws `unsupported` NOT_AN_UNDO_FILE, `corrupt` UNDO_DAMAGED. */
export function readUndoHeader(file: Device): { size: number; uuid: Uint8Array; isNew: boolean } {
  const head = new Uint8Array(HEAD);
  if (file.size >= HEAD) file.read(0, head);
  if (FILE_MAGIC.some((byte, i) => byte !== head[i])) {
    throw unsupported('NOT_AN_UNDO_FILE', 'this is no undo file (or one that was cut off before its first write)');
  }
  const view = new DataView(head.buffer);
  if (view.getUint32(HEADER_CRC) !== crcWithHole(head, HEADER_CRC)) throw damaged('header', 0);
  if (view.getUint32(8) !== VERSION) {
    throw unsupported('UNDO_VERSION', `undo file of version ${view.getUint32(8)}: this tool reads version ${VERSION}`);
  }
  return { size: address(view, 16), uuid: head.slice(24, 40), isNew: head[HEADER_IS_NEW] === 1 };
}

/**
 * Visit all blocks in order, each checked. Throws `corrupt` UNDO_DAMAGED when anything but the end of the file is damaged.
 * @returns how many blocks there are, and how many bytes the file has up to the end of the last one.
 */
export function forEachBlock(file: Device, visit: (block: UndoBlock) => void): { blocks: number; bytes: number } {
  const head = new Uint8Array(HEAD);
  const view = new DataView(head.buffer);
  let sequence = 0;
  let end = HEAD;
  for (let at = HEAD; at + HEAD <= file.size; ) {
    file.read(at, head);
    const length = view.getUint32(16);
    if (!isBlockHead(view, head, sequence) || at + HEAD + length > file.size) {
      refuseLater(file, at + HEAD, sequence);
      break;
    }
    const payload = new Uint8Array(length);
    file.read(at + HEAD, payload);
    if (crc32c(payload) !== view.getUint32(20)) {
      refuseLater(file, at + HEAD, sequence);
      break;
    }
    visit({ kind: view.getUint32(8), payload });
    sequence++;
    end = at + HEAD + length;
    at = Math.ceil(end / HEAD) * HEAD;
  }
  return { blocks: sequence, bytes: end };
}

function isBlockHead(view: DataView, head: Uint8Array, sequence: number): boolean {
  return (
    view.getUint32(0) === BLOCK_MAGIC &&
    view.getUint32(BLOCK_CRC) === crcWithHole(head, BLOCK_CRC) &&
    view.getUint32(12) === sequence &&
    view.getUint32(16) <= MAX_PAYLOAD
  );
}

/** A bad block is the torn end only when no good one stands behind it. */
function refuseLater(file: Device, from: number, sequence: number): void {
  const chunk = new Uint8Array(1 << 20);
  for (let start = from; start < file.size; start += chunk.length) {
    const part = chunk.subarray(0, Math.min(chunk.length, file.size - start));
    file.read(start, part);
    for (let at = 0; at + HEAD <= part.length; at += HEAD) {
      if (part[at] !== BLOCK_MAGIC >>> 24) continue;
      const head = part.slice(at, at + HEAD);
      const view = new DataView(head.buffer);
      const later = view.getUint32(12);
      if (view.getUint32(0) === BLOCK_MAGIC && later > sequence && isBlockHead(view, head, later)) {
        throw damaged(`block ${sequence}`, from - HEAD);
      }
    }
  }
}

/** The runs of a SAVE block. Throws `corrupt` UNDO_DAMAGED when they do not fill it. */
export function forEachRun(payload: Uint8Array, visit: (run: SavedRun) => void): void {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const entries = payload.length < 4 ? -1 : view.getUint32(0);
  let at = 4;
  for (let i = 0; i < entries; i++) {
    if (at + ENTRY_BYTES > payload.length) throw damaged('an entry', at);
    const page = address(view, at);
    const count = view.getUint32(at + 8);
    const old = view.getUint32(at + 12);
    at += ENTRY_BYTES;
    const length = old === OLD.BYTES ? count * PAGE : 0;
    if (at + count * 4 + length > payload.length) throw damaged('an entry', at);
    const newCrcs = new Uint32Array(count);
    for (let k = 0; k < count; k++, at += 4) newCrcs[k] = view.getUint32(at);
    visit({ page, count, old, newCrcs, bytes: old === OLD.BYTES ? payload.subarray(at, at + length) : undefined });
    at += length;
  }
  if (at !== payload.length) throw damaged('an entry', at);
}

export function decodeSeal(payload: Uint8Array): Seal {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  if (payload.length < 12 || payload.length !== 12 + view.getUint32(8) * 16) throw damaged('the seal', 0);
  const watched = Array.from({ length: view.getUint32(8) }, (_, i) => ({
    offset: address(view, 12 + i * 16),
    length: view.getUint32(20 + i * 16),
    crc: view.getUint32(24 + i * 16),
  }));
  return { size: address(view, 0), watched };
}

function putAddress(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / 2 ** 32));
  view.setUint32(at + 4, value % 2 ** 32);
}

function address(view: DataView, at: number): number {
  return view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);
}

function damaged(what: string, at: number): Error {
  return corrupt('UNDO_DAMAGED', `the undo file is damaged: ${what}`, {
    where: { structure: 'undo file', block: Math.floor(at / HEAD) },
  });
}
