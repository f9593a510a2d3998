/** Packing of the 128-bit extent record (bmbt leaves and inline extent lists), in u32 arithmetic: no BigInt. */

/** One mapping of a fork: blocks `fileBlock ..` live at fs block `startBlock ..`. */
export interface Extent {
  fileBlock: number;
  startBlock: number;
  blockCount: number;
  unwritten: boolean;
}

const TWO32 = 2 ** 32;

/** File block of the record: l0 bits 62..9. */
export function extentFileBlock(view: DataView, offset: number): number {
  return (view.getUint32(offset) & 0x7fffffff) * 0x800000 + (view.getUint32(offset + 4) >>> 9);
}
/** Start fs block: l0 bits 8..0, l1 bits 63..21. */
export function extentStartBlock(view: DataView, offset: number): number {
  const high = view.getUint32(offset + 4) & 0x1ff; // bits 51..43
  const mid = view.getUint32(offset + 8); // bits 42..11
  return high * 0x80000000000 + mid * 0x800 + (view.getUint32(offset + 12) >>> 21);
}
/** Length in blocks: l1 bits 20..0. */
export function extentBlockCount(view: DataView, offset: number): number {
  return view.getUint32(offset + 12) & 0x1fffff;
}
/** True when the extent is allocated but reads as zeroes. */
export function extentUnwritten(view: DataView, offset: number): boolean {
  return view.getUint8(offset) >= 0x80;
}

/** Decode a record into a fresh object. */
export function readExtent(view: DataView, offset: number): Extent {
  return {
    fileBlock: extentFileBlock(view, offset),
    startBlock: extentStartBlock(view, offset),
    blockCount: extentBlockCount(view, offset),
    unwritten: extentUnwritten(view, offset),
  };
}

/** Encode a record. */
export function writeExtent(
  view: DataView,
  offset: number,
  fileBlock: number,
  startBlock: number,
  blockCount: number,
  unwritten: boolean,
): void {
  const fileHigh = Math.floor(fileBlock / 0x800000);
  const fileLow = fileBlock % 0x800000;
  const startHigh = Math.floor(startBlock / 0x80000000000);
  const startMid = Math.floor(startBlock / 0x800) % TWO32;
  const startLow = startBlock % 0x800;
  view.setUint32(offset, (fileHigh | (unwritten ? 0x80000000 : 0)) >>> 0);
  view.setUint32(offset + 4, ((fileLow << 9) | startHigh) >>> 0);
  view.setUint32(offset + 8, startMid);
  view.setUint32(offset + 12, ((startLow << 21) | blockCount) >>> 0);
}
