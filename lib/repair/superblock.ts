/**
 * Which superblock is to be believed, and the primary as it shall be. Evidence, strongest first:
 *
 * 1. copies that verify (CRC, own rules), stand where their own geometry puts them, and agree with one another;
 * 2. the primary, when it verifies; its own fields (counters, quota) also when its geometry is outvoted;
 * 3. what stands where a geometry says it must: AGF and AGI with the right number and uuid, a root directory.
 *
 * Copies are looked for where the primary says, where images usually have them, and at last on the whole device.
 */
import { AGF_MAGIC, AGI_MAGIC, Agf, Agi } from '../../formats/ag-headers.ts';
import { crcWithHole, sealCrc, storedCrc } from '../../formats/checksum.ts';
import { Geometry } from '../../formats/geometry.ts';
import { InodeCore, MODE, S_IFMT } from '../../formats/inode.ts';
import { inodeCoreFault } from '../../formats/inode-verify.ts';
import { NULL64 } from '../../formats/struct.ts';
import { INCOMPAT, QUOTA_CHECKED, Superblock, VERSION } from '../../formats/superblock.ts';
import {
  dialectOfMagic,
  expectedRootInode,
  MAX_SECTOR,
  MIN_SECTOR,
  type SuperblockView,
  verifySuperblock,
} from '../../formats/superblock-verify.ts';
import type { Device } from '../device/device.ts';
import { CadastreError, corrupt, unsupported } from '../errors.ts';
import { readHead } from '../volume/open.ts';
import { readSlot } from './slot.ts';
import { betterThan, guessAlone, misfit, withUuidOfHeaders } from './superblock-guess.ts';

/** Image size to verify with: whether the image was cut short is another question. */
const ANY_SIZE = 2 ** 53;
/** Damaged copies that are tried when there is nothing better. */
const MOST_BROKEN = 2;
/** Copies that are looked at: enough for any vote. */
const MOST_COPIES = 64;
/** AGs whose headers are looked at as evidence. */
const MOST_PROBED = 16;
const SEARCH_BYTES = 4 << 20;
/** Blocks, and so AGs, start at multiples of this. */
const STEP = 1024;

/** Fields that all copies have alike. The uuid is compared too. */
const COMMON = [
  'magicnum',
  'blocksize',
  'dblocks',
  'logstart',
  'rextsize',
  'agblocks',
  'agcount',
  'logblocks',
  'sectsize',
  'inodesize',
  'dirblklog',
  'imaxPct',
  'logsectlog',
  'logsectsize',
  'logsunit',
  'unit',
  'width',
  'inoalignmt',
  'spinoAlign',
  'features2',
  'featuresCompat',
  'featuresRoCompat',
  'featuresIncompat',
] as const;
/** Fields that follow from others. */
const DERIVED = ['blocklog', 'sectlog', 'inodelog', 'inopblock', 'inopblog', 'agblklog', 'badFeatures2'] as const;
const LOOSE_VERSION = VERSION.ATTR | VERSION.QUOTA;

type NumberField = (typeof COMMON)[number] | (typeof DERIVED)[number] | 'versionnum';

/** The outcome. */
export interface FoundSuperblock {
  /** The primary as it shall be, CRC included. */
  readonly sector: Uint8Array;
  readonly geometry: Geometry;
  /** What was wrong, a line each; empty: the primary stays as it is. */
  readonly changes: readonly string[];
  /** Bytes that the image must have. */
  readonly imageBytes: number;
}

/** A copy that verified. */
interface Copy {
  readonly ag: number;
  readonly bytes: Uint8Array;
  readonly key: string;
}

/**
 * Throws `corrupt` NO_SUPERBLOCK when there is none anywhere, `unsupported` when all there is names features that are not
 * handled.
 */
export function findSuperblock(device: Device, progress?: (done: number, total: number) => void): FoundSuperblock {
  const head = readHeadIfPossible(device);
  const primary = judge(head, 0);
  let copies = primary.verifies ? copiesOf(device, head) : [];
  const own = keyOf(head);
  if (primary.verifies) {
    const supporters = copies.filter((copy) => copy.key === own).length;
    if (copies.length === 0 && sbOf(head).agcount === 1) {
      const better = betterThan(device, head);
      return finish(device, better?.sector ?? head, head, better?.changes ?? []);
    }
    const isAlone = copies.length === 0 && probe(device, head) > 2;
    if (isAlone || (supporters > 0 && supporters * 2 >= copies.length)) return finish(device, head, head, []);
  }
  const broken: Uint8Array[] = [];
  if (copies.length === 0) copies = searchCopies(device, head, broken, progress);
  const best = elect(device, copies);
  if (!best) {
    if (primary.verifies) return finish(device, head, head, []);
    const { refusal } = primary;
    // A right checksum says that somebody meant what is there; who says that he did not must have everything fit.
    const isMeant = refusal && !VERSIONS.has(refusal.code) && (isSealed(head) || refusal.code === 'REALTIME');
    if (isMeant && !NUMBERS.has(refusal.code)) throw refused(refusal);
    const guess = guessAlone(device, head);
    if (guess && isMeant && guess.misfit > 0) throw refused(refusal);
    if (guess) return finish(device, guess.sector, head, guess.changes);
    for (const copy of broken) {
      const from = guessAlone(device, copy);
      if (!from) continue;
      const sector = fromCopy(from.sector, undefined);
      countFromHeaders(device, sector);
      return finish(device, sector, head, ['the primary superblock was written again from a copy', ...from.changes]);
    }
    if (refusal) throw refused(refusal);
    throw corrupt('NO_SUPERBLOCK', 'no superblock was found: neither the primary nor any copy of it in the image', {
      where: { structure: 'Superblock' },
      expected: 'a superblock',
      found: 'none',
    });
  }
  const bytes = fromCopy(best.copy.bytes, isRelated(head, best.copy.bytes) ? head : undefined);
  countFromHeaders(device, bytes);
  // One copy against a primary that verifies: neither has a majority; what stands on the disk decides.
  if (
    primary.verifies &&
    best.count === 1 &&
    misfit(device, head) <= misfit(device, finish(device, bytes, head, []).sector)
  ) {
    return finish(device, head, head, []);
  }
  if (primary.verifies) return finish(device, bytes, head, differences(head, best.copy.bytes));
  const what = `the primary superblock was written again from the copy in AG ${best.copy.ag} (${best.count} agree)`;
  // The only one left may be damaged as well.
  const better = best.count === 1 ? withUuidOfHeaders(device, finish(device, bytes, head, []).sector) : undefined;
  return finish(device, better?.sector ?? bytes, head, [what, ...(better?.changes ?? [])]);
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const sbOf = (bytes: Uint8Array): SuperblockView => Superblock.at(viewOf(bytes));

/** Why an image is not handled. */
interface Refusal {
  readonly code: string;
  readonly message: string;
}

const refused = ({ code, message }: Refusal): CadastreError => unsupported(code, message);
/** Versions that know of no checksum, or have it elsewhere: a right one says that they are none of those. */
const VERSIONS = new Set(['V4', 'VERSION']);
/** Refused for a number that may be damaged; else for what a bit of the feature words says. */
const NUMBERS = new Set(['REALTIME', 'EXTERNAL_LOG']);

/** The checksum is that of the sector. */
function isSealed(bytes: Uint8Array): boolean {
  const { sectsize } = sbOf(bytes);
  if (!(sectsize >= MIN_SECTOR && sectsize <= bytes.length)) return false;
  const sector = bytes.subarray(0, sectsize);
  return storedCrc(sector, Superblock.offsets.crc) === crcWithHole(sector, Superblock.offsets.crc);
}

function judge(bytes: Uint8Array, ag: number): { verifies: boolean; refusal: Refusal | undefined } {
  if (bytes.length < MIN_SECTOR) return { verifies: false, refusal: undefined };
  const calm = withoutRepairMark(bytes);
  const { dialect, refusal, fatal } = verifySuperblock(calm, ANY_SIZE, ag);
  const bad = refusal && refusal.code !== 'NOT_OURS' ? refusal : undefined;
  return { verifies: dialect !== undefined && !refusal && fatal.length === 0, refusal: bad };
}

/** The same sector without the mark that says "needs repair"; its CRC stays right or wrong. */
function withoutRepairMark(bytes: Uint8Array): Uint8Array {
  const sb = sbOf(bytes);
  if (!dialectOfMagic(sb.magicnum) || (sb.featuresIncompat & INCOMPAT.NEEDSREPAIR) === 0) return bytes;
  if (sb.sectsize < MIN_SECTOR || sb.sectsize > bytes.length) return bytes;
  const { fatal } = verifySuperblock(bytes.slice(), ANY_SIZE);
  if (fatal.some((each) => each.code === 'BAD_CRC')) return bytes;
  const copy = bytes.slice();
  sbOf(copy).featuresIncompat &= ~INCOMPAT.NEEDSREPAIR;
  sealCrc(copy.subarray(0, sb.sectsize), Superblock.offsets.crc);
  return copy;
}

function keyOf(bytes: Uint8Array): string {
  if (bytes.length < MIN_SECTOR) return '';
  const sb = sbOf(bytes);
  const values = COMMON.map((field) =>
    field === 'featuresIncompat' ? (sb[field] & ~INCOMPAT.NEEDSREPAIR) >>> 0 : sb[field],
  );
  return [...values, sb.versionnum & ~LOOSE_VERSION, ...sb.uuid, ...sb.metaUuid].join(',');
}

/** The copies that stand where this superblock says, and verify; a sample of them when there are many. */
function copiesOf(device: Device, bytes: Uint8Array): Copy[] {
  const { agblocks, agcount, blocksize } = sbOf(bytes);
  const copies: Copy[] = [];
  const step = Math.max(1, Math.floor((agcount - 1) / MOST_COPIES));
  for (let ag = 1; ag < agcount; ag += step) {
    const copy = copyAt(device, ag * agblocks * blocksize);
    if (copy) copies.push(copy);
  }
  return copies;
}

/** A copy that verifies and stands where its own geometry puts it. */
function copyAt(device: Device, offset: number): Copy | undefined {
  if (offset + MIN_SECTOR > device.size) return undefined;
  const bytes = read(device, offset, Math.min(MAX_SECTOR, device.size - offset));
  if (!bytes || !dialectOfMagic(viewOf(bytes).getUint32(0))) return undefined;
  const { agblocks, blocksize, agcount, sectsize } = sbOf(bytes);
  const ag = offset / (agblocks * blocksize);
  if (!Number.isInteger(ag) || ag < 1 || ag >= agcount || !judge(bytes, ag).verifies) return undefined;
  return { ag, bytes: bytes.slice(0, sectsize), key: keyOf(bytes) };
}

/** @param broken gets the first sectors that begin like a copy and do not verify. */
function searchCopies(
  device: Device,
  head: Uint8Array,
  broken: Uint8Array[],
  progress: ((done: number, total: number) => void) | undefined,
): Copy[] {
  const family = (copy: Copy): Copy[] => copiesOf(device, copy.bytes);
  const good = (copies: Copy[]): boolean =>
    copies.length > 1 || (copies.length === 1 && sbOf(copies[0]!.bytes).agcount === 2);
  for (const offset of likelyPlaces(device, head)) {
    const copy = copyAt(device, offset);
    const all = copy ? family(copy) : [];
    if (good(all)) return all;
  }
  const found = new Map<string, Copy>();
  const bytes = new Uint8Array(SEARCH_BYTES);
  const view = viewOf(bytes);
  for (let at = 0; at < device.size; at += SEARCH_BYTES) {
    progress?.(at, device.size);
    const length = Math.min(SEARCH_BYTES, device.size - at);
    if (!readInto(device, at, bytes.subarray(0, length))) continue;
    for (let offset = 0; offset + MIN_SECTOR <= length; offset += STEP) {
      if (!dialectOfMagic(view.getUint32(offset)) || at + offset === 0) continue;
      const copy = copyAt(device, at + offset);
      if (!copy && broken.length < MOST_BROKEN) {
        const sector = read(device, at + offset, Math.min(MAX_SECTOR, device.size - at - offset));
        if (sector) broken.push(sector);
      }
      if (!copy || found.has(copy.key)) continue;
      found.set(copy.key, copy);
      const all = family(copy);
      if (good(all)) return all;
    }
  }
  return [...found.values()].flatMap(family);
}

/** Where copies would be if the broken primary is right about the AGs, or if there are as many as usual. */
function* likelyPlaces(device: Device, head: Uint8Array): Iterable<number> {
  if (head.length >= MIN_SECTOR) {
    const { agblocks, blocksize } = sbOf(head);
    if (agblocks > 0 && blocksize >= 1024 && agblocks * blocksize < device.size) yield agblocks * blocksize;
  }
  for (let count = 2; count <= 32; count++) {
    for (const blockSize of [4096, 1024, 2048, 8192, 16384, 32768, 65536]) {
      yield Math.ceil(Math.floor(device.size / blockSize) / count) * blockSize;
    }
  }
}

/** The geometry that most copies have. */
function elect(device: Device, copies: readonly Copy[]): { copy: Copy; count: number } | undefined {
  const votes = new Map<string, { copy: Copy; count: number }>();
  for (const copy of copies) {
    const vote = votes.get(copy.key);
    if (vote) vote.count++;
    else votes.set(copy.key, { copy, count: 1 });
  }
  const all = [...votes.values()].sort((a, b) => b.count - a.count);
  const tied = all.filter((each) => each.count === all[0]!.count);
  if (tied.length < 2) return tied[0];
  return tied.sort((a, b) => probe(device, b.copy.bytes) - probe(device, a.copy.bytes))[0];
}

/** How many headers of AGs stand where this superblock puts them. */
function probe(device: Device, bytes: Uint8Array): number {
  const sb = sbOf(bytes);
  const uuid = (sb.featuresIncompat & INCOMPAT.META_UUID) !== 0 ? sb.metaUuid : sb.uuid;
  let score = 0;
  const step = Math.max(1, Math.floor(sb.agcount / MOST_PROBED));
  for (let ag = 0; ag < sb.agcount; ag += step) {
    const start = ag * sb.agblocks * sb.blocksize;
    const length = ag === sb.agcount - 1 ? sb.dblocks - ag * sb.agblocks : sb.agblocks;
    for (const [sector, magic, uuidAt] of [
      [1, AGF_MAGIC, 64],
      [2, AGI_MAGIC, 296],
    ] as const) {
      const header = read(device, start + sector * sb.sectsize, MIN_SECTOR);
      if (!header) continue;
      const view = viewOf(header);
      if (view.getUint32(0) !== magic || view.getUint32(8) !== ag) continue;
      if (view.getUint32(12) === length) score++;
      if (uuid.every((byte, i) => byte === header[uuidAt + i])) score++;
    }
  }
  return score;
}

/** The broken primary is the head of the same image: what only it has may be believed. */
function isRelated(head: Uint8Array, copy: Uint8Array): boolean {
  if (head.length < MIN_SECTOR) return false;
  const a = sbOf(head);
  const b = sbOf(copy);
  return a.magicnum === b.magicnum && a.uuid.every((byte, i) => byte === b.uuid[i]);
}

/** A primary from a copy. @param old the primary as it was, for what only a primary has. */
function fromCopy(copy: Uint8Array, old: Uint8Array | undefined): Uint8Array {
  const bytes = copy.slice();
  const sb = sbOf(bytes);
  sb.inprogress = 0;
  sb.rootino = NULL64;
  sb.featuresLogIncompat = 0;
  sb.lsnHi = 0;
  sb.lsnLo = 0;
  if (old) {
    const was = sbOf(old);
    sb.versionnum |= was.versionnum & LOOSE_VERSION;
    sb.qflags = was.qflags & ~0x30;
    sb.rootino = was.rootino;
    for (const field of ['uquotino', 'gquotino', 'pquotino', 'icount', 'ifree', 'fdblocks'] as const) {
      sb[field] = was[field];
    }
    if (was.fdblocks > sb.dblocks) sb.fdblocks = 0;
    if (was.icount > sb.dblocks * sb.inopblock || was.ifree > was.icount) sb.icount = sb.ifree = 0;
  } else {
    // Harmless when it says too much; without it the kernel takes attributes for damage.
    sb.versionnum |= VERSION.ATTR;
    sb.icount = sb.ifree = 0;
  }
  return bytes;
}

/** Counters as the AG headers add up, where they can be read: a copy has those of the day the image was made. */
function countFromHeaders(device: Device, bytes: Uint8Array): void {
  const sb = sbOf(bytes);
  let [icount, ifree, fdblocks] = [0, 0, 0];
  for (let ag = 0; ag < sb.agcount; ag++) {
    const start = ag * sb.agblocks * sb.blocksize;
    const agf = read(device, start + sb.sectsize, MIN_SECTOR);
    const agi = read(device, start + 2 * sb.sectsize, MIN_SECTOR);
    if (!agf || !agi || viewOf(agf).getUint32(0) !== AGF_MAGIC || viewOf(agi).getUint32(0) !== AGI_MAGIC) return;
    const free = Agf.at(viewOf(agf));
    const inodes = Agi.at(viewOf(agi));
    fdblocks += free.freeblks + free.flcount + free.btreeblks;
    icount += inodes.count;
    ifree += inodes.freecount;
  }
  if (fdblocks <= sb.dblocks && ifree <= icount) Object.assign(sb, { icount, ifree, fdblocks });
}

function differences(found: Uint8Array, expected: Uint8Array): string[] {
  const a = sbOf(found);
  const b = sbOf(expected);
  const out: string[] = [];
  for (const field of COMMON) {
    if (a[field] !== b[field])
      out.push(`the primary superblock's ${field} was ${a[field]}, all copies say ${b[field]}`);
  }
  if ((a.versionnum & ~LOOSE_VERSION) !== (b.versionnum & ~LOOSE_VERSION)) {
    out.push(`the primary superblock's versionnum was ${a.versionnum}, all copies say ${b.versionnum}`);
  }
  if (!a.uuid.every((byte, i) => byte === b.uuid[i]) || !a.metaUuid.every((byte, i) => byte === b.metaUuid[i])) {
    out.push("the primary superblock's uuid was another one than that of all copies");
  }
  return out;
}

/** The last touches: fields that the primary alone has. */
function finish(device: Device, sector: Uint8Array, head: Uint8Array, found: readonly string[]): FoundSuperblock {
  const changes = [...found];
  const { sectsize, featuresIncompat } = sbOf(sector);
  const bytes = sector.slice(0, sectsize);
  const sb = sbOf(bytes);
  if ((featuresIncompat & INCOMPAT.NEEDSREPAIR) !== 0) {
    sb.featuresIncompat = (featuresIncompat & ~INCOMPAT.NEEDSREPAIR) >>> 0;
    changes.push('the mark "needs repair" was removed');
  }
  const dialect = dialectOfMagic(sb.magicnum)!;
  const say = (field: string, was: number, is: number): void => {
    changes.push(`the superblock's ${field} was ${was}, it must be ${is}`);
  };
  const right = expectedRootInode(sb);
  if (sb.rootino !== right) {
    const before = sb.rootino;
    const geometryWith = (root: number): Geometry => {
      sb.rootino = root;
      return new Geometry(viewOf(bytes.slice()), dialect);
    };
    const oldIsRoot = isDirectory(device, geometryWith(before), before);
    const rightIsRoot = isDirectory(device, geometryWith(right), right);
    sb.rootino = oldIsRoot && !rightIsRoot ? before : right;
    if (sb.rootino !== before && found.length === 0) say('rootino', before, right);
  }
  sealCrc(bytes, Superblock.offsets.crc); // the rules behind the sizes are looked at only when it is right
  const { minor } = verifySuperblock(bytes, ANY_SIZE);
  for (const { field, expected, code } of minor) {
    // The root directory that is there is kept, wherever mkfs would have put it.
    if (code === 'BAD_COUNT' || (field === 'rootino' && sb.rootino !== right)) continue;
    const said = mendMinor(bytes, field, expected);
    // A sector that is written anew as a whole needs no list of what else is new in it.
    if (found.length === 0) changes.push(...said);
  }
  const geometry = new Geometry(viewOf(bytes.slice()), dialect);
  for (const field of ['uquotino', 'gquotino', 'pquotino'] as const) {
    const inode = sb[field];
    if (inode === 0 || inode === NULL64 || isFile(device, geometry, inode)) continue;
    changes.push(`the superblock's ${field} was ${inode}, which is no file: there is none now`);
    sb[field] = NULL64;
    sb.qflags &= ~QUOTA_CHECKED;
  }
  sealCrc(bytes, Superblock.offsets.crc);
  const imageBytes = sb.dblocks * sb.blocksize;
  const same = head.length >= bytes.length && bytes.every((byte, i) => byte === head[i]);
  if (!same && changes.length === 0) changes.push("the primary superblock's checksum was wrong");
  return { sector: bytes, geometry: new Geometry(viewOf(bytes), dialect), changes: same ? [] : changes, imageBytes };
}

/** Correct a field that no reader relies on. */
function mendMinor(bytes: Uint8Array, field: string, expected: string | number): string[] {
  const sb = sbOf(bytes);
  if (field === 'pad') {
    const used = (sb.featuresIncompat & INCOMPAT.META_UUID) !== 0 ? 264 : 248;
    bytes.fill(0, used);
    return [`the superblock sector had something behind its last field`];
  }
  const values: { readonly [field: string]: number } = {
    versionnum: sb.versionnum & ~VERSION.QUOTA,
    imaxPct: 25,
    rextsize: Math.max(1, 4096 / sb.blocksize),
    qflags: sb.qflags & ~0x30,
    badFeatures2: sb.features2,
    logsectsize: (sb.versionnum & VERSION.SECTOR) !== 0 && sb.logsectlog >= 9 ? 2 ** sb.logsectlog : 0,
    featuresCompat: 0,
  };
  if (field === 'logsectsize' && (sb.versionnum & VERSION.SECTOR) === 0) sb.logsectlog = 0;
  const value = values[field] ?? (typeof expected === 'number' ? expected : undefined);
  if (value === undefined || !(field in Superblock.offsets)) return [];
  const was = sb[field as NumberField];
  sb[field as NumberField] = value;
  return [`the superblock's ${field} was ${was}, it is ${value} now`];
}

function isDirectory(device: Device, geometry: Geometry, inode: number): boolean {
  return modeOf(device, geometry, inode) === MODE.DIR;
}
function isFile(device: Device, geometry: Geometry, inode: number): boolean {
  return modeOf(device, geometry, inode) === MODE.FILE;
}

/** Type of an inode that verifies; 0 for anything else. */
function modeOf(device: Device, geometry: Geometry, inode: number): number {
  if (!geometry.isInode(inode)) return 0;
  try {
    const slot = readSlot(device, geometry, inode);
    return inodeCoreFault(slot, 0, geometry, inode) ? 0 : slot.getUint16(InodeCore.offsets.mode) & S_IFMT;
  } catch {
    return 0;
  }
}

/** The first sector and more; zeroes where it cannot be read. */
function readHeadIfPossible(device: Device): Uint8Array {
  try {
    return readHead(device, MAX_SECTOR);
  } catch (error) {
    if (!(error instanceof CadastreError) || error.family !== 'device') throw error;
    return new Uint8Array(MIN_SECTOR);
  }
}

function read(device: Device, offset: number, length: number): Uint8Array | undefined {
  const bytes = new Uint8Array(length);
  return readInto(device, offset, bytes) ? bytes : undefined;
}

function readInto(device: Device, offset: number, into: Uint8Array): boolean {
  try {
    device.read(offset, into);
    return true;
  } catch {
    return false;
  }
}
