/**
 * The gate: what a superblock sector must say before anything else of the image is believed.
 *
 * 1. `verifySuperblock` never throws, whatever the bytes. When its `fatal` list is empty, a Geometry made from the
 *    sector is safe: no zero divisors, every shift and count bounded, all addresses exact Numbers, the image long enough.
 * 2. `minor` faults are wrong, and for the checker to report, but nothing that the geometry or a reader relies on.
 * 3. A refusal (another file system, v4, a feature we lack) goes before faults: its fields may mean something else.
 */
import { type BlockType, type Fault, fault } from './block-type.ts';
import { crcWithHole, storedCrc } from './checksum.ts';
import { DIALECTS, type Dialect } from './dialect.ts';
import { foreignContent } from './foreign.ts';
import { rawClusterBytes } from './geometry.ts';
import { NULL64 } from './struct.ts';
import { FEATURES2_REQUIRED, INCOMPAT, RO_COMPAT, Superblock, VERSION, VERSION_REQUIRED } from './superblock.ts';
import { maxTreeLevels, minFreeListLength } from './tree-levels.ts';

/** Why an image is not opened, or only for reading. */
export interface Refusal {
  /** Stable: NOT_OURS, V4, NEEDSREPAIR, METADIR, ZONED, EXTERNAL_LOG, REALTIME, UNKNOWN_INCOMPAT, UNKNOWN_RO_COMPAT ... */
  readonly code: string;
  readonly message: string;
  /** True: reading is fine, writing is refused. */
  readonly readOnly: boolean;
}

export interface SuperblockVerdict {
  /** By magic; undefined when the image is not ours at all. */
  readonly dialect: Dialect | undefined;
  readonly refusal: Refusal | undefined;
  readonly fatal: readonly Fault[];
  readonly minor: readonly Fault[];
}

export type SuperblockView = ReturnType<typeof Superblock.at>;

/** Smallest and greatest sector: read at least the latter before calling `verifySuperblock` (or the whole image). */
export const MIN_SECTOR = 512;
export const MAX_SECTOR = 32768;
/** Fewest blocks the last AG may have. */
export const MIN_AG_BLOCKS = 64;
/** Greatest AG: one byte short of 1 TiB, in whole blocks. */
export const MAX_AG_BYTES = 2 ** 40 - 1;
export const MAX_LOG_BLOCKS = 2 ** 20;
export const MAX_LOG_BYTES = 2 ** 31 - 10 * 2 ** 20;
/** Not a rule of the format but of sanity: room for a few records. Whoever makes a log obeys stricter rules. */
const MIN_LOG_BYTES = 2 ** 16;
const MAX_LOG_SUNIT = 262144;
/** Fields that end at 248 and 264: beyond, a sector is zero unless META_UUID / METADIR say otherwise. */
const END_WITHOUT_META_UUID = 248;
const END_WITHOUT_METADIR = 264;

const hex = (value: number, digits = 8): string => `0x${value.toString(16).padStart(digits, '0')}`;

/** The dialect whose magic this is. */
export function dialectOfMagic(magic: number): Dialect | undefined {
  return DIALECTS.find((dialect) => dialect.magic === magic);
}

const INCOMPAT_NAMES: readonly (readonly [bit: number, code: string, what: string])[] = [
  [INCOMPAT.NEEDSREPAIR, 'NEEDSREPAIR', 'the image is marked as needing repair (NEEDSREPAIR)'],
  [INCOMPAT.METADIR, 'METADIR', 'a metadata directory (METADIR)'],
  [INCOMPAT.ZONED, 'ZONED', 'a zoned realtime section (ZONED)'],
  [INCOMPAT.ZONE_GAPS, 'ZONED', 'zone gaps (ZONE_GAPS)'],
  [INCOMPAT.EXCHRANGE, 'EXCHRANGE', 'exchange-range (EXCHRANGE)'],
  [INCOMPAT.PARENT, 'PARENT', 'parent pointers (PARENT)'],
  [INCOMPAT.DATA_CHECKSUMS, 'DATA_CHECKSUMS', 'data checksums (DATA_CHECKSUMS)'],
];

/**
 * The first thing about these features that we do not handle. Unknown incompat bits refuse to open, unknown ro_compat
 * bits refuse to write; unknown compat bits are harmless by definition (2.3).
 */
export function featureRefusal(sb: SuperblockView, dialect: Dialect): Refusal | undefined {
  const refuse = (code: string, what: string, readOnly = false): Refusal => ({
    code,
    message: readOnly ? `can only be read: ${what}` : `not supported: ${what}`,
    readOnly,
  });
  const version = sb.versionnum & 0xf;
  if (version < VERSION.NUMBER)
    return refuse('V4', `XFS version ${version} (V4: no metadata checksums); only version 5 is`);
  if (version > VERSION.NUMBER) return refuse('VERSION', `superblock version ${version}`);
  const unknown = (sb.featuresIncompat & ~dialect.knownIncompat) >>> 0;
  for (const [bit, code, what] of INCOMPAT_NAMES) if ((unknown & bit) !== 0) return refuse(code, what);
  if (unknown !== 0) return refuse('UNKNOWN_INCOMPAT', `unknown incompatible feature bits ${hex(unknown)}`);
  if (sb.rblocks !== 0) return refuse('REALTIME', 'a realtime section (REALTIME)');
  if (sb.logstart === 0) return refuse('EXTERNAL_LOG', 'an external log (EXTERNAL_LOG)');
  const unknownRo = (sb.featuresRoCompat & ~dialect.knownRoCompat) >>> 0;
  if (unknownRo !== 0)
    return refuse('UNKNOWN_RO_COMPAT', `unknown read-only compatible feature bits ${hex(unknownRo)}`, true);
  return undefined;
}

/**
 * The root inode number that mkfs chooses for these parameters and xfs_repair insists on (6.6): the first aligned block
 * behind headers, tree roots, free list and, when it lies in AG 0, the log. The fields up to 'agblklog' must be sane.
 */
export function expectedRootInode(sb: SuperblockView): number {
  const ro = sb.featuresRoCompat;
  const reflink = (ro & RO_COMPAT.REFLINK) !== 0;
  const rmapbt = (ro & RO_COMPAT.RMAPBT) !== 0;
  const checksums = (sb.featuresIncompat & INCOMPAT.DATA_CHECKSUMS) !== 0;
  const max = maxTreeLevels(sb.blocksize, sb.agblocks, 2 ** (sb.agblklog + sb.inopblog), reflink);
  let block = Math.ceil((4 * sb.sectsize) / sb.blocksize) + 3;
  if ((ro & RO_COMPAT.FINOBT) !== 0) block++;
  if (rmapbt) block++;
  if (reflink) block++;
  if (checksums) block++;
  block += minFreeListLength(max, 1, 1, rmapbt ? 1 : 0);
  if (sb.logstart < 2 ** sb.agblklog) block += sb.logblocks;
  const roundUp = (unit: number): void => {
    block = Math.ceil(block / unit) * unit;
  };
  if (sb.unit > 0 && (sb.inoalignmt <= 1 || sb.unit % sb.inoalignmt === 0)) roundUp(sb.unit);
  else if (sb.inoalignmt > 1) roundUp(sb.inoalignmt);
  return block * 2 ** sb.inopblog;
}

/**
 * Judge a superblock.
 * @param head the first bytes of the AG: MAX_SECTOR bytes, or fewer when the image ends earlier. For AG 0 more of them
 *   (FOREIGN_PROBE_BYTES) lets other file systems be named.
 * @param imageBytes size of the image.
 * @param ag which copy: the secondaries may be "in progress" and have no counters and root inode (2.4).
 */
export function verifySuperblock(head: Uint8Array, imageBytes: number, ag = 0): SuperblockVerdict {
  const refused = (code: string, message: string): SuperblockVerdict => ({
    dialect: undefined,
    refusal: { code, message, readOnly: false },
    fatal: [],
    minor: [],
  });
  if (head.length === 0) return refused('EMPTY', 'the image is empty');
  if (head.length < MIN_SECTOR) {
    return refused('TOO_SHORT', `the image is only ${head.length} bytes long, less than one sector`);
  }
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const magic = view.getUint32(0);
  const dialect = dialectOfMagic(magic);
  if (!dialect) {
    const what = foreignContent(head);
    return refused(
      'NOT_OURS',
      what ? `not supported: the image holds another format: ${what}` : 'no known file system in the image',
    );
  }
  const sb = Superblock.at(view);
  const refusal = featureRefusal(sb, dialect);
  if (refusal && !refusal.readOnly) return { dialect, refusal, fatal: [], minor: [] };

  const fatal: Fault[] = [];
  const minor: Fault[] = [];
  sizeFaults(sb, head, dialect, fatal);
  // Everything below computes with the sizes; a checker goes on behind a wrong CRC, so that one hides nothing.
  if (isComputable(fatal)) spaceFaults(sb, dialect, imageBytes, fatal);
  if (isComputable(fatal)) logFaults(sb, fatal);
  if (isComputable(fatal)) inodeFaults(sb, ag, fatal, minor);
  featureFaults(sb, dialect, fatal, minor);
  if (ag === 0) {
    if (sb.inprogress !== 0) {
      fatal.push(fault('IN_PROGRESS', 'inprogress', '0: the image was never finished', sb.inprogress));
    }
    counterFaults(sb, minor);
    const quota = quotaFault(sb);
    if (quota) minor.push(quota);
  } else if (sb.inprogress !== 0 && sb.qflags !== 0) {
    // A copy as mkfs left it, which knows of no quota.
    minor.push(fault('BAD_VALUE', 'qflags', '0 in a copy that was never written again', sb.qflags));
  }
  otherFaults(sb, head, minor);
  return { dialect, refusal, fatal, minor };
}

const isComputable = (faults: readonly Fault[]): boolean => faults.every(({ code }) => code === 'BAD_CRC');
const isPowerOfTwo = (value: number): boolean => value > 0 && (value & (value - 1)) === 0;

/** Block, sector and inode sizes, their logarithms, and the CRC, whose extent is one of these sizes. */
function sizeFaults(sb: SuperblockView, head: Uint8Array, dialect: Dialect, out: Fault[]): void {
  const power = (field: string, value: number, low: number, high: number): boolean => {
    if (isPowerOfTwo(value) && value >= low && value <= high) return true;
    out.push(fault('BAD_VALUE', field, `a power of two, ${low}..${high}`, value));
    return false;
  };
  const is = (field: string, found: number, expected: number): void => {
    if (found !== expected) out.push(fault('BAD_VALUE', field, expected, found));
  };
  const sector = power('sectsize', sb.sectsize, MIN_SECTOR, MAX_SECTOR);
  if (sector) {
    if (head.length < sb.sectsize) {
      out.push(fault('SHORT_IMAGE', 'sectsize', `${sb.sectsize} bytes of superblock`, head.length));
    } else {
      const data = head.subarray(0, sb.sectsize);
      const computed = crcWithHole(data, Superblock.offsets.crc);
      const stored = storedCrc(data, Superblock.offsets.crc);
      if (computed !== stored) out.push(fault('BAD_CRC', 'crc', hex(computed), hex(stored)));
    }
    is('sectlog', sb.sectlog, Math.log2(sb.sectsize));
  }
  const block = power('blocksize', sb.blocksize, 1024, 65536);
  if (block) is('blocklog', sb.blocklog, Math.log2(sb.blocksize));
  const inode = power('inodesize', sb.inodesize, 512, 2048);
  if (inode) is('inodelog', sb.inodelog, Math.log2(sb.inodesize));
  if (!sector || !block || !inode) return;
  if (sb.sectsize > sb.blocksize) out.push(fault('BAD_VALUE', 'sectsize', `at most ${sb.blocksize}`, sb.sectsize));
  if (sb.inodesize * 2 > sb.blocksize)
    out.push(fault('BAD_VALUE', 'inodesize', `at most ${sb.blocksize / 2}`, sb.inodesize));
  is('inopblock', sb.inopblock, sb.blocksize / sb.inodesize);
  is('inopblog', sb.inopblog, Math.log2(sb.blocksize / sb.inodesize));
  if (sb.dirblklog + Math.log2(sb.blocksize) > 16) {
    out.push(fault('BAD_VALUE', 'dirblklog', `0..${16 - Math.log2(sb.blocksize)}`, sb.dirblklog));
  }
  const least = Math.max(MIN_AG_BLOCKS, Math.ceil(dialect.minAgBytes / sb.blocksize));
  const most = Math.floor(MAX_AG_BYTES / sb.blocksize);
  if (sb.agblocks < least || sb.agblocks > most) {
    out.push(fault('BAD_VALUE', 'agblocks', `${least}..${most}`, sb.agblocks));
  } else {
    is('agblklog', sb.agblklog, Math.ceil(Math.log2(sb.agblocks)));
  }
}

/** AG count, image size, and that all addresses and inode numbers are exact Numbers. */
function spaceFaults(sb: SuperblockView, dialect: Dialect, imageBytes: number, out: Fault[]): void {
  const { agblocks, agcount, dblocks, blocksize } = sb;
  if (agcount === 0) {
    out.push(fault('BAD_VALUE', 'agcount', 'at least 1', 0));
    return;
  }
  const most = agcount * agblocks;
  const least = (agcount - 1) * agblocks + MIN_AG_BLOCKS;
  if (dblocks < least || dblocks > most) out.push(fault('BAD_VALUE', 'dblocks', `${least}..${most}`, dblocks));
  else if (dblocks * blocksize < dialect.minImageBytes) {
    out.push(fault('BAD_VALUE', 'dblocks', `at least ${Math.ceil(dialect.minImageBytes / blocksize)}`, dblocks));
  }
  if (agcount * 2 ** (sb.agblklog + sb.inopblog) > 2 ** 53 || dblocks * blocksize > 2 ** 53) {
    out.push(fault('TOO_LARGE', 'dblocks', 'less than 8 PiB', dblocks));
  } else if (isComputable(out) && dblocks * blocksize > imageBytes) {
    out.push(fault('SHORT_IMAGE', 'dblocks', `an image of at least ${dblocks * blocksize} bytes`, imageBytes));
  }
}

function agLength(sb: SuperblockView, ag: number): number {
  return ag === sb.agcount - 1 ? sb.dblocks - ag * sb.agblocks : sb.agblocks;
}

/** The log lies in one AG, behind its headers, and is neither too short to use nor too long. */
function logFaults(sb: SuperblockView, out: Fault[]): void {
  const { logblocks, blocksize } = sb;
  const least = Math.ceil(MIN_LOG_BYTES / blocksize);
  const most = Math.min(MAX_LOG_BLOCKS, Math.floor(MAX_LOG_BYTES / blocksize));
  if (logblocks < least || logblocks > most) {
    out.push(fault('BAD_LOG', 'logblocks', `${least}..${most}`, logblocks));
    return;
  }
  const ag = Math.floor(sb.logstart / 2 ** sb.agblklog);
  const start = sb.logstart % 2 ** sb.agblklog;
  const headers = Math.ceil((4 * sb.sectsize) / blocksize);
  if (ag >= sb.agcount || start < headers || start + logblocks > agLength(sb, ag)) {
    out.push(fault('BAD_LOG', 'logstart', `${logblocks} blocks inside one AG`, sb.logstart));
  }
  if (sb.logsunit > 1 && (sb.logsunit % blocksize !== 0 || sb.logsunit > MAX_LOG_SUNIT)) {
    out.push(fault('BAD_LOG', 'logsunit', `0, 1 or a multiple of ${blocksize} up to ${MAX_LOG_SUNIT}`, sb.logsunit));
  }
}

/** Chunk alignment (the cluster size follows from it) and the root inode. */
function inodeFaults(sb: SuperblockView, ag: number, fatal: Fault[], minor: Fault[]): void {
  const chunkBlocks = Math.floor((64 * sb.inodesize) / sb.blocksize);
  const aligned = sb.inoalignmt;
  if ((sb.featuresIncompat & INCOMPAT.SPINODES) !== 0) {
    const sparse = Math.floor(rawClusterBytes(sb.blocksize, sb.inodesize, chunkBlocks) / sb.blocksize);
    if (aligned !== chunkBlocks) fatal.push(fault('BAD_VALUE', 'inoalignmt', chunkBlocks, aligned));
    if (sb.spinoAlign !== sparse) fatal.push(fault('BAD_VALUE', 'spinoAlign', sparse, sb.spinoAlign));
  } else {
    if (aligned !== 0 && (!isPowerOfTwo(aligned) || aligned > Math.max(1, chunkBlocks))) {
      fatal.push(fault('BAD_VALUE', 'inoalignmt', `0 or a power of two up to ${chunkBlocks}`, aligned));
    }
    if (sb.spinoAlign !== 0) minor.push(fault('BAD_VALUE', 'spinoAlign', 0, sb.spinoAlign));
  }
  const known = (sb.versionnum & VERSION.DALIGN) !== 0;
  const striped = sb.unit !== 0 && sb.unit < sb.agblocks && sb.width >= sb.unit && sb.width % sb.unit === 0;
  if (known ? !striped : sb.unit !== 0 || sb.width !== 0) {
    const expected = known ? 'a stripe unit below agblocks, and a multiple of it as width' : 'no stripe without DALIGN';
    fatal.push(fault('BAD_VALUE', 'unit', expected, `${sb.unit}/${sb.width}`));
  }
  if (!isComputable(fatal)) return;
  // A copy as mkfs left it knows of no root inode, and perhaps of none of the others.
  const root = ag !== 0 && sb.rootino === NULL64 ? expectedRootInode(sb) : sb.rootino;
  const perAg = 2 ** (sb.agblklog + sb.inopblog);
  const inAg = Math.floor((root % perAg) / sb.inopblock);
  const rootAg = Math.floor(root / perAg);
  if (rootAg >= sb.agcount || inAg < Math.ceil((4 * sb.sectsize) / sb.blocksize) || inAg >= agLength(sb, rootAg)) {
    fatal.push(fault('BAD_POINTER', 'rootino', 'an inode inside the image', sb.rootino));
    return;
  }
  const expected = expectedRootInode(sb);
  if (root !== expected) minor.push(fault('BAD_VALUE', 'rootino', expected, sb.rootino));
  for (const [field, found, right] of [
    ['rbmino', sb.rbmino, root + 1],
    ['rsumino', sb.rsumino, root + 2],
  ] as const) {
    if (found !== right && !(ag !== 0 && found === NULL64)) minor.push(fault('BAD_VALUE', field, right, found));
  }
}

/** Version and feature bits (2.2, 2.3). */
function featureFaults(sb: SuperblockView, dialect: Dialect, fatal: Fault[], minor: Fault[]): void {
  const need = (field: string, found: number, required: number): void => {
    if ((found & required) >>> 0 !== required)
      fatal.push(fault('BAD_FEATURES', field, `bits ${hex(required)} set`, hex(found)));
  };
  need('versionnum', sb.versionnum, VERSION_REQUIRED);
  need('features2', sb.features2, FEATURES2_REQUIRED);
  need('featuresIncompat', sb.featuresIncompat, dialect.requiredIncompat);
  need('featuresRoCompat', sb.featuresRoCompat, dialect.requiredRoCompat);
  if ((sb.versionnum & VERSION.SHARED) !== 0) {
    fatal.push(fault('BAD_FEATURES', 'versionnum', 'SHARED clear', hex(sb.versionnum, 4)));
  }
  if (sb.badFeatures2 !== sb.features2)
    minor.push(fault('BAD_FEATURES', 'badFeatures2', hex(sb.features2), hex(sb.badFeatures2)));
  const ro = sb.featuresRoCompat;
  if ((ro & RO_COMPAT.INOBTCNT) !== 0 && (ro & RO_COMPAT.FINOBT) === 0) {
    minor.push(fault('BAD_FEATURES', 'featuresRoCompat', 'FINOBT with INOBTCNT', hex(ro)));
  }
  if (sb.featuresCompat !== 0) minor.push(fault('BAD_FEATURES', 'featuresCompat', 0, hex(sb.featuresCompat)));
  const sector = (sb.versionnum & VERSION.SECTOR) !== 0;
  const right = sector
    ? sb.logsectlog >= 9 && sb.logsectlog <= 15 && sb.logsectsize === 1 << sb.logsectlog && sb.sectsize >= 512
    : sb.logsectlog === 0 && sb.logsectsize === 0 && sb.sectsize === 512;
  if (!right) {
    minor.push(
      fault(
        'BAD_VALUE',
        'logsectsize',
        sector ? '2^logsectlog' : '0, and 512-byte sectors, without SECTOR',
        sb.logsectsize,
      ),
    );
  }
}

/** Quota bits of a superblock without quota inodes: only repair has an opinion on them. */
function quotaFault(sb: SuperblockView): Fault | undefined {
  const has = (inode: number): boolean => inode !== 0 && inode !== NULL64;
  if (has(sb.uquotino) || has(sb.gquotino) || has(sb.pquotino)) return undefined;
  if ((sb.versionnum & VERSION.QUOTA) === 0) return undefined;
  return fault('BAD_FEATURES', 'versionnum', 'QUOTA clear without quota inodes', hex(sb.versionnum, 4));
}

/** Counters of the primary that no intact image has; their true values are for the checker to count. */
function counterFaults(sb: SuperblockView, out: Fault[]): void {
  if (sb.fdblocks > sb.dblocks) out.push(fault('BAD_COUNT', 'fdblocks', `0..${sb.dblocks}`, sb.fdblocks));
  if (sb.icount > sb.dblocks * sb.inopblock) {
    out.push(fault('BAD_COUNT', 'icount', `0..${sb.dblocks * sb.inopblock}`, sb.icount));
  }
  if (sb.ifree > sb.icount) out.push(fault('BAD_COUNT', 'ifree', `0..${sb.icount}`, sb.ifree));
}

/** What is left: percentages, realtime remains, quota flags, and the zeroes behind the last field. */
function otherFaults(sb: SuperblockView, head: Uint8Array, out: Fault[]): void {
  const is = (field: string, found: number, right: boolean, expected: string | number): void => {
    if (!right) out.push(fault('BAD_VALUE', field, expected, found));
  };
  is('imaxPct', sb.imaxPct, sb.imaxPct <= 100, '0..100');
  is('rextents', sb.rextents, sb.rextents === 0, 0);
  is('rbmblocks', sb.rbmblocks, sb.rbmblocks === 0, 0);
  is('rextslog', sb.rextslog, sb.rextslog === 0, 0);
  is('frextents', sb.frextents, sb.frextents === 0, 0);
  const rextBytes = sb.rextsize * sb.blocksize;
  is('rextsize', sb.rextsize, rextBytes >= 4096 && rextBytes <= 2 ** 30, '4 KiB..1 GiB in blocks');
  is('qflags', sb.qflags, (sb.qflags & 0x30) === 0, 'bits 0x30 clear');
  is('flags', sb.flags, sb.flags === 0, 0);
  is('sharedVn', sb.sharedVn, sb.sharedVn === 0, 0);
  const used = (sb.featuresIncompat & INCOMPAT.META_UUID) !== 0 ? END_WITHOUT_METADIR : END_WITHOUT_META_UUID;
  const end = Math.min(head.length, sb.sectsize);
  for (let i = used; i < end; i++) {
    if (head[i] !== 0) {
      out.push(fault('BAD_PADDING', 'pad', `zeroes from byte ${used} on`, `byte ${i} is ${head[i]}`));
      return;
    }
  }
}

/**
 * Any copy of the superblock, as a cached block: it must describe the same file system as the geometry in use. (The
 * geometry itself was made from a sector that `verifySuperblock` accepted.)
 */
export const SUPERBLOCK_TYPE: BlockType = {
  name: 'superblock',
  logType: 18,
  crcOffset: Superblock.offsets.crc,
  lsnOffset: Superblock.offsets.lsn,
  verify(view, geometry) {
    const sb = Superblock.at(view);
    if (sb.magicnum !== geometry.dialect.magic) {
      return fault('BAD_MAGIC', 'magicnum', hex(geometry.dialect.magic), hex(sb.magicnum));
    }
    if ((sb.versionnum & 0xf) !== VERSION.NUMBER)
      return fault('BAD_VERSION', 'versionnum', VERSION.NUMBER, sb.versionnum & 0xf);
    for (let i = 0; i < 16; i++) {
      if (sb.uuid[i] !== geometry.uuid[i]) return fault('BAD_UUID', 'uuid', 'the uuid of the primary', 'another one');
    }
    const same = (field: string, expected: number, found: number): Fault | undefined =>
      expected === found ? undefined : fault('BAD_VALUE', field, expected, found);
    return (
      same('blocksize', geometry.blockSize, sb.blocksize) ??
      same('dblocks', geometry.blocks, sb.dblocks) ??
      same('agblocks', geometry.agBlocks, sb.agblocks) ??
      same('agcount', geometry.agCount, sb.agcount) ??
      same('agblklog', geometry.agBlockLog, sb.agblklog) ??
      same('sectsize', geometry.sectorSize, sb.sectsize) ??
      same('inodesize', geometry.inodeSize, sb.inodesize) ??
      same('inopblog', geometry.inodesPerBlockLog, sb.inopblog) ??
      same('dirblklog', Math.log2(geometry.dirBlockBlocks), sb.dirblklog) ??
      same('inoalignmt', geometry.inodeAlignment, sb.inoalignmt) ??
      same('spinoAlign', geometry.sparseAlignment, sb.spinoAlign) ??
      same('logstart', geometry.logStart, sb.logstart) ??
      same('logblocks', geometry.logBlocks, sb.logblocks)
    );
  },
};
