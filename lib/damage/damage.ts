/**
 * Damage on purpose: one field of one structure, by name. Written straight to the device, past log and transactions: what
 * bit rot does (CRC kept, so it no longer fits) or a bug of a driver does (CRC made right).
 */
import type { Geometry } from '../../formats/geometry.ts';
import type { Device } from '../device/device.ts';
import { usage } from '../errors.ts';
import { applyVerb, type BitField, readBits, seeded, type Verb, writeBits } from './bits.ts';
import { locate, type Target } from './locate.ts';
import { type Place, placeWords } from './place.ts';

export interface DamageSpec {
  readonly place: Place;
  readonly field: string;
  readonly verb: Verb;
  /** For add, sub and value. */
  readonly value?: bigint | undefined;
  /** Make the CRC right afterwards (default), or leave it: then it no longer fits. */
  readonly crc?: 'fix' | 'keep' | undefined;
  /** For random. Default 1. */
  readonly seed?: number | undefined;
}

/** What was changed: one field, in words that can be typed again. */
export interface FieldChange {
  readonly what: string;
  readonly structure: string;
  readonly field: string;
  /** Where the field starts on the device, and its bits. */
  readonly byte: number;
  readonly bits: number;
  readonly before: bigint;
  readonly after: bigint;
  /** The CRC of the structure was made right; undefined where it has none. */
  readonly crcFixed: boolean | undefined;
}

/** A field with its value. */
export interface FieldValue extends BitField {
  readonly value: bigint;
}

/**
 * Change one field. Throws usage errors: what `locate` throws, BAD_FIELD, BAD_VALUE. A verb that changes nothing (zero on a
 * zero) is not an error: `before` equals `after`, and nothing was written.
 */
export function damage(device: Device, geometry: Geometry | undefined, spec: DamageSpec): FieldChange {
  return damageTarget(device, locate(device, geometry, spec.place), spec);
}

/** The same, of a structure that was located before. */
export function damageTarget(device: Device, target: Target, spec: Omit<DamageSpec, 'place'>): FieldChange {
  const bytes = readTarget(device, target);
  const field = target.fields(bytes).find(({ name }) => name === spec.field);
  if (!field) {
    throw usage('BAD_FIELD', `${placeWords(target.place).join(' ')} has no field ${spec.field}`, {
      found: spec.field,
      expected: 'one that --list shows',
    });
  }
  const before = readBits(bytes, field);
  const after = applyVerb(spec.verb, before, field.bits, spec.value, seeded(spec.seed ?? 1));
  const fix = target.seal !== undefined && (spec.crc ?? 'fix') === 'fix';
  if (after !== before) {
    writeBits(bytes, field, after);
    // Damage of the CRC itself is not to be mended.
    if (fix && field.name !== 'crc') target.seal(bytes);
    writeTarget(device, target, bytes);
  }
  return {
    what: placeWords(target.place).join(' '),
    structure: target.structure,
    field: field.name,
    byte: byteOf(target, field),
    bits: field.bits,
    before,
    after,
    crcFixed: target.seal ? fix && field.name !== 'crc' : undefined,
  };
}

/** All fields of a structure with their values. */
export function listFields(device: Device, target: Target): FieldValue[] {
  const bytes = readTarget(device, target);
  return target.fields(bytes).map((field) => ({ ...field, value: readBits(bytes, field) }));
}

export function readTarget(device: Device, { ranges }: Target): Uint8Array {
  const bytes = new Uint8Array(ranges.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const { byte, length } of ranges) {
    device.read(byte, bytes.subarray(at, at + length));
    at += length;
  }
  return bytes;
}

export function writeTarget(device: Device, { ranges }: Target, bytes: Uint8Array): void {
  let at = 0;
  for (const { byte, length } of ranges) {
    device.write(byte, bytes.subarray(at, at + length));
    at += length;
  }
}

/** Byte on the device where a field starts. */
function byteOf({ ranges }: Target, { bit }: BitField): number {
  let at = bit >> 3;
  for (const { byte, length } of ranges) {
    if (at < length) return byte + at;
    at -= length;
  }
  return -1;
}
