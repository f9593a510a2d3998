/** Sizes as people write and read them: 4096, 64k, 1.5g, 10MiB in; `1.5 GiB` out. Units are powers of 1024. */
import { usage } from '../../lib/errors.ts';

const UNITS = ['', 'k', 'm', 'g', 't', 'p'];
const NAMES = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** Bytes. Throws a usage error (BAD_SIZE) for anything that is not a whole number of bytes below 2^53. */
export function parseSize(text: string, what = 'size'): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgtp]?)(?:i?b)?$/i.exec(text.trim());
  const bytes = match ? Number(match[1]) * 1024 ** UNITS.indexOf(match[2]!.toLowerCase()) : Number.NaN;
  if (!Number.isSafeInteger(bytes)) {
    throw usage('BAD_SIZE', `${what}: ${text} is not a size`, {
      expected: 'bytes, or a number with k, m, g or t',
      found: text,
    });
  }
  return bytes;
}

/** A whole number in a range. Throws a usage error (BAD_NUMBER). */
export function parseNumber(text: string, what: string, least = 0, most = Number.MAX_SAFE_INTEGER): number {
  const value = /^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least && value <= most)) {
    throw usage('BAD_NUMBER', `${what}: ${text} is not a number from ${least} to ${most}`, {
      expected: `${least}..${most}`,
      found: text,
    });
  }
  return value;
}

/** Short: three digits and a unit, as in `1.5 GiB`. */
export function showSize(bytes: number): string {
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < NAMES.length - 1) {
    value /= 1024;
    unit++;
  }
  if (unit === 0) return `${bytes} B`;
  return `${value < 10 ? trim(value.toFixed(1)) : Math.round(value)} ${NAMES[unit]}`;
}

const trim = (text: string): string => (text.endsWith('.0') ? text.slice(0, -2) : text);

/** `1 file`, `1,234 files`. (Not toLocaleString: the first call costs several milliseconds.) */
export function count(number: number, one: string, many = `${one}s`): string {
  const digits = String(number).replace(/\B(?=(\d{3})+$)/g, ',');
  return `${digits} ${number === 1 ? one : many}`;
}

/** `12.3 s`, `4 min 5 s`. */
export function showSeconds(seconds: number): string {
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  return whole < 3600
    ? `${Math.floor(whole / 60)} min ${whole % 60} s`
    : `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
