/**
 * The feature matrix: sets of mkfs.xfs options which together show every on-disk variant that is to be read, checked and
 * edited. Each entry is data; makeMatrixImage() turns one into an image. Sizes are kept small: the files are sparse.
 */
import { mkfsXfs, mustRun, xfsDb } from './oracle.ts';

/** One kind of image. */
export interface MatrixEntry {
  name: string;
  /** Options of mkfs.xfs. */
  args: string[];
  /** Bytes; default 320 MiB. */
  size?: number;
  blockSize: number;
  /** Directory block size in bytes. */
  dirBlockSize: number;
  reflink: boolean;
  /** Done to the fresh image: a new uuid (then meta_uuid is used), or incompat bits that mkfs.xfs does not know yet. */
  tweak?: 'new-uuid' | 'exchange' | 'parent' | 'exchange+parent';
  /** Linux 6.1 (user-mode-linux) mounts it. Not: blocks over 4 KiB, bits newer than itself. */
  uml: boolean;
  /** xfs_repair 6.1 judges it. Not: bits newer than itself. */
  repairable: boolean;
}

const MIB = 1 << 20;
const INCOMPAT_EXCHANGE = 0x40;
const INCOMPAT_PARENT = 0x80;

/** Fills in what most entries share; block sizes and reflink are read off the options. */
function entry(name: string, options: string, more: Partial<MatrixEntry> = {}): MatrixEntry {
  const args = options.split(' ').filter((word) => word !== '');
  const numberAfter = (flag: string, otherwise: number) => {
    const match = new RegExp(`-${flag} (?:\\S*,)?size=(\\d+)`).exec(options);
    return match ? Number(match[1]) : otherwise;
  };
  const blockSize = numberAfter('b', 4096);
  const reflink = !/reflink=0|crc=0/.test(options);
  const newer = more.tweak !== undefined && more.tweak !== 'new-uuid';
  return {
    name,
    args,
    blockSize,
    dirBlockSize: numberAfter('n', Math.max(4096, blockSize)),
    reflink,
    uml: blockSize <= 4096 && !newer,
    repairable: !newer,
    ...more,
  };
}

/** Every entry has a name of its own; the order is from plain to odd. */
export const featureMatrix: readonly MatrixEntry[] = [
  entry('default', ''),
  entry('all-features', '-m rmapbt=1,reflink=1,finobt=1,inobtcount=1,bigtime=1 -i sparse=1,nrext64=1'),
  entry('bare', '-m rmapbt=0,reflink=0,finobt=0,inobtcount=0,bigtime=0 -i sparse=0,nrext64=0'),
  entry('block-1k', '-b size=1024 -m rmapbt=1'),
  entry('block-2k', '-b size=2048 -m rmapbt=1'),
  entry('block-16k', '-b size=16384 -m rmapbt=1', { size: 512 * MIB }),
  entry('block-64k', '-b size=65536 -m rmapbt=1', { size: 1024 * MIB }),
  entry('block-1k-dir-4k', '-b size=1024 -n size=4096 -m rmapbt=0'),
  entry('block-1k-dir-16k', '-b size=1024 -n size=16384'),
  entry('dir-16k', '-n size=16384 -m rmapbt=1'),
  entry('dir-64k', '-n size=65536 -m rmapbt=1'),
  entry('sector-4k', '-s size=4096 -m rmapbt=1'),
  entry('inode-1k', '-i size=1024 -m rmapbt=1'),
  entry('inode-2k', '-i size=2048,nrext64=1 -m rmapbt=1'),
  entry('no-sparse', '-i sparse=0 -m rmapbt=1'),
  entry('nrext64', '-i nrext64=1'),
  entry('no-reflink-rmap', '-m reflink=0,rmapbt=1'),
  entry('no-finobt', '-m finobt=0,inobtcount=0,rmapbt=1'),
  entry('no-inobtcount', '-m inobtcount=0,rmapbt=1'),
  entry('no-bigtime', '-m bigtime=0,rmapbt=1'),
  // Big enough that the log does not fill its AG: mkfs.xfs 6.1 then writes free counters that xfs_repair refuses.
  entry('stripe', '-d su=64k,sw=4 -m rmapbt=1', { size: 2048 * MIB }),
  entry('many-ags', '-d agcount=19 -m rmapbt=1'),
  entry('one-ag', '-d agcount=1 -m rmapbt=1', { size: 300 * MIB }),
  entry('small', '-m rmapbt=1', { size: 64 * MIB }),
  entry('big', '-m rmapbt=1', { size: 2 ** 40 }),
  entry('log-big', '-l size=64m -m rmapbt=1'),
  entry('meta-uuid', '-m rmapbt=1', { tweak: 'new-uuid' }),
  entry('exchange', '-m rmapbt=1', { tweak: 'exchange' }),
  entry('parent', '-m rmapbt=1', { tweak: 'parent' }),
  entry('exchange-parent', '-m rmapbt=1,reflink=1 -i nrext64=1', { tweak: 'exchange+parent' }),
];

/** The entry of that name; throws when there is none. */
export function matrixEntry(name: string): MatrixEntry {
  const found = featureMatrix.find((one) => one.name === name);
  if (!found) throw new Error(`no ${name} in the feature matrix`);
  return found;
}

/** A fixed uuid, and another one for 'new-uuid', so that images differ in nothing that mkfs.xfs does not draw by lot. */
const UUID = '0cada57e-0000-4000-8000-000000000001';
const NEW_UUID = '0cada57e-0000-4000-8000-000000000002';

/** Makes the fresh image of an entry at `path`. Needs xfsprogs, no root. */
export function makeMatrixImage(entry: MatrixEntry, path: string): void {
  mkfsXfs(path, entry.size ?? 320 * MIB, ['-m', `uuid=${UUID}`, ...entry.args]);
  if (entry.tweak === 'new-uuid') mustRun('xfs_admin', ['-U', NEW_UUID, path]);
  else if (entry.tweak) {
    const bits =
      (entry.tweak.includes('exchange') ? INCOMPAT_EXCHANGE : 0) |
      (entry.tweak.includes('parent') ? INCOMPAT_PARENT : 0);
    setIncompatBits(path, bits);
  }
}

/**
 * Calls `body` while the exchange-range bit is off: xfs_repair 6.1 then judges the image, for the bit changes nothing else
 * on disk. (Parent pointers cannot be hidden that way.)
 */
export function withoutExchangeBit(path: string, body: () => void): void {
  changeIncompat(path, (value) => value & ~INCOMPAT_EXCHANGE);
  try {
    body();
  } finally {
    changeIncompat(path, (value) => value | INCOMPAT_EXCHANGE);
  }
}

/** Sets feature bits in every superblock of a fresh, clean image, with right CRCs. */
function setIncompatBits(path: string, bits: number): void {
  changeIncompat(path, (value) => value | bits);
}

function changeIncompat(path: string, change: (value: number) => number): void {
  const text = xfsDb(path, ['sb 0', 'print agcount features_incompat']);
  const agCount = Number(/agcount = (\d+)/.exec(text)?.[1]);
  const value = Number(/features_incompat = (0x[0-9a-f]+)/.exec(text)?.[1]);
  // -d: write although the value is "corrupt" for this xfs_db, with a good CRC.
  const commands = Array.from({ length: agCount }, (_, ag) => [
    `sb ${ag}`,
    `write -d features_incompat 0x${change(value).toString(16)}`,
  ]);
  xfsDb(path, commands.flat(), { write: true });
}
