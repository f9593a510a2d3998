/**
 * Images for the tests of the checker: small, in memory, with every kind of thing in them; and ways to damage one field
 * of one structure with a right CRC, on an overlay, so that one specimen serves a hundred tests.
 */
import { Agf, Agi } from '../../formats/ag-headers.ts';
import { ATTR } from '../../formats/attribute.ts';
import { sealCrc } from '../../formats/checksum.ts';
import type { Dialect } from '../../formats/dialect.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { INODE_FLAG2, InodeCore, MODE } from '../../formats/inode.ts';
import { Superblock, VERSION } from '../../formats/superblock.ts';
import { BufferCache } from '../../lib/buffer/cache.ts';
import { DirectTransaction } from '../../lib/buffer/direct.ts';
import type { Device } from '../../lib/device/device.ts';
import { MemoryDevice } from '../../lib/device/memory.ts';
import { OverlayDevice } from '../../lib/device/overlay.ts';
import { buildDirectory, initialise } from '../../lib/directory/directory.ts';
import { initialiseInode } from '../../lib/file/create.ts';
import { Fork } from '../../lib/file/fork.ts';
import { Inode } from '../../lib/file/inode.ts';
import { editFork } from '../../lib/file/inode-fork-blocks.ts';
import { writeSymlink } from '../../lib/file/symlink.ts';
import { FileWriter } from '../../lib/file/write.ts';
import { finishImage, formatImage } from '../../lib/mkfs/format-image.ts';
import { planImage } from '../../lib/mkfs/geometry.ts';
import type { MkfsOptions } from '../../lib/mkfs/options.ts';
import { inodeOwner } from '../../lib/space/owner.ts';
import { Space } from '../../lib/space/space.ts';
import { buildAttributes } from '../../lib/xattr/build.ts';

const TIME = { seconds: 1_700_000_000, nanoseconds: 5 };
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A finished image and the inode numbers of what is in it, by path. */
export interface Specimen {
  readonly device: Device;
  readonly geometry: Geometry;
  readonly inodes: Readonly<Record<string, number>>;
}

/** Entry of a directory under construction. */
interface Entry {
  name: Uint8Array;
  inode: number;
  ftype: number;
}

class Maker {
  readonly tx: DirectTransaction;
  readonly space: Space;
  readonly device: Device;
  readonly root: number;
  readonly inodes: Record<string, number> = {};

  constructor(device: Device, geometry: Geometry) {
    this.device = device;
    this.tx = new DirectTransaction(new BufferCache(device, geometry));
    this.space = new Space(geometry);
    this.root = geometry.rootInode;
  }

  make(path: string, mode: number, nlink = 1, forkoff = 0): Inode {
    const isDirectory = (mode & MODE.DIR) === MODE.DIR && (mode & 0xf000) === MODE.DIR;
    const number = this.space.allocateInode(this.tx, { parentInode: this.root, isDirectory, generation: 1 });
    this.inodes[path] = number;
    const times = { atime: TIME, mtime: TIME, ctime: TIME, crtime: TIME };
    return initialiseInode(this.tx, number, { mode, uid: 1, gid: 2, nlink, forkoff, ...times });
  }

  file(path: string, blocks: number, nlink = 1, forkoff = 0): Inode {
    const inode = this.make(path, MODE.FILE | 0o644, nlink, forkoff);
    if (blocks === 0) return inode;
    const bytes = new Uint8Array(blocks * this.tx.geometry.blockSize).fill(path.length + 1);
    new FileWriter(this.tx, inode, this.device, this.space).append(0, bytes, 0);
    inode.change(this.tx);
    inode.core.size = bytes.length - 100;
    return inode;
  }

  directory(path: string, entries: Entry[]): void {
    const inode = this.make(path, MODE.DIR | 0o755, 2);
    initialise(editFork(this.tx, this.space, inode, 'data'), inode.number, this.root);
    buildDirectory(editFork(this.tx, this.space, inode, 'data'), inode.number, this.root, entries);
  }
}

/** Make the specimen: see the paths below. */
export function makeSpecimen(dialect: Dialect, options: Partial<MkfsOptions> = {}): Specimen {
  const plan = planImage({
    dialect,
    size: 48 * 2 ** 20,
    agCount: 2,
    uuid: Uint8Array.from({ length: 16 }, (_, i) => i + 1),
    time: TIME,
    ...options,
  });
  const { geometry } = plan;
  const device = new MemoryDevice(plan.size);
  formatImage(device, plan, true);
  const maker = new Maker(device, geometry);
  const { tx, space, inodes } = maker;
  const entry = (name: string, path: string, ftype: number): Entry => ({
    name: bytesOf(name),
    inode: inodes[path]!,
    ftype,
  });

  maker.file('/a', 2);
  maker.file('/b', 3);
  maker.file('/empty', 0);
  // Two files in turns: each extent ends where the other's starts, so both need an extent tree.
  const turns = [maker.make('/frag', MODE.FILE | 0o600), maker.make('/frag2', MODE.FILE | 0o600)] as const;
  const block = new Uint8Array(geometry.blockSize).fill(9);
  for (let i = 0; i < 60; i++) {
    for (const inode of turns) {
      new FileWriter(tx, inode, device, space).append(2 * i, block, 0);
      inode.change(tx);
      inode.core.size = (2 * i + 1) * geometry.blockSize;
    }
  }
  const linked = maker.file('/linked', 1, 0);
  inodes['/hard'] = linked.number;
  const names = (count: number): Entry[] =>
    Array.from({ length: count }, (_, i) =>
      entry(`a name that takes some room ${String(i).padStart(5, '0')}`, '/linked', 1),
    );
  maker.directory('/short', []);
  maker.directory('/block', names(30));
  maker.directory('/leaf', names(300));
  maker.directory('/node', names(1500));
  linked.change(tx);
  linked.core.nlink = 1 + 30 + 300 + 1500;

  writeSymlink(tx, space, maker.make('/link', MODE.SYMLINK | 0o777), bytesOf('a'));
  writeSymlink(tx, space, maker.make('/long-link', MODE.SYMLINK | 0o777), bytesOf('long/'.repeat(150)));
  maker.make('/fifo', MODE.FIFO | 0o644);
  const attrs = maker.file('/attrs', 1, 1, 24);
  buildAttributes(
    editFork(tx, space, attrs, 'attr'),
    Array.from({ length: 20 }, (_, i) => ({
      flags: i % 2 === 0 ? 0 : ATTR.SECURE,
      name: bytesOf(`attribute ${i}`),
      value: new Uint8Array(i === 7 ? 9000 : 50).fill(i),
    })),
  );
  const small = maker.file('/small-attr', 0, 1, 24);
  buildAttributes(editFork(tx, space, small, 'attr'), [{ flags: 0, name: bytesOf('k'), value: bytesOf('v') }]);
  if (geometry.features.reflink) clone(maker, maker.file('/shared', 4), maker.make('/clone', MODE.FILE | 0o644));

  const root = Inode.load(tx, geometry.rootInode);
  const types: Record<string, number> = { '/link': 7, '/long-link': 7, '/fifo': 5 };
  const rootEntries = Object.keys(inodes).map((path) =>
    entry(path.slice(1), path, types[path] ?? (/short|block|leaf|node/.test(path) ? 2 : 1)),
  );
  rootEntries.splice(
    rootEntries.findIndex((each) => new TextDecoder().decode(each.name) === 'hard'),
    1,
  );
  buildDirectory(editFork(tx, space, root, 'data'), root.number, root.number, rootEntries);
  root.change(tx);
  root.core.nlink = 2 + 4;
  inodes['/'] = root.number;

  const counters = { ...space.countInodes(tx), freeBlocks: space.countFree(tx) };
  tx.close();
  const made = { device, geometry, inodes };
  editSuperblock(made, device, 0, (sb) => {
    sb.icount = counters.inodes;
    sb.ifree = counters.free;
    sb.fdblocks = counters.freeBlocks;
    sb.versionnum |= VERSION.ATTR;
  });
  finishImage(device, plan);
  return made;
}

/** The second file maps the blocks of the first. */
function clone({ tx, space }: Maker, from: Inode, to: Inode): void {
  const extents: [number, number, number][] = [];
  new Fork(from, 'data').forEachExtent((fileBlock, startBlock, blockCount) => {
    extents.push([fileBlock, startBlock, blockCount]);
  });
  for (const inode of [from, to]) {
    inode.change(tx);
    inode.core.flags2Lo |= INODE_FLAG2.REFLINK;
  }
  for (const [fileBlock, startBlock, blockCount] of extents) {
    space.share(tx, startBlock, blockCount, inodeOwner(to.number), { fileBlock });
    new Fork(to, 'data').map(tx, space, fileBlock, startBlock, blockCount, false);
  }
  to.core.size = from.core.size;
}

/** A copy of the image that may be damaged. */
export function damaged(specimen: Specimen): OverlayDevice {
  return new OverlayDevice(specimen.device);
}

/** Change bytes at a byte address; the CRC at `crcOffset` (none: -1) is made right again. */
export function edit(
  device: Device,
  byte: number,
  length: number,
  crcOffset: number,
  change: (view: DataView) => void,
): void {
  const bytes = new Uint8Array(length);
  device.read(byte, bytes);
  change(new DataView(bytes.buffer));
  if (crcOffset >= 0) sealCrc(bytes, crcOffset);
  device.write(byte, bytes);
}

type SuperblockView = ReturnType<typeof Superblock.at>;
export function editSuperblock(
  specimen: Specimen,
  device: Device,
  ag: number,
  change: (sb: SuperblockView) => void,
): void {
  const { geometry } = specimen;
  edit(device, geometry.agBlockToByte(ag, 0), geometry.sectorSize, Superblock.offsets.crc, (view) =>
    change(Superblock.at(view)),
  );
}

/** @param sector 1 AGF, 2 AGI, 3 AGFL. */
export function editHeader(
  specimen: Specimen,
  device: Device,
  ag: number,
  sector: 1 | 2 | 3,
  change: (view: DataView) => void,
): void {
  const { geometry } = specimen;
  const crc = sector === 1 ? Agf.offsets.crc : sector === 2 ? Agi.offsets.crc : 32;
  edit(device, geometry.agHeaderDaddr(ag, sector) * 512, geometry.sectorSize, crc, change);
}

/** Byte address of an inode's slot. */
export function inodeByte({ geometry }: Specimen, inode: number): number {
  const agInode = geometry.agInodeOfInode(inode);
  const block = geometry.agBlockToByte(geometry.agOfInode(inode), geometry.agBlockOfAgInode(agInode));
  return block + (agInode % geometry.inodesPerBlock) * geometry.inodeSize;
}

export function editInode(
  specimen: Specimen,
  device: Device,
  path: string,
  change: (core: ReturnType<typeof InodeCore.at>, view: DataView) => void,
): void {
  const byte = inodeByte(specimen, specimen.inodes[path]!);
  edit(device, byte, specimen.geometry.inodeSize, InodeCore.offsets.crc, (view) => change(InodeCore.at(view), view));
}

/** Change a short-form tree's block. @param crc offset of its CRC: 52. */
export function editTreeBlock(
  specimen: Specimen,
  device: Device,
  ag: number,
  agBlock: number,
  change: (view: DataView) => void,
): void {
  const { geometry } = specimen;
  edit(device, geometry.agBlockToByte(ag, agBlock), geometry.blockSize, 52, change);
}

/** Root block of a tree, from its AG header. */
export function rootOf(specimen: Specimen, device: Device, ag: number, header: 1 | 2, field: number): number {
  const bytes = new Uint8Array(specimen.geometry.sectorSize);
  device.read(specimen.geometry.agHeaderDaddr(ag, header) * 512, bytes);
  return new DataView(bytes.buffer).getUint32(field);
}
