/**
 * No space, wherever it runs out: an operation that meets it has not happened. First at every single change that it makes
 * (an error is put there), then on images that are really full.
 */
import { describe, expect, it } from 'vitest';
import { MODE } from '../../formats/inode.ts';
import { noSpace } from '../../lib/errors.ts';
import { putFile, truncate, writeAt } from '../../lib/volume/content.ts';
import { Editor } from '../../lib/volume/editor.ts';
import { chmod, removeXattr, setXattr } from '../../lib/volume/metadata.ts';
import { create, link, rename, unlink } from '../../lib/volume/names.ts';
import { assertClean, cutPoints, makeWorld, Recording, readState, WORLDS } from './harness.ts';
import { stateOf } from './image-state.ts';
import { matchState } from './model.ts';

const name = (text: string): Uint8Array => new TextEncoder().encode(text);
const bytes = (length: number, seed: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * seed) >> 3);
const seed = Number(process.env.CADASTRE_SEED ?? 1);

/** Operations on an image that has /d (a directory in blocks), /f (many extents), /s (a symlink), /e (an empty directory). */
const OPERATIONS: Record<string, (editor: Editor) => void> = {
  create: (editor) => create(editor, root(editor), name('new'), { mode: MODE.FILE | 0o600 }),
  mkdir: (editor) => create(editor, at(editor, '/d'), name('n'.repeat(200)), { mode: MODE.DIR | 0o700 }),
  'long symlink': (editor) =>
    create(editor, root(editor), name('long'), { mode: MODE.SYMLINK | 0o777, target: bytes(900, 3).map((b) => b | 1) }),
  put: (editor) => put(editor, root(editor), 'put', 30_000),
  'put over': (editor) => put(editor, root(editor), 'f', 30_000),
  append: (editor) => writeAt(editor, at(editor, '/f'), editor.volume.resolve('/f').size, bytes(20_000, 5)),
  overwrite: (editor) => writeAt(editor, at(editor, '/f'), 700, bytes(9000, 5)),
  'overwrite and append': (editor) =>
    writeAt(editor, at(editor, '/f'), editor.volume.resolve('/f').size - 3000, bytes(90_000, 5)),
  truncate: (editor) => truncate(editor, at(editor, '/f'), 1234),
  link: (editor) => link(editor, at(editor, '/f'), at(editor, '/d'), name('link'.repeat(20))),
  rename: (editor) => rename(editor, root(editor), name('e'), at(editor, '/d'), name('moved'.repeat(20))),
  'rename over': (editor) => rename(editor, root(editor), name('s'), root(editor), name('f')),
  unlink: (editor) => unlink(editor, root(editor), name('f')),
  rmdir: (editor) => unlink(editor, root(editor), name('e'), true),
  'short xattr': (editor) => setXattr(editor, at(editor, '/f'), name('user.a'), bytes(20, 3)),
  'leaf xattr': (editor) => setXattr(editor, at(editor, '/d'), name('user.a'), bytes(700, 3)),
  'remote xattr': (editor) => setXattr(editor, at(editor, '/f'), name('user.b'), bytes(9000, 3)),
  'xattr of a symlink': (editor) => setXattr(editor, at(editor, '/s'), name('trusted.b'), bytes(30, 3)),
  removexattr: (editor) => removeXattr(editor, at(editor, '/d'), name('trusted.x')),
  chmod: (editor) => chmod(editor, at(editor, '/f'), 0o4755),
};

const root = (editor: Editor): number => editor.volume.geometry.rootInode;
const at = (editor: Editor, path: string): number => editor.volume.resolve(path, false).number;

function put(editor: Editor, directory: number, to: string, length: number): void {
  let left = length;
  putFile(editor, directory, name(to), { mode: 0o644 }, (into) => {
    const count = Math.min(left, into.length);
    into.set(bytes(count, 7));
    left -= count;
    return count;
  });
}

function furnish(editor: Editor): void {
  const directory = create(editor, root(editor), name('d'), { mode: MODE.DIR | 0o755 });
  for (let i = 0; i < 60; i++) create(editor, directory, name(`entry-${'x'.repeat(i)}`), { mode: MODE.FILE | 0o644 });
  const file = create(editor, root(editor), name('f'), { mode: MODE.FILE | 0o644 });
  const { blockSize } = editor.volume.geometry;
  for (let i = 0; i < 40; i++) writeAt(editor, file, 2 * i * blockSize, bytes(blockSize, i + 1));
  create(editor, root(editor), name('s'), { mode: MODE.SYMLINK | 0o777, target: name('t'.repeat(330)) });
  create(editor, root(editor), name('e'), { mode: MODE.DIR | 0o755 });
  setXattr(editor, directory, name('trusted.x'), bytes(60, 9));
}

describe('an error at every change of an operation', () => {
  it.each(['cadastre-1k', 'xfs-4k', 'xfs-parent'])('%s', (world) => {
    const device = makeWorld(WORLDS.find((each) => each.name === world)!);
    let editor = Editor.open(device);
    furnish(editor);
    editor.sync();
    for (const [what, operation] of Object.entries(OPERATIONS)) {
      const before = stateOf(editor.volume);
      let attempts = 0;
      for (; failAfter(editor, attempts, () => operation(editor)); attempts++) {
        const { why } = matchState(stateOf(editor.volume), [before], 0, 0, false);
        expect(why, `${what}, after ${attempts} changes`).toBe('');
      }
      expect(attempts, what).toBeGreaterThan(0);
      expect(matchState(stateOf(editor.volume), [before], 0, 0, false).index, `${what} happened`).toBe(-1);
      editor.close();
      assertClean(device);
      editor = Editor.open(device);
      restore(editor, what);
    }
    editor.close();
    assertClean(device);
  });
});

/** Make what an operation took away. */
function restore(editor: Editor, what: string): void {
  if (what === 'unlink' || what === 'rename over') put(editor, root(editor), 'f', 40_000);
  if (what === 'rename over')
    create(editor, root(editor), name('s'), { mode: MODE.SYMLINK | 0o777, target: name('t'.repeat(330)) });
  if (what === 'rename') create(editor, root(editor), name('e'), { mode: MODE.DIR | 0o755 });
}

/**
 * Run with ENOSPC thrown at the change behind the first `count`; and again in the second attempt, where the editor makes
 * one (freed blocks could not be had before they were durable).
 * @returns false when it came through with so few changes.
 */
function failAfter(editor: Editor, count: number, work: () => void): boolean {
  const { journal } = editor;
  const begin = journal.begin;
  let left = count;
  let shots = 1;
  let isAgain = false;
  journal.begin = () => {
    const tx = begin.call(journal);
    const guard =
      <A extends unknown[], R>(call: (...args: A) => R) =>
      (...args: A): R => {
        if (left-- <= 0 && shots > 0) {
          shots--;
          if (journal.hasFreed && !isAgain) shots++;
          isAgain = true;
          throw noSpace('put there by the test');
        }
        return call.apply(tx, args);
      };
    tx.change = guard(tx.change);
    tx.createSegments = guard(tx.createSegments);
    return tx;
  };
  try {
    work();
    return false;
  } catch (error) {
    expect(error).toMatchObject({ code: 'ENOSPC' });
    return true;
  } finally {
    journal.begin = begin;
  }
}

describe(`images that are full (CADASTRE_SEED=${seed})`, () => {
  it.each(WORLDS.map(({ name: world }) => ({ world })))('$world', ({ world }) => {
    const device = makeWorld(WORLDS.find((each) => each.name === world)!);
    const editor = Editor.open(device);
    fill(editor);
    editor.close();
    const start = { image: device, state: readState(device) };
    const record = (script: number): Recording => {
      const made = new Recording({ world, workload: 'full', seed: script, steps: 80 }, start);
      made.work.close();
      return made;
    };
    // A script that only removes is never refused anything.
    let script = seed * 1000 + 800;
    let recording = record(script);
    while (recording.work.refused === 0 && script < seed * 1000 + 820) recording = record(++script);
    const { work } = recording;
    expect(work.refused).toBeGreaterThan(0);
    const last = work.states.length - 1;
    expect(matchState(readState(recording.recorder), work.states, last, last, false).why).toBe('');
    assertClean(recording.recorder);
    for (const point of cutPoints(recording, 5)) recording.judge(recording.crash(point.cut, point.choice), point);
  });
});

/** Fill an image with files until nothing fits, then make a little room. */
function fill(editor: Editor): void {
  let length = 4 << 20;
  for (let i = 0; length >= 1; i++) {
    try {
      put(editor, root(editor), `fill${i}`, length);
    } catch (error) {
      expect(error).toMatchObject({ code: 'ENOSPC' });
      length >>= 2;
    }
  }
}
