/** What lives on a target: made by the real tools where they are installed, else by magic bytes. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CadastreError } from '../errors.ts';
import { holdsFileSystem, recognise } from './signatures.ts';

let scratch: string;
let image: string;
beforeEach(() => {
  scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'cadastre-signature-'));
  image = path.join(scratch, 'image');
  fs.writeFileSync(image, '');
});
afterEach(() => fs.rmSync(scratch, { recursive: true, force: true }));

const MADE: [string, number, string[], string][] = [
  ['mke2fs', 8, ['-q', '-F', '-t', 'ext2', 'IMAGE'], 'ext2 file system'],
  ['mke2fs', 8, ['-q', '-F', '-t', 'ext3', 'IMAGE'], 'ext3 file system'],
  ['mke2fs', 8, ['-q', '-F', '-t', 'ext4', 'IMAGE'], 'ext4 file system'],
  ['mkfs.xfs', 301, ['-q', '-f', 'IMAGE'], 'XFS file system'],
  ['mkswap', 8, ['IMAGE'], 'swap area'],
  ['mkfs.btrfs', 128, ['-q', '-f', 'IMAGE'], 'btrfs file system'],
  ['mkfs.vfat', 8, ['IMAGE'], 'FAT file system (vfat)'],
  ['mkfs.ntfs', 8, ['-q', '-F', 'IMAGE'], 'NTFS file system'],
];

test.for(MADE)('%s (%i MiB) %j', ([program, mebibytes, args, name], context) => {
  fs.truncateSync(image, mebibytes << 20);
  try {
    execFileSync(
      program,
      args.map((arg) => (arg === 'IMAGE' ? image : arg)),
      { stdio: 'ignore' },
    );
  } catch (error) {
    // A code says that it could not be started; a program that fails leaves an exit status instead.
    if (typeof (error as { code?: unknown }).code !== 'string') throw error;
    context.skip(`${program} is not installed`);
    return;
  }
  expect(holdsFileSystem(image)).toBe(name);
});

test.each<[string, number, string]>([
  ['Cadastre file system', 0, 'CDST'],
  ['LUKS encrypted volume', 0, 'LUKS\xba\xbe'],
  ['squashfs file system', 0, 'hsqs'],
  ['ISO 9660 file system', 0x8001, 'CD001'],
  ['btrfs file system', 0x10040, '_BHRfS_M'],
  ['f2fs file system', 1024, '\x10\x20\xf5\xf2'],
  ['ZFS pool member', 140 * 1024, '\x0c\xb1\xba\x00\x00\x00\x00\x00'],
  ['LVM physical volume', 512 + 24, 'LVM2 001'],
  ['GPT partition table', 512, 'EFI PART'],
  ['swap area', 65536 - 10, 'SWAPSPACE2'],
  ['FAT file system (vfat)', 0x52, 'FAT32   '],
  ['NTFS file system', 3, 'NTFS    '],
])('%s at %i', (name, offset, magic) => {
  const bytes = Buffer.alloc(256 * 1024);
  bytes.write(magic, offset, 'latin1');
  expect(recognise(bytes)).toBe(name);
  expect(recognise(bytes.subarray(0, offset + magic.length - 1))).toBeUndefined();
  fs.writeFileSync(image, bytes);
  expect(holdsFileSystem(image)).toBe(name);
});

test('an MBR needs an entry, boot code alone is none', () => {
  const bytes = Buffer.alloc(512);
  bytes.set([0x55, 0xaa], 510);
  expect(recognise(bytes)).toBeUndefined();
  bytes[446 + 4] = 0x83;
  bytes.writeUInt32LE(2048, 446 + 8);
  bytes.writeUInt32LE(100, 446 + 12);
  expect(recognise(bytes)).toBe('MBR partition table');
  bytes[462] = 0x12;
  expect(recognise(bytes)).toBeUndefined();
});

test('nothing there: a missing path, an empty file, text, zeroes; a directory cannot be read', () => {
  expect(holdsFileSystem(path.join(scratch, 'missing'))).toBeUndefined();
  expect(holdsFileSystem(image)).toBeUndefined();
  fs.writeFileSync(image, 'plain text');
  expect(holdsFileSystem(image)).toBeUndefined();
  fs.truncateSync(image, 1 << 20);
  expect(holdsFileSystem(image)).toBeUndefined();
  expect(() => holdsFileSystem(scratch)).toThrow(CadastreError);
});

test('any bytes of any length are survived', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 4096 }), (bytes) => {
      expect(['string', 'undefined']).toContain(typeof recognise(bytes));
    }),
  );
});
