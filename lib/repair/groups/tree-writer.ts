/**
 * New trees straight onto the plan: blocks are made one after the other and never looked at again, so each is sealed and
 * written when the next one is begun, and no cache holds any of them.
 */
import type { BlockType } from '../../../formats/block-type.ts';
import { sealCrc } from '../../../formats/checksum.ts';
import { BASIC_BLOCK, type Geometry } from '../../../formats/geometry.ts';
import { type BtreeRoot, bulkLoad, TREE_TYPES, Tree } from '../../btree/btree.ts';
import { Buffer } from '../../buffer/buffer.ts';
import type { Transaction } from '../../buffer/transaction.ts';
import type { Device } from '../../device/device.ts';
import { internal } from '../../errors.ts';
import type { TreeName } from '../../space/allocation-group.ts';

const unused = (): never => {
  throw internal('a tree that is being loaded only makes blocks');
};

class BlockSink implements Transaction {
  readonly geometry: Geometry;
  readonly get = unused;
  readonly getSegments = unused;
  readonly createSegments = unused;
  readonly change = unused;
  readonly forget = unused;
  readonly #device: Device;
  #open: Buffer | undefined;

  constructor(device: Device, geometry: Geometry) {
    this.#device = device;
    this.geometry = geometry;
  }

  create(daddr: number, length: number, type: BlockType): Buffer {
    this.flush();
    this.#open = new Buffer([{ daddr, length }], length, type);
    return this.#open;
  }

  flush(): void {
    const buffer = this.#open;
    if (!buffer) return;
    sealCrc(buffer.data, buffer.type.crcOffset);
    this.#device.write(buffer.daddr * BASIC_BLOCK, buffer.data);
    this.#open = undefined;
  }
}

/** Where a tree is. */
export interface LoadedTree {
  readonly root: number;
  readonly height: number;
}

/**
 * Load a tree of an AG into these AG blocks (as many as its shape has; leaves first).
 * @param write record `index`, in order. @param leafSlack places left free in each leaf.
 */
export function loadTree(
  device: Device,
  geometry: Geometry,
  ag: number,
  name: TreeName,
  count: number,
  write: (view: DataView, offset: number, index: number) => void,
  pointers: readonly number[],
  leafSlack: number,
): LoadedTree {
  const sink = new BlockSink(device, geometry);
  const at = { root: 0, height: 0 };
  const holder: BtreeRoot = {
    pointer: () => at.root,
    height: () => at.height,
    set: (_tx, root, height) => {
      at.root = root;
      at.height = height;
    },
  };
  const tree = new Tree(TREE_TYPES[name], geometry, holder, {
    owner: ag,
    daddr: (pointer) => geometry.agBlockToDaddr(ag, pointer),
    allocate: unused,
    free: unused,
  });
  bulkLoad(sink, tree, count, write, { pointers, leafSlack });
  sink.flush();
  return at;
}
