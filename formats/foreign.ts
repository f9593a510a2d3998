/**
 * What an image holds when it is not ours: other file systems, containers, archives, partition tables, by their magic bytes
 * at fixed places. Used to name what is refused, and by mkfs so as not to overwrite somebody's data. Nothing found says
 * nothing about data without a signature.
 */

/** Bytes of the start of an image that `foreignContent` would like to see: up to the ZFS uberblocks of the first label. */
export const FOREIGN_PROBE_BYTES = 256 * 1024;

interface Signature {
  name: string;
  offset: number;
  /** Text as latin-1, or bytes. */
  magic: string | readonly number[];
}

/** In the order in which they are asked: what is specific before partition tables, which share sectors with boot code. */
const SIGNATURES: readonly Signature[] = [
  { name: 'XFS metadata dump', offset: 0, magic: 'XFSM' },
  { name: 'XFS metadata dump', offset: 0, magic: 'XMD2' },
  { name: 'LUKS encrypted volume', offset: 0, magic: 'LUKS\xba\xbe' },
  { name: 'btrfs file system', offset: 0x10040, magic: '_BHRfS_M' },
  { name: 'bcachefs file system', offset: 4096 + 24, magic: [0xc6, 0x85, 0x73, 0xf6, 0x66, 0xce, 0x90, 0xa9] },
  { name: 'bcache device', offset: 4096 + 24, magic: [0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca] },
  ...[4096, 8192, 16384, 65536].flatMap((page) => [
    { name: 'swap area', offset: page - 10, magic: 'SWAPSPACE2' },
    { name: 'swap area', offset: page - 10, magic: 'SWAP-SPACE' },
    { name: 'suspended system image', offset: page - 10, magic: 'S1SUSPEND' },
  ]),
  { name: 'f2fs file system', offset: 1024, magic: [0x10, 0x20, 0xf5, 0xf2] },
  { name: 'EROFS file system', offset: 1024, magic: [0xe2, 0xe1, 0xf5, 0xe0] },
  { name: 'NTFS file system', offset: 3, magic: 'NTFS    ' },
  { name: 'exFAT file system', offset: 3, magic: 'EXFAT   ' },
  { name: 'FAT file system (vfat)', offset: 0x52, magic: 'FAT32   ' },
  { name: 'FAT file system (vfat)', offset: 0x36, magic: 'FAT16   ' },
  { name: 'FAT file system (vfat)', offset: 0x36, magic: 'FAT12   ' },
  { name: 'squashfs file system', offset: 0, magic: 'hsqs' },
  { name: 'squashfs file system', offset: 0, magic: 'sqsh' },
  { name: 'cramfs file system', offset: 0, magic: [0x45, 0x3d, 0xcd, 0x28] },
  { name: 'ISO 9660 file system', offset: 0x8001, magic: 'CD001' },
  { name: 'UDF file system', offset: 0x8001, magic: 'BEA01' },
  { name: 'JFS file system', offset: 0x8000, magic: 'JFS1' },
  { name: 'ReiserFS file system', offset: 0x10034, magic: 'ReIsEr' },
  { name: 'NILFS2 file system', offset: 1024 + 6, magic: [0x34, 0x34] },
  { name: 'HFS+ file system', offset: 1024, magic: 'H+\x00\x04' },
  { name: 'HFS+ file system', offset: 1024, magic: 'HX\x00\x05' },
  { name: 'APFS container', offset: 32, magic: 'NXSB' },
  { name: 'RAID member (md)', offset: 0, magic: [0xfc, 0x4e, 0x2b, 0xa9] },
  { name: 'RAID member (md)', offset: 4096, magic: [0xfc, 0x4e, 0x2b, 0xa9] },
  ...[0, 512, 1024, 1536].map((sector) => ({ name: 'LVM physical volume', offset: sector + 24, magic: 'LVM2 001' })),
  { name: 'QCOW2 disk image', offset: 0, magic: 'QFI\xfb' },
  { name: 'VMDK disk image', offset: 0, magic: 'KDMV' },
  { name: 'VHDX disk image', offset: 0, magic: 'vhdxfile' },
  { name: 'gzip data', offset: 0, magic: [0x1f, 0x8b] },
  { name: 'xz data', offset: 0, magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00] },
  { name: 'zstd data', offset: 0, magic: [0x28, 0xb5, 0x2f, 0xfd] },
  { name: 'tar archive', offset: 257, magic: 'ustar' },
  { name: 'ELF program', offset: 0, magic: [0x7f, 0x45, 0x4c, 0x46] },
  { name: 'GPT partition table', offset: 512, magic: 'EFI PART' },
  { name: 'GPT partition table', offset: 4096, magic: 'EFI PART' },
];

/** A name for what these first bytes of an image are (fewer bytes find fewer), or undefined when nothing is recognised. */
export function foreignContent(bytes: Uint8Array): string | undefined {
  for (const { name, offset, magic } of SIGNATURES) if (matches(bytes, offset, magic)) return name;
  return extFileSystem(bytes) ?? zfs(bytes) ?? mbr(bytes);
}

function matches(bytes: Uint8Array, offset: number, magic: string | readonly number[]): boolean {
  if (offset + magic.length > bytes.length) return false;
  for (let i = 0; i < magic.length; i++) {
    const wanted = typeof magic === 'string' ? magic.charCodeAt(i) : magic[i];
    if (bytes[offset + i] !== wanted) return false;
  }
  return true;
}

/** ext2, ext3 and ext4 share a magic (0xEF53 in the superblock at 1024); features tell them apart. */
function extFileSystem(bytes: Uint8Array): string | undefined {
  if (bytes.length < 2048) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset + 1024, 1024);
  if (view.getUint16(0x38, true) !== 0xef53) return undefined;
  const [compat, incompat, roCompat] = [
    view.getUint32(0x5c, true),
    view.getUint32(0x60, true),
    view.getUint32(0x64, true),
  ];
  // Up to these bits ext3 understands: incompat filetype, recover, meta_bg; ro_compat sparse_super, large_file, btree_dir.
  if ((incompat & 0x8) !== 0) return 'ext journal device';
  if ((incompat & ~0x16) !== 0 || (roCompat & ~0x7) !== 0) return 'ext4 file system';
  return (compat & 0x4) !== 0 ? 'ext3 file system' : 'ext2 file system';
}

/** An uberblock of the first label (128 KiB on, one per KiB at least), in either byte order. */
function zfs(bytes: Uint8Array): string | undefined {
  const little = [0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0];
  const big = [0, 0, 0, 0, 0, 0xba, 0xb1, 0x0c];
  for (let at = 128 * 1024; at < 256 * 1024; at += 1024)
    if (matches(bytes, at, little) || matches(bytes, at, big)) return 'ZFS pool member';
  return undefined;
}

/** Boot signature and at least one sane entry: boot code alone (or a bare 55 AA) is no partition table. */
function mbr(bytes: Uint8Array): string | undefined {
  if (!matches(bytes, 510, [0x55, 0xaa])) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, 512);
  let used = 0;
  for (let at = 446; at < 510; at += 16) {
    const status = view.getUint8(at);
    if (status !== 0 && status !== 0x80) return undefined;
    if (view.getUint8(at + 4) !== 0 && view.getUint32(at + 12, true) !== 0) used++;
  }
  return used > 0 ? 'MBR partition table' : undefined;
}
