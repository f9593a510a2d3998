/** Times on disk: bigtime (u64 nanoseconds since -2^31 s) or legacy (i32 seconds, u32 nanoseconds), per inode. */

/** A point in time: whole seconds since 1970 (negative before), and nanoseconds 0..999999999. */
export interface Time {
  seconds: number;
  nanoseconds: number;
}

const TWO31 = 2 ** 31;
/** Greatest second kernels store in a bigtime field: 2486-07-02. (The field itself holds one second more.) */
export const BIGTIME_MAX_SECONDS = 16299260424;

/** Decode the 8 bytes at `offset`. */
export function readTime(view: DataView, offset: number, bigtime: boolean): Time {
  if (!bigtime) return { seconds: view.getInt32(offset), nanoseconds: view.getUint32(offset + 4) };
  // Long division of (hi, lo) by 10^9 in pieces of 16 bits, so that every step stays exact.
  const hi = view.getUint32(offset);
  const lo = view.getUint32(offset + 4);
  let rest = hi % 1e9;
  let quotient = Math.floor(hi / 1e9);
  for (const piece of [lo >>> 16, lo & 0xffff]) {
    const value = rest * 0x10000 + piece;
    quotient = quotient * 0x10000 + Math.floor(value / 1e9);
    rest = value % 1e9;
  }
  return { seconds: quotient - TWO31, nanoseconds: rest };
}

/** Encode. A time outside the range of the form becomes its first or last whole second, as kernels do it. */
export function writeTime(view: DataView, offset: number, time: Time, bigtime: boolean): void {
  const seconds = Math.max(-TWO31, Math.min(bigtime ? BIGTIME_MAX_SECONDS : TWO31 - 1, time.seconds));
  const nanoseconds = seconds === time.seconds ? time.nanoseconds : 0;
  if (!bigtime) {
    view.setInt32(offset, seconds);
    view.setUint32(offset + 4, nanoseconds);
    return;
  }
  // (seconds + 2^31) * 10^9 + nanoseconds, the low 16 bits of the seconds apart so that every step stays exact.
  const shifted = seconds + TWO31;
  const low = (shifted % 0x10000) * 1e9 + nanoseconds;
  const high = Math.floor(shifted / 0x10000) * 1e9 + Math.floor(low / 0x10000);
  view.setUint32(offset, Math.floor(high / 0x10000));
  view.setUint32(offset + 4, (high % 0x10000) * 0x10000 + (low % 0x10000));
}
