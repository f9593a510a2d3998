/** The host tree read and written: every type, names that are not UTF-8, attributes, holes, nanoseconds, hard links. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CadastreError } from '../errors.ts';
import type { HostDirectory } from './calls.ts';
import { LEFT_OUT_ITEMS, LeftOut } from './left-out.ts';
import { compareBytes, showBytes } from './names.ts';
import { loadCLibrary } from './native.ts';
import { type HostEntry, HostTree } from './tree.ts';
import { HostWriter } from './writer.ts';

const native = typeof loadCLibrary() !== 'string';
const isRoot = process.getuid?.() === 0;
const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');
const MODES = native ? [true, false] : [false];

let scratch: string;
beforeEach(() => {
  scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'cadastre-host-'));
});
afterEach(() => {
  execFileSync('rm', ['-rf', scratch]); // fs.rmSync cannot remove what is deeper than a path
});

/** The code of what `action` throws, with the message. */
function thrown(action: () => unknown): { code: string; message: string } {
  try {
    action();
  } catch (error) {
    if (error instanceof CadastreError) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error('nothing was thrown');
}

/** Copy a whole tree with the two doors, as populate and get do together. */
function copy(from: string, to: string, use: boolean, replace = false): HostWriter {
  const tree = new HostTree(from, { native: use });
  const writer = new HostWriter(to, { native: use, replace });
  const links = new Map<string, [HostDirectory, Uint8Array]>();
  const fill = (source: HostEntry, target: HostDirectory): void => {
    for (const entry of tree.readDirectory(source)) {
      const first = entry.nlink > 1 && !entry.directory ? links.get(entry.linkKey) : undefined;
      if (first) {
        writer.createLink(target, entry.name, ...first);
        continue;
      }
      links.set(entry.linkKey, [target, entry.name]);
      if (entry.directory) {
        const made = writer.createDirectory(target, entry.name);
        fill(entry, made);
        writer.finishDirectory(made, entry);
      } else if (entry.type === 'file') {
        const file = tree.openFile(entry);
        const output = writer.createFile(target, entry.name);
        for (const { offset, length } of file.segments()) {
          const data = new Uint8Array(length);
          file.readInto(data, offset);
          output.write(data, offset);
        }
        file.close();
        output.finish(file.size, entry);
      } else if (entry.type === 'symlink') writer.createSymlink(target, entry.name, entry.target!, entry);
      else writer.createNode(target, entry.name, entry.rdevMajor, entry.rdevMinor, entry);
    }
  };
  fill(tree.root, writer.root);
  writer.finishDirectory(writer.root, tree.root);
  tree.close();
  writer.close();
  expect(tree.leftOut.items.filter(({ what }) => !/holes|attributes and ACLs/.test(what))).toEqual([]);
  return writer;
}

/** Everything that must be equal after a round trip, one line of text per fact. */
function describeTree(root: string, exact: boolean): string[] {
  const tree = new HostTree(root, { native: exact });
  const lines: string[] = [];
  const links = new Map<string, string>();
  const visit = (entry: HostEntry): void => {
    const name = entry.path.toString('latin1');
    const { mode, uid, gid, rdevMajor, rdevMinor, mtime, target, xattrs } = entry;
    let line = `${name} ${entry.type} ${mode.toString(8)} ${uid}:${gid} ${rdevMajor},${rdevMinor} nlink=${entry.nlink}`;
    line += ` ${mtime.seconds}.${exact ? mtime.nanoseconds : ''} ${target && Buffer.from(target).toString('latin1')}`;
    for (const { name, value } of xattrs) line += ` ${showBytes(name)}=${Buffer.from(value).toString('hex')}`;
    if (entry.nlink > 1 && !entry.directory) {
      line += ` link=${links.get(entry.linkKey) ?? name}`;
      if (!links.has(entry.linkKey)) links.set(entry.linkKey, name);
    }
    if (entry.type === 'file') {
      const file = tree.openFile(entry);
      const content = new Uint8Array(Math.min(entry.size, 1 << 22));
      file.readInto(content, 0);
      line += ` size=${entry.size} ${Buffer.from(content)
        .toString('latin1')
        .replace(/(.)\1{9,}/gs, (run, c) => `${c}*${run.length}`)}`;
      if (exact) line += ` ${file.segments().map(({ offset, length }) => `${offset}+${length}`)}`;
      file.close();
    }
    lines.push(line);
    if (entry.directory) for (const child of tree.readDirectory(entry)) visit(child);
  };
  visit(tree.root);
  tree.close();
  return lines;
}

/** A tree with one of everything this user may make. */
function makeTree(root: string): void {
  fs.mkdirSync(path.join(root, 'directory', 'empty'), { recursive: true });
  const at = (name: string): Buffer => Buffer.concat([Buffer.from(`${root}/`), bytes(name)]);
  fs.writeFileSync(at('directory/file'), 'hello');
  fs.writeFileSync(at('empty file'), '');
  fs.writeFileSync(at('\xff\xfe not utf-8 \x01\n'), 'name');
  fs.writeFileSync(at('n'.repeat(255)), 'long name');
  fs.linkSync(at('directory/file'), at('hard link'));
  fs.symlinkSync(Buffer.from([0x2e, 0x2f, 0xff]), at('symlink'));
  fs.symlinkSync('t'.repeat(1023), at('long symlink'));
  fs.symlinkSync('/etc', at('symlink out'));
  const holes = fs.openSync(at('holes'), 'w');
  fs.writeSync(holes, 'middle', 1 << 20);
  fs.writeSync(holes, 'later', 2 << 20);
  fs.ftruncateSync(holes, (3 << 20) + 17);
  fs.closeSync(holes);
  fs.closeSync(fs.openSync(at('only hole'), 'w'));
  fs.truncateSync(at('only hole'), 1 << 20);
  execFileSync('mkfifo', [path.join(root, 'fifo')]);
  fs.chmodSync(at('directory/file'), 0o4751);
  fs.chmodSync(at('empty file'), 0o400);
  fs.chmodSync(at('directory'), 0o1770);
  execFileSync('touch', ['-h', '-d', '1999-12-31T23:59:59.123456789Z', path.join(root, 'symlink')]);
  execFileSync('touch', ['-d', '2033-01-02T03:04:05.999999999Z', path.join(root, 'holes')]);
  execFileSync('touch', ['-d', '1950-05-05T05:05:05.5Z', path.join(root, 'empty file')]);
  execFileSync('touch', ['-d', '2001-01-01T00:00:00.000000001Z', path.join(root, 'directory')]);
}

describe.each(MODES)('round trip, C library: %s', (use) => {
  test('every type an ordinary user can make', () => {
    const from = path.join(scratch, 'from');
    fs.mkdirSync(from);
    makeTree(from);
    if (!use) fs.unlinkSync(path.join(from, 'fifo'));
    const writer = copy(from, path.join(scratch, 'to'), use);
    const want = describeTree(from, use);
    expect(want.length).toBe(use ? 14 : 13);
    expect(describeTree(path.join(scratch, 'to'), use)).toEqual(want);
    expect(writer.leftOut.items.map(({ what }) => what.split(':')[0])).toEqual(use ? [] : ['nanoseconds of times']);
    if (use) expect(fs.statSync(path.join(scratch, 'to', 'holes')).blocks).toBeLessThan(64);
  });

  test('replace goes on where something is; without it EEXIST', () => {
    const from = path.join(scratch, 'from');
    fs.mkdirSync(path.join(from, 'd'), { recursive: true });
    fs.writeFileSync(path.join(from, 'd', 'f'), 'new');
    fs.symlinkSync('x', path.join(from, 'd', 's'));
    const to = path.join(scratch, 'to');
    copy(from, to, use);
    expect(thrown(() => copy(from, to, use)).code).toBe('EEXIST');
    copy(from, to, use, true);
    expect(describeTree(to, use)).toEqual(describeTree(from, use));
  });

  test('a symlink in the target is never followed', () => {
    const outside = path.join(scratch, 'outside');
    const to = path.join(scratch, 'to');
    fs.mkdirSync(outside);
    fs.mkdirSync(to);
    fs.writeFileSync(path.join(outside, 'victim'), 'safe');
    fs.symlinkSync(outside, path.join(to, 'd'));
    fs.symlinkSync(path.join(outside, 'victim'), path.join(to, 'f'));
    const writer = new HostWriter(to, { native: use });
    expect(thrown(() => writer.createFile(writer.root, bytes('f'))).code).toBe('EEXIST');
    expect(thrown(() => writer.createDirectory(writer.root, bytes('d'))).code).toBe('EEXIST');
    writer.close();
    const replacing = new HostWriter(to, { native: use, replace: true });
    const d = replacing.createDirectory(replacing.root, bytes('d'));
    replacing.createFile(d, bytes('victim')).abandon();
    const made = replacing.createDirectory(replacing.root, bytes('late'));
    // Swapped for a symlink between making and using it.
    fs.rmdirSync(path.join(to, 'late'));
    fs.symlinkSync(outside, path.join(to, 'late'));
    expect(thrown(() => replacing.createFile(made, bytes('new'))).code).toBe('ENOTDIR');
    replacing.close();
    expect(fs.readdirSync(outside)).toEqual(['victim']);
    expect(fs.readFileSync(path.join(outside, 'victim'), 'utf8')).toBe('safe');
    expect(fs.lstatSync(path.join(to, 'd')).isDirectory()).toBe(true);
  });

  test('names that could leave the directory are refused', () => {
    const writer = new HostWriter(path.join(scratch, 'to'), { native: use });
    for (const name of ['', '.', '..', 'a/b', '/', 'a\0b', 'x'.repeat(256)]) {
      expect(thrown(() => writer.createFile(writer.root, bytes(name))).code).toBe('EINVAL');
      expect(thrown(() => writer.createDirectory(writer.root, bytes(name))).code).toBe('EINVAL');
    }
    const metadata = new HostTree(scratch, { native: use }).root;
    expect(thrown(() => writer.createSymlink(writer.root, bytes('s'), bytes('a\0b'), metadata)).code).toBe('EINVAL');
    expect(thrown(() => writer.createNode(writer.root, bytes('s'), 0, 0, metadata)).code).toBe('EINVAL');
    writer.close();
    expect(fs.readdirSync(path.join(scratch, 'to'))).toEqual([]);
  });

  test('order is by bytes, paths find entries, errors name the file', () => {
    const names = ['b', 'B', 'a', '\xc3\xa9', '\xff', 'aa', 'a!', '10', '9'];
    for (const name of names)
      fs.writeFileSync(Buffer.concat([Buffer.from(`${scratch}/`), bytes(name)]), name, 'latin1');
    const tree = new HostTree(scratch, { native: use });
    const found = tree.readDirectory(tree.root).map(({ name }) => Buffer.from(name).toString('latin1'));
    expect(found).toEqual(['10', '9', 'B', 'a', 'a!', 'aa', 'b', '\xc3\xa9', '\xff']);
    expect(tree.entryAt(bytes('/aa/')).size).toBe(2);
    expect(thrown(() => tree.entryAt(bytes('missing')))).toMatchObject({ code: 'ENOENT' });
    expect(thrown(() => tree.entryAt(bytes('a/b')))).toMatchObject({ code: 'ENOTDIR' });
    expect(thrown(() => tree.readDirectory(bytes('a')))).toMatchObject({ code: 'ENOTDIR' });
    expect(thrown(() => tree.openFile(tree.root))).toMatchObject({ code: 'EISDIR' });
    expect(thrown(() => tree.openFile(bytes('missing'))).message).toContain(`${scratch}/missing`);
    expect(thrown(() => new HostTree(path.join(scratch, 'missing'), { native: use })).code).toBe('ENOENT');
    expect(thrown(() => new HostTree(path.join(scratch, 'aa'), { native: use })).code).toBe('ENOTDIR');
    tree.close();
  });

  test('a file that changes while it is read', () => {
    const file = path.join(scratch, 'f');
    fs.writeFileSync(file, 'x'.repeat(1000));
    const tree = new HostTree(scratch, { native: use });
    const read = (change: () => void): HostTree => {
      const [entry] = tree.readDirectory(tree.root);
      change();
      const open = tree.openFile(entry!);
      try {
        open.readInto(new Uint8Array(entry!.size), 0);
      } finally {
        open.close();
      }
      return tree;
    };
    read(() => {});
    expect(tree.leftOut.counts.get('file changed while it was read')).toBeUndefined();
    read(() => fs.appendFileSync(file, 'more'));
    expect(tree.leftOut.counts.get('file changed while it was read')).toBe(1);
    const shorter = thrown(() => read(() => fs.truncateSync(file, 10)));
    expect(shorter).toEqual({ code: 'HOST_FILE_CHANGED', message: 'f became shorter while it was read' });
    const replaced = thrown(() =>
      read(() => {
        fs.writeFileSync(`${file}2`, 'y'.repeat(1000));
        fs.renameSync(`${file}2`, file);
      }),
    );
    expect(replaced).toEqual({ code: 'HOST_FILE_CHANGED', message: 'f was replaced while it was read' });
    // A fifo in its place must not make us wait.
    const fifo = thrown(() =>
      read(() => {
        fs.unlinkSync(file);
        execFileSync('mkfifo', [file]);
      }),
    );
    expect(fifo.message).toMatch(/cannot read|was replaced|became shorter/);
    expect(thrown(() => tree.openFile(bytes('f'))).code).toBe('EINVAL');
    tree.close();
  });

  test('random trees come back equal', () => {
    const name = fc
      .uint8Array({ minLength: 1, maxLength: 12 })
      .map((raw) => raw.map((byte) => (byte === 0 || byte === 0x2f ? 0x5f : byte)))
      .filter((raw) => !(raw[0] === 0x2e && raw.length < 3));
    const node = fc.record({
      name,
      kind: fc.constantFrom('file', 'directory', 'symlink', 'link'),
      content: fc.uint8Array({ maxLength: 64 }),
      offset: fc.integer({ min: 0, max: 200_000 }),
      into: fc.nat(),
    });
    let run = 0;
    fc.assert(
      fc.property(fc.array(node, { maxLength: 12 }), (nodes) => {
        const from = path.join(scratch, `from${++run}`);
        fs.mkdirSync(from);
        const directories = [Buffer.from(from)];
        const files: Buffer[] = [];
        for (const { name, kind, content, offset, into } of nodes) {
          const at = Buffer.concat([directories[into % directories.length]!, Buffer.from('/'), name]);
          if (fs.lstatSync(at, { throwIfNoEntry: false })) continue;
          if (kind === 'directory') {
            fs.mkdirSync(at);
            directories.push(at);
          } else if (kind === 'symlink') fs.symlinkSync(Buffer.from([...name, 0x2f]), at);
          else if (kind === 'link' && files.length > 0) fs.linkSync(files[into % files.length]!, at);
          else {
            const fd = fs.openSync(at, 'w');
            fs.writeSync(fd, content, 0, content.length, offset);
            fs.closeSync(fd);
            files.push(at);
          }
        }
        copy(from, path.join(scratch, `to${run}`), use);
        expect(describeTree(path.join(scratch, `to${run}`), use)).toEqual(describeTree(from, use));
      }),
      { numRuns: 25 },
    );
  });
});

describe.runIf(native)('with the C library', () => {
  test.runIf(isRoot)('attributes of every namespace, ACLs, devices, owners', (context) => {
    try {
      const probe = path.join(scratch, 'probe');
      execFileSync('mknod', [probe, 'c', '1', '3'], { stdio: 'ignore' });
      execFileSync('setfattr', ['-n', 'trusted.probe', '-v', 'x', probe], { stdio: 'ignore' });
      execFileSync('setfattr', ['-n', 'user.probe', '-v', 'x', scratch], { stdio: 'ignore' });
      execFileSync('setfacl', ['-m', 'u:1:r', scratch], { stdio: 'ignore' });
    } catch (error) {
      context.skip(`this root may not make devices or attributes, or attr and acl are missing: ${error}`);
    }
    const from = path.join(scratch, 'from');
    fs.mkdirSync(from);
    makeTree(from);
    const at = (name: string): string => path.join(from, name);
    execFileSync('mknod', [at('character'), 'c', '300', '70000']);
    execFileSync('mknod', [at('block'), 'b', '7', '3']);
    for (const name of ['directory', 'directory/file', 'empty file']) {
      execFileSync('setfattr', ['-n', 'user.text', '-v', 'value', at(name)]);
      execFileSync('setfattr', ['-n', 'user.empty', at(name)]);
      execFileSync('setfattr', ['-n', 'trusted.secret', '-v', `0x${'ff00'.repeat(500)}`, at(name)]);
      execFileSync('setfattr', ['-n', 'security.thing', '-v', '1', at(name)]);
    }
    // A list longer than what is asked for first.
    for (let i = 0; i < 40; i++)
      execFileSync('setfattr', ['-n', `user.attribute number ${i}`, '-v', `${i}`, at('holes')]);
    for (const name of ['symlink', 'character', 'fifo'])
      execFileSync('setfattr', ['-h', '-n', 'trusted.small', '-v', 'x', at(name)]);
    execFileSync('setfacl', ['-m', 'u:1234:rw,m:rw', at('directory/file')]);
    execFileSync('setfacl', ['-d', '-m', 'g:4321:r', at('directory')]);
    execFileSync('chown', ['-h', '1111:2222', at('symlink'), at('directory/file'), at('character')]);
    fs.chmodSync(at('directory/file'), 0o4761);
    execFileSync('setfattr', [
      '-n',
      'security.capability',
      '-v',
      '0x0100000202000000000000000000000000000000',
      at('holes'),
    ]);
    const writer = copy(from, path.join(scratch, 'to'), true);
    const want = describeTree(from, true);
    expect(describeTree(path.join(scratch, 'to'), true)).toEqual(want);
    expect(writer.leftOut.items).toEqual([]);
    const all = want.join('\n');
    for (const part of [
      'character 20644 1111:2222 300,70000',
      'block 60644 0:0 7,3',
      'security.capability=01000002',
      'system.posix_acl_default=',
    ])
      expect(all).toContain(part);
    expect(all).toMatch(/directory\/file file 104761 1111:2222 .*security.thing=31 system.posix_acl_access=0200/);
    expect(all.match(/user\.attribute number \d+=/g)?.length).toBe(40);
    expect(all).toContain('user.empty= user.text=76616c7565');
  });

  test('deeper than any path the host takes', () => {
    const writer = new HostWriter(path.join(scratch, 'deep'));
    const tree = new HostTree(scratch);
    const step = bytes('d'.repeat(100));
    const metadata = { ...tree.root, mode: 0o750, mtime: { seconds: 5, nanoseconds: 6 }, xattrs: [] };
    const chain = [writer.root];
    for (let i = 0; i < 300; i++) chain.push(writer.createDirectory(chain[i]!, step));
    writer.createFile(chain[300]!, bytes('bottom')).finish(7, metadata);
    writer.createSymlink(chain[300]!, bytes('link'), bytes('x'), metadata);
    for (const directory of chain.reverse()) writer.finishDirectory(directory, metadata);
    writer.close();
    expect(writer.leftOut.items).toEqual([]);
    let depth = 0;
    let seen = 0;
    const visit = (entry: HostEntry): void => {
      depth = Math.max(depth, entry.path.length);
      for (const child of tree.readDirectory(entry)) {
        expect([child.mtime, child.mode & 0o7777]).toEqual([metadata.mtime, child.target ? 0o777 : 0o750]);
        seen++;
        if (child.directory) visit(child);
        else if (!child.target) tree.openFile(child).close();
      }
      // Back up, long after this directory's descriptor was given away.
      expect(tree.readDirectory(entry).length).toBe(entry.directory!.depth === 301 ? 2 : 1);
    };
    visit(tree.entryAt(bytes('deep')));
    expect(seen).toBe(302);
    expect(depth).toBeGreaterThan(30_000);
    expect(tree.leftOut.items).toEqual([]);
    tree.close();
  });

  test('a directory moved away while its descriptor was given back is refused', () => {
    const tree = new HostTree(scratch);
    for (let i = 0; i < 70; i++) fs.mkdirSync(path.join(scratch, `d${i}`));
    const entries = tree.readDirectory(tree.root);
    for (const entry of entries) tree.readDirectory(entry);
    fs.renameSync(path.join(scratch, 'd0'), path.join(scratch, 'gone'));
    fs.mkdirSync(path.join(scratch, 'd0'));
    const [first] = entries;
    expect(Buffer.from(first!.name).toString()).toBe('d0');
    expect(thrown(() => tree.readDirectory(first!)).code).toBe('ESTALE');
    tree.close();
  });

  test('a file in many pieces, segment by segment', () => {
    const fd = fs.openSync(path.join(scratch, 'f'), 'w');
    for (let i = 0; i < 300; i++) fs.writeSync(fd, 'x', i * 131072 + 65536);
    fs.closeSync(fd);
    const tree = new HostTree(scratch);
    const file = tree.openFile(bytes('f'));
    const segments = file.segments();
    expect(segments.length).toBe(300);
    for (const [i, { offset, length }] of segments.entries()) {
      expect(offset).toBeLessThanOrEqual(i * 131072 + 65536);
      expect(offset + length).toBeGreaterThan(i * 131072 + 65536);
      expect(length).toBeLessThanOrEqual(65536);
    }
    expect(file.nextSegment(file.size)).toBeUndefined();
    file.close();
    tree.close();
  });

  test('reading leaves access times alone', () => {
    fs.writeFileSync(path.join(scratch, 'f'), 'x');
    const old = new Date('2000-01-01T00:00:00Z');
    fs.utimesSync(path.join(scratch, 'f'), old, new Date());
    describeTree(scratch, true);
    expect(fs.statSync(path.join(scratch, 'f')).atime).toEqual(old);
  });

  test.runIf(isRoot)('an ordinary user: what is refused is reported, set-id bits go with the owner', () => {
    const to = path.join(scratch, 'to');
    fs.chmodSync(scratch, 0o777);
    const { seteuid, setegid } = process;
    setegid!(65534);
    seteuid!(65534);
    try {
      const writer = new HostWriter(to);
      const metadata = {
        mode: 0o4755,
        uid: 0,
        gid: 0,
        atime: { seconds: 1, nanoseconds: 2 },
        mtime: { seconds: 3, nanoseconds: 4 },
        xattrs: [{ name: bytes('trusted.x'), value: bytes('v') }],
      };
      writer.createFile(writer.root, bytes('f')).finish(0, metadata);
      expect(writer.createNode(writer.root, bytes('dev'), 1, 3, { ...metadata, mode: 0o20666 })).toBe(false);
      writer.close();
      expect(writer.leftOut.items).toEqual([
        { path: 'f', what: 'owner: 0:0 EPERM' },
        { path: 'f', what: 'set-id bits: dropped with the owner' },
        { path: 'f', what: 'extended attribute: trusted.x EPERM' },
        { path: 'dev', what: 'device node: EPERM' },
      ]);
      expect(fs.statSync(path.join(to, 'f')).mode & 0o7777).toBe(0o755);
    } finally {
      seteuid!(0);
      setegid!(0);
    }
  });
});

test('without the C library everything lost is said', () => {
  const tree = new HostTree(scratch, { native: false });
  expect(tree.leftOut.summary()).toEqual([
    'extended attributes and ACLs: switched off',
    'holes (read as zeroes): switched off',
  ]);
  const writer = new HostWriter(path.join(scratch, 'to'), { native: false });
  const metadata = { ...tree.root, mode: 0o10600, xattrs: [{ name: bytes('user.x'), value: bytes('v') }] };
  expect(writer.createNode(writer.root, bytes('p'), 0, 0, metadata)).toBe(false);
  writer.createFile(writer.root, bytes('f')).finish(0, metadata);
  expect([...writer.leftOut.counts]).toEqual([
    ['nanoseconds of times', 1],
    ['fifo', 1],
    ['extended attribute', 1],
  ]);
});

test('the report is bounded and its counts exact', () => {
  const report = new LeftOut();
  for (let i = 0; i < LEFT_OUT_ITEMS + 5; i++) report.add(bytes(`f\x1b${i}`), 'owner', 'EPERM');
  expect(report.items.length).toBe(LEFT_OUT_ITEMS);
  expect(report.toJSON()).toMatchObject({ total: LEFT_OUT_ITEMS + 5, counts: { owner: LEFT_OUT_ITEMS + 5 } });
  expect(report.summary()).toEqual([`f\\x1b0: owner: EPERM (and ${LEFT_OUT_ITEMS + 4} more)`]);
});

test('byte order is memcmp', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 6 }), fc.uint8Array({ maxLength: 6 }), (a, b) => {
      expect(Math.sign(compareBytes(a, b))).toBe(Buffer.compare(a, b));
    }),
  );
});
