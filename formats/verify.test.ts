/**
 * The verifiers on made-up and on hostile input: each rule is broken once and must be named; random bytes must neither
 * throw nor give a Geometry that hangs.
 */
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { Agf, Agfl, Agi } from './ag-headers.ts';
import { AGF_TYPE, AGFL_TYPE, AGI_TYPE, activeFreeListFault } from './ag-verify.ts';
import { sealCrc } from './checksum.ts';
import { CADASTRE, type Dialect, XFS } from './dialect.ts';
import { FOREIGN_PROBE_BYTES } from './foreign.ts';
import { Geometry } from './geometry.ts';
import {
  attrExtentCount,
  attrForkBytes,
  attrForkOffset,
  dataExtentCount,
  dataForkBytes,
  FORMAT,
  INODE_FLAG,
  INODE_FLAG2,
  InodeCore,
  MODE,
  maxInlineExtents,
  maxRootRecords,
  setAttrExtentCount,
  setDataExtentCount,
} from './inode.ts';
import { inodeCoreFault, verifyInode } from './inode-verify.ts';
import { FEATURES2, INCOMPAT, RO_COMPAT, Superblock, VERSION } from './superblock.ts';
import { expectedRootInode, SUPERBLOCK_TYPE, verifySuperblock } from './superblock-verify.ts';
import { maxTreeLevels, minFreeListLength } from './tree-levels.ts';

const MIB = 2 ** 20;
const IMAGE = 64 * MIB;
const UUID = Uint8Array.from({ length: 16 }, (_, i) => i + 1);

/** A sound superblock of 64 MiB in 4 AGs, 4k blocks. */
function soundSector(dialect: Dialect): DataView {
  const view = new DataView(new ArrayBuffer(512));
  const sb = Superblock.at(view);
  Object.assign(sb, {
    magicnum: dialect.magic,
    blocksize: 4096,
    dblocks: 16384,
    uuid: UUID,
    rextsize: 1,
    agblocks: 4096,
    agcount: 4,
    logblocks: 1400,
    versionnum: 0xb4a5,
    sectsize: 512,
    inodesize: 512,
    inopblock: 8,
    blocklog: 12,
    sectlog: 9,
    inodelog: 9,
    inopblog: 3,
    agblklog: 12,
    imaxPct: 25,
    icount: 64,
    ifree: 61,
    fdblocks: 10000,
    inoalignmt: 8,
    spinoAlign: 4,
    logsunit: 1,
    features2: 0x18a,
    badFeatures2: 0x18a,
    featuresRoCompat: dialect.requiredRoCompat | RO_COMPAT.FINOBT | RO_COMPAT.REFLINK | RO_COMPAT.RMAPBT,
    featuresIncompat: (dialect.requiredIncompat | INCOMPAT.SPINODES | INCOMPAT.BIGTIME | INCOMPAT.NREXT64) >>> 0,
  });
  sb.logstart = 2 * 4096 + 7;
  sb.rootino = expectedRootInode(sb);
  sb.rbmino = sb.rootino + 1;
  sb.rsumino = sb.rootino + 2;
  return view;
}

const bytesOf = (view: DataView): Uint8Array => new Uint8Array(view.buffer);
const judge = (view: DataView, ag = 0, size = IMAGE) => {
  sealCrc(bytesOf(view), Superblock.offsets.crc);
  return verifySuperblock(bytesOf(view), size, ag);
};

describe('superblock', () => {
  it.each([XFS, CADASTRE])('accepts a sound one: $name', (dialect) => {
    expect(judge(soundSector(dialect))).toEqual({ dialect, refusal: undefined, fatal: [], minor: [] });
    expect(Superblock.at(soundSector(XFS)).rootino).toBe(128);
  });

  const broken: [field: string, value: number, code: string, reported?: string][] = [
    ['blocksize', 0, 'BAD_VALUE'],
    ['blocksize', 512, 'BAD_VALUE'],
    ['blocksize', 131072, 'BAD_VALUE'],
    ['blocksize', 4095, 'BAD_VALUE'],
    ['blocklog', 13, 'BAD_VALUE'],
    ['sectsize', 0, 'BAD_VALUE'],
    ['sectlog', 12, 'BAD_VALUE'],
    ['inodesize', 0, 'BAD_VALUE'],
    ['inodesize', 256, 'BAD_VALUE'],
    ['inodelog', 8, 'BAD_VALUE'],
    ['inopblock', 0, 'BAD_VALUE'],
    ['inopblog', 31, 'BAD_VALUE'],
    ['dirblklog', 5, 'BAD_VALUE'],
    ['agblocks', 0, 'BAD_VALUE'],
    ['agblocks', 4095, 'BAD_VALUE'],
    ['agblocks', 0xffffffff, 'BAD_VALUE'],
    ['agblklog', 11, 'BAD_VALUE'],
    ['agcount', 0, 'BAD_VALUE'],
    ['agcount', 0xffffffff, 'BAD_VALUE', 'dblocks'],
    ['agcount', 5, 'BAD_VALUE', 'dblocks'],
    ['dblocks', 0, 'BAD_VALUE'],
    ['dblocks', 16385, 'BAD_VALUE'],
    ['dblocks', 2 ** 64, 'BAD_VALUE'],
    ['logblocks', 0, 'BAD_LOG'],
    ['logblocks', 2 ** 20 + 1, 'BAD_LOG'],
    ['logblocks', 4096, 'BAD_LOG', 'logstart'],
    ['logstart', 2 * 4096, 'BAD_LOG'],
    ['logstart', 4 * 4096 + 7, 'BAD_LOG'],
    ['logsunit', 1000, 'BAD_LOG'],
    ['logsunit', 2 ** 19, 'BAD_LOG'],
    ['inoalignmt', 4, 'BAD_VALUE'],
    ['spinoAlign', 0, 'BAD_VALUE'],
    ['unit', 16, 'BAD_VALUE'],
    ['rootino', 0, 'BAD_POINTER'],
    ['rootino', 2 ** 64, 'BAD_POINTER'],
    ['rootino', 4 * 4096 * 8, 'BAD_POINTER'],
    ['versionnum', 0xb4a5 & ~VERSION.ALIGN, 'BAD_FEATURES'],
    ['versionnum', 0xb4a5 | VERSION.SHARED, 'BAD_FEATURES'],
    ['features2', 0x18a & ~FEATURES2.CRC, 'BAD_FEATURES'],
    ['featuresIncompat', INCOMPAT.SPINODES, 'BAD_FEATURES'],
    ['inprogress', 1, 'IN_PROGRESS'],
  ];
  it.each(broken)('refuses %s = %i', (field, value, code, reported = field) => {
    const view = soundSector(XFS);
    (Superblock.at(view) as unknown as Record<string, number>)[field] = value;
    expect(judge(view).fatal).toContainEqual(expect.objectContaining({ code, field: reported }));
  });

  const questionable: [field: string, value: number, code: string][] = [
    ['rootino', 136, 'BAD_VALUE'],
    ['rbmino', 0, 'BAD_VALUE'],
    ['rsumino', 2 ** 64, 'BAD_VALUE'],
    ['imaxPct', 101, 'BAD_VALUE'],
    ['rextsize', 0, 'BAD_VALUE'],
    ['rextents', 1, 'BAD_VALUE'],
    ['qflags', 0x10, 'BAD_VALUE'],
    ['badFeatures2', 0, 'BAD_FEATURES'],
    ['featuresCompat', 1, 'BAD_FEATURES'],
    ['logsectsize', 512, 'BAD_VALUE'],
    ['fdblocks', 16385, 'BAD_COUNT'],
    ['icount', 2 ** 40, 'BAD_COUNT'],
    ['ifree', 65, 'BAD_COUNT'],
  ];
  it.each(questionable)('reports %s = %i, but goes on', (field, value, code) => {
    const view = soundSector(XFS);
    (Superblock.at(view) as unknown as Record<string, number>)[field] = value;
    const verdict = judge(view);
    expect(verdict.fatal).toEqual([]);
    expect(verdict.minor).toContainEqual(expect.objectContaining({ code, field }));
  });

  it('wants zeroes behind the last field', () => {
    const view = soundSector(XFS);
    view.setUint8(500, 1);
    expect(judge(view).minor.map((one) => one.code)).toEqual(['BAD_PADDING']);
    view.setUint8(500, 0);
    view.setUint8(250, 1);
    expect(judge(view).minor.map((one) => one.code)).toEqual(['BAD_PADDING']);
    Superblock.at(view).featuresIncompat |= INCOMPAT.META_UUID;
    expect(judge(view).minor).toEqual([]);
  });

  it('lets secondaries differ where mkfs makes them differ', () => {
    const view = soundSector(XFS);
    Object.assign(Superblock.at(view), {
      inprogress: 1,
      rootino: 2 ** 64,
      rbmino: 2 ** 64,
      rsumino: 2 ** 64,
      fdblocks: 99999,
    });
    expect(judge(view, 1)).toMatchObject({ fatal: [], minor: [] });
    expect(judge(view).fatal.map((one) => one.code)).toContain('IN_PROGRESS');
  });

  it('notices an image that is too short, and a bad CRC', () => {
    expect(judge(soundSector(XFS), 0, IMAGE - 1).fatal.map((one) => one.code)).toEqual(['SHORT_IMAGE']);
    const view = soundSector(XFS);
    expect(verifySuperblock(bytesOf(view), IMAGE).fatal.map((one) => one.code)).toEqual(['BAD_CRC']);
  });

  it('holds the cadastre dialect to its mandatory features, and lets its AGs be small', () => {
    const view = soundSector(CADASTRE);
    Superblock.at(view).featuresRoCompat = RO_COMPAT.FINOBT;
    expect(judge(view).fatal).toContainEqual(
      expect.objectContaining({ code: 'BAD_FEATURES', field: 'featuresRoCompat' }),
    );
    const small = soundSector(CADASTRE);
    Object.assign(Superblock.at(small), {
      agblocks: 1024,
      agcount: 1,
      dblocks: 1024,
      agblklog: 10,
      logstart: 100,
      logblocks: 500,
    });
    expect(judge(small).fatal).toEqual([]);
    Superblock.at(small).magicnum = XFS.magic;
    expect(judge(small).refusal?.code).toBe('DATA_CHECKSUMS');
  });

  it.each([
    ['V4', (sb: Record<string, number>) => (sb.versionnum = 0xb4a4)],
    ['VERSION', (sb: Record<string, number>) => (sb.versionnum = 0xb4a6)],
    ['NEEDSREPAIR', (sb: Record<string, number>) => (sb.featuresIncompat! |= INCOMPAT.NEEDSREPAIR)],
    ['METADIR', (sb: Record<string, number>) => (sb.featuresIncompat! |= INCOMPAT.METADIR)],
    ['ZONED', (sb: Record<string, number>) => (sb.featuresIncompat! |= INCOMPAT.ZONED)],
    ['UNKNOWN_INCOMPAT', (sb: Record<string, number>) => (sb.featuresIncompat! |= 0x10000)],
    ['REALTIME', (sb: Record<string, number>) => (sb.rblocks = 1000)],
    ['EXTERNAL_LOG', (sb: Record<string, number>) => (sb.logstart = 0)],
  ])('refuses %s by name', (code, change) => {
    const view = soundSector(XFS);
    change(Superblock.at(view) as unknown as Record<string, number>);
    const { refusal, fatal } = judge(view);
    expect(refusal).toMatchObject({ code, readOnly: false });
    if (code.startsWith('UNKNOWN')) expect(refusal?.message).toContain('0x00010000');
    else if (code !== 'VERSION') expect(refusal?.message).toContain(code);
    expect(fatal).toEqual([]);
  });

  it('opens unknown ro_compat bits for reading', () => {
    const view = soundSector(XFS);
    Superblock.at(view).featuresRoCompat |= 0x100;
    expect(judge(view)).toMatchObject({ refusal: { code: 'UNKNOWN_RO_COMPAT', readOnly: true }, fatal: [], minor: [] });
  });

  it('names what is not ours', () => {
    expect(verifySuperblock(new Uint8Array(0), 0).refusal?.code).toBe('EMPTY');
    expect(verifySuperblock(new Uint8Array(100), 100).refusal?.code).toBe('TOO_SHORT');
    expect(verifySuperblock(new Uint8Array(4096), 4096).refusal?.code).toBe('NOT_OURS');
    const head = new Uint8Array(FOREIGN_PROBE_BYTES);
    head.set([0x53, 0xef], 1080);
    expect(verifySuperblock(head, MIB).refusal?.message).toContain('ext2');
    head.set(new TextEncoder().encode('_BHRfS_M'), 65600);
    expect(verifySuperblock(head, MIB).refusal?.message).toContain('btrfs');
  });

  it('survives any bytes, and an accepted sector always gives a bounded geometry', () => {
    const field = fc.constantFrom(...Superblock.fields.filter((one) => one.name !== 'magicnum'));
    const change = fc.record({ field, bytes: fc.uint8Array({ minLength: 8, maxLength: 8 }), zero: fc.boolean() });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 4 }), fc.constantFrom(XFS, CADASTRE), (changes, dialect) => {
        const view = soundSector(dialect);
        for (const one of changes) {
          for (let i = 0; i < Math.min(8, one.field.size); i++) {
            view.setUint8(one.field.offset + i, one.zero ? 0 : one.bytes[i]!);
          }
        }
        const verdict = judge(view, 0, 2 ** 53);
        if (verdict.fatal.length > 0 || (verdict.refusal && !verdict.refusal.readOnly)) return;
        const geometry = new Geometry(view, dialect);
        const numbers = Object.values(geometry).filter((value) => typeof value === 'number');
        expect(numbers.every((value) => Number.isSafeInteger(value) && value >= 0)).toBe(true);
        expect(geometry.clusterBlocks * geometry.blockSize).toBeLessThanOrEqual(65536);
        expect(geometry.agLength(geometry.agCount - 1)).toBeGreaterThanOrEqual(64);
        expect(SUPERBLOCK_TYPE.verify(view, geometry, 0)).toBeUndefined();
      }),
      { numRuns: 1000 },
    );
  });
});

const geometry = new Geometry(soundSector(XFS), XFS);
const checksummed = new Geometry(soundSector(CADASTRE), CADASTRE);

describe('AG headers', () => {
  let agf: ReturnType<typeof Agf.at>;
  let agi: ReturnType<typeof Agi.at>;
  let agfl: DataView;
  const [agfDaddr, agiDaddr, agflDaddr] = [1, 2, 3].map((sector) => geometry.agHeaderDaddr(1, sector as 1 | 2 | 3)) as [
    number,
    number,
    number,
  ];

  beforeEach(() => {
    agf = Agf.at(new DataView(new ArrayBuffer(512)));
    Object.assign(agf, {
      magicnum: 0x58414746,
      versionnum: 1,
      seqno: 1,
      length: 4096,
      bnoRoot: 1,
      cntRoot: 2,
      rmapRoot: 5,
      bnoLevel: 1,
      cntLevel: 1,
      rmapLevel: 1,
      flfirst: 118,
      fllast: 4,
      flcount: 6,
      freeblks: 4000,
      longest: 4000,
      uuid: UUID,
      rmapBlocks: 1,
      refcountBlocks: 1,
      refcountRoot: 6,
      refcountLevel: 1,
      csumRoot: 7,
      csumLevel: 1,
      csumBlocks: 1,
    });
    agi = Agi.at(new DataView(new ArrayBuffer(512)));
    Object.assign(agi, {
      magicnum: 0x58414749,
      versionnum: 1,
      seqno: 1,
      length: 4096,
      count: 64,
      root: 3,
      level: 1,
      freecount: 60,
      newino: 0xffffffff,
      dirino: 0xffffffff,
      uuid: UUID,
      freeRoot: 4,
      freeLevel: 1,
      iblocks: 1,
      fblocks: 1,
    });
    for (let i = 0; i < 64; i++) agi.view.setUint32(40 + 4 * i, 0xffffffff);
    agfl = new DataView(new ArrayBuffer(512));
    Object.assign(Agfl.at(agfl), { magicnum: 0x5841464c, seqno: 1, uuid: UUID });
    for (let i = 0; i < 119; i++) agfl.setUint32(36 + 4 * i, i === 118 ? 7 : i < 5 ? 8 + i : 0xffffffff);
  });

  it('accepts sound ones', () => {
    expect(AGF_TYPE.verify(agf.view, geometry, agfDaddr)).toBeUndefined();
    expect(AGF_TYPE.verify(agf.view, checksummed, agfDaddr)).toBeUndefined();
    expect(AGI_TYPE.verify(agi.view, geometry, agiDaddr)).toBeUndefined();
    expect(AGFL_TYPE.verify(agfl, geometry, agflDaddr)).toBeUndefined();
    expect(activeFreeListFault(agf.view, agfl, geometry, 1)).toBeUndefined();
  });

  it.each([
    ['magicnum', 1, 'BAD_MAGIC'],
    ['versionnum', 2, 'BAD_VERSION'],
    ['seqno', 0, 'BAD_ADDRESS'],
    ['length', 4095, 'BAD_LENGTH'],
    ['bnoRoot', 0, 'BAD_ROOT'],
    ['cntRoot', 4096, 'BAD_ROOT'],
    ['rmapRoot', 0xffffffff, 'BAD_ROOT'],
    ['refcountRoot', 0, 'BAD_ROOT'],
    ['bnoLevel', 0, 'BAD_LEVEL'],
    ['cntLevel', 3, 'BAD_LEVEL'],
    ['rmapLevel', 4, 'BAD_LEVEL'],
    ['refcountLevel', 0, 'BAD_LEVEL'],
    ['flfirst', 119, 'BAD_FREE_LIST'],
    ['fllast', 0xffffffff, 'BAD_FREE_LIST'],
    ['flcount', 120, 'BAD_FREE_LIST'],
    ['flcount', 5, 'BAD_FREE_LIST'],
    ['freeblks', 4097, 'BAD_COUNT'],
    ['longest', 4001, 'BAD_COUNT'],
    ['btreeblks', 4097, 'BAD_COUNT'],
    ['rmapBlocks', 4097, 'BAD_COUNT'],
    ['refcountBlocks', 4097, 'BAD_COUNT'],
    ['csumRoot', 0, 'BAD_ROOT'],
    ['csumLevel', 9, 'BAD_LEVEL'],
    ['csumBlocks', 4097, 'BAD_COUNT'],
  ])('AGF: %s = %i', (field, value, code) => {
    (agf as unknown as Record<string, number>)[field] = value;
    expect(AGF_TYPE.verify(agf.view, checksummed, agfDaddr)).toMatchObject({ code, field });
    if (field.startsWith('csum')) expect(AGF_TYPE.verify(agf.view, geometry, agfDaddr)).toBeUndefined();
  });

  it('AGF: an empty list may point anywhere inside', () => {
    Object.assign(agf, { flfirst: 1, fllast: 0, flcount: 0 });
    expect(AGF_TYPE.verify(agf.view, geometry, agfDaddr)).toBeUndefined();
  });

  it.each([
    ['magicnum', 1, 'BAD_MAGIC'],
    ['seqno', 2, 'BAD_ADDRESS'],
    ['root', 0, 'BAD_ROOT'],
    ['level', 0, 'BAD_LEVEL'],
    ['freeRoot', 4096, 'BAD_ROOT'],
    ['freeLevel', 9, 'BAD_LEVEL'],
    ['count', 8 * 4096, 'BAD_COUNT'],
    ['freecount', 65, 'BAD_COUNT'],
  ])('AGI: %s = %i', (field, value, code) => {
    (agi as unknown as Record<string, number>)[field] = value;
    expect(AGI_TYPE.verify(agi.view, geometry, agiDaddr)).toMatchObject({ code, field });
  });

  it('AGI: bucket heads are null or inodes behind the headers', () => {
    agi.view.setUint32(40 + 4 * 63, 8 * 4096 - 1);
    expect(AGI_TYPE.verify(agi.view, geometry, agiDaddr)).toBeUndefined();
    for (const head of [0, 7, 8 * 4096]) {
      agi.view.setUint32(40 + 4 * 63, head);
      expect(AGI_TYPE.verify(agi.view, geometry, agiDaddr)).toMatchObject({
        code: 'BAD_POINTER',
        field: 'unlinked[63]',
      });
    }
  });

  it('AGFL: slots, active and not', () => {
    agfl.setUint32(36 + 4 * 50, 4096);
    expect(AGFL_TYPE.verify(agfl, geometry, agflDaddr)).toMatchObject({ code: 'BAD_POINTER', field: 'bno[50]' });
    agfl.setUint32(36 + 4 * 50, 0);
    expect(AGFL_TYPE.verify(agfl, geometry, agflDaddr)).toBeUndefined();
    for (const bad of [0, 0xffffffff, 7]) {
      agfl.setUint32(36, bad);
      expect(activeFreeListFault(agf.view, agfl, geometry, 1)).toMatchObject({ code: 'BAD_POINTER', field: 'bno[0]' });
    }
  });
});

describe('inode', () => {
  const inodeNumber = geometry.inodeNumber(1, 8 * 100 + 3);
  const base = 512;
  let core: ReturnType<typeof InodeCore.at>;
  const judgeInode = (over: Record<string, number> = {}) => {
    Object.assign(core, over);
    return inodeCoreFault(core.view, base, geometry, inodeNumber);
  };

  beforeEach(() => {
    core = InodeCore.at(new DataView(new ArrayBuffer(2048)), base);
    Object.assign(core, {
      magic: 0x494e,
      mode: MODE.FILE | 0o644,
      version: 3,
      format: FORMAT.EXTENTS,
      aformat: FORMAT.EXTENTS,
      nlink: 1,
      nextUnlinked: 0xffffffff,
      ino: inodeNumber,
      uuid: UUID,
      flags2Lo: INODE_FLAG2.BIGTIME | INODE_FLAG2.NREXT64,
    });
  });

  it('accepts sound ones of every type', () => {
    expect(judgeInode()).toBeUndefined();
    expect(judgeInode({ flags: INODE_FLAG.EXTSIZE, extsize: 16, bigNextents: 21, nblocks: 21 })).toBeUndefined();
    expect(
      judgeInode({ flags: 0, extsize: 0, bigNextents: 0, nblocks: 0, mode: MODE.DIR, format: FORMAT.LOCAL, size: 336 }),
    ).toBeUndefined();
    expect(judgeInode({ mode: MODE.SYMLINK, size: 1 })).toBeUndefined();
    expect(judgeInode({ mode: MODE.FIFO, format: FORMAT.DEV, size: 0, forkoff: 1 })).toBeUndefined();
    expect(judgeInode({ mode: 0, format: 0, aformat: 0, forkoff: 0, flags2Lo: 0 })).toBeUndefined();
    expect(judgeInode({ mode: 0, format: 2, aformat: 2, flags2Lo: 24 })).toBeUndefined();
    // An unlinked directory or symlink that was emptied already.
    expect(judgeInode({ mode: MODE.DIR, format: FORMAT.EXTENTS, nlink: 0, size: 0 })).toBeUndefined();
  });

  it.each<[string, Record<string, number>, string, string]>([
    ['magic', { magic: 0 }, 'BAD_MAGIC', 'magic'],
    ['version', { version: 2 }, 'BAD_VERSION', 'version'],
    ['number', { ino: inodeNumber + 1 }, 'BAD_ADDRESS', 'ino'],
    ['chain to nowhere', { nextUnlinked: 0 }, 'BAD_POINTER', 'nextUnlinked'],
    ['no type', { mode: 0x3000 }, 'BAD_MODE', 'mode'],
    ['unknown flag', { flags: 0x8000 }, 'BAD_FLAGS', 'flags'],
    ['realtime', { flags: INODE_FLAG.REALTIME }, 'BAD_FLAGS', 'flags'],
    ['unknown flag2', { flags2Lo: 0x40 }, 'BAD_FLAGS', 'flags2'],
    ['high flag2', { flags2Hi: 1 }, 'BAD_FLAGS', 'flags2'],
    ['shared directory', { mode: MODE.DIR, flags2Lo: INODE_FLAG2.REFLINK }, 'BAD_FLAGS', 'flags2'],
    ['hint without flag', { extsize: 1 }, 'BAD_VALUE', 'extsize'],
    ['flag without hint', { flags: INODE_FLAG.EXTSIZE }, 'BAD_VALUE', 'extsize'],
    ['inherit on a file', { flags: INODE_FLAG.EXTSZINHERIT, extsize: 1 }, 'BAD_FLAGS', 'flags'],
    ['large hint', { flags: INODE_FLAG.EXTSIZE, extsize: 2049 }, 'BAD_VALUE', 'extsize'],
    ['cow hint without flag', { cowextsize: 1 }, 'BAD_VALUE', 'cowextsize'],
    ['pad of the wide layout', { anextents: 1 }, 'BAD_VALUE', 'anextents'],
    ['wide count in the narrow layout', { flags2Lo: 8, bigNextents: 1 }, 'BAD_VALUE', 'bigNextents'],
    ['narrow count', { flags2Lo: 8, nextents: 2 ** 31 }, 'BAD_COUNT', 'nextents'],
    ['narrow attr count', { flags2Lo: 8, anextents: 2 ** 15 }, 'BAD_COUNT', 'anextents'],
    ['wide count', { bigNextents: 2 ** 48 }, 'BAD_COUNT', 'bigNextents'],
    ['negative size', { size: 2 ** 63 }, 'BAD_VALUE', 'size'],
    ['inexact size', { size: 2 ** 60 }, 'TOO_LARGE', 'size'],
    ['more extents than blocks', { bigNextents: 5, nblocks: 4 }, 'BAD_COUNT', 'nblocks'],
    ['local file', { format: FORMAT.LOCAL }, 'BAD_FORMAT', 'format'],
    ['device format file', { format: FORMAT.DEV }, 'BAD_FORMAT', 'format'],
    ['btree symlink', { mode: MODE.SYMLINK, size: 1, format: FORMAT.BTREE }, 'BAD_FORMAT', 'format'],
    ['extents device', { mode: MODE.CHAR }, 'BAD_FORMAT', 'format'],
    ['device with size', { mode: MODE.CHAR, format: FORMAT.DEV, size: 1 }, 'BAD_VALUE', 'size'],
    ['device fork offset', { mode: MODE.CHAR, format: FORMAT.DEV, forkoff: 2 }, 'BAD_FORKOFF', 'forkoff'],
    ['empty directory size', { mode: MODE.DIR, format: FORMAT.LOCAL }, 'BAD_VALUE', 'size'],
    ['long local directory', { mode: MODE.DIR, format: FORMAT.LOCAL, size: 337 }, 'BAD_VALUE', 'size'],
    ['long symlink', { mode: MODE.SYMLINK, size: 1025 }, 'BAD_VALUE', 'size'],
    ['inline list too long', { bigNextents: 22, nblocks: 22 }, 'BAD_COUNT', 'nextents'],
    ['tree that fits inline', { format: FORMAT.BTREE, bigNextents: 21, nblocks: 22 }, 'BAD_COUNT', 'nextents'],
    ['tree without height', { format: FORMAT.BTREE, bigNextents: 22, nblocks: 22 }, 'BAD_LEVEL', 'root.level'],
    ['fork offset beyond', { forkoff: 42 }, 'BAD_FORKOFF', 'forkoff'],
    ['no attr fork, format 0', { aformat: 0 }, 'BAD_FORMAT', 'aformat'],
    ['no attr fork, extents', { nextents: 1, nblocks: 1 }, 'BAD_COUNT', 'anextents'],
    ['attr fork of no form', { forkoff: 24, aformat: 0 }, 'BAD_FORMAT', 'aformat'],
    ['attr list too long', { forkoff: 24, nextents: 10, nblocks: 10 }, 'BAD_COUNT', 'anextents'],
    ['empty short attributes', { forkoff: 24, aformat: FORMAT.LOCAL }, 'BAD_VALUE', 'attr.totsize'],
    ['free with blocks', { mode: 0, nblocks: 1 }, 'BAD_COUNT', 'nblocks'],
    ['free in btree form', { mode: 0, format: FORMAT.BTREE }, 'BAD_FORMAT', 'format'],
    ['metadata type', { metatype: 1 }, 'BAD_VALUE', 'metatype'],
  ])('refuses: %s', (_name, over, code, field) => {
    expect(judgeInode(over)).toMatchObject({ code, field });
  });

  it('checks the root of a fork in btree form', () => {
    Object.assign(core, { format: FORMAT.BTREE, bigNextents: 22, nblocks: 30 });
    core.view.setUint16(base + 176, 1);
    for (const [records, code] of [
      [0, 'BAD_COUNT'],
      [1, undefined],
      [20, undefined],
      [21, 'BAD_COUNT'],
    ] as const) {
      core.view.setUint16(base + 178, records);
      expect(judgeInode()?.code).toBe(code);
    }
    core.view.setUint16(base + 176, geometry.maxLevels.bmbt);
    expect(judgeInode()?.code).toBe('BAD_LEVEL');
  });

  it('tells a bad CRC from bad content', () => {
    expect(verifyInode(core.view, base, geometry, inodeNumber)?.code).toBe('BAD_CRC');
    sealCrc(new Uint8Array(core.view.buffer, base, 512), 100);
    expect(verifyInode(core.view, base, geometry, inodeNumber)).toBeUndefined();
    core.view.setUint16(base, 0);
    expect(verifyInode(core.view, base, geometry, inodeNumber)?.code).toBe('BAD_MAGIC');
  });

  it('keeps both forks inside the slot whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 174, maxLength: 336 }), fc.integer({ min: 0, max: 7 }), (noise, type) => {
        const view = new DataView(new ArrayBuffer(512));
        new Uint8Array(view.buffer).set(noise, 2);
        const inode = InodeCore.at(view);
        Object.assign(inode, {
          magic: 0x494e,
          version: 3,
          ino: 9000,
          uuid: UUID,
          nextUnlinked: 0xffffffff,
          metatype: 0,
        });
        Object.assign(inode, { mode: (type * 2) << 12, flags: 0, flags2Hi: 0, extsize: 0, cowextsize: 0 });
        inode.flags2Lo &= 0x18;
        inode.format %= 4;
        inode.aformat %= 4;
        if (inodeCoreFault(view, 0, geometry, 9000) !== undefined || inode.mode === 0) return;
        expect(dataForkBytes(view, 0, 512) + attrForkBytes(view, 0, 512)).toBe(336);
        if (inode.format === FORMAT.EXTENTS)
          expect(dataExtentCount(view, 0) * 16).toBeLessThanOrEqual(dataForkBytes(view, 0, 512));
        expect(attrForkOffset(view, 0)).toBeLessThan(512);
      }),
      { numRuns: 1000 },
    );
  });

  it('reads and writes extent counts in either layout', () => {
    setDataExtentCount(core.view, base, 2 ** 40 + 7);
    setAttrExtentCount(core.view, base, 2 ** 31 + 1);
    expect([core.bigNextents, core.nextents, core.anextents]).toEqual([2 ** 40 + 7, 2 ** 31 + 1, 0]);
    expect([dataExtentCount(core.view, base), attrExtentCount(core.view, base)]).toEqual([2 ** 40 + 7, 2 ** 31 + 1]);
    Object.assign(core, { flags2Lo: 8, bigNextents: 0 });
    setDataExtentCount(core.view, base, 1234567);
    setAttrExtentCount(core.view, base, 4321);
    expect([core.bigNextents, core.nextents, core.anextents]).toEqual([0, 1234567, 4321]);
    expect([dataExtentCount(core.view, base), attrExtentCount(core.view, base)]).toEqual([1234567, 4321]);
  });

  it('divides the literal area', () => {
    const sizes = (forkoff: number) => {
      core.forkoff = forkoff;
      const data = dataForkBytes(core.view, base, 512);
      const attr = attrForkBytes(core.view, base, 512);
      return [data, maxInlineExtents(data), maxRootRecords(data), attr, maxInlineExtents(attr), maxRootRecords(attr)];
    };
    expect(sizes(0)).toEqual([336, 21, 20, 0, 0, 0]);
    expect(sizes(24)).toEqual([192, 12, 11, 144, 9, 8]);
    expect(attrForkOffset(core.view, base)).toBe(176 + 192);
  });
});

describe('tree heights', () => {
  it.each([
    [4096, 2, 2, 3],
    [19200, 2, 2, 4],
    [65536, 2, 3, 4],
    [262144, 3, 3, 5],
    [67108864, 4, 4, 6],
  ])('of AGs of %i blocks', (agBlocks, alloc, refcount, rmap) => {
    const max = maxTreeLevels(4096, agBlocks, 8 * agBlocks, true);
    expect([max.bnobt, max.cntbt, max.refcountbt, max.rmapbt]).toEqual([alloc, alloc, refcount, rmap]);
  });

  it('fix the shortest free list', () => {
    const max = maxTreeLevels(4096, 65536, 8 * 65536, true);
    expect([minFreeListLength(max, 1, 1, 0), minFreeListLength(max, 1, 1, 1)]).toEqual([4, 6]);
    expect(minFreeListLength(max, 2, 2, 4)).toBe(2 + 2 + 4);
  });
});
