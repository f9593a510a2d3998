/**
 * Sizes and offsets of every structure, repeated as literals: whoever changes a table by accident is stopped here. The
 * numbers were written out from the format's description, not taken from the tables.
 */
import { describe, expect, it } from 'vitest';
import { Agf, Agfl, Agi, agflSlots } from './ag-headers.ts';
import * as blocks from './btree-blocks.ts';
import { InodeCore } from './inode.ts';
import { LogExtendedHeader, LogOpHeader, LogRecordHeader, TransactionHeader } from './log.ts';
import * as items from './log-items.ts';
import type { AnyStruct } from './registry.ts';
import { Superblock } from './superblock.ts';

const layouts: [struct: AnyStruct, size: number, fields: Record<string, number>][] = [
  [
    Superblock,
    304,
    {
      magicnum: 0,
      blocksize: 4,
      dblocks: 8,
      rblocks: 16,
      rextents: 24,
      uuid: 32,
      logstart: 48,
      rootino: 56,
      rbmino: 64,
      rsumino: 72,
      rextsize: 80,
      agblocks: 84,
      agcount: 88,
      rbmblocks: 92,
      logblocks: 96,
      versionnum: 100,
      sectsize: 102,
      inodesize: 104,
      inopblock: 106,
      fname: 108,
      blocklog: 120,
      sectlog: 121,
      inodelog: 122,
      inopblog: 123,
      agblklog: 124,
      rextslog: 125,
      inprogress: 126,
      imaxPct: 127,
      icount: 128,
      ifree: 136,
      fdblocks: 144,
      frextents: 152,
      uquotino: 160,
      gquotino: 168,
      qflags: 176,
      flags: 178,
      sharedVn: 179,
      inoalignmt: 180,
      unit: 184,
      width: 188,
      dirblklog: 192,
      logsectlog: 193,
      logsectsize: 194,
      logsunit: 196,
      features2: 200,
      badFeatures2: 204,
      featuresCompat: 208,
      featuresRoCompat: 212,
      featuresIncompat: 216,
      featuresLogIncompat: 220,
      crc: 224,
      spinoAlign: 228,
      pquotino: 232,
      lsn: 240,
      metaUuid: 248,
      metadirino: 264,
      rgcount: 272,
      rgextents: 276,
      rgblklog: 280,
      metadirPad: 281,
      rtstart: 288,
      rtreserved: 296,
    },
  ],
  [
    Agf,
    224,
    {
      magicnum: 0,
      versionnum: 4,
      seqno: 8,
      length: 12,
      bnoRoot: 16,
      cntRoot: 20,
      rmapRoot: 24,
      bnoLevel: 28,
      cntLevel: 32,
      rmapLevel: 36,
      flfirst: 40,
      fllast: 44,
      flcount: 48,
      freeblks: 52,
      longest: 56,
      btreeblks: 60,
      uuid: 64,
      rmapBlocks: 80,
      refcountBlocks: 84,
      refcountRoot: 88,
      refcountLevel: 92,
      csumRoot: 96,
      csumLevel: 100,
      csumBlocks: 104,
      spare: 108,
      lsn: 208,
      crc: 216,
      spare2: 220,
    },
  ],
  [
    Agi,
    344,
    {
      magicnum: 0,
      versionnum: 4,
      seqno: 8,
      length: 12,
      count: 16,
      root: 20,
      level: 24,
      freecount: 28,
      newino: 32,
      dirino: 36,
      unlinked: 40,
      uuid: 296,
      crc: 312,
      pad: 316,
      lsn: 320,
      freeRoot: 328,
      freeLevel: 332,
      iblocks: 336,
      fblocks: 340,
    },
  ],
  [Agfl, 36, { magicnum: 0, seqno: 4, uuid: 8, lsn: 24, crc: 32 }],
  [
    blocks.ShortHeader,
    56,
    {
      magic: 0,
      level: 4,
      numrecs: 6,
      leftSibling: 8,
      rightSibling: 12,
      blkno: 16,
      lsn: 24,
      uuid: 32,
      owner: 48,
      crc: 52,
    },
  ],
  [
    blocks.LongHeader,
    72,
    {
      magic: 0,
      level: 4,
      numrecs: 6,
      leftSibling: 8,
      rightSibling: 16,
      blkno: 24,
      lsn: 32,
      uuid: 40,
      owner: 56,
      crc: 64,
      pad: 68,
    },
  ],
  [blocks.AllocRecord, 8, { startBlock: 0, blockCount: 4 }],
  [blocks.InobtRecord, 16, { startInode: 0, holemask: 4, count: 6, freeCount: 7, free: 8 }],
  [blocks.RmapRecord, 24, { startBlock: 0, blockCount: 4, owner: 8, offset: 16 }],
  [blocks.RefcountRecord, 12, { startBlock: 0, blockCount: 4, refcount: 8 }],
  [blocks.BmbtRecord, 16, { l0: 0, l1: 8 }],
  [blocks.CsumRecord, 64, { startBlock: 0, blockCount: 4, crcs: 8 }],
  [blocks.BmdrHeader, 4, { level: 0, numrecs: 2 }],
  [
    InodeCore,
    176,
    {
      magic: 0,
      mode: 2,
      version: 4,
      format: 5,
      metatype: 6,
      uid: 8,
      gid: 12,
      nlink: 16,
      projidLo: 20,
      projidHi: 22,
      bigNextents: 24,
      atime: 32,
      mtime: 40,
      ctime: 48,
      size: 56,
      nblocks: 64,
      extsize: 72,
      nextents: 76,
      anextents: 80,
      forkoff: 82,
      aformat: 83,
      dmevmask: 84,
      dmstate: 88,
      flags: 90,
      gen: 92,
      nextUnlinked: 96,
      crc: 100,
      changecount: 104,
      lsn: 112,
      flags2: 120,
      cowextsize: 128,
      pad: 132,
      crtime: 144,
      ino: 152,
      uuid: 160,
    },
  ],
  [
    LogRecordHeader,
    328,
    {
      magic: 0,
      cycle: 4,
      version: 8,
      len: 12,
      lsn: 16,
      tailLsn: 24,
      crc: 32,
      prevBlock: 36,
      numLogops: 40,
      cycleData: 44,
      fmt: 300,
      fsUuid: 304,
      size: 320,
      pad: 324,
    },
  ],
  [LogExtendedHeader, 260, { cycle: 0, cycleData: 4 }],
  [LogOpHeader, 12, { tid: 0, len: 4, clientid: 8, flags: 9, reserved: 10 }],
  [TransactionHeader, 16, { magic: 0, type: 4, tid: 8, numRegions: 12 }],
  [items.BufferItem, 20, { type: 0, regions: 2, flags: 4, length: 6, daddr: 8, mapWords: 16 }],
  [
    items.InodeItem,
    56,
    {
      type: 0,
      regions: 2,
      fields: 4,
      attrSize: 8,
      dataSize: 10,
      pad: 12,
      ino: 16,
      rdev: 24,
      unused: 28,
      daddr: 40,
      length: 48,
      offset: 52,
    },
  ],
  [
    items.LoggedInodeCore,
    176,
    {
      magic: 0,
      mode: 2,
      version: 4,
      format: 5,
      metatype: 6,
      uid: 8,
      gid: 12,
      nlink: 16,
      projidLo: 20,
      projidHi: 22,
      bigNextents: 24,
      atime: 32,
      mtime: 40,
      ctime: 48,
      size: 56,
      nblocks: 64,
      extsize: 72,
      nextents: 76,
      anextents: 80,
      forkoff: 82,
      aformat: 83,
      dmevmask: 84,
      dmstate: 88,
      flags: 90,
      gen: 92,
      nextUnlinked: 96,
      crc: 100,
      changecount: 104,
      lsn: 112,
      flags2: 120,
      cowextsize: 128,
      pad: 132,
      crtime: 144,
      ino: 152,
      uuid: 160,
    },
  ],
  [items.IcreateItem, 28, { type: 0, regions: 2, ag: 4, agBlock: 8, count: 12, inodeSize: 16, length: 20, gen: 24 }],
  [items.IntentHeader, 16, { type: 0, regions: 2, count: 4, id: 8 }],
  [items.EfiExtent, 16, { startBlock: 0, blockCount: 8, pad: 12 }],
  [items.MapExtent, 32, { owner: 0, startBlock: 8, startOffset: 16, blockCount: 24, flags: 28 }],
  [items.CuiExtent, 16, { startBlock: 0, blockCount: 8, flags: 12 }],
  [items.DoneItem, 16, { type: 0, regions: 2, pad: 4, id: 8 }],
  [
    items.AttriItem,
    40,
    { type: 0, regions: 2, igen: 4, id: 8, ino: 16, op: 24, nameLength: 28, valueLength: 32, filter: 36 },
  ],
  [
    items.XmiItem,
    88,
    {
      type: 0,
      regions: 2,
      pad: 4,
      id: 8,
      inode1: 16,
      inode2: 24,
      gen1: 32,
      gen2: 36,
      offset1: 40,
      offset2: 48,
      blockCount: 56,
      flags: 64,
      size1: 72,
      size2: 80,
    },
  ],
  [items.DquotItem, 24, { type: 0, regions: 2, id: 4, daddr: 8, length: 16, offset: 20 }],
];

describe('layout', () => {
  it.each(layouts.map(([struct, size, fields]) => ({ name: struct.name, struct, size, fields })))(
    '$name',
    ({ struct, size, fields }) => {
      expect(struct.size).toBe(size);
      expect(Object.fromEntries(struct.fields.map((field) => [field.name, field.offset]))).toEqual(fields);
    },
  );

  it('puts every CRC where the format says', () => {
    expect(Superblock.offsets.crc).toBe(224);
    expect(Agf.offsets.crc).toBe(216);
    expect(Agi.offsets.crc).toBe(312);
    expect(Agfl.offsets.crc).toBe(32);
    expect(blocks.ShortHeader.offsets.crc).toBe(52);
    expect(blocks.LongHeader.offsets.crc).toBe(64);
    expect(InodeCore.offsets.crc).toBe(100);
    // Little-endian, unlike everything around it.
    for (const struct of [
      Superblock,
      Agf,
      Agi,
      Agfl,
      blocks.ShortHeader,
      blocks.LongHeader,
      InodeCore,
      LogRecordHeader,
    ]) {
      expect(struct.fields.find((field) => field.name === 'crc')?.kind).toBe('u32le');
    }
  });
});

describe('tree capacities', () => {
  const { BTREES, maxLeafRecords, maxNodeRecords } = blocks;
  it.each([
    [1024, [121, 80], [60, 121], [40, 22], [80, 121], [59, 59], [15, 121]],
    [4096, [505, 336], [252, 505], [168, 91], [336, 505], [251, 251], [63, 505]],
    [65536, [8185, 5456], [4092, 8185], [2728, 1488], [5456, 8185], [4091, 4091], [1023, 8185]],
  ])('at %i bytes', (blockSize, ...expected) => {
    const trees = [BTREES.bnobt, BTREES.inobt, BTREES.rmapbt, BTREES.refcountbt, BTREES.bmbt, BTREES.csumbt];
    const found = trees.map((layout) => [maxLeafRecords(layout, blockSize), maxNodeRecords(layout, blockSize)]);
    expect(found).toEqual(expected);
    expect(maxLeafRecords(BTREES.cntbt, blockSize)).toBe(maxLeafRecords(BTREES.bnobt, blockSize));
    expect(maxLeafRecords(BTREES.finobt, blockSize)).toBe(maxLeafRecords(BTREES.inobt, blockSize));
  });

  it('names every tree by its magic', () => {
    const text = (magic: number) =>
      String.fromCharCode(magic >>> 24, (magic >> 16) & 255, (magic >> 8) & 255, magic & 255);
    expect(Object.values(BTREES).map((layout) => [layout.name, text(layout.magic)])).toEqual([
      ['bnobt', 'AB3B'],
      ['cntbt', 'AB3C'],
      ['inobt', 'IAB3'],
      ['finobt', 'FIB3'],
      ['rmapbt', 'RMB3'],
      ['refcountbt', 'R3FC'],
      ['csumbt', 'CSM3'],
      ['bmbt', 'BMA3'],
    ]);
  });

  it('gives the free list the rest of a sector', () => {
    expect(agflSlots(512)).toBe(119);
    expect(agflSlots(4096)).toBe(1015);
  });
});
