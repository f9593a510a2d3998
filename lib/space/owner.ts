/** Who claims blocks, and where in that owner they belong: the owner and offset words of a reverse-map record. */
import {
  RMAP_ATTR_FORK,
  RMAP_BMBT_BLOCK,
  RMAP_OFFSET_HI_MASK,
  type RMAP_OWNER,
  RMAP_UNWRITTEN,
} from '../../formats/btree-blocks.ts';
import { NULL32 } from '../../formats/struct.ts';

const TWO32 = 2 ** 32;

/** The two halves of a 64-bit owner: an inode number, or a special owner (hi all ones, lo one of RMAP_OWNER). */
export interface Owner {
  readonly hi: number;
  readonly lo: number;
}

/** Where in its owner an extent belongs. Special owners have no place: leave it away. */
export interface ForkPlace {
  /** The attribute fork (default: the data fork). */
  readonly attr?: boolean;
  /** Blocks of the fork's extent tree: `fileBlock` and `unwritten` have no meaning. */
  readonly bmbt?: boolean;
  /** File block of the first block, below 2^54. */
  readonly fileBlock?: number;
  readonly unwritten?: boolean;
}

/** The owner of an inode's blocks. */
export function inodeOwner(inode: number): Owner {
  return { hi: Math.floor(inode / TWO32), lo: inode % TWO32 };
}
/** One of the special owners: `specialOwner(RMAP_OWNER.INODES)`. */
export function specialOwner(owner: (typeof RMAP_OWNER)[keyof typeof RMAP_OWNER]): Owner {
  return { hi: NULL32, lo: owner };
}
export const isSpecialOwner = (owner: Owner): boolean => owner.hi === NULL32;

/** High word of the record's offset: flags and bits 32-53 of the file block. */
export function placeHi(place: ForkPlace | undefined): number {
  if (!place) return 0;
  if (place.bmbt) return (RMAP_BMBT_BLOCK | (place.attr ? RMAP_ATTR_FORK : 0)) >>> 0;
  const block = Math.floor((place.fileBlock ?? 0) / TWO32) & RMAP_OFFSET_HI_MASK;
  return (block | (place.attr ? RMAP_ATTR_FORK : 0) | (place.unwritten ? RMAP_UNWRITTEN : 0)) >>> 0;
}
/** Low word of the record's offset. */
export function placeLo(place: ForkPlace | undefined): number {
  return place && !place.bmbt ? (place.fileBlock ?? 0) % TWO32 : 0;
}
