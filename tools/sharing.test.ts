/** The commands clone, cp, dedupe and unshare as they are typed. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { cli, cliJson } from '../test/support/cli.ts';
import { withTempDir } from '../test/support/oracle.ts';

const SIZE = 300_000;

describe('sharing on the command line', () => {
  it('clones, copies, unshares and finds equal blocks again', () => {
    withTempDir((directory) => {
      const image = join(directory, 'image');
      const source = join(directory, 'source');
      mkdirSync(join(source, 'tree'), { recursive: true });
      const bytes = Buffer.alloc(SIZE, 'no two blocks of this are equal: ');
      for (let at = 0; at < SIZE; at += 4096) bytes.writeUInt32BE(at, at);
      writeFileSync(join(source, 'tree', 'file'), bytes);
      cliJson('mkfs', image, '--size', '32m', '--from', source);
      const extents = (path: string) =>
        cliJson<{ shared: boolean; blockCount: number }[]>('extents', image, path).map(({ shared }) => shared);

      expect(cliJson('clone', image, '-r', '/tree', '/again')).toMatchObject({ files: 1, directories: 1, bytes: SIZE });
      expect(extents('/again/file')).toEqual([true]);
      expect(cliJson('unshare', image, '/again/file')).toMatchObject({ files: 1, bytes: SIZE });
      expect(extents('/tree/file')).toEqual([false]);

      const expected = cliJson<{ savedBytes: number }>('dedupe', image, '--dry-run');
      expect(expected).toMatchObject({ files: 2, runs: 1, savedBytes: 74 * 4096, dryRun: true });
      expect(extents('/tree/file')).toEqual([false]);
      expect(cliJson('dedupe', image)).toMatchObject({ savedBytes: expected.savedBytes });
      expect(cliJson('dedupe', image)).toMatchObject({ runs: 0, savedBytes: 0 });

      const copied = cliJson('cp', image, '-r', '/tree', '/copy', '--reflink', 'never', '--jobs', '2');
      expect(copied).toMatchObject({ copied: { files: 1, directories: 1, bytes: SIZE } });
      expect(extents('/copy/file')).toEqual([false]);
      cliJson('clone', image, '--range', '4k:8k:64k', '/tree/file', '/copy/file');
      expect(extents('/copy/file')).toEqual([false, true, false]);
      const changed = Buffer.from(cli(['cat', image, '/copy/file'], { bytes: true }).stdout, 'latin1');
      bytes.copy(bytes, 65_536, 4096, 4096 + 8192);
      expect(Buffer.compare(changed, bytes)).toBe(0);
      expect(cliJson('check', image, '--data')).toMatchObject({ clean: true });
    });
  });

  it('says what is wrong, and with which status', () => {
    withTempDir((directory) => {
      const image = join(directory, 'image');
      cliJson('mkfs', image, '--size', '32m');
      cliJson('mkdir', image, '/d');
      const refused = (status: number, code: string, ...args: string[]) => {
        const result = cli([...args, '--json']);
        expect([result.status, JSON.parse(result.stderr).error.code], args.join(' ')).toEqual([status, code]);
      };
      refused(2, 'BAD_RANGE', 'clone', image, '--range', '4k', '/a', '/b');
      refused(1, 'ENOENT', 'clone', image, '/a', '/b');
      refused(1, 'EISDIR', 'clone', image, '/d', '/e');
      refused(1, 'EINVAL', 'clone', image, '-r', '/d', '/d');
      refused(1, 'EISDIR', 'unshare', image, '/d');
    });
  });
});
