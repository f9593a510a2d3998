/** Inodes from birth to death: initialisation, fork offsets, symlinks in every form, and letting go of everything. */
import { describe, expect, it } from 'vitest';
import { ATTR } from '../../formats/attribute.ts';
import { FORMAT, INODE_FLAG2, MODE } from '../../formats/inode.ts';
import { MAX_SYMLINK } from '../../formats/symlink.ts';
import { FILE_WORLDS, FileWorld } from '../../test/support/file-world.ts';
import type { Transaction } from '../buffer/transaction.ts';
import { insert } from '../directory/directory.ts';
import { CadastreError } from '../errors.ts';
import { inodeOwner } from '../space/owner.ts';
import { type Allocation, type AllocationRequest, Space } from '../space/space.ts';
import { buildAttributes } from '../xattr/build.ts';
import { setAttribute } from '../xattr/write.ts';
import { chooseForkOffset } from './fork-offset.ts';
import { editFork } from './inode-fork-blocks.ts';
import { readSymlink } from './symlink.ts';
import { freeForks } from './truncate.ts';

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const bytes = (length: number, seed = 1): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => 33 + ((i * 7 + seed) % 90));

describe('initialiseInode', () => {
  it.each([
    ['xfs 4k', 0],
    ['xfs 4k, rmapbt, nrext64', INODE_FLAG2.NREXT64],
  ])('fills every field of a slot that was used before: %s', (name, nrext64) => {
    const world = new FileWorld(FILE_WORLDS[name]);
    const first = world.create(MODE.SYMLINK | 0o777, { target: bytes(200) });
    freeForks(world.tx, world.space, world.inode(first));
    world.unlink(first);
    world.space.freeInode(world.tx, first);
    const time = { seconds: -5, nanoseconds: 999_999_999 };
    const number = world.create(MODE.CHAR | 0o640, {
      device: { major: 4095, minor: 262_143 },
      uid: 2 ** 32 - 2,
      gid: 70_000,
      mtime: time,
    });
    expect(number).toBe(first);
    const inode = world.inode(number);
    expect(inode.deviceNumber).toEqual({ major: 4095, minor: 262_143 });
    expect([inode.core.uid, inode.core.gid, inode.core.nlink]).toEqual([2 ** 32 - 2, 70_000, 1]);
    expect(inode.time('mtime')).toEqual(time);
    expect(inode.core.format).toBe(FORMAT.DEV);
    expect(inode.core.flags2Lo).toBe(INODE_FLAG2.BIGTIME | nrext64);
    expect(inode.size + inode.core.nblocks + inode.core.forkoff).toBe(0);
    expect(world.finish()).toEqual([]);
  });
});

describe('chooseForkOffset', () => {
  const world = new FileWorld({ dialect: 'xfs' });
  const file = world.inode(world.create());
  const literal = 336;

  it('keeps the kernel default where both forks fit', () => {
    expect(chooseForkOffset(file, 40, 0)).toBe(24);
    expect(chooseForkOffset(file, literal - 192, 0)).toBe(24);
    expect(chooseForkOffset(file, undefined, 0)).toBe(24);
    expect(chooseForkOffset(file, 100, 192)).toBe(24);
  });
  it('moves it for attributes that are a little too long, but never below a tree root', () => {
    expect(chooseForkOffset(file, 200, 0) * 8).toBe(136);
    expect(chooseForkOffset(file, 280, 0) * 8).toBe(56);
    expect(chooseForkOffset(file, 281, 0)).toBe(24);
  });
  it('moves it for a long target when the attributes still fit', () => {
    expect(chooseForkOffset(file, 40, 250)).toBe(32);
    expect(chooseForkOffset(file, 200, 100) * 8).toBeGreaterThanOrEqual(104);
    expect(chooseForkOffset(file, 200, 300)).toBe(17);
  });
  it('is 1 for what has a device number instead of a data fork', () => {
    expect(chooseForkOffset(world.inode(world.create(MODE.FIFO | 0o600)), 40, 0)).toBe(1);
  });
});

describe('symlinks', () => {
  it.each([
    ['512-byte inodes', { inodeSize: 512 }],
    ['1k blocks', { blockSize: 1024 }],
    ['2048-byte inodes', { inodeSize: 2048 }],
    ['cadastre', { dialect: 'cadastre' as const }],
  ])('of every length: %s', (_, options) => {
    const world = new FileWorld({ size: 64 << 20, dialect: 'xfs', ...options });
    const made = new Map<number, Uint8Array>();
    const literal = world.geometry.inodeSize - 176;
    for (let length = 1; length <= MAX_SYMLINK; length += length > 20 && length % 97 !== 0 ? 3 : 1) {
      const number = world.create(MODE.SYMLINK | 0o777, { target: bytes(length, length) });
      made.set(number, bytes(length, length));
      const fork = world.fork(number);
      expect(fork.format).toBe(length <= literal ? FORMAT.LOCAL : FORMAT.EXTENTS);
      if (length > literal) expect(fork.inode.core.nblocks).toBe(Math.ceil(length / (world.geometry.blockSize - 56)));
    }
    for (const [number, target] of made) expect(readSymlink(world.inode(number))).toEqual(target);
    expect(world.finish()).toEqual([]);
  });

  it.each([true, false])('in single blocks, apart from each other: %s', (apart) => {
    const world = new FileWorld({ dialect: 'xfs', blockSize: 1024, features: { rmapbt: true } });
    /** Never gives more than one block at a time. */
    class Scattered extends Space {
      override allocate(tx: Transaction, request: AllocationRequest): Allocation | undefined {
        const one = super.allocate(tx, { ...request, max: request.min });
        const gap = apart
          ? super.allocate(tx, { min: 1, max: 1, near: request.near, owner: inodeOwner(spacer) })
          : undefined;
        if (gap) gaps.push(gap);
        return one;
      }
    }
    const spacer = world.create();
    const gaps: Allocation[] = [];
    const plain = world.space;
    world.space = new Scattered(world.geometry);
    const number = world.create(MODE.SYMLINK | 0o777, { target: bytes(1023) });
    world.space = plain;
    expect(world.fork(number).extentCount).toBe(apart ? 2 : 1);
    expect(readSymlink(world.inode(number))).toEqual(bytes(1023));
    for (const { fsBlock, blockCount } of gaps) plain.free(world.tx, fsBlock, blockCount, inodeOwner(spacer));
    expect(world.finish()).toEqual([]);
  });

  it('refuses targets that cannot be', () => {
    const world = new FileWorld({ dialect: 'xfs' });
    const create = (length: number) => () => world.create(MODE.SYMLINK | 0o777, { target: bytes(length) });
    expect(thrownCode(create(0))).toBe('EINVAL');
    expect(thrownCode(create(MAX_SYMLINK + 1))).toBe('ENAMETOOLONG');
  });
});

describe('freeForks', () => {
  /** One inode of each kind that holds blocks; @returns their numbers, and which are directories. */
  function fill(world: FileWorld, directories = true): { number: number; isDirectory: boolean }[] {
    const { tx, space } = world;
    const made: { number: number; isDirectory: boolean }[] = [];
    const add = (mode: number, target?: Uint8Array): number => {
      const number = world.create(mode, target ? { target } : {});
      made.push({ number, isDirectory: (mode & 0xf000) === MODE.DIR });
      return number;
    };
    const file = add(MODE.FILE | 0o600);
    world.writer(file).write(5000, bytes(300_000));
    const scattered = add(MODE.FILE | 0o600);
    for (let i = 100; i > 0; i--) world.writer(scattered).write(i * 10_240, bytes(10));
    const twin = add(MODE.FILE | 0o600);
    if (world.geometry.features.reflink) world.share(file, 2, twin, 5, 20);
    add(MODE.SYMLINK | 0o777, bytes(1023));
    add(MODE.SYMLINK | 0o777, bytes(50));
    for (let i = 0, directory = directories ? add(MODE.DIR | 0o755) : 0; directory > 0 && i < 500; i++) {
      insert(editFork(tx, space, world.inode(directory), 'data'), text(`some-entry-${i}`), world.geometry.rootInode, 1);
    }
    const manyXattrs = add(MODE.FILE | 0o600);
    dress(world, manyXattrs, 24);
    for (let i = 0; i < 120; i++) {
      const fork = editFork(tx, space, world.inode(manyXattrs), 'attr');
      setAttribute(fork, ATTR.USER, text(`name-${i}`), bytes((i * 397) % 9000));
    }
    const device = add(MODE.BLOCK | 0o600);
    dress(world, device, 1);
    buildAttributes(editFork(tx, space, world.inode(device), 'attr'), [
      { flags: ATTR.ROOT, name: text('large'), value: bytes(60_000) },
    ]);
    return made;
  }

  function dress(world: FileWorld, number: number, forkoff: number): void {
    const inode = world.inode(number);
    inode.change(world.tx);
    inode.core.forkoff = forkoff;
    world.usesAttributes();
  }

  it.each(Object.keys(FILE_WORLDS).flatMap((name) => [1, 5, 10_000].map((units) => [name, units] as const)))(
    '%s, %d units a piece',
    (name, units) => {
      const world = new FileWorld(FILE_WORLDS[name]);
      const keep = world.create();
      world.writer(keep).write(0, bytes(100_000));
      const before = world.space.countInodes(world.tx);
      const free = world.space.countFree(world.tx);
      const made = fill(world);
      const { tx, space } = world;
      for (const { number, isDirectory } of made) {
        world.unlink(number, isDirectory);
        const unlinked = world.inode(number);
        unlinked.change(tx);
        unlinked.core.nlink = 0;
        space.addUnlinked(tx, number);
      }
      let pieces = 0;
      for (const { number } of made) {
        // Between pieces the inode is one that can be read: the loader verifies it.
        while (freeForks(tx, space, world.inode(number), units)) {
          tx.commit();
          pieces++;
        }
        const inode = world.inode(number);
        expect([inode.core.nblocks, inode.core.forkoff, inode.size]).toEqual([0, 0, 0]);
        space.removeUnlinked(tx, number);
        space.freeInode(tx, number);
      }
      expect(pieces > 0).toBe(units < 100);
      expect(space.countInodes(tx).inodes - space.countInodes(tx).free).toBe(before.inodes - before.free);
      // Whole chunks went back; what is still taken is what the root directory and free lists grew by.
      expect(free - space.countFree(tx)).toBeLessThan(12);
      expect(world.finish()).toEqual([]);
    },
  );

  it.each(['xfs 1k, rmapbt', 'cadastre 4k'])('stops anywhere, and the image is right there: %s', (name) => {
    for (const stop of [1, 2, 3, 7, 20, 45]) {
      const world = new FileWorld(FILE_WORLDS[name]);
      const made = fill(world, false);
      const { tx, space } = world;
      for (const { number } of made) {
        world.unlink(number);
        const unlinked = world.inode(number);
        unlinked.change(tx);
        unlinked.core.nlink = 0;
        space.addUnlinked(tx, number);
        for (let i = 0; i < stop && freeForks(tx, space, world.inode(number), 1); i++) tx.commit();
      }
      const problems = world.finish().filter((line) => !/UNLINKED|DIRENT|ENTRY|LINK_COUNT|NLINK/.test(line));
      expect(problems).toEqual([]);
    }
  });
});

function thrownCode(action: () => void): string {
  try {
    action();
  } catch (error) {
    if (error instanceof CadastreError) return error.code;
    throw error;
  }
  return 'none';
}
