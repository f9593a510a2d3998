/**
 * Field tables. A structure on disk is declared once, as an ordered table of fields; from that table come the movable
 * view (fast access to the bytes), the inspector (`db`), the damage tool, docs/FORMAT.md and the layout test.
 *
 * 1. A table has no gap, no overlap and ends exactly at the structure's size: checked when it is loaded.
 * 2. A view owns nothing: it is a DataView and an offset. Never keep one past the call that made it; `toObject` copies.
 * 3. u64 fields read as Number. The null value (all ones) reads and writes as NULL64; any other value above 2^53 loses
 *    low bits, so a verifier must reject it. Owner and flag words use `u64hl`, which gives two u32: nameHi, nameLo.
 */

/** All ones in a 64-bit field ("null"). 2^64 as a Number: what (2^32-1)*2^32 + (2^32-1) rounds to. */
export const NULL64 = 2 ** 64;
/** All ones in a 32-bit field ("null"). */
export const NULL32 = 0xffffffff;

const TWO32 = 2 ** 32;

/** How the bytes of a field are read. `le` kinds are for CRC fields and for log items in host order. */
export interface FieldKind<Name extends string = string> {
  readonly kind: Name;
  readonly size: number;
  /** Array kinds: element count; the accessor is then a `DataView`-backed get/set pair. */
  readonly count?: number;
}

const kind = <N extends string>(name: N, size: number): FieldKind<N> => ({ kind: name, size });
export const u8 = kind('u8', 1);
export const u16 = kind('u16', 2);
export const u32 = kind('u32', 4);
/** 64-bit number read as a JavaScript Number (see invariant 3). */
export const u64 = kind('u64', 8);
/** 64-bit word read as two u32: `nameHi` and `nameLo`. */
export const u64hl = kind('u64hl', 8);
export const u16le = kind('u16le', 2);
export const u32le = kind('u32le', 4);
export const u64le = kind('u64le', 8);
/** 64-bit little-endian word read as two u32: `nameHi` and `nameLo`. */
export const u64hlle = kind('u64hlle', 8);
/** Raw bytes; the accessor returns a view of the underlying bytes (no copy), the setter copies in. */
export const bytes = (size: number): FieldKind<'bytes'> => kind('bytes', size);
/** Bytes that must be zero; no accessor. */
export const pad = (size: number): FieldKind<'pad'> => kind('pad', size);
/** An array of u32 (big-endian); accessor `name(i)`, setter `setName(i, value)` through `u32At`/`setU32At`. */
export const u32s = (count: number): FieldKind<'u32s'> => ({ kind: 'u32s', size: 4 * count, count });

type NumberKind = 'u8' | 'u16' | 'u32' | 'u64' | 'u16le' | 'u32le' | 'u64le';
type HiLoKind = 'u64hl' | 'u64hlle';

/** offset, kind, meaning, and (optionally) what the value points at, for the inspector and the damage tool. */
export type FieldSpec = readonly [offset: number, kind: FieldKind, meaning: string, target?: string];
export type FieldTable = { readonly [name: string]: FieldSpec };

/** One field of a structure, as data. */
export interface Field {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
  readonly kind: string;
  readonly count: number;
  readonly meaning: string;
  readonly target: string | undefined;
}

type KindOf<S> = S extends readonly [number, FieldKind<infer K>, ...unknown[]] ? K : never;
type Accessors<T> = {
  -readonly [N in keyof T as KindOf<T[N]> extends NumberKind ? N : never]: number;
} & {
  -readonly [N in keyof T as KindOf<T[N]> extends HiLoKind ? `${N & string}Hi` | `${N & string}Lo` : never]: number;
} & {
  -readonly [N in keyof T as KindOf<T[N]> extends 'bytes' ? N : never]: Uint8Array;
};

/** A movable window over a structure: `at` moves it, the accessors read and write the bytes in place. */
export type View<T> = BaseView & Accessors<T>;

export class BaseView {
  view: DataView;
  base: number;
  constructor() {
    this.view = EMPTY;
    this.base = 0;
  }
  /** Move this view to another place; returns itself. */
  at(view: DataView, offset = 0): this {
    this.view = view;
    this.base = offset;
    return this;
  }
}
const EMPTY = new DataView(new ArrayBuffer(0));

export interface Struct<T extends FieldTable = FieldTable> {
  readonly name: string;
  readonly size: number;
  readonly fields: readonly Field[];
  /** Byte offset of every field: `Agf.offsets.freeblks`. */
  readonly offsets: { readonly [N in keyof T]: number };
  /** A new view, unplaced. Make one per cursor or per module, then move it with `at`. */
  view(): View<T>;
  /** A new view placed at an offset: for code that is not hot. */
  at(view: DataView, offset?: number): View<T>;
  /** A copy of all fields as plain values: numbers, bigint for u64hl, hex text for bytes, arrays for u32s. */
  toObject(view: DataView, offset?: number): Record<string, unknown>;
}

/** The greatest Number below NULL64: what other words near "null" read as, which would round up to it. */
const ALMOST_NULL64 = NULL64 - 2048;

/** Read a 64-bit big-endian Number. All ones, and nothing else, gives NULL64. */
export function getU64(view: DataView, offset: number): number {
  const high = view.getUint32(offset);
  const low = view.getUint32(offset + 4);
  if (high !== NULL32) return high * TWO32 + low;
  return low === NULL32 ? NULL64 : Math.min(high * TWO32 + low, ALMOST_NULL64);
}
/** Write a 64-bit big-endian Number; NULL64 writes all ones. */
export function setU64(view: DataView, offset: number, value: number): void {
  if (value >= NULL64) {
    view.setUint32(offset, NULL32);
    view.setUint32(offset + 4, NULL32);
  } else {
    view.setUint32(offset, Math.floor(value / TWO32));
    view.setUint32(offset + 4, value % TWO32);
  }
}

/**
 * Declare a structure. Throws at load time when the table leaves a gap, overlaps or does not end at `size`.
 * @param size bytes; the last field must end exactly there.
 */
export function struct<const T extends FieldTable>(name: string, size: number, table: T): Struct<T> {
  const fields: Field[] = [];
  const offsets: Record<string, number> = {};
  let end = 0;
  class StructView extends BaseView {}
  for (const [fieldName, [offset, fieldKind, meaning, target]] of Object.entries(table)) {
    if (offset !== end) throw new Error(`${name}.${fieldName}: at ${offset}, the field before it ends at ${end}`);
    end += fieldKind.size;
    offsets[fieldName] = offset;
    fields.push({
      name: fieldName,
      offset,
      size: fieldKind.size,
      kind: fieldKind.kind,
      count: fieldKind.count ?? 1,
      meaning,
      target,
    });
    defineAccessors(StructView.prototype, fieldName, offset, fieldKind);
  }
  if (end !== size) throw new Error(`${name}: fields end at ${end}, size is ${size}`);
  return {
    name,
    size,
    fields,
    offsets: offsets as { [N in keyof T]: number },
    view: () => new StructView() as View<T>,
    at: (view, offset = 0) => new StructView().at(view, offset) as View<T>,
    toObject: (view, offset = 0) => structToObject(fields, view, offset),
  };
}

function defineAccessors(prototype: BaseView, name: string, offset: number, fieldKind: FieldKind): void {
  const define = (key: string, get: (this: BaseView) => unknown, set: (this: BaseView, value: never) => void) => {
    if (key === 'view' || key === 'base' || key === 'at')
      throw new Error(`field name ${key} is taken by the view itself`);
    Object.defineProperty(prototype, key, { get, set, enumerable: true });
  };
  const word = (key: string, at: number, le: boolean) =>
    define(
      key,
      function () {
        return this.view.getUint32(this.base + at, le);
      },
      function (value: number) {
        this.view.setUint32(this.base + at, value, le);
      },
    );
  switch (fieldKind.kind) {
    case 'u8':
      return void define(
        name,
        function () {
          return this.view.getUint8(this.base + offset);
        },
        function (value: number) {
          this.view.setUint8(this.base + offset, value);
        },
      );
    case 'u16':
      return void define(
        name,
        function () {
          return this.view.getUint16(this.base + offset);
        },
        function (value: number) {
          this.view.setUint16(this.base + offset, value);
        },
      );
    case 'u16le':
      return void define(
        name,
        function () {
          return this.view.getUint16(this.base + offset, true);
        },
        function (value: number) {
          this.view.setUint16(this.base + offset, value, true);
        },
      );
    case 'u32':
      return void define(
        name,
        function () {
          return this.view.getUint32(this.base + offset);
        },
        function (value: number) {
          this.view.setUint32(this.base + offset, value);
        },
      );
    case 'u32le':
      word(name, offset, true);
      return;
    case 'u64':
      return void define(
        name,
        function () {
          return getU64(this.view, this.base + offset);
        },
        function (value: number) {
          setU64(this.view, this.base + offset, value);
        },
      );
    case 'u64le':
      return void define(
        name,
        function () {
          return (
            this.view.getUint32(this.base + offset + 4, true) * TWO32 + this.view.getUint32(this.base + offset, true)
          );
        },
        function (value: number) {
          const ones = value >= NULL64;
          this.view.setUint32(this.base + offset + 4, ones ? NULL32 : Math.floor(value / TWO32), true);
          this.view.setUint32(this.base + offset, ones ? NULL32 : value % TWO32, true);
        },
      );
    case 'u64hl':
      word(`${name}Hi`, offset, false);
      word(`${name}Lo`, offset + 4, false);
      return;
    case 'u64hlle':
      word(`${name}Hi`, offset + 4, true);
      word(`${name}Lo`, offset, true);
      return;
    case 'bytes':
      return void define(
        name,
        function () {
          return new Uint8Array(this.view.buffer, this.view.byteOffset + this.base + offset, fieldKind.size);
        },
        function (value: Uint8Array) {
          new Uint8Array(this.view.buffer, this.view.byteOffset + this.base + offset, fieldKind.size).set(value);
        },
      );
    default:
      return; // pad and u32s have no accessor: arrays are read with `view.getUint32(offset + offsets.name + 4 * i)`
  }
}

function structToObject(fields: readonly Field[], view: DataView, base: number): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const field of fields) {
    if (field.kind !== 'pad') out[field.name] = readField(field, view, base);
  }
  return out;
}

/** Read one field as a plain value: number, bigint (u64hl kinds), hex text (bytes) or array of numbers (u32s). */
export function readField(field: Field, view: DataView, base = 0): unknown {
  const at = base + field.offset;
  switch (field.kind) {
    case 'u8':
      return view.getUint8(at);
    case 'u16':
      return view.getUint16(at);
    case 'u16le':
      return view.getUint16(at, true);
    case 'u32':
      return view.getUint32(at);
    case 'u32le':
      return view.getUint32(at, true);
    case 'u64':
      return getU64(view, at);
    case 'u64le':
      return Number(view.getBigUint64(at, true));
    case 'u64hl':
      return view.getBigUint64(at);
    case 'u64hlle':
      return view.getBigUint64(at, true);
    case 'u32s':
      return Array.from({ length: field.count }, (_, i) => view.getUint32(at + 4 * i));
    default:
      return Array.from(new Uint8Array(view.buffer, view.byteOffset + at, field.size), (b) =>
        b.toString(16).padStart(2, '0'),
      ).join('');
  }
}
