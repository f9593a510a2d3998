/** Inodes and the places where they belong: parent pointers, deleted ones, kept blocks, names that differ by case only. */
import { describe, expect, it } from 'vitest';
import { CADASTRE, type Dialect, XFS } from '../../../formats/dialect.ts';
import { InodeCore, MODE } from '../../../formats/inode.ts';
import { INCOMPAT, Superblock, VERSION } from '../../../formats/superblock.ts';
import { contentOf } from '../../../test/support/name-world.ts';
import { edit, inodeByte } from '../../../test/support/specimen.ts';
import { type CheckResult, check } from '../../check/check.ts';
import { MemoryDevice } from '../../device/memory.ts';
import { OverlayDevice } from '../../device/overlay.ts';
import { insert, remove, replace } from '../../directory/directory.ts';
import { editFork } from '../../file/inode-fork-blocks.ts';
import { finishImage, formatImage } from '../../mkfs/format-image.ts';
import { planImage } from '../../mkfs/geometry.ts';
import { writeAt } from '../../volume/content.ts';
import { Editor } from '../../volume/editor.ts';
import { create, createUnnamed } from '../../volume/names.ts';
import { nameBytes } from '../../volume/path.ts';
import { rebuildGroups } from '../groups/rebuild.ts';
import { PlanDevice } from '../plan-device.ts';
import { repair } from '../repair.ts';
import { RepairReport } from '../report.ts';
import { RepairState } from '../state.ts';
import { mendNames } from './names.ts';

const TIME = { seconds: 1_700_000_000, nanoseconds: 5 };

interface Image {
  readonly device: MemoryDevice;
  readonly inodes: Record<string, number>;
}

/** An empty image with bits of the superblock set before anything is in it; `work` fills it. */
function make(
  dialect: Dialect,
  tweak: (sb: ReturnType<typeof Superblock.at>) => void,
  work: (editor: Editor, inodes: Record<string, number>) => void,
): Image {
  const uuid = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
  const plan = planImage({ dialect, size: 64 << 20, agCount: 2, uuid, time: TIME });
  const device = new MemoryDevice(plan.size);
  formatImage(device, plan, true);
  finishImage(device, plan);
  for (let ag = 0; ag < 2; ag++) {
    const byte = plan.geometry.agBlockToByte(ag, 0);
    edit(device, byte, 512, Superblock.offsets.crc, (view) => tweak(Superblock.at(view)));
  }
  const inodes: Record<string, number> = { '/': plan.geometry.rootInode };
  const editor = Editor.open(device, { now: () => TIME });
  work(editor, inodes);
  editor.journal.checkpoint();
  editor.close();
  return { device, inodes };
}

function fill(editor: Editor, inodes: Record<string, number>): void {
  const add = (path: string, mode: number): void => {
    const cut = path.lastIndexOf('/');
    const name = nameBytes(path.slice(cut + 1));
    inodes[path] = create(editor, inodes[path.slice(0, cut) || '/']!, name, { mode });
    if ((mode & 0xf000) === MODE.FILE) writeAt(editor, inodes[path], 0, nameBytes(`content of ${path}`));
  };
  add('/a', MODE.DIR | 0o755);
  add('/b', MODE.DIR | 0o755);
  for (const path of ['/a/one', '/a/two', '/b/three', '/b/four']) add(path, MODE.FILE | 0o644);
}

/** Change the directories of a copy behind the editor's back. */
function tampered(
  { device, inodes }: Image,
  work: (change: (path: string) => ReturnType<typeof editFork>) => void,
): OverlayDevice {
  const copy = new OverlayDevice(device);
  // The editor closes what it is given.
  const editor = Editor.open(new Proxy(copy, { get: (to, name) => (name === 'close' ? () => {} : bound(to, name)) }));
  editor.transact((tx) => work((path) => editFork(tx, editor.space, editor.inode(tx, inodes[path]!), 'data')));
  editor.close();
  return copy;
}

function bound(device: OverlayDevice, name: string | symbol): unknown {
  const value = Reflect.get(device, name, device) as unknown;
  return typeof value === 'function' ? (value.bind(device) as unknown) : value;
}

function judged(device: OverlayDevice): CheckResult {
  const result = repair(device);
  expect(result.remaining).toEqual([]);
  expect(repair(device).changed, 'a second repair').toBe(false);
  return check(device);
}

describe('parent pointers', () => {
  const image = make(XFS, (sb) => (sb.featuresIncompat |= INCOMPAT.PARENT), fill);
  const before = contentOf(image.device);

  it('bring an inode back to its true place', () => {
    const device = tampered(image, (change) => remove(change('/a'), nameBytes('one')));
    expect(judged(device).clean).toBe(true);
    expect(contentOf(device)).toEqual(before);
  });

  it('tell which of two files an entry meant', () => {
    const { inodes } = image;
    const device = tampered(image, (change) => replace(change('/a'), nameBytes('one'), inodes['/a/two']!, 1));
    expect(judged(device).clean).toBe(true);
    expect(contentOf(device)).toEqual(before);
  });

  it('are written again when they do not agree with an entry', () => {
    const device = tampered(image, (change) => insert(change('/b'), nameBytes('more'), image.inodes['/a/one']!, 1));
    expect(judged(device).clean).toBe(true);
    expect(contentOf(device).get('/b/more')).toBe(before.get('/a/one'));
  });

  it('name what is found', () => {
    const device = tampered(image, (change) => {
      remove(change('/'), nameBytes('b'));
      remove(change('/b'), nameBytes('three'));
    });
    expect(judged(device).clean).toBe(true);
    // /b itself comes back by its own pointer.
    expect(contentOf(device)).toEqual(before);
  });
});

describe('deleted inodes', () => {
  for (const [name, dialect] of [
    ['cadastre', CADASTRE],
    ['xfs', XFS],
  ] as const) {
    it(`${name}: what waits in an unlinked list is freed`, () => {
      const image = make(
        dialect,
        () => {},
        (editor, inodes) => {
          fill(editor, inodes);
          for (let i = 0; i < 3; i++) {
            const number = editor.transact((tx) =>
              createUnnamed(editor, tx, inodes['/a']!, { mode: MODE.FILE | 0o600 }),
            );
            writeAt(editor, number, 0, new Uint8Array(20_000).fill(1));
          }
        },
      );
      const device = new OverlayDevice(image.device);
      expect(check(device).problems.map(({ code }) => code)).toContain('UNLINKED_LEFTOVER');
      const before = contentOf(device);
      expect(judged(device).clean).toBe(true);
      expect(contentOf(device)).toEqual(before);
    });

    it(`${name}: without a link, but in no list: found`, () => {
      const image = make(dialect, () => {}, fill);
      const device = tampered(image, (change) => remove(change('/a'), nameBytes('one')));
      const { geometry } = check(device).observed!.context;
      const byte = inodeByte({ device, geometry, inodes: image.inodes }, image.inodes['/a/one']!);
      edit(device, byte, geometry.inodeSize, InodeCore.offsets.crc, (view) =>
        view.setUint32(InodeCore.offsets.nlink, 0),
      );
      const before = contentOf(image.device);
      expect(judged(device).clean).toBe(true);
      expect(contentOf(device).get(`/lost+found/${image.inodes['/a/one']}`)).toBe(before.get('/a/one'));
    });
  }
});

describe('kept blocks', () => {
  for (const [name, dialect] of [
    ['cadastre', CADASTRE],
    ['xfs', XFS],
  ] as const) {
    it(`${name}: become files that hold the bytes`, () => {
      const image = make(dialect, () => {}, fill);
      const { geometry } = check(image.device).observed!.context;
      const plan = new PlanDevice(new OverlayDevice(image.device));
      const bytes = new Uint8Array(3 * geometry.blockSize).fill(0x77);
      plan.write(geometry.agBlockToByte(1, 3000), bytes);
      const first = check(plan);
      const report = new RepairReport();
      const state = new RepairState(plan, geometry, first, report, {});
      state.keep({ ag: 1, agBlock: 3000, blockCount: 3, inode: image.inodes['/a/one']!, fileBlock: 5 });
      state.dirtyAgs.add(1);
      rebuildGroups(state);
      mendNames(state);
      expect(check(plan, { data: true }).problems).toEqual([]);
      expect(report.found.map(({ path }) => path)).toEqual([
        `/lost+found/blocks-1-3000-of-inode-${image.inodes['/a/one']}-at-5`,
      ]);
    });
  }
});

it('names that differ by case only are one where case does not matter', () => {
  const image = make(XFS, (sb) => (sb.versionnum |= VERSION.ASCII_CI), fill);
  const { inodes } = image;
  const device = tampered(image, (change) => {
    remove(change('/a'), nameBytes('two'));
    insert(change('/a'), nameBytes('ONE'), inodes['/a/two']!, 1);
  });
  const before = contentOf(image.device);
  expect(check(device).problems.map(({ rule }) => rule)).toContain('DIR_DUPLICATE_NAME');
  expect(judged(device).clean).toBe(true);
  const after = contentOf(device);
  expect(after.get('/a/one')).toBe(before.get('/a/one'));
  expect(after.get('/lost+found/ONE')).toBe(before.get('/a/two'));
});
