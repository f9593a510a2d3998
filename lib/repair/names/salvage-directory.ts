/** Everything that is left of a damaged directory, whatever form it had. */
import { nameHash, nameHashFolded } from '../../../formats/da.ts';
import {
  DIR_BLOCK_MAGIC,
  DIR_DATA_MAGIC,
  DIR_DOT_OFFSET,
  DIR_DOTDOT_OFFSET,
  DIR_FIRST_OFFSET,
  DIR_SPACE_BYTES,
  DirDataHeader,
} from '../../../formats/directory.ts';
import { FORMAT } from '../../../formats/inode.ts';
import { getU64 } from '../../../formats/struct.ts';
import { type InodeTable, NONE } from '../../check/inode-table.ts';
import { Fork } from '../../file/fork.ts';
import type { Inode } from '../../file/inode.ts';
import { blockFormEnd, type NameIndex, readNameIndex } from './name-index.ts';
import { type RawBlock, RawFork } from './raw-fork.ts';
import { BlockSalvage, type DataBlock, type FoundEntry, typeOfInode } from './salvage-blocks.ts';
import { salvageShort } from './salvage-short.ts';
import type { Workshop } from './workshop.ts';

const DIRECTORY = 2;

export interface SalvagedDirectory {
  /** "..", when it could be read and is a directory. */
  readonly parent: number | undefined;
  /** In the order they stood; "." and ".." left out. */
  readonly entries: FoundEntry[];
  /** Names that the index or the count knows of and that are gone. */
  readonly missing: number;
  /** Blocks that are those of another directory. */
  readonly foreign: number;
}

/** Read a directory without believing anything but what proves itself. */
export function salvageDirectory(shop: Workshop, inode: Inode, table: InodeTable): SalvagedDirectory {
  const fork = new Fork(inode, 'data');
  if (fork.format === FORMAT.LOCAL) {
    const view = new DataView(inode.view.buffer, inode.view.byteOffset + fork.base, fork.bytes);
    const { parent, entries, missing } = salvageShort(view, inode.size, table);
    return { parent: directoryOr(table, parent), entries, missing, foreign: 0 };
  }
  return new BlocksSalvage(shop, inode, table).run();
}

function directoryOr(table: InodeTable, inode: number): number | undefined {
  return typeOfInode(table, inode) === DIRECTORY ? inode : undefined;
}

class BlocksSalvage {
  readonly #shop: Workshop;
  readonly #inode: number;
  readonly #table: InodeTable;
  readonly #fork: RawFork;
  #index: NameIndex;
  #blocks!: BlockSalvage;
  #parent: number | undefined;
  readonly #entries: FoundEntry[] = [];
  /** Hashes of entries that the index does not have where they stand. */
  readonly #unindexed: number[] = [];
  /** The index has blocks of its own: it can tell whose the data blocks are. */
  readonly #indexApart: boolean;
  #foreign = 0;

  constructor(shop: Workshop, inode: Inode, table: InodeTable) {
    this.#shop = shop;
    this.#inode = inode.number;
    this.#table = table;
    this.#fork = new RawFork(shop, inode, 'data');
    this.#index = readNameIndex(shop, this.#fork, undefined);
    this.#indexApart = this.#index.length > 0;
  }

  run(): SalvagedDirectory {
    const first = this.#fork.read(0);
    if (!this.#indexApart && first) this.#index = readNameIndex(this.#shop, this.#fork, first);
    const fold = this.#shop.geometry.features.asciiCi;
    this.#blocks = new BlockSalvage(this.#table, this.#index, fold);
    const start = DIR_SPACE_BYTES / this.#shop.geometry.blockSize;
    this.#fork.forEach(0, start, (block) => this.#block(block));
    // The index also has "." and "..".
    const missing = this.#index.length === 0 ? 0 : Math.max(0, this.#index.missing(this.#unindexed) - 2);
    return { parent: this.#parent, entries: this.#entries, missing, foreign: this.#foreign };
  }

  #block(block: RawBlock): void {
    const found: FoundEntry[] = [];
    const pointers: number[] = [];
    let known = 0;
    const isFirst = block.fileBlock === 0;
    const area: DataBlock = {
      view: block.view,
      data: block.data,
      base: (block.fileBlock / this.#fork.blockBlocks) * (block.data.length / 8),
      from: isFirst ? DIR_FIRST_OFFSET : DIR_DOT_OFFSET,
      end: this.#end(block),
    };
    this.#blocks.run(area, (entry, pointer) => {
      found.push(entry);
      pointers.push(pointer);
      if (this.#index.hashAt(pointer) !== undefined) known++;
    });
    if (this.#isForeign(block, known)) {
      this.#foreign++;
      return;
    }
    if (isFirst) this.#readParent(block);
    const hash = this.#shop.geometry.features.asciiCi ? nameHashFolded : nameHash;
    found.forEach((entry, i) => {
      this.#entries.push(entry);
      if (!this.#index.found(pointers[i]!)) this.#unindexed.push(hash(entry.name));
    });
  }

  /** Only a directory of one block has its index behind the entries. */
  #end({ view, data, fileBlock }: RawBlock): number {
    const magic = view.getUint32(0);
    if (fileBlock !== 0 || magic === DIR_DATA_MAGIC) return data.length;
    const end = blockFormEnd(view);
    if (end !== undefined) return end;
    return magic === DIR_BLOCK_MAGIC ? data.length - 8 : data.length;
  }

  /**
   * The block of another directory: its header names one, and neither "." nor the index says that it is ours. (Whose
   * blocks these are was settled before; a header whose owner is no directory is just damaged.)
   */
  #isForeign({ view, fileBlock }: RawBlock, known: number): boolean {
    const owner = getU64(view, DirDataHeader.offsets.owner);
    if (owner === this.#inode || (this.#indexApart && known > 0)) return false;
    if (fileBlock === 0 && getU64(view, DIR_DOT_OFFSET) === this.#inode) return false;
    return typeOfInode(this.#table, owner) === DIRECTORY;
  }

  #readParent({ view }: RawBlock): void {
    const parent = getU64(view, DIR_DOTDOT_OFFSET);
    if (parent < 2 ** 53 && this.#table.indexOf(parent) !== NONE) this.#parent = directoryOr(this.#table, parent);
  }
}
