import { describe, expect, it } from 'vitest';
import { testGeometry } from '../test/support/geometry.ts';
import {
  AclEntry,
  ATTR,
  ATTR_LEAF,
  ATTR_REMOTE,
  AttrLeafEntry,
  AttrLeafHeader,
  AttrLocal,
  AttrRemote,
  AttrRemoteHeader,
  AttrShortEntry,
  AttrShortHeader,
  aclFromLinux,
  aclToLinux,
  attrHash,
  decodeParent,
  encodeParent,
  isLocalSized,
  localRecordBytes,
  ParentValue,
  remoteBlocks,
  remoteRecordBytes,
  shortformFault,
} from './attribute.ts';
import { checkBlock } from './block-type.ts';
import { sealCrc } from './checksum.ts';
import {
  SYMLINK,
  SymlinkHeader,
  symlinkBlocks,
  symlinkPiece,
  symlinkPieceFault,
  writeSymlinkExtent,
} from './symlink.ts';

const fromHex = (text: string): Uint8Array =>
  Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
const ascii = (text: string): Uint8Array => Uint8Array.from(text, (char) => char.charCodeAt(0));
const viewOf = (data: Uint8Array) => new DataView(data.buffer, data.byteOffset, data.length);

describe('attribute layout', () => {
  it('has the sizes and offsets of the format', () => {
    expect(AttrShortHeader.size).toBe(4);
    expect(AttrShortHeader.offsets).toEqual({ totsize: 0, count: 2, pad: 3 });
    expect(AttrShortEntry.offsets).toEqual({ namelen: 0, valuelen: 1, flags: 2 });
    expect(AttrLeafHeader.size).toBe(80);
    expect(AttrLeafHeader.offsets).toEqual({
      forw: 0,
      back: 4,
      magic: 8,
      pad0: 10,
      crc: 12,
      blkno: 16,
      lsn: 24,
      uuid: 32,
      owner: 48,
      count: 56,
      usedbytes: 58,
      firstused: 60,
      holes: 62,
      pad1: 63,
      freemap0Base: 64,
      freemap0Size: 66,
      freemap1Base: 68,
      freemap1Size: 70,
      freemap2Base: 72,
      freemap2Size: 74,
      pad2: 76,
    });
    expect(AttrLeafEntry.size).toBe(8);
    expect(AttrLeafEntry.offsets).toEqual({ hash: 0, nameidx: 4, flags: 6, pad: 7 });
    expect(AttrLocal.offsets).toEqual({ valuelen: 0, namelen: 2 });
    expect(AttrRemote.offsets).toEqual({ valueblk: 0, valuelen: 4, namelen: 8 });
    expect(AttrRemoteHeader.size).toBe(56);
    expect(AttrRemoteHeader.offsets).toEqual({
      magic: 0,
      valueOffset: 4,
      valueBytes: 8,
      crc: 12,
      uuid: 16,
      owner: 32,
      blkno: 40,
      lsn: 48,
    });
    expect(ParentValue.offsets).toEqual({ inode: 0, generation: 8 });
    expect(AclEntry.offsets).toEqual({ tag: 0, id: 4, perm: 8, pad: 10 });
    expect(SymlinkHeader.size).toBe(56);
    expect(SymlinkHeader.offsets).toEqual({
      magic: 0,
      targetOffset: 4,
      targetBytes: 8,
      crc: 12,
      uuid: 16,
      owner: 32,
      blkno: 40,
      lsn: 48,
    });
  });

  it('measures records and the local limit as the format does', () => {
    expect(localRecordBytes(1, 0)).toBe(4);
    expect(localRecordBytes(1, 1)).toBe(8);
    expect(remoteRecordBytes(1)).toBe(12);
    expect(remoteRecordBytes(2)).toBe(16);
    // 4k: a padded record of 3068 bytes stays, one of 3072 does not.
    expect(isLocalSized(5, 3060, 4096)).toBe(true);
    expect(isLocalSized(5, 3061, 4096)).toBe(false);
    expect(remoteBlocks(9000, 4096)).toBe(3);
    expect(remoteBlocks(4040, 4096)).toBe(1);
    expect(remoteBlocks(65536, 1024)).toBe(68);
  });
});

describe('attribute codecs', () => {
  it('hashes names, and parent pointers by their inode too', () => {
    const name = ascii('SGI_ACL_FILE');
    expect(attrHash(ATTR.ROOT, name, 0, name.length, undefined)).toBe(0x275b19c4);
    const dot = ascii('.');
    expect(attrHash(ATTR.PARENT, dot, 0, 1, encodeParent(0x300000080, 7))).toBe((0x2e ^ 3 ^ 0x80) >>> 0);
    expect(attrHash(ATTR.ROOT, dot, 0, 1, encodeParent(0x300000080, 7))).toBe(0x2e);
  });

  it('codes parent pointers', () => {
    expect(encodeParent(128, 0)).toEqual(fromHex('000000000000008000000000'));
    expect(decodeParent(fromHex('000000010000008000000005'))).toEqual({ inode: 2 ** 32 + 128, generation: 5 });
    expect(decodeParent(fromHex('0000000000000080000000'))).toBeUndefined();
    expect(decodeParent(fromHex('ffffffffffffffff00000000'))).toBeUndefined();
  });

  // Both forms as Linux 6.18 showed them for one file (setfacl u:1000:rwx,g:100:r,m::rw).
  const linuxAcl =
    '0200000001000600ffffffff02000700e803000004000400ffffffff080004006400000010000600ffffffff20000400ffffffff';
  const diskAcl =
    '0000000600000001ffffffff0006000000000002000003e80007000000000004ffffffff00040000' +
    '0000000800000064000400000000' +
    '0010ffffffff0006000000000020ffffffff00040000';
  it('converts ACLs both ways', () => {
    expect(aclFromLinux(fromHex(linuxAcl))).toEqual(fromHex(diskAcl));
    expect(aclToLinux(fromHex(diskAcl))).toEqual(fromHex(linuxAcl));
  });
  it('refuses what is not an ACL', () => {
    expect(aclFromLinux(fromHex('01000000'))).toBeUndefined();
    expect(aclFromLinux(fromHex('020000'))).toBeUndefined();
    expect(aclFromLinux(fromHex(linuxAcl).subarray(0, 11))).toBeUndefined();
    expect(aclFromLinux(fromHex('0200000003000600ffffffff'))).toBeUndefined();
    expect(aclToLinux(fromHex('ffffffff'))).toBeUndefined();
    expect(aclToLinux(fromHex(diskAcl).subarray(0, 20))).toBeUndefined();
    expect(aclToLinux(fromHex('0000000100000003ffffffff00060000'))).toBeUndefined();
  });

  it('accepts a kernel-made shortform and names what is wrong with others', () => {
    const good = '00150100020c086431000000000000008000000000';
    expect(shortformFault(viewOf(fromHex(good)))).toBeUndefined();
    expect(shortformFault(viewOf(fromHex('00040000')))).toBeUndefined();
    const broken = (edit: (data: Uint8Array) => void) => {
      const data = fromHex(good);
      edit(data);
      return shortformFault(viewOf(data))?.code;
    };
    expect(broken((data) => data.set([0x16], 1))).toBe('BAD_SHORTFORM');
    expect(broken((data) => data.set([2], 2))).toBe('BAD_SHORTFORM');
    expect(broken((data) => data.set([0], 4))).toBe('BAD_NAMELEN');
    expect(broken((data) => data.set([13], 5))).toBe('BAD_SHORTFORM');
    expect(broken((data) => data.set([0x0a], 6))).toBe('BAD_FLAGS');
    expect(broken((data) => data.set([0x01], 6))).toBe('BAD_FLAGS');
    expect(shortformFault(viewOf(new Uint8Array(3)))?.code).toBe('BAD_SHORTFORM');
  });
});

describe('verifiers', () => {
  const geometry = testGeometry({ blockSize: 1024 });
  const leaf = (edit: (view: DataView) => void = () => {}) => {
    const data = new Uint8Array(1024);
    const view = viewOf(data);
    const header = AttrLeafHeader.at(view);
    header.magic = 0x3bee;
    header.blkno = 2000;
    header.uuid = geometry.metaUuid;
    header.owner = 133;
    header.count = 1;
    header.usedbytes = 8;
    header.firstused = 1016;
    header.freemap0Base = 88;
    header.freemap0Size = 928;
    const entry = AttrLeafEntry.at(view, 80);
    entry.hash = 0x61;
    entry.nameidx = 1016;
    entry.flags = ATTR.LOCAL;
    view.setUint16(1016, 2);
    view.setUint8(1018, 1);
    edit(view);
    sealCrc(data, 12);
    return checkBlock(ATTR_LEAF, data, view, geometry, 2000)?.code;
  };
  it('bounds every field of a leaf', () => {
    expect(leaf()).toBeUndefined();
    expect(leaf((view) => view.setUint16(8, 0x3bef))).toBe('BAD_MAGIC');
    expect(leaf((view) => view.setUint32(20, 2001))).toBe('BAD_BLKNO');
    expect(leaf((view) => view.setUint8(33, 0))).toBe('BAD_UUID');
    expect(leaf((view) => view.setUint32(52, 0))).toBe('BAD_OWNER');
    expect(leaf((view) => view.setUint16(56, 119))).toBe('BAD_COUNT');
    expect(leaf((view) => view.setUint16(60, 80))).toBe('BAD_FIRSTUSED');
    expect(leaf((view) => view.setUint16(60, 0))).toBe('BAD_FIRSTUSED');
    expect(leaf((view) => view.setUint16(58, 9))).toBe('BAD_USEDBYTES');
    expect(leaf((view) => view.setUint16(66, 940))).toBe('BAD_FREEMAP');
    expect(leaf((view) => view.setUint16(64, 80))).toBe('BAD_FREEMAP');
    expect(leaf((view) => view.setUint16(84, 1018))).toBe('BAD_NAMEIDX');
    expect(leaf((view) => view.setUint16(84, 1012))).toBe('BAD_NAMEIDX');
    expect(leaf((view) => view.setUint16(84, 0xfffc))).toBe('BAD_NAMEIDX');
    expect(leaf((view) => view.setUint16(1016, 5))).toBe('BAD_NAMEIDX');
    expect(leaf((view) => view.setUint8(86, 0x11))).toBe('BAD_FLAGS');
    expect(leaf((view) => view.setUint8(86, 0x07))).toBe('BAD_FLAGS');
    expect(leaf((view) => view.setUint8(1018, 0))).toBe('BAD_NAMELEN');
  });
  it('bounds a remote value block and covers it with its CRC', () => {
    const data = new Uint8Array(1024);
    const header = AttrRemoteHeader.at(viewOf(data));
    header.magic = 0x5841524d;
    header.valueBytes = 968;
    header.uuid = geometry.metaUuid;
    header.owner = 133;
    header.blkno = 4000;
    const code = () => {
      sealCrc(data, 12);
      return checkBlock(ATTR_REMOTE, data, viewOf(data), geometry, 4000)?.code;
    };
    expect(code()).toBeUndefined();
    data[1023] = 1;
    expect(checkBlock(ATTR_REMOTE, data, viewOf(data), geometry, 4000)?.code).toBe('BAD_CRC');
    header.valueBytes = 969;
    expect(code()).toBe('BAD_REMOTE_LENGTH');
    header.valueBytes = 0;
    expect(code()).toBe('BAD_REMOTE_LENGTH');
    header.valueBytes = 968;
    header.valueOffset = 65536 - 967;
    expect(code()).toBe('BAD_REMOTE_LENGTH');
    header.valueOffset = 65536 - 968;
    expect(code()).toBeUndefined();
  });
});

describe('symlink extents', () => {
  const geometry = testGeometry({ blockSize: 1024 });
  it('carries a target over two extents', () => {
    const target = Uint8Array.from({ length: 1023 }, (_, i) => 33 + (i % 90));
    expect(symlinkBlocks(968, 1024)).toBe(1);
    expect(symlinkBlocks(1023, 1024)).toBe(2);
    let offset = 0;
    const read: number[] = [];
    for (const daddr of [3000, 5000]) {
      const data = new Uint8Array(1024).fill(7);
      const view = viewOf(data);
      const written = writeSymlinkExtent(view, geometry, daddr, 140, target, offset);
      sealCrc(data, SYMLINK.crcOffset);
      expect(checkBlock(SYMLINK, data, view, geometry, daddr)).toBeUndefined();
      expect(symlinkPieceFault(view, 140, offset, 1023)).toBeUndefined();
      expect(symlinkPieceFault(view, 141, offset, 1023)?.code).toBe('BAD_OWNER');
      expect(symlinkPieceFault(view, 140, offset + 1, 1023)?.code).toBe('BAD_SYMLINK');
      expect(symlinkPieceFault(view, 140, offset, offset + 10)?.code).toBe('BAD_SYMLINK');
      read.push(...symlinkPiece(view));
      offset += written;
    }
    expect(read).toEqual([...target]);
  });
  it('has one header in an extent of two blocks, and its CRC covers both', () => {
    const data = new Uint8Array(2048);
    expect(writeSymlinkExtent(viewOf(data), geometry, 3000, 140, new Uint8Array(1000).fill(97), 0)).toBe(1000);
    sealCrc(data, SYMLINK.crcOffset);
    expect(checkBlock(SYMLINK, data, viewOf(data), geometry, 3000)).toBeUndefined();
    data[2000] = 1;
    expect(checkBlock(SYMLINK, data, viewOf(data), geometry, 3000)?.code).toBe('BAD_CRC');
  });
  it('refuses lengths that leave the extent or the longest target', () => {
    const data = new Uint8Array(1024);
    const view = viewOf(data);
    writeSymlinkExtent(view, geometry, 3000, 140, new Uint8Array(500).fill(97), 0);
    const code = (offset: number, length: number) => {
      view.setUint32(4, offset);
      view.setUint32(8, length);
      return SYMLINK.verify(view, geometry, 3000)?.code;
    };
    expect(code(0, 968)).toBeUndefined();
    expect(code(0, 969)).toBe('BAD_SYMLINK');
    expect(code(0, 0)).toBe('BAD_SYMLINK');
    expect(code(56, 968)).toBe('BAD_SYMLINK');
  });
});
