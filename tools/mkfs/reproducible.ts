/**
 * What is drawn by lot or read off the clock, and what stands in for it where the same input must give the same bytes:
 * uuid, times, generation numbers.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { Time } from '../../formats/time.ts';
import { usage } from '../../lib/errors.ts';
import { uuidBytes } from '../../lib/volume/uuid.ts';

/** SOURCE_DATE_EPOCH, if it is set: seconds since 1970. Throws a usage error when it is no such number. */
export function epochFromEnvironment(): number | undefined {
  const text = process.env.SOURCE_DATE_EPOCH;
  if (text === undefined || text === '') return undefined;
  const seconds = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(seconds)) {
    throw usage('BAD_TIME', `SOURCE_DATE_EPOCH is ${text}`, { expected: 'seconds since 1970', found: text });
  }
  return seconds;
}

/** The uuid asked for, or a random one (version 4), or one made of the options (version 8). */
export function chooseUuid(text: string | undefined, options: object | undefined): Uint8Array {
  if (text !== undefined) {
    const uuid = uuidBytes(text);
    if (!uuid) throw usage('BAD_UUID', `uuid: ${text} is not one`, { expected: '32 hexadecimal digits', found: text });
    return uuid;
  }
  const bytes = options ? createHash('sha256').update(JSON.stringify(options)).digest() : randomBytes(16);
  const uuid = Uint8Array.from(bytes.subarray(0, 16));
  uuid[6] = (uuid[6]! & 0x0f) | (options ? 0x80 : 0x40);
  uuid[8] = (uuid[8]! & 0x3f) | 0x80;
  return uuid;
}

export function timeNow(): Time {
  const milliseconds = Date.now();
  return { seconds: Math.floor(milliseconds / 1000), nanoseconds: (milliseconds % 1000) * 1e6 };
}

export function randomGeneration(): number {
  return randomBytes(4).readUInt32BE();
}
