/**
 * Places: which structure is meant, as data. The same words name a structure for `db` and for `damage`, and a place turns
 * back into them, so that a line of a failing test can be typed.
 */
import type { BtreeLayout } from '../../formats/btree-blocks.ts';

/** Headers of an AG, in the order of their sectors. */
export const HEADERS = ['superblock', 'agf', 'agi', 'agfl'] as const;
export type Header = (typeof HEADERS)[number];
export type AgTree = Exclude<BtreeLayout['name'], 'bmbt'>;
export type ForkName = 'data' | 'attr';

export type Place =
  | { readonly kind: Header; readonly ag: number }
  | { readonly kind: 'inode'; readonly inode: number }
  /** A block of an AG's tree: `children` are indexes from the root down, none = the root. */
  | { readonly kind: 'btree'; readonly tree: AgTree; readonly ag: number; readonly children: readonly number[] }
  /** A block of an extent tree: the root is in the inode, so there is at least one index. */
  | { readonly kind: 'bmbt'; readonly inode: number; readonly fork: ForkName; readonly children: readonly number[] }
  /** A block of a directory, of an attribute fork, or the extent of a symlink that starts at a file block. */
  | { readonly kind: 'dir' | 'attr' | 'symlink'; readonly inode: number; readonly fileBlock: number }
  /** The record at a basic block of the log; without one, the record that was written last. */
  | { readonly kind: 'log'; readonly block?: number }
  /** The block at a byte, recognised by its magic. */
  | { readonly kind: 'block'; readonly byte: number }
  /** Bytes taken as a structure of the registry. */
  | { readonly kind: 'as'; readonly structure: string; readonly byte: number }
  | { readonly kind: 'raw'; readonly byte: number; readonly length: number };

/** The words that name a place on the command line. */
export function placeWords(place: Place): string[] {
  switch (place.kind) {
    case 'superblock':
      return ['sb', `${place.ag}`];
    case 'agf':
    case 'agi':
    case 'agfl':
      return [place.kind, `${place.ag}`];
    case 'inode':
      return ['inode', `${place.inode}`];
    case 'btree':
      return ['btree', place.tree, `${place.ag}`, ...place.children.map(String)];
    case 'bmbt':
      return [
        'btree',
        'bmbt',
        `${place.inode}`,
        ...(place.fork === 'attr' ? ['attr'] : []),
        ...place.children.map(String),
      ];
    case 'dir':
    case 'attr':
    case 'symlink':
      return [place.kind, `${place.inode}`, `${place.fileBlock}`];
    case 'log':
      return place.block === undefined ? ['log'] : ['log', `${place.block}`];
    case 'block':
      return ['block', `byte:${place.byte}`];
    case 'as':
      return ['as', place.structure, `byte:${place.byte}`];
    case 'raw':
      return ['raw', `byte:${place.byte}+${place.length}`];
  }
}
