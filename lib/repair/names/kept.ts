/** Blocks that nobody claims but that may be somebody's loss: each range becomes a file in lost+found, bytes as they are. */
import { MAX_EXTENT_BLOCKS } from '../../../formats/btree-blocks.ts';
import { crc32c } from '../../../formats/checksum.ts';
import { MODE } from '../../../formats/inode.ts';
import { Fork } from '../../file/fork.ts';
import { inodeOwner } from '../../space/owner.ts';
import type { KeptRange } from '../pending.ts';
import type { LostFound } from './lost-found.ts';
import type { Workshop } from './workshop.ts';

const PRIVATE = 0o600;
/** Blocks whose checksums are computed at a time. */
const PIECE = 256;

export function keepRanges(shop: Workshop, lostFound: LostFound): void {
  for (const range of shop.state.kept) {
    const number = fileOf(shop, range, lostFound.directory);
    lostFound.addNew(number, new TextEncoder().encode(nameOf(range)));
    shop.settle();
  }
}

/** `blocks-AG-START`, and whose they may have been. */
function nameOf({ ag, agBlock, inode, fileBlock }: KeptRange): string {
  const name = `blocks-${ag}-${agBlock}`;
  return inode === undefined ? name : `${name}-of-inode-${inode}${fileBlock === undefined ? '' : `-at-${fileBlock}`}`;
}

/** A new file without a name that maps the range. */
function fileOf(shop: Workshop, range: KeptRange, directory: number): number {
  const { tx, space, geometry } = shop;
  const number = space.allocateInode(tx, { parentInode: directory, isDirectory: false, generation: 1 });
  const inode = shop.newInode(number, MODE.FILE | PRIVATE, 1);
  const fork = new Fork(inode, 'data');
  const owner = inodeOwner(number);
  for (let done = 0; done < range.blockCount; ) {
    const count = Math.min(range.blockCount - done, MAX_EXTENT_BLOCKS);
    const fsBlock = geometry.fsBlock(range.ag, range.agBlock + done);
    fork.map(tx, space, done, fsBlock, count, false);
    space.mapRmap(tx, fsBlock, count, owner, { fileBlock: done });
    if (geometry.features.dataChecksums) storeChecksums(shop, fsBlock, count);
    done += count;
  }
  inode.core.size = range.blockCount * geometry.blockSize;
  return number;
}

function storeChecksums(shop: Workshop, fsBlock: number, count: number): void {
  const { blockSize } = shop.geometry;
  const bytes = new Uint8Array(PIECE * blockSize);
  const crcs = new Uint32Array(PIECE);
  for (let done = 0; done < count; done += PIECE) {
    const blocks = Math.min(PIECE, count - done);
    shop.plan.read(shop.geometry.fsBlockToByte(fsBlock + done), bytes.subarray(0, blocks * blockSize));
    for (let i = 0; i < blocks; i++) crcs[i] = crc32c(bytes.subarray(i * blockSize, (i + 1) * blockSize));
    shop.space.setChecksums(shop.tx, fsBlock + done, crcs, blocks);
  }
}
