/**
 * Edits on images that mkfs.xfs made and the kernel aged, over the feature matrix: the same random operations, errors
 * included, are done by us and by the kernel on a copy. Then both trees are the same as the kernel shows them, xfs_repair -n
 * and our own checker have nothing to say, and the kernel can go on with our image: it removes everything. A sample;
 * FULL=1 takes the whole matrix. SEED=n chooses other operations.
 */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { check } from '../../lib/check/check.ts';
import { FileDevice } from '../../lib/device/file.ts';
import { Editor } from '../../lib/volume/editor.ts';
import { ageDirectory } from '../support/age.ts';
import { compareTrees, digestTree } from '../support/digest.ts';
import { editDirectory, editImage, randomOperations } from '../support/edit-ops.ts';
import { featureMatrix, type MatrixEntry, makeMatrixImage, withoutExchangeBit } from '../support/feature-matrix.ts';
import { digestImage, withoutRawAcls } from '../support/image-digest.ts';
import { loopMount, mustRun, requireOracle, withTempDir, xfsRepairCheck } from '../support/oracle.ts';

const full = process.env.FULL === '1';
const seed = Number(process.env.SEED ?? '1');
const SAMPLE = ['default', 'bare', 'block-1k-dir-16k', 'block-64k', 'inode-2k', 'no-bigtime', 'exchange-parent'];
/** What differs without anything being wrong: how large a directory has grown. Times are compared where they are set. */
const IGNORED = ['mtime', 'directory.size'];

function judge(entry: MatrixEntry, image: string): void {
  const repair = () => expect(xfsRepairCheck(image), entry.name).toEqual({ ok: true, output: '' });
  if (entry.repairable) repair();
  else if (entry.tweak === 'exchange') withoutExchangeBit(image, repair);
  const device = new FileDevice(image, 'r');
  try {
    expect(check(device).problems).toEqual([]);
  } finally {
    device.close();
  }
}

describe.runIf(requireOracle('xfsprogs', 'loop', 'python'))('edits of an image of the kernel', () => {
  const entries = featureMatrix.filter((entry) => full || SAMPLE.includes(entry.name));
  it.each(entries.map((entry) => [entry.name, entry] as const))('are what the kernel does: %s', (_name, entry) => {
    withTempDir((directory) => {
      const image = join(directory, 'image');
      const copy = join(directory, 'copy');
      makeMatrixImage(entry, image);
      loopMount(image, { write: true }, (at) => {
        const small = entry.size !== undefined && entry.size < 128 << 20;
        ageDirectory(at, { profile: 'random', ops: full ? 4000 : 700, seed, budget: small ? 20 << 20 : 60 << 20 });
      });
      mustRun('cp', ['--sparse=always', image, copy]);
      const operations = randomOperations(seed, digestImage(image), full ? 600 : 250);
      const editor = Editor.open(new FileDevice(image, 'rw'));
      const ours = editImage(editor, operations);
      editor.close();
      const theirs = loopMount(copy, { write: true }, (at) => editDirectory(at, operations));
      const disputed = operations.flatMap((each, i) =>
        ours[i] === theirs[i] ? [] : [{ ...each, ours: ours[i], theirs: theirs[i] }],
      );
      expect(disputed, `seed ${seed}`).toEqual([]);
      expect(ours.filter((result) => result === 'ok').length).toBeGreaterThan(operations.length / 3);

      const seen = loopMount(image, {}, (at) => digestTree(at));
      const wanted = loopMount(copy, {}, (at) => digestTree(at));
      expect(compareTrees(wanted, seen, { ignore: IGNORED }), `seed ${seed}`).toBe('');
      expect(compareTrees(withoutRawAcls(seen), digestImage(image))).toBe('');
      judge(entry, image);
      loopMount(image, { write: true }, (at) => mustRun('sh', ['-c', 'rm -rf "$1"/* "$1"/.[!.]*', 'sh', at]));
      judge(entry, image);
    });
  });
});
