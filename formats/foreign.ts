/**
 * What an image holds when it is not ours: other file systems, partition tables, containers and archives, by their
 * magics. Used to name what is refused, and by mkfs so as not to overwrite somebody's data.
 */

interface Magic {
  readonly name: string;
  readonly offset: number;
  readonly bytes: readonly number[] | string;
}

/** Most telling first: a partition table comes last, since many file systems leave 55 AA in sector 0. */
const MAGICS: readonly Magic[] = [
  { name: 'an XFS metadata dump', offset: 0, bytes: 'XFSM' },
  { name: 'an XFS metadata dump', offset: 0, bytes: 'XMD2' },
  { name: 'btrfs', offset: 65600, bytes: '_BHRfS_M' },
  { name: 'ext2, ext3 or ext4', offset: 1080, bytes: [0x53, 0xef] },
  { name: 'f2fs', offset: 1024, bytes: [0x10, 0x20, 0xf5, 0xf2] },
  { name: 'erofs', offset: 1024, bytes: [0xe2, 0xe1, 0xf5, 0xe0] },
  { name: 'bcachefs', offset: 4120, bytes: [0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca] },
  { name: 'NTFS', offset: 3, bytes: 'NTFS    ' },
  { name: 'exFAT', offset: 3, bytes: 'EXFAT   ' },
  { name: 'FAT', offset: 54, bytes: 'FAT1' },
  { name: 'FAT', offset: 82, bytes: 'FAT32' },
  { name: 'HFS+', offset: 1024, bytes: 'H+' },
  { name: 'APFS', offset: 32, bytes: 'NXSB' },
  { name: 'ISO 9660', offset: 32769, bytes: 'CD001' },
  { name: 'squashfs', offset: 0, bytes: 'hsqs' },
  { name: 'swap space', offset: 4086, bytes: 'SWAPSPACE2' },
  { name: 'LUKS', offset: 0, bytes: [0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe] },
  { name: 'an LVM volume', offset: 512, bytes: 'LABELONE' },
  { name: 'a QCOW2 image', offset: 0, bytes: [0x51, 0x46, 0x49, 0xfb] },
  { name: 'a VMDK image', offset: 0, bytes: 'KDMV' },
  { name: 'a VHDX image', offset: 0, bytes: 'vhdxfile' },
  { name: 'gzip data', offset: 0, bytes: [0x1f, 0x8b] },
  { name: 'xz data', offset: 0, bytes: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00] },
  { name: 'zstd data', offset: 0, bytes: [0x28, 0xb5, 0x2f, 0xfd] },
  { name: 'a tar archive', offset: 257, bytes: 'ustar' },
  { name: 'an ELF program', offset: 0, bytes: [0x7f, 0x45, 0x4c, 0x46] },
  { name: 'a GPT partition table', offset: 512, bytes: 'EFI PART' },
  { name: 'a GPT partition table', offset: 4096, bytes: 'EFI PART' },
  { name: 'an MBR partition table', offset: 510, bytes: [0x55, 0xaa] },
];

/** Bytes of the start of an image that `foreignContent` would like to see. */
export const FOREIGN_PROBE_BYTES = 65608;

function matches(head: Uint8Array, magic: Magic): boolean {
  const { bytes, offset } = magic;
  if (offset + bytes.length > head.length) return false;
  for (let i = 0; i < bytes.length; i++) {
    if (head[offset + i] !== (typeof bytes === 'string' ? bytes.charCodeAt(i) : bytes[i])) return false;
  }
  return true;
}

/** A name for what these first bytes of an image are, or undefined when nothing known is recognised. */
export function foreignContent(head: Uint8Array): string | undefined {
  return MAGICS.find((magic) => matches(head, magic))?.name;
}
