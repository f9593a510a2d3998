/**
 * Images that the kernel made and aged, with reflinks, with and without a reverse map: defragmented with every option, they
 * hold the same for us and for the kernel, and xfs_repair -n has nothing to say. SEED=n ages them in another way.
 */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { check } from '../../lib/check/check.ts';
import { defrag } from '../../lib/defrag/defrag.ts';
import { FileDevice } from '../../lib/device/file.ts';
import { Editor } from '../../lib/volume/editor.ts';
import { Volume } from '../../lib/volume/volume.ts';
import { ageImage } from '../support/age.ts';
import { extentCounts, freeBlocks, unchangeable } from '../support/aged-image.ts';
import { digestTree } from '../support/digest.ts';
import { loopMount, mkfsXfs, requireOracle, withTempDir, xfsRepairCheck } from '../support/oracle.ts';

const seed = Number(process.env.SEED ?? '1');
const OPS = process.env.FULL === '1' ? 12_000 : 1_500;

const IMAGES: Record<string, { args: string[]; dirBlockSize: number; profile?: 'forms' }> = {
  'the default of mkfs.xfs': { args: ['-m', 'reflink=1'], dirBlockSize: 4096 },
  'with rmapbt': { args: ['-m', 'reflink=1,rmapbt=1'], dirBlockSize: 4096 },
  'blocks of 1 KiB, rmapbt': { args: ['-b', 'size=1024', '-m', 'reflink=1,rmapbt=1'], dirBlockSize: 4096 },
  'every form, directory blocks of 16 KiB': {
    args: ['-n', 'size=16384', '-m', 'reflink=1,rmapbt=1'],
    dirBlockSize: 16384,
    profile: 'forms',
  },
};

describe.runIf(requireOracle('xfsprogs', 'loop', 'python'))('defrag of what the kernel aged', () => {
  it.each(Object.entries(IMAGES))(
    'changes the layout and nothing else: %s',
    (_name, { args, dirBlockSize, profile }) => {
      withTempDir((directory) => {
        const image = join(directory, 'image');
        mkfsXfs(image, 256 << 20, args);
        ageImage(image, { seed, profile: profile ?? 'random', ops: OPS, dirBlockSize, budget: 64 << 20 });
        const kernelsView = () => loopMount(image, {}, (at) => digestTree(at));
        const expected = kernelsView();
        const look = () => {
          const volume = Volume.open(new FileDevice(image, 'r'));
          const seen = { all: unchangeable(volume), counts: extentCounts(volume), free: freeBlocks(volume) };
          volume.close();
          return seen;
        };
        const before = look();
        const editor = Editor.open(new FileDevice(image, 'rw'));
        const { totals } = defrag(editor, { metadata: true, freeSpace: true });
        editor.close();
        const after = look();
        expect(totals.extentsAfter).toBeLessThanOrEqual(totals.extentsBefore);
        expect(after.all).toEqual(before.all);
        for (const [path, count] of after.counts) expect(count, path).toBeLessThanOrEqual(before.counts.get(path)!);
        expect(after.free).toBeGreaterThanOrEqual(before.free);
        const device = new FileDevice(image, 'r');
        expect(check(device).problems, `seed ${seed}`).toEqual([]);
        device.close();
        expect(xfsRepairCheck(image), `seed ${seed}`).toEqual({ ok: true, output: '' });
        const sizeless = (tree: ReturnType<typeof kernelsView>) =>
          tree.map((entry) => (entry.type === 'directory' ? { ...entry, size: 0 } : entry));
        expect(sizeless(kernelsView())).toEqual(sizeless(expected));
      });
    },
  );
});
