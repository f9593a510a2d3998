/**
 * What a scene works with: the image, its files and their extents, and ways to change things that are written down as they
 * are done. Everything goes straight to the device.
 */
import { BTREES } from '../../../formats/btree-blocks.ts';
import type { Geometry } from '../../../formats/geometry.ts';
import type { Device } from '../../device/device.ts';
import { CadastreError, usage } from '../../errors.ts';
import type { Inode } from '../../file/inode.ts';
import { readBytes } from '../../inspect/dump.ts';
import { joinPath, showPath } from '../../volume/path.ts';
import { Volume } from '../../volume/volume.ts';
import { seeded } from '../bits.ts';
import { damage, type FieldChange, readTarget, writeTarget } from '../damage.ts';
import type { PlacedRecord } from '../enumerate.ts';
import { type ForkMap, mapFork, type PlacedExtent } from '../fork-map.ts';
import { locate } from '../locate.ts';
import { type ForkName, type Place, placeWords } from '../place.ts';

/** Bytes that were written over. */
export interface RangeChange {
  readonly what: string;
  readonly byte: number;
  readonly length: number;
  /** Hexadecimal, of short ranges only. */
  readonly before?: string;
  readonly after?: string;
}

/** A file of the image and where its data is. */
export interface FileMap {
  readonly path: string;
  readonly inode: number;
  readonly map: ForkMap;
}

/** Files that a scene without paths chooses from. */
const MOST_FILES = 2000;
/** Longest range whose bytes are kept for the report. */
const SHOWN_BYTES = 256;

export class Stage {
  readonly device: Device;
  readonly geometry: Geometry;
  readonly paths: readonly string[];
  readonly count: number | undefined;
  readonly random: () => number;
  readonly changes: (FieldChange | RangeChange)[] = [];
  /** Paths of everything that is involved. */
  readonly involved = new Set<string>();
  readonly #scene: string;
  #volume: Volume | undefined;
  #files: FileMap[] | undefined;
  #directories: FileMap[] = [];

  constructor(
    device: Device,
    geometry: Geometry,
    scene: string,
    options: { paths?: readonly string[]; seed?: number; count?: number },
  ) {
    this.device = device;
    this.geometry = geometry;
    this.#scene = scene;
    this.paths = options.paths ?? [];
    this.count = options.count;
    this.random = seeded(options.seed ?? 1);
  }

  get volume(): Volume {
    return (this.#volume ??= Volume.open(this.device, { allowUnfinished: true }));
  }

  impossible(why: string): CadastreError {
    return usage('SCENE_IMPOSSIBLE', `${this.#scene}: ${why}`);
  }

  /** A whole number below `limit`. */
  pick(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  /** The items in an order that the seed decides. */
  shuffled<T>(items: readonly T[]): T[] {
    const list = [...items];
    for (let i = list.length - 1; i > 0; i--) {
      const k = this.pick(i + 1);
      [list[i], list[k]] = [list[k]!, list[i]!];
    }
    return list;
  }

  inode(path: string): Inode {
    return this.volume.resolve(path, false);
  }

  fork(inode: number, fork: ForkName = 'data'): ForkMap {
    return mapFork(this.device, this.geometry, inode, fork);
  }

  file(path: string): FileMap {
    const { number } = this.inode(path);
    return { path, inode: number, map: this.fork(number) };
  }

  /** Files with data of their own, or those that were named. In the order of the names, or as the seed has it. */
  files(): FileMap[] {
    if (this.paths.length > 0) return this.paths.map((path) => this.file(path));
    if (!this.#files) this.#walk();
    return this.shuffled(this.#files!.filter(({ map }) => map.extents.length > 0));
  }

  /** Directories but the root; those named come first. */
  directories(): FileMap[] {
    const named = this.paths.map((path) => this.inode(path)).flatMap((inode, i) => (inode.isDirectory ? [i] : []));
    if (named.length > 0) return named.map((i) => this.file(this.paths[i]!));
    if (!this.#files) this.#walk();
    return this.shuffled(this.#directories);
  }

  /** Named regular files, else any. */
  regularFiles(): FileMap[] {
    if (this.paths.length === 0) return this.files();
    const named = this.paths.filter((path) => this.inode(path).isFile);
    if (named.length > 0) return named.map((path) => this.file(path));
    if (!this.#files) this.#walk();
    return this.shuffled(this.#files!.filter(({ map }) => map.extents.length > 0));
  }

  #walk(): void {
    const files: FileMap[] = [];
    this.#directories = [];
    const { volume } = this;
    const seen = new Set<number>();
    const pending: { path: Uint8Array; inode: number }[] = [{ path: Uint8Array.of(0x2f), inode: volume.root.number }];
    for (let next = pending.shift(); next && files.length < MOST_FILES; next = pending.shift()) {
      if (seen.has(next.inode)) continue;
      seen.add(next.inode);
      try {
        const inode = volume.inode(next.inode);
        const found = () => ({ path: showPath(next!.path), inode: inode.number, map: this.fork(inode.number) });
        if (inode.isFile) files.push(found());
        if (!inode.isDirectory) continue;
        if (next.path.length > 1) this.#directories.push(found());
        for (const entry of volume.sortedEntries(inode)) {
          pending.push({ path: joinPath(next.path, entry.name), inode: entry.inode });
        }
      } catch (error) {
        // What is damaged already is no stage for more.
        if (!(error instanceof CadastreError)) throw error;
      }
    }
    this.#files = files;
  }

  /** Set a field, CRC made right. */
  set(place: Place, field: string, value: number | bigint): void {
    const change = damage(this.device, this.geometry, { place, field, verb: 'value', value: BigInt(value) });
    if (change.after !== change.before) this.changes.push(change);
  }

  /** Point an extent somewhere else. */
  aim(extent: PlacedExtent, startBlock: number): void {
    this.set(extent.place, `${extent.field}.startBlock`, startBlock);
  }

  /** Write bytes over a range. */
  overwrite(what: string, byte: number, bytes: Uint8Array): void {
    const length = Math.min(bytes.length, this.device.size - byte);
    if (length <= 0) throw this.impossible(`the image ends before byte ${byte}`);
    const short = length <= SHOWN_BYTES;
    const before = short ? hex(new Uint8Array(readBytes(this.device, byte, length).buffer)) : undefined;
    this.device.write(byte, bytes.subarray(0, length));
    const shown = short ? { before: before!, after: hex(bytes.subarray(0, length)) } : {};
    this.changes.push({ what, byte, length, ...shown });
  }

  /** Write bytes over a part of a structure, CRC made right. */
  replace(what: string, place: Place, at: number, bytes: Uint8Array): void {
    const target = locate(this.device, this.geometry, place);
    const whole = readTarget(this.device, target);
    const { byte } = target.ranges[0]!;
    const before = hex(whole.subarray(at, at + bytes.length));
    whole.set(bytes, at);
    target.seal?.(whole);
    writeTarget(this.device, target, whole);
    this.changes.push({ what, byte: byte + at, length: bytes.length, before, after: hex(bytes) });
  }

  garbage(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = this.pick(256);
    return bytes;
  }

  block(fsBlock: number): Uint8Array {
    return new Uint8Array(readBytes(this.device, this.geometry.fsBlockToByte(fsBlock), this.geometry.blockSize).buffer);
  }

  /** Take a record out of its leaf, CRC made right. */
  removeRecord({ place, index }: PlacedRecord): void {
    const target = locate(this.device, this.geometry, place);
    const bytes = readTarget(this.device, target);
    const view = new DataView(bytes.buffer);
    const { headerSize, recordSize } = BTREES[place.tree];
    const count = view.getUint16(6);
    const at = headerSize + index * recordSize;
    const before = hex(bytes.subarray(at, at + recordSize));
    bytes.copyWithin(at, at + recordSize, headerSize + count * recordSize);
    bytes.fill(0, headerSize + (count - 1) * recordSize, headerSize + count * recordSize);
    view.setUint16(6, count - 1);
    target.seal!(bytes);
    writeTarget(this.device, target, bytes);
    const what = `${placeWords(place).join(' ')}: record ${index} taken out`;
    this.changes.push({ what, byte: target.ranges[0]!.byte + at, length: recordSize, before, after: '' });
  }
}

function hex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0');
  return text;
}
