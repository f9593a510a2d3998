/** Times on disk: bigtime (u64 nanoseconds since -2^31 s) or legacy (i32 seconds, u32 nanoseconds), per inode. */

/** A point in time: whole seconds since 1970 (negative before), and nanoseconds 0..999999999. */
export interface Time {
  seconds: number;
  nanoseconds: number;
}

const TWO31 = 2 ** 31;
/** Greatest second a bigtime field holds: 2486-07-02. */
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

/** Encode; seconds outside the range of the form are clamped to it. */
export function writeTime(view: DataView, offset: number, time: Time, bigtime: boolean): void {
  if (!bigtime) {
    view.setInt32(offset, Math.max(-TWO31, Math.min(TWO31 - 1, time.seconds)));
    view.setUint32(offset + 4, time.nanoseconds);
    return;
  }
  const seconds = Math.max(0, Math.min(BIGTIME_MAX_SECONDS, time.seconds) + TWO31);
  const low = (seconds % 0x10000) * 1e9 + time.nanoseconds;
  const high = Math.floor(seconds / 0x10000) * 1e9 + Math.floor(low / 0x10000);
  view.setUint32(offset, Math.floor(high / 0x10000));
  view.setUint32(offset + 4, (high % 0x10000) * 0x10000 + (low % 0x10000));
}
