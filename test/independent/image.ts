/**
 * The independent reader, part 1: the image as sectors and blocks. Superblock, features, addresses, CRC32C, state of the log.
 *
 * Written from docs/FORMAT.md alone (numbers in comments are its sections): nothing here imports the project's own code, so
 * a rule that the text forgets or gets wrong shows as a failure. It is naive on purpose: BigInt, no cache, no speed.
 * Every rule that is broken throws.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

export const NULL32 = 0xffffffff;
export const NULL64 = 0xffffffffffffffffn;

/** A rule of the text is broken. */
export function must(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(what);
}

// 1.3
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc >>> 0;
});
/** CRC32C; the four bytes at `hole` count as zero. */
export function crc32c(bytes: Uint8Array, hole = -1): number {
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) {
    const byte = hole >= 0 && i >= hole && i < hole + 4 ? 0 : bytes[i]!;
    crc = TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  }
  return ~crc >>> 0;
}

export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
export const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
const isPower = (value: number): boolean => value > 0 && Number.isInteger(Math.log2(value));

export interface Features {
  finobt: boolean;
  rmapbt: boolean;
  reflink: boolean;
  inobtcnt: boolean;
  sparse: boolean;
  bigtime: boolean;
  nrext64: boolean;
  checksums: boolean;
  asciiCi: boolean;
}

/** Where a structure keeps what identifies it (the table of 1.3). -1: it has no such field. */
export interface Identity {
  crc: number;
  self: number;
  owner: number;
  uuid: number;
  /** Bytes of the owner field. */
  wide?: boolean;
}

export class Image {
  readonly #fd: number;
  readonly size: number;
  readonly dialect: 'cadastre' | 'xfs';
  readonly features: Features;
  readonly sb: DataView;
  readonly bs: number;
  readonly ss: number;
  readonly inodeSize: number;
  readonly dblocks: number;
  readonly agblocks: number;
  readonly agcount: number;
  /** L and I of 1.5. */
  readonly agblklog: number;
  readonly inopblog: number;
  readonly dbs: number;
  readonly headerBlocks: number;
  readonly rootino: number;
  readonly uuid: Uint8Array;
  readonly metaUuid: Uint8Array;
  readonly logstart: bigint;
  readonly logblocks: number;

  constructor(path: string) {
    this.#fd = openSync(path, 'r');
    this.size = fstatSync(this.#fd).size;
    // 15.1
    const head = this.bytes(0, Math.min(32768, this.size));
    const magic = text(head.subarray(0, 4));
    must(magic === 'CDST' || magic === 'XFSB', `no known magic: ${magic}`);
    this.dialect = magic === 'CDST' ? 'cadastre' : 'xfs';
    const full = viewOf(head);
    this.ss = full.getUint16(102);
    must(isPower(this.ss) && this.ss >= 512 && this.ss <= 32768, 'sectsize');
    const sector = head.subarray(0, this.ss);
    must(crc32c(sector, 224) === full.getUint32(224, true), 'superblock: CRC');
    const sb = viewOf(sector);
    this.sb = sb;
    this.features = this.#features();
    must(sb.getUint8(126) === 0, 'inprogress');

    // 3.1
    this.bs = sb.getUint32(4);
    must(isPower(this.bs) && this.bs >= 1024 && this.bs <= 65536 && this.ss <= this.bs, 'blocksize');
    this.inodeSize = sb.getUint16(104);
    must(isPower(this.inodeSize) && this.inodeSize >= 512 && this.inodeSize <= 2048, 'inodesize');
    must(this.inodeSize * 2 <= this.bs, 'inodesize against blocksize');
    must(sb.getUint8(120) === Math.log2(this.bs), 'blocklog');
    must(sb.getUint8(121) === Math.log2(this.ss), 'sectlog');
    must(sb.getUint8(122) === Math.log2(this.inodeSize), 'inodelog');
    must(sb.getUint16(106) === this.bs / this.inodeSize, 'inopblock');
    this.inopblog = sb.getUint8(123);
    must(2 ** this.inopblog === this.bs / this.inodeSize, 'inopblog');
    this.agblocks = sb.getUint32(84);
    this.agcount = sb.getUint32(88);
    this.agblklog = sb.getUint8(124);
    must(this.agblklog === Math.ceil(Math.log2(this.agblocks)), 'agblklog');
    const least = (this.dialect === 'cadastre' ? 4 : 16) * 2 ** 20;
    must(this.agblocks * this.bs >= least && this.agblocks * this.bs < 2 ** 40 && this.agblocks >= 64, 'agblocks');
    this.dblocks = Number(sb.getBigUint64(8));
    must(this.agcount >= 1, 'agcount');
    must(this.dblocks <= this.agcount * this.agblocks, 'dblocks: too many');
    must(this.dblocks >= (this.agcount - 1) * this.agblocks + 64, 'dblocks: too few');
    must(this.dblocks * this.bs <= this.size, 'the image is too short');
    const dirblklog = sb.getUint8(192);
    must(Math.log2(this.bs) + dirblklog <= 16, 'dirblklog');
    this.dbs = this.bs << dirblklog;
    must(sb.getBigUint64(16) === 0n, 'rblocks');
    this.headerBlocks = Math.ceil((4 * this.ss) / this.bs);
    this.uuid = sector.slice(32, 48);
    this.metaUuid = sb.getUint32(216) & 0x4 ? sector.slice(248, 264) : this.uuid;
    const used = sb.getUint32(216) & 0x4 ? 264 : 248;
    must(
      sector.subarray(used).every((byte) => byte === 0),
      'superblock: zeroes behind its fields',
    );
    this.logstart = sb.getBigUint64(48);
    this.logblocks = sb.getUint32(96);
    must(this.logstart !== 0n, 'logstart');
    const log = this.split(this.logstart);
    must(log.agbno >= this.headerBlocks && log.agbno + this.logblocks <= this.agLength(log.ag), 'the log in one AG');
    this.rootino = Number(sb.getBigUint64(56));
    must(sb.getBigUint64(64) === BigInt(this.rootino) + 1n, 'rbmino');
    must(sb.getBigUint64(72) === BigInt(this.rootino) + 2n, 'rsumino');
    this.#secondaries();
  }

  close(): void {
    closeSync(this.#fd);
  }

  /** 2: what is refused, and what each dialect must have. */
  #features(): Features {
    const { sb, dialect } = this;
    const version = sb.getUint16(100);
    must((version & 0xf) === 5, 'version 5');
    must((version & 0xb4a0) === 0xb4a0 && (version & 0x200) === 0, 'versionnum: required bits');
    must((sb.getUint32(200) & 0x18a) === 0x18a && sb.getUint32(204) === sb.getUint32(200), 'features2');
    const ro = sb.getUint32(212);
    const incompat = sb.getUint32(216);
    const known = dialect === 'cadastre' ? 0x8000002f : 0xef;
    must((incompat & ~known) === 0, `incompat bits 0x${incompat.toString(16)}`);
    const required = dialect === 'cadastre' ? 0x8000002b : 0x1;
    must((incompat & required) >>> 0 === required, 'incompat: required bits');
    must(dialect === 'xfs' || (ro & 0xf) === 0xf, 'ro_compat: required bits');
    return {
      finobt: (ro & 1) !== 0,
      rmapbt: (ro & 2) !== 0,
      reflink: (ro & 4) !== 0,
      inobtcnt: (ro & 8) !== 0,
      sparse: (incompat & 2) !== 0,
      bigtime: (incompat & 8) !== 0,
      nrext64: (incompat & 0x20) !== 0,
      checksums: (incompat & 0x80000000) !== 0,
      asciiCi: (version & 0x4000) !== 0,
    };
  }

  /** 3.4, 14.1: the copies agree in magic, uuid and geometry. */
  #secondaries(): void {
    for (let ag = 1; ag < this.agcount; ag++) {
      const sector = this.bytes(this.agByte(ag, 0), this.ss);
      must(crc32c(sector, 224) === viewOf(sector).getUint32(224, true), `superblock ${ag}: CRC`);
      for (const [at, length] of [
        [0, 16],
        [32, 24],
        [84, 8],
        [96, 30],
      ] as const) {
        // versionnum (100) may differ: ATTR is set later in the primary only.
        const copy = sector.subarray(at, at + length).slice();
        const primary = new Uint8Array(this.sb.buffer, this.sb.byteOffset + at, length).slice();
        if (at === 96) copy.fill(0, 4, 6);
        if (at === 96) primary.fill(0, 4, 6);
        if (at === 96) copy.set(primary.subarray(12, 24), 12); // the label
        must(same(copy, primary), `superblock ${ag}: bytes ${at}..`);
      }
    }
  }

  /** Bytes of the image. */
  bytes(offset: number, length: number): Uint8Array {
    const into = new Uint8Array(length);
    must(offset + length <= this.size, `read behind the end: ${offset}+${length}`);
    for (let at = 0; at < length; ) {
      const count = readSync(this.#fd, into, at, length - at, offset + at);
      must(count > 0, 'short read');
      at += count;
    }
    return into;
  }

  // 1.5
  agLength(ag: number): number {
    return ag === this.agcount - 1 ? this.dblocks - ag * this.agblocks : this.agblocks;
  }
  agByte(ag: number, agbno: number): number {
    return (ag * this.agblocks + agbno) * this.bs;
  }
  split(fsbno: bigint): { ag: number; agbno: number } {
    const ag = Number(fsbno >> BigInt(this.agblklog));
    const agbno = Number(fsbno & ((1n << BigInt(this.agblklog)) - 1n));
    must(ag < this.agcount && agbno < this.agLength(ag), `fsbno ${fsbno} lies outside`);
    return { ag, agbno };
  }
  byteOf(fsbno: bigint): number {
    const { ag, agbno } = this.split(fsbno);
    return this.agByte(ag, agbno);
  }
  agOfInode(ino: number): number {
    return Math.floor(ino / 2 ** (this.agblklog + this.inopblog));
  }
  inodeByte(ino: number): number {
    const ag = this.agOfInode(ino);
    const agino = ino % 2 ** (this.agblklog + this.inopblog);
    const agbno = Math.floor(agino / 2 ** this.inopblog);
    must(ag < this.agcount && agbno >= this.headerBlocks && agbno < this.agLength(ag), `inode ${ino} lies outside`);
    return this.agByte(ag, agbno) + (agino % 2 ** this.inopblog) * this.inodeSize;
  }

  /** Read a self-describing structure and hold it against 1.3. @param owner AG number or inode. */
  checked(what: string, byte: number, length: number, id: Identity, owner: number): DataView {
    const bytes = this.bytes(byte, length);
    this.identify(what, bytes, byte, id, owner);
    return viewOf(bytes);
  }

  identify(what: string, bytes: Uint8Array, byte: number, id: Identity, owner: number): void {
    const view = viewOf(bytes);
    must(crc32c(bytes, id.crc) === view.getUint32(id.crc, true), `${what}: CRC`);
    must(same(bytes.subarray(id.uuid, id.uuid + 16), this.metaUuid), `${what}: uuid`);
    if (id.self >= 0) must(view.getBigUint64(id.self) === BigInt(byte / 512), `${what}: own address`);
    const found = id.wide ? Number(view.getBigUint64(id.owner)) : view.getUint32(id.owner);
    if (id.owner >= 0) must(found === owner, `${what}: owner ${found}, expected ${owner}`);
  }

  /** 12.5, 12.6: true when nothing has to be replayed. */
  logIsClean(): boolean {
    const log = viewOf(this.bytes(this.byteOf(this.logstart), this.logblocks * this.bs));
    const bbs = log.byteLength / 512;
    const isHeader = (bb: number): boolean => log.getUint32(bb * 512) === 0xfeedbabe;
    const cycleOf = (bb: number): number => log.getUint32(bb * 512 + (isHeader(bb) ? 4 : 0));
    const last = cycleOf(bbs - 1);
    let head = 0;
    while (head < bbs && cycleOf(head) !== last) head++;
    if (head === bbs) head = 0;
    // Back from the head (round the ring) to the record that ends there.
    for (let back = 1; back <= bbs; back++) {
      const bb = (head - back + bbs) % bbs;
      if (!isHeader(bb)) continue;
      const size = log.getUint32(bb * 512 + 320);
      const headers = Math.max(1, Math.ceil(size / 32768));
      const length = headers + log.getUint32(bb * 512 + 12) / 512;
      if (length !== back) return false;
      const uuid = new Uint8Array(log.buffer, log.byteOffset + bb * 512 + 304, 16);
      must(same(uuid, this.uuid), 'log record: uuid');
      const op = ((bb + headers) % bbs) * 512;
      return log.getUint32(bb * 512 + 40) === 1 && log.getUint8(op + 8) === 0xaa && (log.getUint8(op + 9) & 0x20) !== 0;
    }
    return false;
  }
}
