/**
 * The same random script of fs calls against Node's own fs in a scratch directory and against an image: results, errors (code,
 * errno, syscall, paths, wording) and the final trees are equal, in the synchronous, the callback and the promise form; and
 * the image is clean afterwards, for our check and for xfs_repair.
 *
 * Known and left out: which syscall rm and cp name in an error, access times after reads (the image keeps them), sizes and link counts of directories, readdir
 * `recursive` without types (Node follows symlinks there), the syscall realpath names when not native.
 */
import nodeFs from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { check } from '../../lib/check/check.ts';
import type { OverlayDevice } from '../../lib/device/overlay.ts';
import { type ImageFs, openImage } from '../../lib/fs/node/open-image.ts';
import { bytesOf, emptyImage } from '../support/empty-image.ts';
import { requireOracle, withTempDir, xfsRepairCheck } from '../support/oracle.ts';

/** Both sides as the script sees them: calls by name. */
type Calls = Record<string, (...args: unknown[]) => unknown> & {
  promises: Record<string, (...args: unknown[]) => unknown>;
};
type Form = 'sync' | 'callback' | 'promise';

/** One step: a call with its arguments; paths are relative to the script's directory, descriptors are slots. */
interface Step {
  call: string;
  args: unknown[];
  /** Positions of paths among the arguments. */
  paths: number[];
  /** The first argument is a slot, or (open) the result goes into one. */
  slot?: number;
  form: Form;
}

/** So deep that a `..` behind a symlink stays inside the scratch directory. */
const BASE = '/r0/r1/r2/r3';
/** Scripts in each part of the test. */
const RUNS = Number(process.env.CADASTRE_FS_RUNS ?? 15);
const hasRepair = requireOracle('xfsprogs');

const name = fc.constantFrom('a', 'b', 'c', 'd', 'l', 'm', 'naïve ☃', 'x'.repeat(255));
const path = fc.oneof(
  { weight: 6, arbitrary: name },
  { weight: 6, arbitrary: fc.tuple(name, name).map((parts) => parts.join('/')) },
  { weight: 3, arbitrary: fc.tuple(name, name, name).map((parts) => parts.join('/')) },
  { weight: 1, arbitrary: name.map((one) => `${one}/`) },
  { weight: 1, arbitrary: fc.tuple(name, name).map(([one, other]) => `${one}/../${other}`) },
  { weight: 1, arbitrary: fc.tuple(name, name).map(([one, other]) => `${one}//./${other}`) },
  { weight: 1, arbitrary: fc.constantFrom('', '.', 'x'.repeat(256), `a/${'y'.repeat(300)}`) },
);
/** Names that fit: where Node asks of both paths at once, which of two errors comes is chance. */
const fitting = fc
  .tuple(fc.constantFrom('a', 'b', 'c', 'l'), fc.constantFrom('', '/a', '/b', '/m'))
  .map((parts) => parts.join(''));
const target = fc.constantFrom('a', 'b', 'c/d', './l', 'm', 'nowhere', 'b/../c', 'z'.repeat(900));
const mode = fc.constantFrom(0o777, 0o755, 0o644, 0o600, 0o4755, 0o2775, 0o1777, 0o700);
const size = fc.oneof(fc.nat(300), fc.constantFrom(0, 4095, 4096, 4097, 20_000, 70_000));
const data = fc.tuple(size, fc.nat(255)).map(([length, fill]) => Buffer.alloc(length, fill));
/** Writing nothing: Node's forms differ in whether that is tried. */
const someData = fc.tuple(size, fc.nat(255)).map(([length, fill]) => Buffer.alloc(length + 1, fill));
const time = fc.oneof(
  fc.integer({ min: 0, max: 4_000_000_000 }),
  fc.double({ min: 0, max: 4e9, noNaN: true }),
  fc.date({ min: new Date(-1e12), max: new Date(4e12), noInvalidDate: true }),
  fc.constantFrom('1234567890', '12.5'),
);
const flags = fc.constantFrom('r', 'r+', 'w', 'wx', 'w+', 'wx+', 'a', 'ax', 'a+', 'as+');
const anyForm = fc.constantFrom<Form>('sync', 'sync', 'callback', 'promise');

/** A call on paths. */
function on(
  call: string,
  args: fc.Arbitrary<unknown>[],
  paths = [0],
  forms: fc.Arbitrary<Form> = anyForm,
): fc.Arbitrary<Step> {
  return fc.record({ call: fc.constant(call), args: fc.tuple(...args), paths: fc.constant(paths), form: forms });
}
/** A call on an open file. */
function onFile(call: string, ...args: fc.Arbitrary<unknown>[]): fc.Arbitrary<Step> {
  return fc.record({
    call: fc.constant(call),
    args: fc.tuple(fc.constant(0), ...args),
    paths: fc.constant([]),
    slot: fc.nat(3),
    // The callback form of readFile on a descriptor that is not open fails inside Node itself.
    form: call === 'readFile' ? fc.constant<Form>('sync') : fc.constantFrom<Form>('sync', 'callback'),
  });
}
const position = fc.oneof(fc.constant(null), size);
const options = (fields: Record<string, fc.Arbitrary<unknown>>) => fc.record(fields, { requiredKeys: [] });

const step = fc.oneof<fc.MaybeWeightedArbitrary<Step>[]>(
  { weight: 6, arbitrary: on('writeFile', [path, someData, options({ flag: flags, mode })]) },
  { weight: 2, arbitrary: on('appendFile', [path, someData]) },
  { weight: 3, arbitrary: on('readFile', [path]) },
  { weight: 1, arbitrary: on('readFile', [path, fc.constantFrom('utf8', 'hex', 'latin1', 'base64')]) },
  { weight: 5, arbitrary: on('mkdir', [path, fc.oneof(fc.constant(undefined), mode)]) },
  {
    weight: 3,
    arbitrary: on('mkdir', [path, options({ recursive: fc.constant(true), mode })], [0], fc.constant('sync')),
  },
  { weight: 2, arbitrary: on('rmdir', [path]) },
  { weight: 2, arbitrary: on('rm', [fitting, options({ recursive: fc.boolean(), force: fc.boolean() })]) },
  { weight: 4, arbitrary: on('unlink', [path]) },
  { weight: 6, arbitrary: on('rename', [path, path], [0, 1]) },
  { weight: 4, arbitrary: on('link', [path, path], [0, 1]) },
  { weight: 4, arbitrary: on('symlink', [target, path], [1]) },
  { weight: 2, arbitrary: on('readlink', [path]) },
  { weight: 2, arbitrary: on('readdir', [path]) },
  {
    weight: 1,
    arbitrary: on('readdir', [path, options({ withFileTypes: fc.constant(true), recursive: fc.boolean() })]),
  },
  { weight: 1, arbitrary: on('readdir', [path, fc.constant('buffer')]) },
  { weight: 2, arbitrary: on('stat', [path, options({ bigint: fc.boolean() })]) },
  { weight: 2, arbitrary: on('lstat', [path, options({ throwIfNoEntry: fc.boolean() })], [0], fc.constant('sync')) },
  { weight: 2, arbitrary: on('chmod', [path, fc.oneof(mode, fc.constant('640'))]) },
  { weight: 2, arbitrary: on('chown', [path, fc.constantFrom(0, 7, -1), fc.constantFrom(0, 9, -1)]) },
  { weight: 1, arbitrary: on('lchown', [path, fc.constantFrom(0, 7), fc.constantFrom(0, 9)]) },
  { weight: 2, arbitrary: on('utimes', [path, time, time]) },
  { weight: 1, arbitrary: on('lutimes', [path, time, time]) },
  { weight: 2, arbitrary: on('truncate', [path, size]) },
  { weight: 3, arbitrary: on('copyFile', [path, path, fc.constantFrom(0, 1, 2, 3)], [0, 1]) },
  { weight: 1, arbitrary: on('access', [path, fc.constantFrom(0, 1, 2, 4, 7)]) },
  { weight: 1, arbitrary: on('exists', [path], [0], fc.constantFrom('sync')) },
  { weight: 1, arbitrary: on('realpath', [path], [0], fc.constant('promise')) },
  {
    weight: 2,
    arbitrary: on(
      'cp',
      [
        fitting,
        fitting,
        options({
          recursive: fc.constant(true),
          force: fc.boolean(),
          errorOnExist: fc.boolean(),
          preserveTimestamps: fc.boolean(),
        }).map((given) => ({ ...given, verbatimSymlinks: true })),
      ],
      [0, 1],
      fc.constantFrom('sync', 'promise'),
    ),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      call: fc.constant<string>('open'),
      args: fc.tuple<unknown[]>(path, flags, mode),
      paths: fc.constant<number[]>([0]),
      slot: fc.nat(3),
      form: fc.constantFrom<Form>('sync', 'callback'),
    }),
  },
  { weight: 2, arbitrary: onFile('close') },
  { weight: 4, arbitrary: onFile('write', data, position) },
  { weight: 1, arbitrary: onFile('write', fc.string(), position, fc.constantFrom('utf8', 'latin1')) },
  {
    weight: 3,
    arbitrary: onFile(
      'read',
      size.map((length) => new Uint8Array(length + 1)),
      position,
    ),
  },
  { weight: 2, arbitrary: onFile('ftruncate', size) },
  { weight: 1, arbitrary: onFile('fstat') },
  { weight: 1, arbitrary: onFile('fchmod', mode) },
  { weight: 1, arbitrary: onFile('fchown', fc.constantFrom(0, 7), fc.constantFrom(0, 9)) },
  { weight: 1, arbitrary: onFile('futimes', time, time) },
  { weight: 1, arbitrary: onFile('fsync') },
  { weight: 1, arbitrary: onFile('readFile') },
  { weight: 1, arbitrary: onFile('writeFile', someData) },
);

const NOT_REACHED: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG']);

/** One side of the comparison: where its script runs, and what it has open. */
class Side {
  readonly calls: Calls;
  readonly root: string;
  readonly slots: (number | undefined)[] = [];

  constructor(calls: unknown, root: string) {
    this.calls = calls as Calls;
    this.root = root;
    (calls as ImageFs).mkdirSync(root + BASE, { recursive: true });
  }

  /** The outcome of a step in a form that can be compared. */
  async run({ call, args, paths, slot, form }: Step): Promise<unknown> {
    const given = args.map((arg, i) => {
      if (paths.includes(i)) return arg === '' ? '' : `${this.root}${BASE}/${String(arg)}`;
      return ArrayBuffer.isView(arg) && call === 'read' ? Buffer.alloc(arg.byteLength) : arg;
    });
    // (fd, buffer, position) is what varies; offset and length go between.
    const view = given[1];
    if (slot !== undefined && given.length === 3 && view instanceof Uint8Array) given.splice(2, 0, 0, view.length);
    const isOpen = call === 'open';
    // 99999: no such descriptor on either side.
    if (slot !== undefined && !isOpen) given[0] = this.slots[slot] ?? 99999;
    // Node removes a file over which a directory could not be copied; the image keeps it.
    if (call === 'copyFile' && this.#isDirectory(given[0] as string)) return 'not asked';
    let outcome: unknown;
    try {
      outcome = await this.#call(call, given, form);
    } catch (error) {
      // Made of several calls: which of them says it differs between Node's own forms.
      if (call !== 'rm' && call !== 'cp') return this.#plain(error);
      const { code = '' } = error as NodeJS.ErrnoException;
      // Node looks at both paths at a time; when neither can be reached, chance says which is named.
      const isRace =
        call === 'cp' &&
        form !== 'sync' &&
        NOT_REACHED.has(code) &&
        given.slice(0, 2).every((at) => !this.#isThere(at as string));
      return isRace ? 'neither can be reached' : code;
    }
    if (isOpen && slot !== undefined) {
      const old = this.slots[slot];
      if (old !== undefined) this.calls.closeSync!(old);
      this.slots[slot] = outcome as number;
      return 'a descriptor';
    }
    if (call === 'close' && slot !== undefined) this.slots[slot] = undefined;
    if (call.endsWith('times')) {
      // Only now is the access time the same on both sides.
      const stat = (call === 'futimes' ? 'fstatSync' : call === 'lutimes' ? 'lstatSync' : 'statSync') as 'statSync';
      const { atimeNs, mtimeNs } = this.calls[stat]!(given[0], { bigint: true }) as nodeFs.BigIntStats;
      // The way to a symlink may lead through itself (c/../c): looking at it is then an access on the host.
      const isThroughItself = call === 'lutimes' && (given[0] as string).includes('/../');
      return [isThroughItself ? 'not asked' : String(atimeNs), String(mtimeNs)];
    }
    const result = this.#plain(outcome);
    // Node keeps a slash at the end of the first directory made.
    if (call === 'mkdir' && typeof result === 'string') return result.replace(/\/+$/, '');
    return call === 'read' ? [result, this.#plain(given[1])] : result;
  }

  #call(call: string, args: unknown[], form: Form): unknown {
    if (form === 'sync') return this.calls[`${call}Sync`]!(...args);
    if (form === 'promise') return this.calls.promises[call]!(...args);
    return new Promise((resolve, reject) => {
      const options = [...args];
      while (options.at(-1) === undefined) options.pop();
      this.calls[call]!(...options, (error: Error | null, result: unknown) =>
        error ? reject(error) : resolve(result),
      );
    });
  }

  #isDirectory(at: string): boolean {
    const stat = this.calls.statSync as nodeFs.StatSyncFn;
    try {
      return stat(at).isDirectory();
    } catch {
      return false;
    }
  }

  #isThere(at: string): boolean {
    try {
      (this.calls.lstatSync as nodeFs.StatSyncFn)(at);
      return true;
    } catch {
      return false;
    }
  }

  #text(text: string): string {
    return text.replaceAll(this.root + BASE, BASE);
  }

  #plain(value: unknown): unknown {
    if (typeof value === 'string') return this.#text(value);
    if (typeof value !== 'object' || value === null) return value;
    if (value instanceof Error) {
      const { code, errno, syscall, path: at, dest, message } = value as NodeJS.ErrnoException & { dest?: string };
      return this.#plain({ code, errno, syscall, path: at, dest, message });
    }
    if (value instanceof Uint8Array) return `bytes ${value.length} ${Buffer.from(value).toString('base64')}`;
    if (Array.isArray(value)) return value.map((one) => this.#plain(one)).sort(order);
    if ('nlink' in value) return statOf(value as nodeFs.Stats);
    if ('parentPath' in value) {
      const entry = value as nodeFs.Dirent;
      return { name: entry.name, in: this.#text(entry.parentPath), kind: kindOf(entry) };
    }
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, this.#plain(one)]));
  }

  /** Everything below the script's directory. */
  tree(): unknown[] {
    const fs = this.calls as unknown as ImageFs;
    const list: unknown[] = [];
    const visit = (directory: string): void => {
      for (const entry of (fs.readdirSync(directory) as string[]).sort()) {
        const at = `${directory}/${entry}`;
        const stat = fs.lstatSync(at);
        const content = stat.isFile()
          ? fs.readFileSync(at).toString('base64')
          : stat.isSymbolicLink()
            ? fs.readlinkSync(at)
            : '';
        list.push({ path: this.#text(at), ...(statOf(stat) as object), content });
        if (stat.isDirectory()) visit(at);
      }
    };
    visit(this.root + BASE);
    return list;
  }

  closeAll(): void {
    for (const fd of this.slots) if (fd !== undefined) this.calls.closeSync!(fd);
    this.slots.length = 0;
  }
}

const order = (a: unknown, b: unknown): number => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);

function kindOf(entry: nodeFs.Dirent | nodeFs.Stats): string {
  return entry.isFile() ? 'file' : entry.isDirectory() ? 'directory' : entry.isSymbolicLink() ? 'symlink' : 'other';
}

function statOf(stat: nodeFs.Stats): unknown {
  const kind = kindOf(stat);
  const isDirectory = kind === 'directory';
  const { mode: bits, uid, gid } = stat;
  return {
    kind,
    mode: String(bits),
    uid: String(uid),
    gid: String(gid),
    nlink: isDirectory ? '' : String(stat.nlink),
    size: isDirectory ? '' : String(stat.size),
  };
}

describe.each(['cadastre', 'xfs'] as const)('fs calls on a %s image', (dialect) => {
  let scratch: string;
  let umask: number;
  beforeAll(() => {
    umask = process.umask(0o022);
    scratch = nodeFs.mkdtempSync('/tmp/cadastre-fs-');
  });
  afterAll(() => {
    process.umask(umask);
    nodeFs.rmSync(scratch, { recursive: true, force: true });
  });

  const isRoot = process.getuid?.() === 0;

  /** Runs the script on both sides. @returns the image, unmounted. */
  async function compare(steps: Step[]): Promise<OverlayDevice> {
    const device = emptyImage({ dialect });
    const host = new Side(nodeFs, nodeFs.mkdtempSync(join(scratch, 's-')));
    const image = openImage(device, { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 });
    const ours = new Side(image, '');
    try {
      for (const [i, each] of steps.entries()) {
        const expected = await host.run(each);
        expect(await ours.run(each), `step ${i}: ${each.form} ${each.call}(${describeArgs(each)})`).toEqual(expected);
      }
      expect(ours.tree()).toEqual(host.tree());
    } finally {
      host.closeAll();
      image.unmount(); // closes what is open: unlinked files go now
      nodeFs.rmSync(host.root, { recursive: true, force: true });
    }
    return device;
  }

  it.runIf(isRoot && process.platform === 'linux').each([1, 2, 3])('do what Node does, part %i', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 120, size: 'max' }), async (steps) => {
        const device = await compare(steps);
        expect(check(device, { data: true }).problems).toEqual([]);
      }),
      { numRuns: RUNS },
    );
  });

  if (dialect === 'cadastre') return;
  it.runIf(isRoot && hasRepair)('leave an image that xfs_repair finds clean', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 200, size: 'max' }), async (steps) => {
        const device = await compare(steps);
        withTempDir((directory) => {
          const file = join(directory, 'image');
          nodeFs.writeFileSync(file, bytesOf(device));
          expect(xfsRepairCheck(file)).toEqual({ ok: true, output: '' });
        });
      }),
      { numRuns: 4 },
    );
  });
});

function describeArgs({ args }: Step): string {
  return args.map((arg) => (ArrayBuffer.isView(arg) ? `bytes ${arg.byteLength}` : JSON.stringify(arg))).join(', ');
}
