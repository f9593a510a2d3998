import { deviceError } from '../errors.ts';

/** Throws SHORT_DEVICE unless bytes offset .. offset + length lie inside a device of this size. */
export function checkRange(size: number, offset: number, length: number, what: string): void {
  if (offset >= 0 && length >= 0 && offset + length <= size) return;
  throw deviceError('SHORT_DEVICE', `${what} of ${length} bytes at ${offset}: the image has ${size} bytes`, {
    expected: `at most ${size}`,
    found: offset + length,
  });
}
