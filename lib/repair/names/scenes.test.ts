/**
 * Whole scenes: what a user has after a repair when directories, names and places were destroyed. Everything goes through
 * `repair`, the check is clean afterwards, and a second repair finds nothing to do.
 */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CADASTRE, type Dialect, XFS } from '../../../formats/dialect.ts';
import type { Geometry } from '../../../formats/geometry.ts';
import { MODE } from '../../../formats/inode.ts';
import { contentOf, makeNameWorld, type NameWorld } from '../../../test/support/name-world.ts';
import { loopMount, requireOracle, xfsRepairCheck } from '../../../test/support/oracle.ts';
import { edit, inodeByte } from '../../../test/support/specimen.ts';
import { check } from '../../check/check.ts';
import type { Device } from '../../device/device.ts';
import { OverlayDevice } from '../../device/overlay.ts';
import { insert, remove, replace } from '../../directory/directory.ts';
import { Fork } from '../../file/fork.ts';
import { editFork } from '../../file/inode-fork-blocks.ts';
import { Editor } from '../../volume/editor.ts';
import { create } from '../../volume/names.ts';
import { nameBytes } from '../../volume/path.ts';
import { Volume } from '../../volume/volume.ts';
import { repair } from '../repair.ts';
import type { RepairResult } from '../report.ts';

const hasTools = requireOracle('xfsprogs');
const hasKernel = requireOracle('loop');
const SIZES = { block: 25, leaf: 120, node: 0 };
const worlds: [string, NameWorld][] = [
  ['cadastre', makeNameWorld(CADASTRE, {}, SIZES)],
  ['xfs with all features', makeNameWorld(XFS, { features: { rmapbt: true, nrext64: true } }, SIZES)],
  ['xfs without register', makeNameWorld(XFS, { features: { rmapbt: false, reflink: false } }, SIZES)],
];

/** Repair a copy; clean, and done in one go. */
function mended(
  world: NameWorld,
  hurt: (device: Device, geometry: Geometry) => void,
  judged = false,
): [RepairResult, Map<string, string>] {
  const device = new OverlayDevice(world.device);
  hurt(device, Volume.open(device).geometry);
  expect(check(device).clean, 'the damage is seen').toBe(false);
  const result = repair(device);
  expect(result.remaining).toEqual([]);
  expect(check(device).problems).toEqual([]);
  expect(repair(device).changed, 'a second repair').toBe(false);
  if (judged && Volume.open(device).dialect === XFS) judge(device, result.actions.map(({ text }) => text).join('; '));
  return [result, contentOf(device)];
}

/** xfs_repair has nothing to say, and the kernel mounts it and makes a file in lost+found. */
function judge(device: Device, name: string): void {
  const folder = mkdtempSync(join(tmpdir(), 'cadastre-scenes-'));
  const image = join(folder, 'image');
  try {
    const bytes = new Uint8Array(device.size);
    device.read(0, bytes);
    writeFileSync(image, bytes);
    if (hasTools) expect(xfsRepairCheck(image).output, name).toBe('');
    if (!hasKernel) return;
    loopMount(image, { write: true }, (at) => {
      expect(readdirSync(join(at, 'lost+found')).length).toBeGreaterThan(0);
      writeFileSync(join(at, 'lost+found', 'new'), 'new');
      expect(readdirSync(at, { recursive: true }).length).toBeGreaterThan(50);
    });
    if (hasTools) expect(xfsRepairCheck(image).output, name).toBe('');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Change an image with operations that no user has. */
function tamper(device: Device, work: (editor: Editor) => void): void {
  const kept = new OverlayDevice(device);
  const editor = Editor.open(kept);
  work(editor);
  editor.close();
  const bytes = new Uint8Array(1 << 20);
  for (let at = 0; at < kept.size; at += bytes.length) {
    const piece = bytes.subarray(0, Math.min(bytes.length, kept.size - at));
    kept.read(at, piece);
    device.write(at, piece);
  }
}

/** Wipe the block of a directory that has a place in its data. */
function wipeBlock(device: Device, inode: number, fileBlock: number): void {
  const volume = Volume.open(device);
  const { geometry } = volume;
  new Fork(volume.inode(inode), 'data').forEachExtent((first, startBlock, blockCount) => {
    for (let i = 0; i < blockCount; i++) {
      if (first + i !== fileBlock) continue;
      device.write(geometry.fsBlockToByte(startBlock + i), new Uint8Array(geometry.blockSize).fill(0x5a));
    }
  });
}

/** Contents (without the line of the type) of everything whose path starts like this, sorted. */
function contents(found: Map<string, string>, prefix: string): string[] {
  return [...found]
    .filter(([path]) => path.startsWith(prefix))
    .map(([, content]) => content)
    .sort();
}

describe.each(worlds)('%s', (_name, world) => {
  const before = contentOf(world.device);
  const slot = (device: Device, geometry: Geometry, path: string, change: (view: DataView) => void): void => {
    const byte = inodeByte({ device, geometry, inodes: world.inodes }, world.inodes[path]!);
    edit(device, byte, geometry.inodeSize, 100, change);
  };

  it('an entry gone: its file is in lost+found, by number', () => {
    const path = '/short/file number 1';
    const [result, after] = mended(world, (device) =>
      tamper(device, (editor) =>
        editor.transact((tx) =>
          remove(
            editFork(tx, editor.space, editor.inode(tx, world.inodes['/short']!), 'data'),
            nameBytes('file number 1'),
          ),
        ),
      ),
    );
    const number = world.inodes[path]!;
    expect(result.found).toEqual([{ inode: number, path: `/lost+found/${number}` }]);
    expect(after.get(`/lost+found/${number}`)).toBe(before.get(path));
    for (const [other, content] of before) if (other !== path) expect(after.get(other)).toBe(content);
  });

  it('an entry of a directory gone: it brings what is below it', () => {
    const [result, after] = mended(world, (device) =>
      tamper(device, (editor) =>
        editor.transact((tx) =>
          remove(
            editFork(tx, editor.space, editor.inode(tx, editor.volume.geometry.rootInode), 'data'),
            nameBytes('short'),
          ),
        ),
      ),
    );
    const number = world.inodes['/short']!;
    expect(result.found.map(({ inode }) => inode)).toEqual([number]);
    expect(contents(after, `/lost+found/${number}`)).toEqual(contents(before, '/short'));
  });

  it('a directory below itself, and nothing leads to it: the ring is broken', () => {
    const [result, after] = mended(
      world,
      (device) =>
        tamper(device, (editor) =>
          editor.transact((tx) => {
            const { space } = editor;
            const top = world.inodes['/short']!;
            const below = world.inodes['/short/dir']!;
            remove(editFork(tx, space, editor.inode(tx, editor.volume.geometry.rootInode), 'data'), nameBytes('short'));
            insert(editFork(tx, space, editor.inode(tx, below), 'data'), nameBytes('up'), top, 2);
            replace(editFork(tx, space, editor.inode(tx, top), 'data'), nameBytes('..'), below, 2);
          }),
        ),
      true,
    );
    expect(result.found).toHaveLength(1);
    expect(contents(after, '/lost+found/').length).toBe(contents(before, '/short').length);
  });

  it('two entries for one directory: the one that ".." agrees with stays', () => {
    const [, after] = mended(world, (device) =>
      tamper(device, (editor) =>
        editor.transact((tx) => {
          const to = editFork(tx, editor.space, editor.inode(tx, world.inodes['/block']!), 'data');
          insert(to, nameBytes('second'), world.inodes['/short/dir']!, 2);
        }),
      ),
    );
    expect(after).toEqual(before);
  });

  it('entries of a wrong type are corrected', () => {
    const [, after] = mended(world, (device) =>
      tamper(device, (editor) =>
        editor.transact((tx) => {
          const short = editFork(tx, editor.space, editor.inode(tx, world.inodes['/short']!), 'data');
          replace(short, nameBytes('file number 2'), world.inodes['/short/file number 2']!, 7);
          const leaf = editFork(tx, editor.space, editor.inode(tx, world.inodes['/leaf']!), 'data');
          replace(leaf, nameBytes('0003-name-name-name'), world.inodes['/leaf/0003-name-name-name']!, 1);
        }),
      ),
    );
    expect(after).toEqual(before);
  });

  it('".." and link counts are corrected', () => {
    const [, after] = mended(world, (device, geometry) => {
      tamper(device, (editor) =>
        editor.transact((tx) => {
          const dir = editFork(tx, editor.space, editor.inode(tx, world.inodes['/short/dir']!), 'data');
          replace(dir, nameBytes('..'), world.inodes['/leaf']!, 2);
        }),
      );
      slot(device, geometry, '/leaf', (view) => view.setUint32(16, 77));
      slot(device, geometry, '/attr-leaf', (view) => view.setUint32(16, 3));
    });
    expect(after).toEqual(before);
  });

  it('a wiped block of a directory: the other entries stay, whom it named is found', () => {
    const [result, after] = mended(world, (device) => wipeBlock(device, world.inodes['/leaf']!, 0), true);
    const gone = [...before.keys()].filter((path) => !after.has(path));
    expect(gone.length).toBeGreaterThan(5);
    expect(gone.every((path) => path.startsWith('/leaf/'))).toBe(true);
    expect(result.losses.some(({ what }) => what === 'entries')).toBe(true);
    // Every content is still somewhere.
    const left = new Set(after.values());
    for (const content of before.values()) expect(left.has(content)).toBe(true);
  });

  it('a wiped root: everything is in lost+found', () => {
    const [result, after] = mended(
      world,
      (device, geometry) => {
        const byte = inodeByte({ device, geometry, inodes: world.inodes }, geometry.rootInode);
        device.write(byte, new Uint8Array(geometry.inodeSize));
      },
      true,
    );
    const tops = Object.keys(world.inodes).filter((path) => path !== '/' && path.lastIndexOf('/') === 0);
    expect(result.found.map(({ inode }) => inode).sort()).toEqual(tops.map((path) => world.inodes[path]!).sort());
    for (const path of tops) {
      expect(contents(after, `/lost+found/${world.inodes[path]}`)).toEqual(contents(before, path));
    }
  });

  it('lost+found is there already, with that very name in it', () => {
    const number = world.inodes['/short/f']!;
    const [, after] = mended(world, (device) =>
      tamper(device, (editor) => {
        const { rootInode } = editor.volume.geometry;
        const lost = create(editor, rootInode, nameBytes('lost+found'), { mode: MODE.DIR | 0o755 });
        create(editor, lost, nameBytes(String(number)), { mode: MODE.FILE | 0o600 });
        editor.transact((tx) =>
          remove(editFork(tx, editor.space, editor.inode(tx, world.inodes['/short']!), 'data'), nameBytes('f')),
        );
      }),
    );
    expect(after.get(`/lost+found/${number}`)).toMatch(/^100000/);
    expect(after.get(`/lost+found/${number}.1`)).toMatch(/^10000/);
  });

  it('lost+found is a file: another one is made', () => {
    const number = world.inodes['/short/f']!;
    const [result] = mended(world, (device) =>
      tamper(device, (editor) => {
        create(editor, editor.volume.geometry.rootInode, nameBytes('lost+found'), { mode: MODE.FILE | 0o600 });
        editor.transact((tx) =>
          remove(editFork(tx, editor.space, editor.inode(tx, world.inodes['/short']!), 'data'), nameBytes('f')),
        );
      }),
    );
    expect(result.found).toEqual([{ inode: number, path: `/lost+found.1/${number}` }]);
  });

  it('an inode number in an entry is damaged: the name finds its file again', () => {
    const number = world.inodes['/short/file number 0']!;
    const [result, after] = mended(world, (device, geometry) =>
      slot(device, geometry, '/short', (view) => {
        for (let at = 176; at + 4 <= geometry.inodeSize; at++) {
          if (view.getUint32(at) === number) {
            view.setUint32(at, 0xffffffff);
            return;
          }
        }
      }),
    );
    expect(after).toEqual(before);
    expect(result.losses).toEqual([]);
  });

  it('a clean tree costs nothing', () => {
    const device = new OverlayDevice(world.device);
    expect(repair(device)).toMatchObject({ clean: true, changed: false, actions: [], losses: [], found: [] });
    expect(device.changedBytes).toBe(0);
  });
});

it('10,000 entries and a wiped block in the middle', () => {
  const dialects: Dialect[] = [XFS];
  for (const dialect of dialects) {
    const world = makeNameWorld(dialect, { size: 96 << 20 }, { block: 0, leaf: 0, node: 10_000 });
    const before = contentOf(world.device);
    const [, after] = mended(world, (device) => wipeBlock(device, world.inodes['/node']!, 20));
    const gone = [...before.keys()].filter((path) => !after.has(path));
    expect(gone.length).toBeGreaterThan(30);
    expect(gone.length).toBeLessThan(250);
    const left = new Set(after.values());
    for (const content of before.values()) expect(left.has(content)).toBe(true);
  }
});
