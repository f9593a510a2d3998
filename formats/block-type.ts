/**
 * Block types: what a cached block claims to be. The type carries the verifier, so nobody who reads a block through the
 * cache can skip magic, CRC, own address and owner; and it says how the log names the block.
 */
import { crcWithHole, storedCrc } from './checksum.ts';
import type { Geometry } from './geometry.ts';

/** One thing wrong with a block: stable code, the field, what it should be and what it is. */
export interface Fault {
  readonly code: string;
  readonly field: string;
  readonly expected: string | number;
  readonly found: string | number;
}

export const fault = (code: string, field: string, expected: string | number, found: string | number): Fault => ({
  code,
  field,
  expected,
  found,
});

export interface BlockType {
  readonly name: string;
  /** Buffer type in log buffer items (docs/FORMAT.md, log items). */
  readonly logType: number;
  /** Where CRC and LSN are; -1 where the block as a whole has none (inode clusters, raw data). */
  readonly crcOffset: number;
  readonly lsnOffset: number;
  /** Inode clusters: where each inode slot has its own CRC. */
  readonly slotCrcOffset?: number;
  /**
   * What is wrong with the content, or undefined. The CRC was already checked. After it returns undefined, readers may
   * trust every count and offset in the header to stay inside the block. Must never throw, whatever the bytes.
   * @param daddr where the block was read from, in 512-byte units.
   */
  verify(view: DataView, geometry: Geometry, daddr: number): Fault | undefined;
}

/** CRC, then the type's own verifier. */
export function checkBlock(
  type: BlockType,
  data: Uint8Array,
  view: DataView,
  geometry: Geometry,
  daddr: number,
): Fault | undefined {
  if (type.crcOffset >= 0) {
    const computed = crcWithHole(data, type.crcOffset);
    const stored = storedCrc(data, type.crcOffset);
    // A wrong magic says more than the wrong CRC that follows from it.
    if (computed !== stored) {
      const deeper = type.verify(view, geometry, daddr);
      if (deeper?.code === 'BAD_MAGIC') return deeper;
      return fault('BAD_CRC', 'crc', hex(computed), hex(stored));
    }
  }
  return type.verify(view, geometry, daddr);
}

const hex = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`;
