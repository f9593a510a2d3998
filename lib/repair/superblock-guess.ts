/**
 * A superblock that has no copy to be compared with: an image of one AG, or one whose copies are gone as well. One field at
 * a time is taken to be damaged and replaced by what it could have been; what verifies then is judged by a check of the image.
 */
import { AGF_MAGIC, AGI_MAGIC, Agf, Agi } from '../../formats/ag-headers.ts';
import { sealCrc } from '../../formats/checksum.ts';
import { DIALECTS } from '../../formats/dialect.ts';
import { MODE, S_IFMT } from '../../formats/inode.ts';
import { LOG_BB, LOG_RECORD_MAGIC, LogRecordHeader } from '../../formats/log.ts';
import {
  FEATURES2_REQUIRED,
  INCOMPAT,
  RO_COMPAT,
  Superblock,
  VERSION,
  VERSION_REQUIRED,
} from '../../formats/superblock.ts';
import {
  dialectOfMagic,
  expectedRootInode,
  MIN_SECTOR,
  type SuperblockView,
  verifySuperblock,
} from '../../formats/superblock-verify.ts';
import { check, type Observed } from '../check/check.ts';
import { INODE_DAMAGE } from '../check/damaged.ts';
import { NONE, STATE } from '../check/inode-table.ts';
import type { ProblemCode } from '../check/problem-table.ts';
import type { Device } from '../device/device.ts';
import { CadastreError } from '../errors.ts';
import { turnBack } from './bit-rot.ts';
import { PlanDevice } from './plan-device.ts';

const ANY_SIZE = 2 ** 53;
/** Fields that follow from others: the verifier says what they must be. */
const DERIVED = new Set([
  'blocklog',
  'sectlog',
  'inodelog',
  'inopblock',
  'inopblog',
  'agblklog',
  'badFeatures2',
  'inoalignmt',
  'spinoAlign',
]);
/** Fields that are wrong when another one is: the place of the root directory follows from the length of the log. */
const TELLING = new Set(['rootino', 'featuresRoCompat']);
/** Fewer problems than these are no reason to doubt a superblock that verifies. */
const SUSPICIOUS = 8;
/** By so much a guess must be better than what verifies as it is. */
const CLEARLY = 4;
/** Counts for so many problems: no AG header stands where it should. */
const NOWHERE = 1e6;
/** Problems that one inode can have many of, and what it counts for instead. */
const OF_ONE_INODE: readonly ProblemCode[] = ['DIRECTORY_BLOCK', 'DIRECTORY_INDEX', 'ATTRIBUTES_BAD', 'EXTENT_BAD'];
const CONTENT = INODE_DAMAGE.directory | INODE_DAMAGE.attributes | INODE_DAMAGE.fork;
const INODE_COUNTS = 4;
/** So many when there is no root directory: without it few inodes are in the way of anything. */
const ROOTLESS = 1e5;
/** Where a log is looked for. */
const LOG_SEARCH_BYTES = 64 << 20;
const CHUNK = 1 << 20;
/** Greatest alignment of inode chunks: 64 inodes of 2 KiB in blocks of 1 KiB. */
const MOST_ALIGNMENT = 128;

export interface Guess {
  readonly sector: Uint8Array;
  /** What was changed, a line each. */
  readonly changes: readonly string[];
  /** What still speaks against it (see `misfit`); 0 when the checksum itself tells the change. */
  readonly misfit: number;
}

type Change = (sb: SuperblockView) => void;
type Variation = readonly [what: string, change: Change];

/** How much in the image speaks against this primary: problems of a check that takes it for granted. */
export function misfit(device: Device, primary: Uint8Array): number {
  const plan = new PlanDevice(device);
  const { dblocks, blocksize, sectsize } = sbOf(primary);
  plan.resize(dblocks * blocksize);
  plan.write(0, primary.subarray(0, sectsize));
  const { observed, problemCount, damaged } = check(plan, { ignoreLog: true, maxProblems: 0 });
  if (!observed) return Number.POSITIVE_INFINITY;
  let score = problemCount;
  // One damaged directory can have more problems than all that a wrong field leaves to be found.
  for (const code of OF_ONE_INODE) score -= damaged.codes.get(code) ?? 0;
  for (const bits of damaged.inodes.values()) if ((bits & CONTENT) !== 0) score += INODE_COUNTS;
  // Where nothing is found there is not much to find fault with.
  const isAnywhere = observed.headers.some(({ agf, agi }) => agf || agi);
  return score + (isAnywhere ? 0 : NOWHERE) + (hasRoot(observed) ? 0 : ROOTLESS);
}

/** The root directory is where the superblock says. */
function hasRoot({ context, inodes }: Observed): boolean {
  const index = inodes.indexOf(context.geometry.rootInode);
  return index !== NONE && (inodes.state[index]! & STATE.used) !== 0 && (inodes.mode[index]! & S_IFMT) === MODE.DIR;
}

/** A primary that breaks rules, with the one field changed that makes most of the image fit it. */
export function guessAlone(device: Device, head: Uint8Array): Guess | undefined {
  if (head.length < MIN_SECTOR || isEmpty(head)) return undefined;
  const told = toldByCrc(head);
  if (told) return told;
  const variations = [...uuids(device, head), ...sizes(device, head), ...flags(device, head)];
  return best(device, head, [['its checksum', () => {}], ...variations]);
}

/** The small change that a wrong checksum gives away, undone. */
function toldByCrc(head: Uint8Array): Guess | undefined {
  for (let size = MIN_SECTOR; size <= head.length; size *= 2) {
    const sector = head.slice(0, size);
    const what = turnBack(sector, Superblock.offsets.crc, () => {
      const { dialect, refusal, fatal } = verifySuperblock(sector, ANY_SIZE);
      return (
        dialect !== undefined &&
        !refusal &&
        fatal.every(({ code }) => code === 'BAD_CRC') &&
        sbOf(sector).sectsize === size
      );
    });
    if (what === undefined) continue;
    sealCrc(sector, Superblock.offsets.crc);
    return { sector, changes: [`what the checksum of the superblock told (${what}) was put back`], misfit: 0 };
  }
  return undefined;
}

/** Another primary, when the one that verifies fits the image badly, or contradicts itself where others decide. */
export function betterThan(device: Device, head: Uint8Array): Guess | undefined {
  const now = misfit(device, head);
  const isOdd = verifySuperblock(head, ANY_SIZE).minor.some(({ field }) => TELLING.has(field));
  if (now < SUSPICIOUS && !isOdd) return undefined;
  const guess = best(device, head, [
    ...uuids(device, head),
    ...flags(device, head),
    ...(isOdd ? logLengths(head) : []),
  ]);
  return guess && guess.misfit * CLEARLY <= now ? guess : undefined;
}

/** A primary that fits nothing in the image, with the uuid that the headers of AG 0 carry, if that makes it fit. */
export function withUuidOfHeaders(device: Device, head: Uint8Array): Guess | undefined {
  if (misfit(device, head) < NOWHERE) return undefined;
  const guess = best(device, head, uuids(device, head));
  return guess && guess.misfit < NOWHERE ? guess : undefined;
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const sbOf = (bytes: Uint8Array): SuperblockView => Superblock.at(viewOf(bytes));
const isEmpty = (bytes: Uint8Array): boolean => bytes.subarray(0, MIN_SECTOR).every((byte) => byte === 0);

function best(device: Device, head: Uint8Array, variations: readonly Variation[]): Guess | undefined {
  const known = new Set<string>();
  let found: Guess | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const [what, change] of variations) {
    const sector = settle(head, change);
    const key = sector?.join();
    if (!sector || !key || known.has(key)) continue;
    known.add(key);
    const problems = misfit(device, sector);
    if (problems >= least) continue;
    least = problems;
    const told = `the superblock has no copy to compare with: ${what} was taken to be damaged`;
    found = { sector, changes: [told], misfit: problems };
    if (problems === 0) break;
  }
  return found;
}

/** Make the change, and what follows from it; undefined when that does not verify. */
function settle(head: Uint8Array, change: Change): Uint8Array | undefined {
  const bytes = head.slice();
  const sb = sbOf(bytes);
  change(sb);
  sb.inprogress = 0;
  for (let round = 0; round < 12; round++) {
    const { sectsize } = sb;
    if (sectsize < MIN_SECTOR || sectsize > bytes.length) return undefined;
    sealCrc(bytes.subarray(0, sectsize), Superblock.offsets.crc);
    const { dialect, refusal, fatal } = verifySuperblock(bytes, ANY_SIZE);
    if (!dialect || refusal) return undefined;
    if (fatal.length === 0) return bytes.slice(0, sectsize);
    if (fatal.every(({ field }) => field === 'rootino')) {
      sb.rootino = expectedRootInode(sb);
      continue;
    }
    const next = fatal.find(({ field, expected }) => DERIVED.has(field) && typeof expected === 'number');
    if (!next) return undefined;
    (sb as unknown as Record<string, number>)[next.field] = Number(next.expected);
  }
  return undefined;
}

/** The uuid that the headers of AG 0 carry. */
function uuids(device: Device, head: Uint8Array): Variation[] {
  const agf = headerAt(device, sbOf(head).sectsize, AGF_MAGIC);
  if (!agf) return [];
  const { uuid } = Agf.at(agf);
  const none = new Uint8Array(uuid.length);
  return [
    [
      'uuid',
      (to) => Object.assign(to, (to.featuresIncompat & INCOMPAT.META_UUID) === 0 ? { uuid } : { metaUuid: uuid }),
    ],
    ['metaUuid', (to) => Object.assign(to, { metaUuid: none })],
  ];
}

/** Everything that says where things are. */
function sizes(device: Device, head: Uint8Array): Variation[] {
  const out: Variation[] = [];
  const sb = sbOf(head);
  for (let log = 10; log <= 16; log++) {
    out.push(['blocksize', (to) => Object.assign(to, { blocksize: 2 ** log, blocklog: log })]);
  }
  for (let log = 9; log <= 15; log++) {
    out.push(['sectsize', (to) => Object.assign(to, { sectsize: 2 ** log, sectlog: log })]);
  }
  for (let log = 9; log <= 11; log++) {
    out.push(['inodesize', (to) => Object.assign(to, { inodesize: 2 ** log, inodelog: log })]);
  }
  const lengths = new Set([sb.dblocks, sb.agblocks, agLength(device, sb), Math.floor(device.size / sb.blocksize)]);
  for (const length of lengths) {
    if (!(length > 0 && length < 2 ** 32)) continue;
    out.push(['dblocks', (to) => Object.assign(to, { dblocks: length })]);
    out.push(['agblocks', (to) => Object.assign(to, { agblocks: length })]);
  }
  for (const count of [1, Math.ceil(sb.dblocks / sb.agblocks)]) {
    if (count > 0 && count < 2 ** 20) out.push(['agcount', (to) => Object.assign(to, { agcount: count })]);
  }
  out.push(['rblocks', (to) => Object.assign(to, { rblocks: 0 })]);
  const start = findLog(device, sb);
  if (start !== undefined) out.push(['logstart', (to) => Object.assign(to, { logstart: start })]);
  out.push(...logLengths(head));
  for (const unit of [1, 0, sb.blocksize]) out.push(['logsunit', (to) => Object.assign(to, { logsunit: unit })]);
  return out;
}

/** Features that show in the headers of AG 0: where the root and the height of their tree are, and in which header. */
const TREES: readonly (readonly [bit: number, header: 'agf' | 'agi', root: number, level: number])[] = [
  [RO_COMPAT.FINOBT, 'agi', Agi.offsets.freeRoot, Agi.offsets.freeLevel],
  [RO_COMPAT.RMAPBT, 'agf', Agf.offsets.rmapRoot, Agf.offsets.rmapLevel],
  [RO_COMPAT.REFLINK, 'agf', Agf.offsets.refcountRoot, Agf.offsets.refcountLevel],
];

/**
 * Tells whether the headers of AG 0 have exactly the trees that these features have. Without it a damaged tree would be mended by
 * taking its feature away. Headers that are not there tell nothing.
 */
function treesOfHeaders(device: Device, sectorSize: number): (roCompat: number) => boolean {
  const headers = {
    agf: headerAt(device, sectorSize, AGF_MAGIC),
    agi: headerAt(device, 2 * sectorSize, AGI_MAGIC),
  };
  return (roCompat) =>
    TREES.every(([bit, header, root, level]) => {
      const view = headers[header];
      if (!view) return true;
      const has = (offset: number): boolean => view.getUint32(offset) !== 0;
      return (roCompat & bit) === 0 ? !has(root) && !has(level) : has(root) && has(level);
    });
}

/** Everything that says what things mean. */
function flags(device: Device, head: Uint8Array): Variation[] {
  const sb = sbOf(head);
  const out: Variation[] = [];
  for (const { magic } of DIALECTS) out.push(['magicnum', (to) => Object.assign(to, { magicnum: magic })]);
  const loose = sb.versionnum & (VERSION.ATTR | VERSION.QUOTA);
  for (const more of [0, VERSION.SECTOR, VERSION.DALIGN]) {
    const versionnum = VERSION.NUMBER | VERSION_REQUIRED | loose | more;
    out.push(['versionnum', (to) => Object.assign(to, { versionnum })]);
  }
  out.push(['unit', (to) => Object.assign(to, { unit: 0, width: 0, versionnum: to.versionnum & ~VERSION.DALIGN })]);
  for (let log = 0; log <= 6; log++) out.push(['dirblklog', (to) => Object.assign(to, { dirblklog: log })]);
  out.push([
    'features2',
    (to) => Object.assign(to, { features2: FEATURES2_REQUIRED, badFeatures2: FEATURES2_REQUIRED }),
  ]);
  const dialect = dialectOfMagic(sb.magicnum) ?? DIALECTS[0]!;
  const { requiredRoCompat, knownRoCompat, requiredIncompat, knownIncompat } = dialect;
  const ro = sb.featuresRoCompat & knownRoCompat;
  const incompat = sb.featuresIncompat & knownIncompat;
  const withRo = (bits: number): Variation => [
    'featuresRoCompat',
    (to) => Object.assign(to, { featuresRoCompat: bits >>> 0 }),
  ];
  const withIncompat = (bits: number): Variation => [
    'featuresIncompat',
    (to) => Object.assign(to, { featuresIncompat: bits >>> 0 }),
  ];
  const hasTrees = treesOfHeaders(device, sb.sectsize);
  const { FINOBT, RMAPBT, REFLINK, INOBTCNT } = RO_COMPAT;
  const words = [
    ro | requiredRoCompat,
    ...Object.values(RO_COMPAT).map((bit) => ro ^ bit),
    // Several bits at once, as a field that was zeroed or filled lacks or has them.
    FINOBT | REFLINK | INOBTCNT,
    FINOBT | REFLINK | INOBTCNT | RMAPBT,
  ];
  for (const bits of words) if (hasTrees(bits)) out.push(withRo(bits));
  out.push(withIncompat(incompat | requiredIncompat));
  const { FTYPE, SPINODES, BIGTIME, NREXT64 } = INCOMPAT;
  for (const bit of [FTYPE, SPINODES, BIGTIME, NREXT64]) out.push(withIncompat(incompat ^ bit));
  for (const bits of [FTYPE | SPINODES | BIGTIME, FTYPE | SPINODES | BIGTIME | NREXT64]) {
    out.push(withIncompat(bits | requiredIncompat));
  }
  return out;
}

/** Length of AG 0 by its AGF. */
function agLength(device: Device, sb: SuperblockView): number {
  const agf = headerAt(device, sb.sectsize, AGF_MAGIC);
  return agf ? Agf.at(agf).length : 0;
}

/** First block of the log in AG 0: each record says how far behind it stands. */
function findLog(device: Device, sb: SuperblockView): number | undefined {
  const bytes = new Uint8Array(CHUNK);
  const view = viewOf(bytes);
  for (let at = 0; at < Math.min(device.size, LOG_SEARCH_BYTES); at += CHUNK) {
    const length = Math.min(CHUNK, device.size - at);
    if (!read(device, at, bytes.subarray(0, length))) continue;
    for (let offset = 0; offset + LOG_BB <= length; offset += LOG_BB) {
      if (view.getUint32(offset) !== LOG_RECORD_MAGIC) continue;
      const header = LogRecordHeader.at(view, offset);
      const start = at + offset - header.lsnLo * LOG_BB;
      const isOurs = header.lsnHi === header.cycle && sb.uuid.every((byte, i) => byte === header.fsUuid[i]);
      if (isOurs && start > 0 && start % sb.blocksize === 0) return start / sb.blocksize;
    }
  }
  return undefined;
}

/** Lengths of a log in AG 0 behind which mkfs would have put the root inode where it is. */
function logLengths(head: Uint8Array): Variation[] {
  const bytes = head.slice();
  const sb = sbOf(bytes);
  const isSane = sb.blocksize === 2 ** sb.blocklog && sb.blocklog >= 10 && sb.blocklog <= 16 && sb.agblklog < 32;
  if (!isSane || sb.sectsize !== 2 ** sb.sectlog || sb.inoalignmt > MOST_ALIGNMENT) return [];
  sb.logblocks = 0;
  const room = (sb.rootino - expectedRootInode(sb)) / 2 ** sb.inopblog;
  const out: Variation[] = [];
  // Beyond what a block number holds, counting down by one would not even move.
  if (!(room < 2 ** 31)) return out;
  // Without a log the first chunk is aligned as well: that may hide as much again.
  for (let count = room + sb.inoalignmt; count > room - 2 * Math.max(1, sb.inoalignmt) && count > 0; count--) {
    if (Number.isInteger(count)) out.push(['logblocks', (to) => Object.assign(to, { logblocks: count })]);
  }
  return out;
}

/** The header sector of AG 0 at a byte, if it can be read and has its magic. */
function headerAt(device: Device, offset: number, magic: number): DataView | undefined {
  const bytes = new Uint8Array(MIN_SECTOR);
  const view = viewOf(bytes);
  return read(device, offset, bytes) && view.getUint32(0) === magic ? view : undefined;
}

function read(device: Device, offset: number, into: Uint8Array): boolean {
  try {
    device.read(offset, into);
    return true;
  } catch (error) {
    if (error instanceof CadastreError && error.family === 'device') return false;
    throw error;
  }
}
