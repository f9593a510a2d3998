/**
 * Random file operations as data: done here on an image through the library, and by edit-ops.py through the kernel on a
 * mounted copy of it. Results (`ok` or the name of the error) and trees must be the same. Everything follows from a seed.
 */
import { fileURLToPath } from 'node:url';
import { MODE } from '../../formats/inode.ts';
import { CadastreError } from '../../lib/errors.ts';
import { lookupPath, resolvePath } from '../../lib/fs/lookup.ts';
import { putFile, truncate, writeAt } from '../../lib/volume/content.ts';
import type { Editor } from '../../lib/volume/editor.ts';
import { chmod, chown, removeXattr, setTimes, setXattr } from '../../lib/volume/metadata.ts';
import { create, link, rename, unlink } from '../../lib/volume/names.ts';
import { TreeRemover } from '../../lib/volume/tree-remove.ts';
import type { TreeEntry } from './digest.ts';
import { mustRun } from './oracle.ts';

/** One operation. Paths are latin-1 text that stands for bytes. */
export interface EditOperation {
  readonly op: string;
  readonly path: string;
  readonly [detail: string]: string | number;
}

const script = fileURLToPath(new URL('./edit-ops.py', import.meta.url));

/** Does the operations on a mounted directory; gives the results. */
export function editDirectory(directory: string, operations: readonly EditOperation[]): string[] {
  const input = operations.map((each) => JSON.stringify(each)).join('\n');
  return mustRun('python3', [script, directory], { input }).split('\n').slice(0, -1);
}

/** Does the operations on an image. */
export function editImage(editor: Editor, operations: readonly EditOperation[]): string[] {
  return operations.map((each) => {
    try {
      apply(editor, each);
      return 'ok';
    } catch (error) {
      if (!(error instanceof CadastreError) || !['file', 'no-space'].includes(error.family)) throw error;
      return error.code;
    }
  });
}

const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));

/** Content that follows from a seed: byte i is (seed + 7 i) mod 256. */
function pattern(seed: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = seed + 7 * i;
  return bytes;
}

function apply(editor: Editor, each: EditOperation): void {
  const { volume } = editor;
  const number = (name: string): number => each[name] as number;
  const text = (name: string): string => each[name] as string;
  const place = (path: string) => lookupPath(volume, bytesOf(path), 'never');
  const inodeOf = (path: string, follow = false) => resolvePath(volume, bytesOf(path), follow);
  const { directory, name } = place(each.path);
  switch (each.op) {
    case 'mkdir':
      create(editor, directory, name, { mode: MODE.DIR | number('mode') });
      break;
    case 'put': {
      let content = pattern(number('seed'), number('length'));
      putFile(editor, directory, name, { mode: number('mode') }, (into) => {
        const part = content.subarray(0, into.length);
        into.set(part);
        content = content.subarray(part.length);
        return part.length;
      });
      break;
    }
    case 'write': {
      const inode = inodeOf(each.path);
      if (inode.isSymlink) throw new CadastreError('file', 'ELOOP', 'not followed');
      writeAt(editor, inode.number, number('offset'), pattern(number('seed'), number('length')));
      break;
    }
    case 'truncate':
      truncate(editor, inodeOf(each.path, true).number, number('size'));
      break;
    case 'unlink':
      unlink(editor, directory, name);
      break;
    case 'rmdir':
      unlink(editor, directory, name, true);
      break;
    case 'rename': {
      const to = place(text('to'));
      rename(editor, directory, name, to.directory, to.name);
      break;
    }
    case 'link': {
      const source = inodeOf(each.path).number;
      const to = place(text('to'));
      link(editor, source, to.directory, to.name);
      break;
    }
    case 'symlink':
      create(editor, directory, name, { mode: MODE.SYMLINK | 0o777, target: bytesOf(text('target')) });
      break;
    case 'mknod':
      create(editor, directory, name, {
        mode: number('mode'),
        device: { major: number('major'), minor: number('minor') },
      });
      break;
    case 'chmod':
      chmod(editor, inodeOf(each.path, true).number, number('mode'));
      break;
    case 'chown':
      chown(editor, inodeOf(each.path).number, number('uid'), number('gid'));
      break;
    case 'utimes':
      setTimes(editor, inodeOf(each.path).number, timeOf(number('atime')), timeOf(number('mtime')));
      break;
    case 'setxattr': {
      const value = pattern(number('seed'), number('length'));
      setXattr(editor, inodeOf(each.path).number, bytesOf(text('name')), value);
      break;
    }
    case 'removexattr':
      removeXattr(editor, inodeOf(each.path).number, bytesOf(text('name')));
      break;
    case 'many': {
      const into = inodeOf(each.path).number;
      for (let i = 0; i < number('count'); i++) {
        create(editor, into, longName(i, number('pad')), { mode: MODE.FILE | 0o644 });
      }
      break;
    }
    case 'thin': {
      const from = inodeOf(each.path).number;
      for (let i = 0; i < number('count'); i += number('step')) unlink(editor, from, longName(i, number('pad')));
      break;
    }
    case 'rmtree': {
      const remover = new TreeRemover(editor, (error) => {
        throw error;
      });
      remover.remove(directory, name, bytesOf(each.path));
      break;
    }
    default:
      throw new Error(`no operation ${each.op}`);
  }
}

const longName = (i: number, pad: number): Uint8Array => bytesOf(String(i).padStart(5, '0') + 'n'.repeat(pad));
/** Microseconds since 1970. */
const timeOf = (microseconds: number) => ({
  seconds: Math.floor(microseconds / 1e6),
  nanoseconds: (((microseconds % 1e6) + 1e6) % 1e6) * 1000,
});

/** Numbers that follow from a seed. */
export function seeded(seed: number): (below: number) => number {
  let state = (seed * 2654435761 + 1) >>> 0;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % below;
  };
}

/** What an escaped path of a digest stands for. */
const unescapePath = (text: string): string =>
  text.replace(/%([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));

const NAMESPACES = ['user', 'trusted', 'security'];

/**
 * A list of operations for a tree with these objects. It does not know what becomes of them: some fail, and both sides must
 * agree on how.
 */
export function randomOperations(seed: number, tree: readonly TreeEntry[], count: number): EditOperation[] {
  const random = seeded(seed);
  const pick = <T>(list: readonly T[]): T => list[random(list.length)]!;
  // The kernel hands default ACLs down to what is made below them.
  const hasDefault = (path: string) =>
    tree.some(
      (entry) =>
        entry.xattrs?.['system.posix_acl_default'] && (path === entry.path || path.startsWith(`${entry.path}/`)),
    );
  const usable = tree.filter((entry) => !hasDefault(entry.path));
  const sample = (type: string, most: number) => {
    const all = usable
      .filter((entry) => entry.type === type && entry.path !== '/')
      .map((entry) => unescapePath(entry.path));
    return Array.from({ length: Math.min(most, all.length) }, () => pick(all));
  };
  const directories = ['', '/edit', ...sample('directory', 8)];
  const files = sample('file', 40);
  const others = [...sample('symlink', 5), ...sample('fifo', 2)];
  const operations: EditOperation[] = [{ op: 'mkdir', path: '/edit', mode: 0o755 }];
  const newName = () => {
    const length = random(6) === 0 ? 60 + random(190) : 1 + random(12);
    const odd = random(10) === 0 ? '\xe4\xff' : '';
    return `${pick(directories)}/n${random(60)}${odd}${'x'.repeat(random(3) === 0 ? Math.max(0, length - 5) : 0)}`;
  };
  const any = () =>
    random(8) === 0
      ? pick([...directories.slice(1), ...others, '/absent'])
      : pick(files.length > 0 ? files : ['/absent']);
  const size = () => pick([0, 1, 511, 4096, 70_000, 5000, 262_144, 1_300_000].slice(0, 5 + random(4)));
  const makers: [number, () => EditOperation][] = [
    [
      8,
      () =>
        made(files, {
          op: 'put',
          path: newName(),
          seed: random(256),
          length: size(),
          mode: pick([0o644, 0o600, 0o755]),
        }),
    ],
    [10, () => ({ op: 'write', path: any(), seed: random(256), length: size(), offset: random(400_000) })],
    [5, () => ({ op: 'truncate', path: any(), size: pick([0, 1, 4095, 4096, 100_000, 900_000, 5_000_000]) })],
    [6, () => ({ op: 'unlink', path: any() })],
    [2, () => ({ op: 'rmdir', path: pick(directories.slice(1)) })],
    [4, () => made(directories, { op: 'mkdir', path: newName(), mode: pick([0o755, 0o700, 0o2775]) })],
    [6, () => moved(files, { op: 'rename', path: any(), to: random(3) === 0 ? any() : newName() })],
    [2, () => moved(directories, { op: 'rename', path: pick(directories.slice(1)), to: newName() })],
    [4, () => moved(files, { op: 'link', path: any(), to: newName() })],
    [
      3,
      () =>
        made(others, { op: 'symlink', path: newName(), target: `../${'t'.repeat(1 + random(random(2) ? 30 : 900))}` }),
    ],
    [
      1,
      () =>
        made(others, {
          op: 'mknod',
          path: newName(),
          mode: pick([MODE.FIFO, MODE.SOCKET]) | 0o644,
          major: 0,
          minor: 0,
        }),
    ],
    [
      1,
      () =>
        made(others, {
          op: 'mknod',
          path: newName(),
          mode: pick([MODE.CHAR, MODE.BLOCK]) | 0o600,
          major: random(512),
          minor: random(300_000),
        }),
    ],
    [3, () => ({ op: 'chmod', path: any(), mode: pick([0o600, 0o755, 0o4755, 0o1777, 0o2755, 0]) })],
    [3, () => ({ op: 'chown', path: any(), uid: pick([0, 1000, 70_000]), gid: pick([0, 100, 4_000_000_000]) })],
    [
      2,
      () => ({
        op: 'utimes',
        path: any(),
        atime: random(2 ** 31) * 1000,
        mtime: 1_000_000_000_123_456 + random(2 ** 31),
      }),
    ],
    [
      8,
      () => ({
        op: 'setxattr',
        path: any(),
        name: `${pick(NAMESPACES)}.a${random(12)}${'y'.repeat(random(5) === 0 ? random(200) : 0)}`,
        seed: random(256),
        length: pick([0, 10, 200, 1500, 4000, 20_000]),
      }),
    ],
    [3, () => ({ op: 'removexattr', path: any(), name: `${pick(NAMESPACES)}.a${random(12)}` })],
  ];
  const total = makers.reduce((sum, [weight]) => sum + weight, 0);
  while (operations.length < count) {
    let at = random(total);
    const maker = makers.find(([weight]) => (at -= weight) < 0)!;
    operations.push(maker[1]());
  }
  // Directories through all their forms, and back.
  const many = { path: '/big', count: 700, pad: 40 };
  operations.push(
    { op: 'mkdir', path: '/big', mode: 0o755 },
    { op: 'many', ...many },
    { op: 'thin', ...many, step: 3 },
  );
  operations.push({ op: 'rmtree', path: pick(directories.slice(1)) });
  operations.push({ op: 'mkdir', path: '/gone', mode: 0o755 }, { op: 'many', ...many, path: '/gone', count: 400 });
  operations.push({ op: 'rmtree', path: '/gone' });
  return operations;
}

function made(list: string[], operation: EditOperation): EditOperation {
  list.push(operation.path);
  return operation;
}

function moved(list: string[], operation: EditOperation): EditOperation {
  list.push(operation.to as string);
  return operation;
}
