/** The commands as a user calls them: text, JSON shapes, exit statuses. One source tree, one image of each dialect. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cadastre, cli, cliJson } from '../test/support/cli.ts';

let scratch: string;
const at = (name: string): string => join(scratch, name);
const BIG = Buffer.alloc(700_001, 'some bytes that repeat, ');
const ODD = Buffer.from([0x6f, 0x64, 0x64, 0xff]);
const DIALECTS = ['cadastre', 'xfs'] as const;

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), `cadastre-test-${process.pid}-cli-`));
  mkdirSync(at('source/sub/deep'), { recursive: true });
  writeFileSync(at('source/hello.txt'), 'hello\n');
  linkSync(at('source/hello.txt'), at('source/sub/again'));
  symlinkSync('../hello.txt', at('source/sub/link'));
  writeFileSync(at('source/big'), BIG);
  chmodSync(at('source/big'), 0o4750);
  utimesSync(at('source/big'), 1_000_000_000, 1_000_000_000);
  writeFileSync(at('source/sparse'), 'x');
  truncateSync(at('source/sparse'), 5_000_000);
  writeFileSync(Buffer.concat([Buffer.from(`${at('source')}/`), ODD]), 'odd');
  for (let i = 0; i < 200; i++) writeFileSync(at(`source/sub/deep/a-name-that-takes-some-room-${i}`), '');
  for (const format of DIALECTS) {
    const made = cli([
      'mkfs',
      at(format),
      '--format',
      format,
      '--size',
      '32m',
      '--from',
      at('source'),
      '--label',
      'test',
    ]);
    expect(made).toMatchObject({ status: 0, stderr: '' });
    expect(made.stdout).toContain('204 files');
  }
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

describe.each(DIALECTS)('an image of the %s dialect', (format) => {
  it('info', () => {
    const text = cli(['info', at(format)]);
    expect(text.status).toBe(0);
    expect(text.stdout).toMatch(/^label +test$/m);
    expect(cliJson('info', at(format))).toMatchObject({
      format,
      blockSize: 4096,
      blocks: 8192,
      label: 'test',
      uuid: expect.stringMatching(/^[0-9a-f]{8}-/),
      features: { finobt: true, rmapbt: format === 'cadastre' },
      log: { state: 'clean' },
      agBlocks: expect.any(Number),
      agCount: expect.any(Number),
      freeBlocks: expect.any(Number),
      freeInodes: expect.any(Number),
      inodes: expect.any(Number),
    });
  });

  it('ls, ls -l, ls -R', () => {
    expect(cli(['ls', at(format)]).stdout).toBe('big\nhello.txt\nodd\\xff\nsparse\nsub\n');
    const long = cli(['ls', '-l', at(format), '/sub']).stdout;
    expect(long).toMatch(/^lrwxrwxrwx +1 .* link -> \.\.\/hello\.txt$/m);
    expect(long).toMatch(/^-rw-.* +2 .* +6 .* again$/m);
    const listed = cliJson<Record<string, unknown>[]>('ls', at(format));
    expect(listed[0]).toMatchObject({ name: 'big', type: 'file', mode: 0o104750, size: BIG.length });
    expect(listed[0]?.mtime).toBe('2001-09-09T01:46:40.000000000Z');
    expect(listed[2]).toMatchObject({ name: 'odd\\xff', nameBytes: '6f6464ff' });
    const all = cliJson<{ path: string }[]>('ls', '-R', at(format));
    expect(all).toHaveLength(5 + 3 + 200);
    expect(all.map(({ path }) => path)).toContain('/sub/deep/a-name-that-takes-some-room-7');
    expect(cli(['ls', at(format), '/sub/link']).stdout).toBe('link\n');
  });

  it('tree', () => {
    const drawn = cli(['tree', at(format), '--depth', '2']).stdout;
    expect(drawn).toContain('├── hello.txt\n');
    expect(drawn).toContain('└── sub\n    ├── again\n    ├── deep\n    └── link -> ../hello.txt\n');
    expect(cliJson('tree', at(format), '/sub', '--depth', '1')).toHaveLength(4);
  });

  it('stat', () => {
    expect(cli(['stat', at(format), '/big']).stdout).toMatch(/^mode +4750 -rwsr-x---$/m);
    const [hello, link] = cliJson<Record<string, unknown>[]>('stat', at(format), '/hello.txt', '/sub/link');
    expect(hello).toMatchObject({ path: '/hello.txt', type: 'file', links: 2, size: 6, xattrs: [] });
    expect(link).toMatchObject({ type: 'symlink', target: '../hello.txt' });
    expect(cliJson('stat', '-L', at(format), '/sub/link')).toMatchObject([{ type: 'file', inode: hello?.inode }]);
  });

  it('cat', () => {
    const result = cli(['cat', at(format), '/hello.txt', '/sub/link', '/big', '/odd\\xff'], { bytes: true });
    expect(result.status).toBe(0);
    expect(result.stdout).toBe(`hello\nhello\n${BIG.toString('latin1')}odd`);
    const sparse = cli(['cat', at(format), '/sparse'], { bytes: true }).stdout;
    expect(sparse.length).toBe(5_000_000);
    expect(sparse.replace(/\0+$/, '')).toBe('x');
    const partly = cli(['cat', at(format), '/nothing', '/sub', '/hello.txt']);
    expect(partly).toMatchObject({ status: 1, stdout: 'hello\n' });
    expect(partly.stderr).toContain('/nothing [ENOENT]');
    expect(partly.stderr).toContain('/sub is a directory [EISDIR]');
  });

  it('get a file, a tree, and nothing twice', () => {
    expect(cli(['get', at(format), '/big', at(`${format}-big`)]).status).toBe(0);
    expect(readFileSync(at(`${format}-big`)).equals(BIG)).toBe(true);
    expect(cli(['get', at(format), '/big', at(`${format}-big`)])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('EEXIST'),
    });
    const out = at(`${format}-out`);
    expect(cliJson('get', '-r', at(format), '/', out)).toMatchObject({ files: 204, directories: 3, hardLinks: 1 });
    expect(spawnSync('diff', ['-r', '--no-dereference', at('source'), out])).toMatchObject({ status: 0 });
    expect(lstatSync(join(out, 'big')).mtimeMs).toBe(1e12);
    expect(statSync(join(out, 'hello.txt')).nlink).toBe(2);
    expect(readlinkSync(join(out, 'sub/link'))).toBe('../hello.txt');
    expect(statSync(join(out, 'sparse')).blocks * 512).toBeLessThan(1_000_000);
    expect(cli(['get', at(format), '/sub', at('x')])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('EISDIR'),
    });
    mkdirSync(at(`${format}-in`));
    expect(cli(['get', '-r', at(format), '/sub', at(`${format}-in`)]).status).toBe(0);
    expect(existsSync(at(`${format}-in/sub/again`))).toBe(true);
  });

  it('extents and owners agree', () => {
    const extents = cliJson<Record<string, unknown>[]>('extents', at(format), '/big');
    expect(extents.reduce((sum, each) => sum + Number(each.blockCount), 0)).toBe(Math.ceil(BIG.length / 4096));
    expect(extents[0]).toEqual({
      fileBlock: 0,
      ag: expect.any(Number),
      agBlock: expect.any(Number),
      blockCount: expect.any(Number),
      unwritten: false,
      shared: false,
    });
    const { ag, agBlock } = extents[0] as { ag: number; agBlock: number };
    const [owner] = cliJson<Record<string, unknown>[]>('owners', at(format), `${ag}:${agBlock}`);
    expect(owner).toMatchObject({ ag, agBlock, blockCount: 1, kind: 'data', path: '/big', fileBlock: 0 });
    expect(cliJson('owners', at(format), '--path', '/big')).toMatchObject([{ kind: 'data', path: '/big' }]);
    const [headers, root] = cliJson<Record<string, unknown>[]>('owners', at(format), '0:0', 'byte:4k');
    expect(headers).toMatchObject({ kind: 'ag-headers' });
    expect(root).toMatchObject({ kind: 'bnobt', agBlock: 1 });
    const { agBlocks } = cliJson<{ agBlocks: number }>('info', at(format));
    const whole = cliJson<{ kind: string; blockCount: number }[]>('owners', at(format), `0:0+${agBlocks}`);
    expect(whole.reduce((sum, each) => sum + each.blockCount, 0)).toBe(agBlocks);
    const kinds = new Set(whole.map(({ kind }) => kind));
    for (const kind of ['free', 'inodes', 'directory', 'free-list', 'inobt']) expect(kinds).toContain(kind);
    expect(kinds).not.toContain('unknown');
    expect(cli(['extents', at(format), '/sub/link']).stdout).toContain('no blocks');
    expect(cli(['owners', at(format), '99:0'])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('BAD_BLOCK'),
    });
  });

  it('du and df', () => {
    const usage = cliJson<Record<string, unknown>[]>('du', at(format));
    expect(usage.map(({ path }) => path)).toEqual(['/sub/deep', '/sub', '/']);
    expect(usage[2]).toMatchObject({ objects: 204 + 3 + 1, size: 6 + BIG.length + 5_000_000 + 3, sharedBytes: 0 });
    expect(cli(['du', '-s', at(format), '/big']).stdout).toMatch(/^ *684 KiB {2}\/big\n$/);
    const df = cliJson<Record<string, number>>('df', at(format));
    expect(df).toMatchObject({ size: 32 << 20, ags: expect.any(Array) });
    expect(df.used! + df.free!).toBe(df.size);
    expect(df.available).toBeLessThanOrEqual(df.free!);
    expect(cli(['df', '--ags', at(format)]).stdout).toMatch(/^AG +blocks/m);
  });

  it('db shows every structure, verified', () => {
    for (const what of [
      ['sb'],
      ['agf', '0'],
      ['agi'],
      ['agfl', '0'],
      ['inode', '/sub'],
      ['block', '0:1'],
      ['block', '0:2'],
    ]) {
      expect(cliJson('db', at(format), ...what), what.join(' ')).toMatchObject({
        fault: null,
        fields: expect.any(Object),
      });
    }
    const trees = [
      'bnobt',
      'cntbt',
      'inobt',
      'finobt',
      'refcountbt',
      ...(format === 'cadastre' ? ['rmapbt', 'csumbt'] : []),
    ];
    for (const tree of trees) {
      expect(cliJson('db', at(format), 'btree', tree, '0', '--records')).toMatchObject({
        height: 1,
        levels: [{ level: 0, blocks: 1 }],
        errors: [],
      });
    }
    expect(cliJson('db', at(format), 'dir', '/sub/deep')).toMatchObject({ form: 'leaf', entries: { length: 200 } });
    expect(cliJson('db', at(format), 'attr', '/big')).toMatchObject({ attributes: [] });
    const { inode } = cliJson<{ inode: number }[]>('ls', at(format)).at(-1)!;
    expect(cliJson('db', at(format), 'inode', String(inode))).toMatchObject({
      fields: { ino: inode },
      lists: { entries: [{}, {}, {}, {}] },
    });
    expect(cliJson('db', at(format), 'as', 'superblock', 'byte:0')).toMatchObject({ fields: { blocksize: 4096 } });
    expect(cli(['db', at(format), 'raw', 'byte:0+4']).stdout).toBe(format === 'xfs' ? 'XFSB' : 'CDST');
    expect(cli(['db', at(format), 'structures']).stdout).toContain('rmap-record');
    expect(cli(['db', at(format), 'sb']).stdout).toContain('superblock at byte 0: verified');
    for (const wrong of [
      ['nothing'],
      ['btree', 'foo', '0'],
      ['agf', '77'],
      ['inode', '1'],
      ['as', 'foo', 'byte:0'],
      ['block'],
    ]) {
      expect(cli(['db', at(format), ...wrong]).status, wrong.join(' ')).toBe(2);
    }
  });

  it('check: clean is 0, damage is 4', () => {
    const result = cliJson<Record<string, unknown>>('check', at(format), '--data');
    expect(result).toMatchObject({ clean: true, problems: [], counts: { directories: 3 } });
    const damaged = at(`${format}-damaged`);
    const bytes = readFileSync(at(format));
    bytes.writeUInt32BE(7, 512 + 52); // freeblks of AGF 0, with a wrong CRC too
    writeFileSync(damaged, bytes);
    const found = cli(['check', damaged, '--json']);
    expect(found.status).toBe(4);
    expect(JSON.parse(found.stdout)).toMatchObject({
      clean: false,
      problems: expect.arrayContaining([
        expect.objectContaining({ code: 'AGF_BAD', severity: 'error', where: expect.any(Object) }),
      ]),
    });
    expect(cli(['check', damaged]).stdout).toMatch(/^error AGF_BAD: AG 0/m);
  });
});

describe('statuses and wrong arguments', () => {
  it('help, version, and what does not exist', () => {
    expect(cli(['--version'])).toMatchObject({ status: 0, stdout: expect.stringMatching(/^\d+\.\d+/) });
    expect(cli(['--help'])).toMatchObject({ status: 0, stdout: expect.stringContaining('mkfs') });
    expect(cli(['help', 'mkfs'])).toMatchObject({ status: 0, stdout: expect.stringContaining('--reproducible') });
    expect(cli([]).status).toBe(2);
    expect(cli(['lss'])).toMatchObject({ status: 2, stderr: expect.stringContaining('did you mean ls?') });
  });

  it.each<[number, string[]]>([
    [2, ['ls']],
    [2, ['ls', 'IMAGE', '--frobnicate']],
    [2, ['ls', 'IMAGE', 'not-absolute']],
    [1, ['ls', 'IMAGE', '/nothing']],
    [1, ['ls', '/does/not/exist']],
    [2, ['owners', 'IMAGE']],
    [16, ['check']],
    [16, ['check', 'IMAGE', '--max', 'many']],
    [8, ['check', '/does/not/exist']],
    [2, ['mkfs', 'NEW']],
    [2, ['mkfs', 'NEW', '--size', 'large']],
    [2, ['mkfs', 'NEW', '--size', '64m', '--format', 'fat']],
    [2, ['mkfs', 'NEW', '--size', '64m', '--block-size', '3000']],
    [2, ['mkfs', 'NEW', '--size', '64m', '--uuid', 'zzz']],
    [2, ['mkfs', 'NEW', '--size', '64m', '--owner', 'me']],
    [2, ['mkfs', 'NEW', '--size', '1m']],
    [2, ['mkfs', 'NEW', '--size', '64m', '--no-rmapbt']],
    [1, ['mkfs', 'NEW', '--from', '/does/not/exist']],
  ])('status %i: %j', (status, args) => {
    const named = args.map((arg) => (arg === 'IMAGE' ? at('xfs') : arg === 'NEW' ? at('new') : arg));
    const result = cli(named);
    expect(result).toMatchObject({ status, stderr: expect.stringMatching(/^cadastre \w+: /) });
    expect(existsSync(at('new'))).toBe(false);
  });

  it('an error as JSON', () => {
    const { status, stderr } = cli(['stat', at('xfs'), '/nothing', '--json']);
    expect(status).toBe(1);
    expect(JSON.parse(stderr)).toMatchObject({
      error: { family: 'file', code: 'ENOENT', where: { path: '/nothing' } },
    });
  });

  it('a reader that goes away ends it quietly', () => {
    for (const rest of [`ls -R ${at('xfs')}`, `cat ${at('xfs')} /big /sparse /big`, `db ${at('xfs')} raw 0:0+1000`]) {
      const script = `${cadastre.join(' ')} ${rest} | head -c 10 >/dev/null; echo "\${PIPESTATUS[0]}"`;
      expect(spawnSync('bash', ['-c', script], { encoding: 'utf8' })).toMatchObject({ stdout: '0\n', stderr: '' });
    }
  });

  it('an output that is full is an error', () => {
    const result = spawnSync('bash', ['-c', `${cadastre.join(' ')} cat ${at('xfs')} /big >/dev/full`], {
      encoding: 'utf8',
    });
    expect(result).toMatchObject({ status: 1, stderr: expect.stringContaining('ENOSPC') });
  });
});

describe('what is no image', () => {
  const cases: [string, (path: string) => void, string][] = [
    ['an empty file', (path) => writeFileSync(path, ''), 'EMPTY'],
    ['a few bytes', (path) => writeFileSync(path, 'XFSB'), 'TOO_SHORT'],
    ['zeroes', (path) => writeFileSync(path, Buffer.alloc(1 << 20)), 'NOT_OURS'],
    [
      'random bytes',
      (path) => writeFileSync(path, Buffer.from(Array.from({ length: 70_000 }, (_, i) => (i * 7919) >> 3))),
      'NOT_OURS',
    ],
    [
      'ext4',
      (path) => {
        const bytes = Buffer.alloc(1 << 20);
        bytes.writeUInt16LE(0xef53, 1080);
        bytes.writeUInt32LE(0x40, 1024 + 0x60);
        writeFileSync(path, bytes);
      },
      'NOT_OURS',
    ],
    ['half of an image', (path) => writeFileSync(path, readFileSync(at('xfs')).subarray(0, 16 << 20)), 'SHORT_IMAGE'],
    [
      'an unfinished image',
      (path) => {
        const bytes = readFileSync(at('xfs'));
        bytes[126] = 1;
        writeFileSync(path, bytes);
      },
      'UNFINISHED',
    ],
    [
      'a superblock with a wrong field',
      (path) => {
        const bytes = readFileSync(at('xfs'));
        bytes.writeUInt32BE(1234, 4);
        writeFileSync(path, bytes);
      },
      'BAD_CRC',
    ],
    ['a directory', (path) => mkdirSync(path), 'NOT_AN_IMAGE'],
  ];
  it.each(cases)('%s', (name, make, code) => {
    const path = at(`bad-${name.replaceAll(' ', '-')}`);
    make(path);
    const info = cli(['info', path]);
    expect(info).toMatchObject({ status: 1, stdout: '', stderr: expect.stringContaining(`[${code}]`) });
    // What is ours but broken is a problem; anything else is nothing that could be checked.
    const isOurs = ['UNFINISHED', 'SHORT_IMAGE', 'BAD_CRC'].includes(code);
    expect(cli(['check', path]).status).toBe(isOurs ? 4 : 8);
    if (name === 'ext4') expect(info.stderr).toContain('ext4');
  });

  it('a fifo does not block', () => {
    expect(spawnSync('mkfifo', [at('fifo')]).status).toBe(0);
    expect(cli(['ls', at('fifo')])).toMatchObject({ status: 1, stderr: expect.stringContaining('NOT_AN_IMAGE') });
  });
});

describe('mkfs', () => {
  it('refuses a target that holds something, and leaves it alone', () => {
    const before = readFileSync(at('xfs'));
    const refused = cli(['mkfs', at('xfs'), '--size', '64m']);
    expect(refused).toMatchObject({ status: 1, stderr: expect.stringContaining('XFS file system [HOLDS_DATA]') });
    expect(refused.stderr).toContain('--force');
    expect(readFileSync(at('xfs')).equals(before)).toBe(true);
    writeFileSync(at('letter'), 'dear friend');
    expect(cli(['mkfs', at('letter'), '--size', '64m']).stderr).toContain('[HOLDS_DATA]');
    expect(cli(['mkfs', at('letter'), '--size', '16m', '--force', '--quiet'])).toMatchObject({ status: 0, stdout: '' });
    expect(statSync(at('letter')).size).toBe(16 << 20);
  });

  it('refuses an image inside its own source', () => {
    expect(cli(['mkfs', at('source/image'), '--from', at('source')])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('[IS_SOURCE]'),
    });
  });

  it('says how much a source needs that does not fit, and writes nothing', () => {
    mkdirSync(at('large'));
    writeFileSync(at('large/file'), Buffer.alloc(20 << 20, 1));
    const refused = cli(['mkfs', at('tight'), '--size', '16m', '--from', at('large')]);
    expect(refused).toMatchObject({ status: 1, stderr: expect.stringContaining('[ENOSPC]') });
    const wanted = /at least (\d+) MiB/.exec(refused.stderr)?.[1];
    expect(existsSync(at('tight'))).toBe(false);
    expect(cli(['mkfs', at('tight'), '--size', `${wanted}m`, '--from', at('large')]).status).toBe(0);
    expect(cli(['mkfs', at('auto'), '--size', 'auto', '--from', at('large')]).status).toBe(0);
    expect(cli(['check', at('auto')]).status).toBe(0);
  });

  it('takes the size of a file that is there', () => {
    writeFileSync(at('sized'), '');
    truncateSync(at('sized'), 48 << 20);
    expect(cliJson('mkfs', at('sized'), '--format', 'xfs')).toMatchObject({
      size: 48 << 20,
      format: 'xfs',
      agCount: 2,
    });
  });

  it('options reach the image', () => {
    const uuid = '01234567-89ab-4cde-8f01-23456789abcd';
    const options = ['--size', '64m', '--format', 'xfs', '--block-size', '1k', '--inode-size', '512', '--uuid', uuid];
    const made = cli([
      'mkfs',
      at('options'),
      ...options,
      '--rmapbt',
      '--no-reflink',
      '--dir-block-size',
      '4k',
      '--ag-count',
      '3',
    ]);
    expect(made).toMatchObject({ status: 0, stderr: '' });
    expect(cliJson('info', at('options'))).toMatchObject({
      uuid,
      blockSize: 1024,
      dirBlockSize: 4096,
      agCount: 3,
      features: { rmapbt: true, reflink: false },
    });
  });

  it('gives the same bytes for the same input', () => {
    const make = (name: string, args: string[], env: Record<string, string> = {}) => {
      const result = cli(['mkfs', at(name), '--size', '32m', '--from', at('source'), '--owner', '0:0', ...args], {
        env,
      });
      expect(result).toMatchObject({ status: 0 });
      const bytes = readFileSync(at(name));
      rmSync(at(name));
      return bytes;
    };
    const first = make('same-1', ['--reproducible']);
    expect(make('same-2', ['--reproducible']).equals(first)).toBe(true);
    const dated = make('same-3', [], { SOURCE_DATE_EPOCH: '1000000001' });
    expect(make('same-4', [], { SOURCE_DATE_EPOCH: '1000000001' }).equals(dated)).toBe(true);
    expect(dated.equals(first)).toBe(false);
    expect(make('same-5', []).equals(first)).toBe(false);
    expect(cli(['mkfs', at('bad'), '--size', '32m'], { env: { SOURCE_DATE_EPOCH: 'today' } }).status).toBe(2);
  });

  it('keeps the owner asked for, and the times of the source', () => {
    const made = cli(['mkfs', at('owned'), '--from', at('source'), '--owner', '12:34', '--reproducible']);
    expect(made.status).toBe(0);
    expect(cliJson('stat', at('owned'), '/big')).toMatchObject([
      { uid: 12, gid: 34, mtime: '2001-09-09T01:46:40.000000000Z' },
    ]);
  });
});
