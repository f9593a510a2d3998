/** `openImage(...).jobs`: copies by path, ranges, host and image, errors that name files; and the example of docs/API.md. */
import { spawnSync } from 'node:child_process';
import nodeFs from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { bytesOf, emptyImage } from '../../../test/support/empty-image.ts';
import { withTempDir } from '../../../test/support/oracle.ts';
import { check } from '../../check/check.ts';
import { type ImageFs, openImage } from './open-image.ts';

const MIB = 1 << 20;
const root = fileURLToPath(new URL('../../..', import.meta.url));

const pattern = (size: number, seed: number): Buffer =>
  Buffer.from(Uint8Array.from({ length: size }, (_, i) => (i * 31 + (i >>> 12) * seed + seed) & 0xff));

function onImage(work: (fs: ImageFs) => void, options: Partial<Parameters<typeof emptyImage>[0]> = {}): void {
  const device = emptyImage({ dialect: 'cadastre', size: 64 << 20, ...options });
  const fs = openImage(device);
  try {
    work(fs);
  } finally {
    fs.unmount();
  }
  expect(check(device, { data: true }).problems).toEqual([]);
}

const failure = (job: { status(): { state: string; error: unknown } }) => {
  const { state, error } = job.status();
  const { code, where } = error as { code: string; where: { path?: string } };
  return [state, code, where.path];
};

const WORLDS = [
  ['cadastre', {}],
  ['xfs without reflink', { dialect: 'xfs', features: { reflink: false } }],
  ['xfs of 1 KiB blocks', { dialect: 'xfs', blockSize: 1024 }],
] as const;

describe.each(WORLDS)('a range is copied, %s', (_name, options) => {
  const SIZE = 3 * MIB;
  it.each([
    ['on block boundaries', 65_536, 131_072, 8192],
    ['between any bytes', 5, 1_500_000, 77],
    ['to the end, the target growing', 100, 0, SIZE + 12_345],
    ['across a hole', 900_000, 1_200_000, 400_001],
  ])('%s', (_what, offset, length, targetOffset) => {
    for (const reflink of ['auto', 'never'] as const) {
      onImage((fs) => {
        const source = pattern(SIZE, 3);
        source.fill(0, MIB, 2 * MIB);
        fs.writeFileSync('/from', source.subarray(0, MIB));
        fs.truncateSync('/from', SIZE);
        const fd = fs.openSync('/from', 'r+');
        fs.writeSync(fd, source, 2 * MIB, MIB, 2 * MIB);
        fs.closeSync(fd);
        const target = pattern(SIZE, 9);
        fs.writeFileSync('/to', target);
        const job = fs.jobs.copyFile('/from', '/to', { reflink, range: { offset, length, targetOffset } });
        job.wait();
        const count = length || SIZE - offset;
        const expected = Buffer.alloc(Math.max(SIZE, targetOffset + count));
        target.copy(expected);
        source.copy(expected, targetOffset, offset, offset + count);
        expect(job.status()).toMatchObject({ state: 'done', bytesDone: count, bytesTotal: count });
        expect(Buffer.compare(fs.readFileSync('/to'), expected)).toBe(0);
        expect(Buffer.compare(fs.readFileSync('/from'), source)).toBe(0);
      }, options);
    }
  });
});

describe('jobs of an image', () => {
  it('say what is wrong, and with which file', () => {
    onImage((fs) => {
      fs.writeFileSync('/a', pattern(100_000, 1));
      fs.writeFileSync('/b', 'b');
      fs.mkdirSync('/d');
      const { jobs } = fs;
      expect(failure(jobs.copyFile('/none', '/x'))).toEqual(['failed', 'ENOENT', '/none']);
      expect(failure(jobs.copyFile('/d', '/x', { reflink: 'never' }))).toEqual(['failed', 'EISDIR', '/d']);
      expect(failure(jobs.copyFile('/a', '/b', { exclusive: true }))).toEqual(['failed', 'EEXIST', 'b']);
      expect(failure(jobs.copyFile('/a', '/d/'))).toEqual(['failed', 'EINVAL', '/d/']);
      const range = (offset: number, length: number, targetOffset: number, to = '/b') =>
        failure(jobs.copyFile('/a', to, { range: { offset, length, targetOffset } }));
      expect(range(0, 100_001, 0)).toEqual(['failed', 'EINVAL', '/a']);
      expect(range(0, 5000, 4096, '/a')).toEqual(['failed', 'EINVAL', '/a']);
      expect(range(0, -1, 0)).toEqual(['failed', 'EINVAL', '/a']);
      expect(range(0, 10, 0, '/none')).toEqual(['failed', 'ENOENT', '/a']);
      const aligned = { offset: 1, length: 10, targetOffset: 0 };
      expect(failure(jobs.copyFile('/a', '/b', { reflink: 'always', range: aligned }))[1]).toBe('EINVAL');
      expect(failure(jobs.copyIn('/no/such/file', '/x'))[1]).toBe('ENOENT');
      expect(failure(jobs.copyIn('/', '/x'))[1]).toBe('EISDIR');
      expect(failure(jobs.copyOut('/d', '/tmp/never-made'))).toEqual(['failed', 'EISDIR', '/d']);
      expect(() => jobs.copyFile('/none', '/x').wait()).toThrow(expect.objectContaining({ code: 'ENOENT' }));
      expect(jobs.pending).toBe(0);
      expect(fs.readdirSync('/')).toEqual(['a', 'b', 'd']);
    });
  });

  it('run side by side, end with the image, and leave nothing unfinished', async () => {
    await withTempDir(async (directory) => {
      const device = emptyImage({ dialect: 'cadastre', size: 96 << 20 });
      let fs = openImage(device);
      const bytes = pattern(5 * MIB + 3, 2);
      nodeFs.writeFileSync(join(directory, 'in'), bytes);
      nodeFs.writeFileSync(join(directory, 'old'), 'old');
      fs.mkdirSync('/tree/deep', { recursive: true });
      for (let i = 0; i < 6; i++) fs.writeFileSync(`/tree/deep/${i}`, pattern(700_000, i));
      const copies = [
        fs.jobs.copyIn(join(directory, 'in'), '/in'),
        fs.jobs.copyTree('/tree', '/again', { reflink: 'never', jobs: 2 }),
        ...[1, 2, 3, 4, 5].map((i) => fs.jobs.copyIn(join(directory, 'in'), `/in-${i}`)),
      ];
      expect(fs.jobs.pending).toBe(7);
      for (let i = 0; i < 4; i++) fs.jobs.step();
      copies[3]!.cancel();
      await fs.jobs.run();
      expect(copies.map((job) => job.status().state)).toEqual([
        ...Array(3).fill('done'),
        'cancelled',
        ...Array(3).fill('done'),
      ]);
      expect(copies[1]!.status()).toMatchObject({ bytesDone: 4_200_000, bytesTotal: 4_200_000 });
      expect(fs.existsSync('/in-2')).toBe(false);
      expect(Buffer.compare(fs.readFileSync('/in-5'), bytes)).toBe(0);
      expect(Buffer.compare(fs.readFileSync('/again/deep/3'), pattern(700_000, 3))).toBe(0);

      const out = fs.jobs.copyOut('/in', join(directory, 'old'));
      const cut = fs.jobs.copyOut('/in-1', join(directory, 'cut'));
      const gone = fs.jobs.copyOut('/in-3', join(directory, 'gone'));
      fs.unlinkSync('/in-3');
      for (let i = 0; i < 4; i++) fs.jobs.step();
      cut.cancel();
      expect(nodeFs.readFileSync(join(directory, 'old'), 'utf8')).toBe('old');
      expect(failure(gone)).toEqual(['failed', 'ENOENT', '/in-3']);
      out.wait();
      expect(Buffer.compare(nodeFs.readFileSync(join(directory, 'old')), bytes)).toBe(0);
      const unfinished = fs.jobs.copyIn(join(directory, 'in'), '/unfinished');
      fs.jobs.step();
      fs.unmount();
      expect(unfinished.status().state).toBe('cancelled');
      expect(nodeFs.readdirSync(directory).sort()).toEqual(['in', 'old']);
      expect(check(device, { data: true }).problems).toEqual([]);
      fs = openImage(device, { readOnly: true });
      expect(fs.existsSync('/unfinished')).toBe(false);
      expect(failure(fs.jobs.copyFile('/in', '/x'))).toEqual(['failed', 'EROFS', '/in']);
      fs.jobs.copyOut('/in', join(directory, 'old'), { exclusive: false }).wait();
      expect(failure(fs.jobs.copyOut('/in', join(directory, 'old'), { exclusive: true }))[1]).toBe('EEXIST');
      fs.unmount();
    });
  });

  it('do what the example in docs/API.md says', () => {
    const text = nodeFs.readFileSync(join(root, 'docs', 'API.md'), 'utf8');
    const example = [...text.matchAll(/```js\n([\s\S]*?)```/g)]
      .map((match) => match[1]!)
      .find((code) => code.includes('fs.jobs'));
    expect(example).toBeDefined();
    withTempDir((directory) => {
      const image = emptyImage({ dialect: 'cadastre', size: 32 << 20 });
      const prepared = openImage(image);
      prepared.mkdirSync('/tree');
      prepared.writeFileSync('/golden.qcow2', pattern(3 * MIB, 1));
      prepared.writeFileSync('/tree/file', 'in a tree');
      prepared.unmount();
      nodeFs.writeFileSync(join(directory, 'disk.img'), bytesOf(image));
      nodeFs.writeFileSync(join(directory, 'photo.raw'), pattern(2 * MIB, 2));
      const program = join(directory, 'example.mjs');
      const library = new URL('../../index.ts', import.meta.url).href;
      nodeFs.writeFileSync(program, example!.replace("'cadastre'", JSON.stringify(library)));
      const tsx = new URL('../../../node_modules/tsx/dist/loader.mjs', import.meta.url).href;
      const run = spawnSync(process.execPath, ['--import', tsx, program], { cwd: directory, encoding: 'utf8' });
      expect([run.status, run.stderr]).toEqual([0, '']);
      expect(run.stdout).toContain('done');
      expect(Buffer.compare(nodeFs.readFileSync(join(directory, 'back.raw')), pattern(2 * MIB, 2))).toBe(0);
      const fs = openImage(join(directory, 'disk.img'), { readOnly: true });
      expect(Buffer.compare(fs.readFileSync('/vm-1.qcow2'), pattern(3 * MIB, 1))).toBe(0);
      expect(fs.readFileSync('/tree-2/file', 'utf8')).toBe('in a tree');
      expect(fs.existsSync('/photo.raw')).toBe(true);
      fs.unmount();
    });
  });
});
