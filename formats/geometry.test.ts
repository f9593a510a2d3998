import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { XFS } from './dialect.ts';
import { Geometry, rawClusterBytes } from './geometry.ts';
import { INCOMPAT, Superblock } from './superblock.ts';

/** AG size, AG count and block count: all that the conversions depend on. */
function geometryOf(agBlocks: number, agCount: number, blocks: number, blockLog = 12, fields: object = {}): Geometry {
  const view = new DataView(new ArrayBuffer(512));
  Object.assign(Superblock.at(view), {
    magicnum: XFS.magic,
    blocksize: 1 << blockLog,
    blocklog: blockLog,
    dblocks: blocks,
    agblocks: agBlocks,
    agcount: agCount,
    agblklog: Math.ceil(Math.log2(agBlocks)),
    sectsize: 512,
    inodesize: 512,
    inopblock: (1 << blockLog) / 512,
    inopblog: blockLog - 9,
    inoalignmt: 8,
    ...fields,
  });
  return new Geometry(view, XFS);
}

describe('addresses', () => {
  it('have gaps when AGs are not a power of two', () => {
    const geometry = geometryOf(19200, 4, 76800);
    expect(geometry.fsBlock(2, 6)).toBe(65542);
    expect([geometry.agOfFsBlock(65542), geometry.agBlockOfFsBlock(65542)]).toEqual([2, 6]);
    expect(geometry.fsBlockToByte(65542)).toBe((2 * 19200 + 6) * 4096);
    expect(geometry.isFsBlock(19200)).toBe(false);
    expect([geometry.isFsBlock(65536), geometry.isFsBlock(65537)]).toEqual([false, true]);
    expect(geometry.agHeaderDaddr(1, 3)).toBe(19200 * 8 + 3);
  });

  it('convert there and back', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 64, max: 2 ** 28 - 1 }),
        fc.integer({ min: 1, max: 1000 }),
        fc.constantFrom(10, 12, 16),
        fc.nat(),
        fc.nat(),
        (agBlocks, agCount, blockLog, a, b) => {
          const short = 64 + (b % (agBlocks - 63));
          const geometry = geometryOf(agBlocks, agCount, (agCount - 1) * agBlocks + short, blockLog);
          const ag = a % agCount;
          const agBlock = b % geometry.agLength(ag);
          const log = BigInt(Math.ceil(Math.log2(agBlocks)));
          const fsBlock = geometry.fsBlock(ag, agBlock);
          expect(BigInt(fsBlock)).toBe((BigInt(ag) << log) | BigInt(agBlock));
          expect([geometry.agOfFsBlock(fsBlock), geometry.agBlockOfFsBlock(fsBlock)]).toEqual([ag, agBlock]);
          expect(geometry.isFsBlock(fsBlock)).toBe(agBlock >= geometry.headerBlocks);
          const left = geometry.agLength(ag) - agBlock;
          expect(geometry.isFsRange(fsBlock, left)).toBe(agBlock >= geometry.headerBlocks);
          expect(geometry.isFsRange(fsBlock, left + 1)).toBe(false);
          expect(geometry.isFsRange(fsBlock, 0)).toBe(false);

          const daddr = geometry.agBlockToDaddr(ag, agBlock);
          expect(daddr * 512).toBe(geometry.fsBlockToByte(fsBlock));
          expect([geometry.agOfDaddr(daddr + 1), geometry.agBlockOfDaddr(daddr + 1)]).toEqual([ag, agBlock]);

          const agInode = agBlock * geometry.inodesPerBlock + (a % geometry.inodesPerBlock);
          const inode = geometry.inodeNumber(ag, agInode);
          expect([geometry.agOfInode(inode), geometry.agInodeOfInode(inode)]).toEqual([ag, agInode]);
          expect(geometry.agBlockOfAgInode(agInode)).toBe(agBlock);
          expect(geometry.isInode(inode)).toBe(agBlock >= geometry.headerBlocks);
          expect(geometry.isAgInode(ag, geometry.agLength(ag) * geometry.inodesPerBlock)).toBe(false);
        },
      ),
    );
  });

  it('never take null for a block or an inode', () => {
    const geometry = geometryOf(4096, 4, 16384);
    expect([geometry.isFsBlock(2 ** 64), geometry.isInode(2 ** 64), geometry.isAgBlock(0, 0xffffffff)]).toEqual([
      false,
      false,
      false,
    ]);
  });
});

describe('inode clusters', () => {
  // block size, inode size, chunk alignment, blocks of a cluster
  it.each([
    [4096, 512, 8, 4],
    [4096, 512, 4, 4],
    [4096, 512, 2, 2],
    [4096, 512, 0, 2],
    [4096, 1024, 16, 8],
    [4096, 2048, 32, 16],
    [1024, 512, 32, 16],
    [2048, 512, 16, 8],
    [8192, 512, 4, 2],
    [65536, 512, 0, 1],
    [65536, 2048, 2, 1],
  ])('%i-byte blocks, %i-byte inodes, aligned to %i: %i blocks', (blocksize, inodesize, inoalignmt, blocks) => {
    const geometry = geometryOf(8192, 4, 32768, Math.log2(blocksize), {
      inodesize,
      inopblock: blocksize / inodesize,
      inopblog: Math.log2(blocksize / inodesize),
      inoalignmt,
    });
    expect(geometry.clusterBlocks).toBe(blocks);
    expect(geometry.chunkBlocks).toBe(Math.max(1, (64 * inodesize) / blocksize));
  });

  it('are 8 KiB times what inodes are larger than 256 bytes, when aligned well enough', () => {
    expect(rawClusterBytes(4096, 512, 4)).toBe(16384);
    expect(rawClusterBytes(4096, 512, 3)).toBe(8192);
  });
});

it('takes the uuid of metadata from META_UUID when that is set', () => {
  const uuid = Uint8Array.from({ length: 16 }, (_, i) => i);
  const metaUuid = Uint8Array.from({ length: 16 }, (_, i) => 0xf0 - i);
  const plain = geometryOf(4096, 4, 16384, 12, { uuid, metaUuid });
  const moved = geometryOf(4096, 4, 16384, 12, { uuid, metaUuid, featuresIncompat: INCOMPAT.META_UUID });
  expect([plain.metaUuid, moved.metaUuid, moved.uuid]).toEqual([uuid, metaUuid, uuid]);
  const block = new DataView(new ArrayBuffer(40));
  new Uint8Array(block.buffer).set(metaUuid, 8);
  expect([plain.isMetaUuid(block, 8), moved.isMetaUuid(block, 8)]).toEqual([false, true]);
  for (let i = 8; i < 24; i++) {
    block.setUint8(i, block.getUint8(i) ^ 1);
    expect(moved.isMetaUuid(block, 8)).toBe(false);
    block.setUint8(i, block.getUint8(i) ^ 1);
  }
});
