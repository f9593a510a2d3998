/**
 * Blocks of extent trees that nothing points at any more. The register names them; where there is none, all blocks that are
 * not free are looked through once, and those that say they belong to one of the damaged inodes are remembered.
 */
import { BTREES, LongHeader } from '../../../formats/btree-blocks.ts';
import { getU64 } from '../../../formats/struct.ts';
import { CadastreError } from '../../errors.ts';
import type { RepairState } from '../state.ts';
import type { Witness } from './witness.ts';

const PIECE = 1 << 20;

export class TreeSearch {
  readonly #state: RepairState;
  readonly #witness: Witness;
  readonly #inodes: ReadonlySet<number>;
  #found: Map<number, number[]> | undefined;

  constructor(state: RepairState, witness: Witness, inodes: ReadonlySet<number>) {
    this.#state = state;
    this.#witness = witness;
    this.#inodes = inodes;
  }

  /** fs blocks that may belong to the tree of a fork. */
  *blocksOf(inode: number, attr: boolean): Iterable<number> {
    const registered = this.#witness.registered(inode, attr)?.treeBlocks ?? [];
    yield* registered;
    if (this.#witness.registerWhole) return;
    // Which fork a block belongs to it does not say: attr forks with a tree are so rare that data may have them.
    if (!attr) yield* (this.#found ??= this.#search()).get(inode) ?? [];
  }

  #search(): Map<number, number[]> {
    const { plan, geometry, options } = this.#state;
    const { blockSize } = geometry;
    const found = new Map<number, number[]>();
    const bytes = new Uint8Array(Math.max(PIECE, blockSize));
    const view = new DataView(bytes.buffer);
    const per = Math.floor(bytes.length / blockSize);
    for (let ag = 0; ag < geometry.agCount; ag++) {
      const length = geometry.agLength(ag);
      for (let block = 0; block < length; block += per) {
        const count = Math.min(per, length - block);
        if (block % (per * 64) === 0) options.progress?.('search', ag * geometry.agBlocks + block, geometry.blocks);
        if (this.#witness.freeBlocks(geometry.fsBlock(ag, block), count) === count) continue;
        if (!this.#read(plan, geometry.agBlockToByte(ag, block), bytes.subarray(0, count * blockSize))) continue;
        for (let i = 0; i < count; i++) {
          const offset = i * blockSize;
          if (view.getUint32(offset) !== BTREES.bmbt.magic) continue;
          const owner = getU64(view, offset + LongHeader.offsets.owner);
          if (!this.#inodes.has(owner)) continue;
          if (getU64(view, offset + LongHeader.offsets.blkno) !== geometry.agBlockToDaddr(ag, block + i)) continue;
          const fsBlock = geometry.fsBlock(ag, block + i);
          if ((this.#witness.freeBlocks(fsBlock, 1) ?? 0) > 0) continue;
          const list = found.get(owner);
          if (list) list.push(fsBlock);
          else found.set(owner, [fsBlock]);
        }
      }
    }
    return found;
  }

  #read(plan: RepairState['plan'], byte: number, into: Uint8Array): boolean {
    try {
      plan.read(byte, into);
      return true;
    } catch (error) {
      if (!(error instanceof CadastreError) || error.family !== 'device') throw error;
      return false;
    }
  }
}
