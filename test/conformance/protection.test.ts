/**
 * Default ACLs, flags that directories hand down, and what immutable and append-only flags forbid: the same calls by the
 * kernel on a mounted image and by us on a copy of it give the same results, errors, modes, ACLs, flags and trees.
 */
import nodeFs from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { check } from '../../lib/check/check.ts';
import { FileDevice } from '../../lib/device/file.ts';
import { type ImageFs, openImage } from '../../lib/fs/node/open-image.ts';
import { HostTree } from '../../lib/host/tree.ts';
import { Editor } from '../../lib/volume/editor.ts';
import { TreePutter } from '../../lib/volume/tree-put.ts';
import { compareTrees, digestTree } from '../support/digest.ts';
import { type EditOperation, editDirectory, editImage, seeded } from '../support/edit-ops.ts';
import { loopMount, mkfsXfs, mustRun, requireOracle, withTempDir, xfsRepairCheck } from '../support/oracle.ts';

const seed = Number(process.env.SEED ?? '1');
const flagScript = fileURLToPath(new URL('../support/inode-flags.py', import.meta.url));
const IMMUTABLE = 0x8;
const APPEND = 0x10;

const sh = (directory: string, script: string): string =>
  mustRun('bash', ['-euc', script, 'bash', directory, flagScript]);
const before = process.umask();
afterEach(() => void process.umask(before));

/** Modes, contents, attributes and ACLs, flags and hints of the whole tree. Times of new things differ. */
function judge(ours: string, theirs: string): void {
  const see = (image: string) =>
    loopMount(image, {}, (at) => ({ tree: digestTree(at), flags: mustRun('python3', [flagScript, at]) }));
  const [seen, wanted] = [see(ours), see(theirs)];
  expect(compareTrees(wanted.tree, seen.tree, { ignore: ['mtime', 'directory.size'] })).toBe('');
  expect(seen.flags).toBe(wanted.flags);
  expect(xfsRepairCheck(ours)).toEqual({ ok: true, output: '' });
  const device = new FileDevice(ours, 'r');
  expect(check(device).problems).toEqual([]);
  device.close();
}

/** Two equal images, prepared by the kernel. */
function pair(setup: string, work: (ours: string, theirs: string) => void, options: string[] = []): void {
  withTempDir((directory) => {
    const [ours, theirs] = [join(directory, 'ours'), join(directory, 'theirs')];
    mkfsXfs(ours, 64 << 20, options);
    loopMount(ours, { write: true }, (at) => sh(at, setup));
    mustRun('cp', ['--sparse=always', ours, theirs]);
    work(ours, theirs);
    judge(ours, theirs);
  });
}

/** The name of the error, or ok. */
function outcome(work: () => unknown): string {
  try {
    work();
    return 'ok';
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

/** Calls of Node's fs, relative to a directory. */
type Calls = (fs: ImageFs | typeof nodeFs, at: (path: string) => string) => string[];

function sameCalls(ours: string, theirs: string, umask: number, calls: Calls): void {
  const fs = openImage(ours, { umask });
  const here = calls(fs, (path) => `/${path}`);
  fs.unmount();
  process.umask(umask);
  const there = loopMount(theirs, { write: true }, (at) => calls(nodeFs, (path) => join(at, path)));
  process.umask(before);
  expect(here).toEqual(there);
}

const ACLS = [
  'd:u::rwx,d:g::r-x,d:o::---',
  'd:u::rw-,d:g::rwx,d:o::rwx',
  'd:u::rwx,d:u:7:rwx,d:g::r-x,d:m::rwx,d:o::r-x',
  'd:u::rwx,d:u:7:rw-,d:u:8:r-x,d:g::rwx,d:g:99:-wx,d:m::r-x,d:o::-w-',
  'd:u::---,d:g::---,d:m::---,d:g:5:rwx,d:o::---',
  'd:u::rwx,d:g::rwx,d:m::r--,d:o::rwx',
];

describe.runIf(requireOracle('xfsprogs', 'loop', 'python'))('as the kernel', () => {
  it.each([
    ['512', 0o022],
    ['512', 0o077],
    ['2048', 0],
  ])('hands down default ACLs: inodes of %s bytes, umask %o', (inodeSize, umask) => {
    const setup = ['cd "$1"'];
    ACLS.forEach((acl, i) => {
      setup.push(`mkdir a${i}; setfacl -m ${acl} a${i}`);
    });
    setup.push(
      'mkdir plain setgid; chgrp 42 setgid; chmod 2775 setgid; setfacl -m d:u:3:rwx setgid',
      'echo x > plain/f',
    );
    const folders = [...ACLS.map((_, i) => `a${i}`), 'plain', 'setgid'];
    pair(
      setup.join('\n'),
      (ours, theirs) => {
        sameCalls(ours, theirs, umask, (fs, at) =>
          folders.flatMap((folder) => {
            const path = (name: string): string => at(`${folder}/${name}`);
            return [0o777, 0o666, 0o640, 0o4711, 0].flatMap((mode, i) => [
              outcome(() => fs.writeFileSync(path(`f${i}`), 'content', { mode })),
              outcome(() => fs.mkdirSync(path(`d${i}`), { mode })),
              outcome(() => fs.writeFileSync(path(`d${i}/inside`), 'more')),
              outcome(() => fs.mkdirSync(path(`d${i}/a/b`), { recursive: true })),
              outcome(() => fs.symlinkSync('target', path(`s${i}`))),
              outcome(() => fs.copyFileSync(path(`f${i}`), path(`d${i}/copy`))),
              outcome(() => fs.chmodSync(path(`d${i}/a`), 0o750)),
            ]);
          }),
        );
        const nodes: EditOperation[] = folders.flatMap((folder) =>
          [0o10666, 0o20644, 0o60777, 0o140600, 0o100755].map((mode) => {
            return { op: 'mknod', path: `/${folder}/n${mode}`, mode, major: 3, minor: 9 };
          }),
        );
        const editor = Editor.open(new FileDevice(ours, 'rw'));
        const here = editImage(editor, nodes);
        editor.close();
        expect(here).toEqual(loopMount(theirs, { write: true }, (at) => editDirectory(at, nodes)));
      },
      ['-i', `size=${inodeSize}`],
    );
  });

  /** A tree of the host, put into a directory with a default ACL, against cp. */
  it.each([
    ['-r', 'mkdir -p s/sub/deep; echo 1 > s/f; echo 2 > s/sub/g; chmod 640 s/f; chmod 700 s/sub; ln -s f s/l'],
    [
      '-a',
      `mkdir -p s/sub; echo 1 > s/f; echo 2 > s/sub/g
       setfacl -m u:5:rwx,d:u:6:r-x s s/sub; setfacl -m u:7:rw-,m::r-- s/f; setfacl -m g:8:r-- s/sub/g`,
    ],
  ])('put, as cp %s', (flag, source) =>
    pair('cd "$1"; mkdir to; setfacl -m d:u::rwx,d:u:9:r-x,d:g::r-x,d:m::rwx,d:o::--- to', (ours, theirs) => {
      const host = join(dirname(ours), 'host');
      nodeFs.mkdirSync(host);
      sh(host, `umask 022; cd "$1"; ${source}`);
      const editor = Editor.open(new FileDevice(ours, 'rw'));
      const tree = new HostTree(host);
      const failed = (error: Error): never => {
        throw error;
      };
      const to = editor.volume.resolve('/to').number;
      const name = Buffer.from('s');
      new TreePutter(editor, { failed }).put(tree, tree.entryAt(name), to, name);
      tree.close();
      editor.close();
      loopMount(theirs, { write: true }, (at) => sh(at, `umask 0; cp ${flag} ${host}/s "$1/to"`));
    }),
  );

  it('hands down flags, hints and projects', () => {
    // sync, noatime, nodump, rtinherit, projinherit, nosymlinks, extszinherit, nodefrag, filestream, cowextsize
    const all = 0x20 | 0x40 | 0x80 | 0x200 | 0x1000 | 0x2000 | 0x4000 | 0x10000;
    const setup = `cd "$1"; mkdir a b c
      python3 "$2" a ${all} 65536 32768 77; python3 "$2" b ${0x40 | 0x10000} 0 131072 0; python3 "$2" c ${0x400 | 0x80}`;
    pair(setup, (ours, theirs) =>
      sameCalls(ours, theirs, 0o022, (fs, at) =>
        ['a', 'b', 'c'].flatMap((folder) => [
          outcome(() => fs.mkdirSync(at(`${folder}/d`))),
          outcome(() => fs.writeFileSync(at(`${folder}/d/f`), 'x')),
          outcome(() => fs.writeFileSync(at(`${folder}/f`), Buffer.alloc(100_000, 1))),
        ]),
      ),
    );
  });

  /** Folders and what is in them, plain, immutable and append-only in every combination. */
  const KINDS = { p: 0, i: IMMUTABLE, a: APPEND };
  const protectedTree = (): { setup: string; paths: string[] } => {
    const made: string[] = ['cd "$1"'];
    const flagged: string[] = [];
    const paths: string[] = [];
    for (const [folder, folderFlag] of Object.entries(KINDS)) {
      made.push(`mkdir ${folder}`);
      for (const [kind, flag] of Object.entries(KINDS)) {
        const [file, empty, full] = [`${folder}/${kind}f`, `${folder}/${kind}e`, `${folder}/${kind}d`];
        made.push(
          `printf 'some content' > ${file}; setfattr -n user.x -v 1 ${file}; mkdir ${empty} ${full}; echo > ${full}/x`,
        );
        paths.push(file, empty, full, `${full}/x`);
        if (flag)
          flagged.push(`python3 "$2" ${file} ${flag}; python3 "$2" ${empty} ${flag}; python3 "$2" ${full} ${flag}`);
      }
      made.push(`ln -s pf ${folder}/l`);
      paths.push(folder, `${folder}/l`, `${folder}/new`, `${folder}/new/new`);
      if (folderFlag) flagged.push(`python3 "$2" ${folder} ${folderFlag}`);
    }
    return { setup: [...made, ...flagged].join('\n'), paths };
  };

  it(`forbids what flags forbid: names, modes, attributes (seed ${seed})`, () => {
    const { setup, paths } = protectedTree();
    const random = seeded(seed);
    const pick = (): string => `/${paths[random(paths.length)]}`;
    const operations = Array.from({ length: 900 }, (): EditOperation => {
      const path = pick();
      switch (random(15)) {
        case 0:
          return { op: 'mkdir', path, mode: 0o755 };
        case 1:
          return { op: 'mknod', path, mode: 0o100644, major: 0, minor: 0 };
        case 2:
          return { op: 'symlink', path, target: 'x' };
        case 3:
          return { op: 'unlink', path };
        case 4:
          return { op: 'rmdir', path };
        case 5:
        case 6:
          return { op: 'rename', path, to: pick() };
        case 7:
          return { op: 'link', path, to: pick() };
        case 8:
          return { op: 'chmod', path, mode: 0o700 + random(64) };
        case 9:
          return { op: 'chown', path, uid: random(5), gid: random(5) };
        case 10:
          return { op: 'utimes', path, atime: 1e12, mtime: 2e12 };
        case 11:
          return { op: 'setxattr', path, name: `trusted.y${random(3)}`, seed: 1, length: random(50) };
        case 12:
          return { op: 'removexattr', path, name: 'user.x' };
        case 13:
          return { op: 'truncate', path, size: random(30) };
        default:
          // Inside: what is behind the end a library call may add to an append-only file, as O_APPEND does.
          return { op: 'write', path, offset: random(12), seed: 3, length: 5 };
      }
    });
    pair(setup, (ours, theirs) => {
      const editor = Editor.open(new FileDevice(ours, 'rw'));
      const here = editImage(editor, operations);
      editor.close();
      const there = loopMount(theirs, { write: true }, (at) => editDirectory(at, operations));
      const disputed = operations.flatMap((each, i) =>
        here[i] === there[i] ? [] : [{ ...each, ours: here[i], theirs: there[i] }],
      );
      expect(disputed).toEqual([]);
      expect(here.filter((each) => each === 'EPERM').length).toBeGreaterThan(150);
      expect(here.filter((each) => each === 'ok').length).toBeGreaterThan(50);
    });
  });

  it('forbids what flags forbid: opening, appending, access', () => {
    const { setup, paths } = protectedTree();
    pair(setup, (ours, theirs) =>
      sameCalls(ours, theirs, 0o022, (fs, at) =>
        paths.flatMap((path) => [
          ...['r', 'r+', 'a', 'a+', 'w', 'wx', 'ax'].map((flags) =>
            outcome(() => {
              const fd = fs.openSync(at(path), flags);
              try {
                if (flags !== 'r') fs.writeSync(fd, 'more');
                if (flags !== 'r') fs.ftruncateSync(fd, 40);
                fs.fchmodSync(fd, 0o640);
                fs.futimesSync(fd, 5, 6);
              } finally {
                fs.closeSync(fd);
              }
            }),
          ),
          outcome(() => fs.accessSync(at(path), fs.constants.W_OK)),
          outcome(() => fs.accessSync(at(path), fs.constants.R_OK)),
          outcome(() => fs.truncateSync(at(path), 3)),
          outcome(() => fs.copyFileSync(at('p/pf'), at(path))),
          outcome(() => fs.mkdirSync(at(`${path}/made`))),
          outcome(() => fs.rmSync(at(`${path}/made`), { recursive: true })),
        ]),
      ),
    );
  });
});
