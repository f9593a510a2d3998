/**
 * The verifiers against what mkfs.xfs writes: everything it makes must pass, and every single flipped header byte that
 * a CRC covers must not.
 */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { mkfsXfs, requireOracle, withTempDir } from '../test/support/oracle.ts';
import { Agf, Agi } from './ag-headers.ts';
import { AGF_TYPE, AGFL_TYPE, AGI_TYPE, activeFreeListFault } from './ag-verify.ts';
import { type BlockType, checkBlock } from './block-type.ts';
import { BTREES, ShortHeader } from './btree-blocks.ts';
import { crcWithHole, storedCrc } from './checksum.ts';
import { XFS } from './dialect.ts';
import { Geometry } from './geometry.ts';
import { verifyInode } from './inode-verify.ts';
import { cleanLogRecord } from './log.ts';
import { MAX_SECTOR, SUPERBLOCK_TYPE, verifySuperblock } from './superblock-verify.ts';

const MIB = 2 ** 20;

const images: [name: string, mib: number, args: string[]][] = [
  ['defaults', 64, []],
  ['1k blocks, rmapbt, nrext64', 64, ['-b', 'size=1024', '-m', 'rmapbt=1', '-i', 'nrext64=1']],
  ['64k blocks', 512, ['-b', 'size=65536']],
  ['64k blocks, rmapbt', 1024, ['-b', 'size=65536', '-m', 'rmapbt=1']],
  ['4k sectors, 16k directories', 320, ['-s', 'size=4096', '-n', 'size=16384']],
  ['1k inodes, rmapbt, nrext64', 128, ['-i', 'size=1024,nrext64=1', '-m', 'rmapbt=1']],
  ['2k inodes, no sparse chunks', 128, ['-i', 'size=2048,sparse=0']],
  ['oldest features', 64, ['-m', 'finobt=0,reflink=0,inobtcount=0,bigtime=0', '-i', 'sparse=0']],
  ['a stripe', 512, ['-d', 'su=64k,sw=4']],
  ['a single AG', 16, []],
];

describe.runIf(requireOracle('xfsprogs'))('images of mkfs.xfs', () => {
  it.each(images)('%s', (_name, mib, args) => {
    withTempDir((directory) => {
      const path = join(directory, 'image');
      mkfsXfs(path, mib * MIB, args);
      const file = openSync(path, 'r');
      try {
        verifyImage((offset, length) => {
          const data = new Uint8Array(length);
          expect(readSync(file, data, 0, length, offset)).toBe(length);
          return data;
        }, statSync(path).size);
      } finally {
        closeSync(file);
      }
    });
  });
});

function verifyImage(read: (offset: number, length: number) => Uint8Array, size: number): void {
  const head = read(0, MAX_SECTOR);
  expect(verifySuperblock(head, size)).toEqual({ dialect: XFS, refusal: undefined, fatal: [], minor: [] });
  const geometry = new Geometry(new DataView(head.buffer), XFS);
  const short = verifySuperblock(head, geometry.blocks * geometry.blockSize - 1);
  expect(short.fatal.map((one) => one.code)).toEqual(['SHORT_IMAGE']);

  const verified = (type: BlockType, daddr: number, length: number): DataView => {
    const data = read(daddr * 512, length);
    const view = new DataView(data.buffer);
    expect(checkBlock(type, data, view, geometry, daddr), type.name).toBeUndefined();
    data[length >> 1]! ^= 0x10;
    expect(checkBlock(type, data, view, geometry, daddr)?.code, type.name).toBe('BAD_CRC');
    data[length >> 1]! ^= 0x10;
    return view;
  };
  const root = (ag: number, agBlock: number, tree: keyof typeof BTREES): void => {
    const data = read(geometry.agBlockToByte(ag, agBlock), geometry.blockSize);
    const header = ShortHeader.at(new DataView(data.buffer));
    expect(crcWithHole(data, ShortHeader.offsets.crc)).toBe(storedCrc(data, ShortHeader.offsets.crc));
    expect([header.magic, header.level, header.blkno, header.owner]).toEqual([
      BTREES[tree].magic,
      0,
      geometry.agBlockToDaddr(ag, agBlock),
      ag,
    ]);
    expect(geometry.isMetaUuid(header.view, ShortHeader.offsets.uuid)).toBe(true);
  };

  for (let ag = 0; ag < geometry.agCount; ag++) {
    const copy = read(geometry.agBlockToByte(ag, 0), MAX_SECTOR);
    expect(verifySuperblock(copy, size, ag)).toEqual({ dialect: XFS, refusal: undefined, fatal: [], minor: [] });
    verified(SUPERBLOCK_TYPE, geometry.agHeaderDaddr(ag, 0), geometry.sectorSize);
    const agf = Agf.at(verified(AGF_TYPE, geometry.agHeaderDaddr(ag, 1), geometry.sectorSize));
    const agi = Agi.at(verified(AGI_TYPE, geometry.agHeaderDaddr(ag, 2), geometry.sectorSize));
    const agfl = verified(AGFL_TYPE, geometry.agHeaderDaddr(ag, 3), geometry.sectorSize);
    expect(activeFreeListFault(agf.view, agfl, geometry, ag)).toBeUndefined();
    root(ag, agf.bnoRoot, 'bnobt');
    root(ag, agf.cntRoot, 'cntbt');
    root(ag, agi.root, 'inobt');
    if (geometry.features.finobt) root(ag, agi.freeRoot, 'finobt');
    if (geometry.features.rmapbt) root(ag, agf.rmapRoot, 'rmapbt');
    if (geometry.features.reflink) root(ag, agf.refcountRoot, 'refcountbt');
  }

  const slots = 64;
  const cluster = read(
    geometry.fsBlockToByte(geometry.rootInode / geometry.inodesPerBlock),
    slots * geometry.inodeSize,
  );
  const view = new DataView(cluster.buffer);
  for (let slot = 0; slot < slots; slot++) {
    const at = slot * geometry.inodeSize;
    expect(verifyInode(view, at, geometry, geometry.rootInode + slot)).toBeUndefined();
    expect(verifyInode(view, at, geometry, geometry.rootInode + slot + 1)?.code).toBe('BAD_ADDRESS');
    cluster[at + geometry.inodeSize - 1]! ^= 1;
    expect(verifyInode(view, at, geometry, geometry.rootInode + slot)?.code).toBe('BAD_CRC');
  }

  const record = cleanLogRecord(geometry.uuid, geometry.logSunit);
  const log = read(geometry.fsBlockToByte(geometry.logStart), record.length + 512);
  expect(Buffer.compare(log.subarray(0, record.length), record)).toBe(0);
  expect(log.subarray(record.length).every((byte) => byte === 0)).toBe(true);
}
