/**
 * Random work on an image through the Editor's operations, and the same on the model. Everything follows from a seed.
 * After each operation the model's state is kept, with the number of device events there were.
 */
import { MODE } from '../../formats/inode.ts';
import type { Device } from '../../lib/device/device.ts';
import { seededRandom } from '../../lib/device/recorder.ts';
import { CadastreError } from '../../lib/errors.ts';
import { allocateUnwritten, punchHole } from '../../lib/file/truncate.ts';
import { putFile, truncate, writeAt } from '../../lib/volume/content.ts';
import { Editor } from '../../lib/volume/editor.ts';
import { chmod, removeXattr, setXattr } from '../../lib/volume/metadata.ts';
import { create, link, rename, unlink } from '../../lib/volume/names.ts';
import { type DirectoryNode, type FileNode, type Node, type State, TreeModel, valueText } from './model.ts';

const encoder = new TextEncoder();
const bytesOf = (name: string): Uint8Array => encoder.encode(name);

/** What kind of work is done; weights of the operations. */
export interface WorkloadKind {
  readonly name: string;
  readonly weights: Readonly<Partial<Record<Operation, number>>>;
  /** Names are drawn from so many; long ones make directories large. */
  readonly names: number;
  readonly nameLength: number;
  readonly maxFile: number;
}

export type Operation =
  | 'put'
  | 'write'
  | 'append'
  | 'overwrite'
  | 'scatter'
  | 'punch'
  | 'preallocate'
  | 'truncate'
  | 'rename'
  | 'link'
  | 'unlink'
  | 'symlink'
  | 'mkdir'
  | 'rmdir'
  | 'chmod'
  | 'setxattr'
  | 'removexattr'
  | 'sync'
  | 'reopen';

const COMMON = { sync: 6, reopen: 0.5 } as const;
export const WORKLOADS: readonly WorkloadKind[] = [
  {
    name: 'mixed',
    names: 12,
    nameLength: 8,
    maxFile: 200_000,
    weights: {
      ...COMMON,
      put: 6,
      write: 6,
      append: 6,
      overwrite: 6,
      scatter: 1,
      punch: 2,
      preallocate: 2,
      truncate: 5,
      rename: 8,
      link: 4,
      unlink: 8,
      symlink: 3,
      mkdir: 4,
      rmdir: 2,
      chmod: 2,
      setxattr: 6,
      removexattr: 4,
    },
  },
  {
    name: 'names',
    names: 400,
    nameLength: 40,
    maxFile: 3000,
    weights: { ...COMMON, put: 30, link: 6, unlink: 22, symlink: 8, rename: 12, mkdir: 1, rmdir: 1 },
  },
  {
    name: 'extents',
    names: 4,
    nameLength: 6,
    maxFile: 600_000,
    weights: {
      ...COMMON,
      put: 2,
      scatter: 10,
      overwrite: 10,
      append: 4,
      punch: 12,
      preallocate: 4,
      truncate: 4,
      unlink: 3,
    },
  },
  {
    name: 'xattrs',
    names: 5,
    nameLength: 6,
    maxFile: 20_000,
    weights: {
      ...COMMON,
      put: 3,
      setxattr: 30,
      removexattr: 16,
      unlink: 3,
      symlink: 2,
      mkdir: 1,
      scatter: 2,
      truncate: 2,
    },
  },
];

/** For images that are full already. */
export const FULL: WorkloadKind = {
  name: 'full',
  names: 60,
  nameLength: 30,
  maxFile: 2_000_000,
  weights: {
    sync: 5,
    put: 15,
    append: 12,
    overwrite: 12,
    write: 4,
    preallocate: 3,
    punch: 2,
    setxattr: 12,
    removexattr: 2,
    mkdir: 6,
    symlink: 6,
    link: 6,
    rename: 8,
    unlink: 2,
    truncate: 2,
  },
};

/** One operation of the history. */
export interface Step {
  readonly what: string;
  /** Device events before it began and when it was over. */
  readonly from: number;
  readonly to: number;
}

export class Workload {
  readonly model: TreeModel;
  /** states[i] is what the user sees after i operations; steps[i] leads from it to the next. */
  readonly states: State[];
  readonly steps: Step[] = [];
  /** [events, state]: from so many events on, at least this state is durable. */
  readonly durable: [number, number][];
  /** Operations that ended in ENOSPC. */
  refused = 0;
  editor: Editor;
  readonly #device: Device & { events: readonly unknown[] };
  readonly #kind: WorkloadKind;
  readonly #random: () => number;
  #clock = 0;
  #what = '';

  constructor(
    device: Device & { events: readonly unknown[] },
    kind: WorkloadKind,
    seed: number,
    model = new TreeModel(),
  ) {
    this.#device = device;
    this.#kind = kind;
    this.#random = seededRandom(seed);
    this.model = model;
    this.states = [model.snapshot()];
    this.durable = [[0, 0]];
    this.editor = this.#open();
  }

  #open(): Editor {
    return Editor.open(this.#device, {
      now: () => ({ seconds: 1_700_000_000 + this.#clock, nanoseconds: 0 }),
      generation: () => this.#int(2 ** 31),
      cacheBytes: 1 << 20,
    });
  }

  /** Do `count` operations. */
  run(count: number): void {
    for (let i = 0; i < count; i++) this.step();
  }

  close(): void {
    this.editor.close();
    this.#isDurable();
  }

  #isDurable(): void {
    this.durable.push([this.#device.events.length, this.states.length - 1]);
  }

  /** One operation on both; ENOSPC must leave the image as it was, so the model stays too. */
  step(): void {
    this.#clock++;
    const from = this.#device.events.length;
    const operation = this.#choose();
    this.#what = operation;
    try {
      this.#do(operation);
    } catch (error) {
      if (!(error instanceof CadastreError) || error.family !== 'no-space')
        throw new Error(
          `step ${this.steps.length} (${this.#what}): ${error instanceof Error ? error.message : error}`,
          {
            cause: error,
          },
        );
      this.refused++;
      this.#what += ' ENOSPC';
    }
    this.steps.push({ what: this.#what, from, to: this.#device.events.length });
    this.states.push(this.model.snapshot());
    if (operation === 'sync' || operation === 'reopen') this.#isDurable();
  }

  #int(below: number): number {
    return Math.floor(this.#random() * below);
  }
  #pick<T>(list: readonly T[]): T | undefined {
    return list[this.#int(list.length)];
  }

  #choose(): Operation {
    const entries = Object.entries(this.#kind.weights) as [Operation, number][];
    let at = this.#random() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [operation, weight] of entries) {
      at -= weight;
      if (at < 0) return operation;
    }
    return 'sync';
  }

  #content(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    // Each sector is unlike every other one, so that a mixture shows.
    let word = this.#int(2 ** 31);
    for (let i = 0; i < length; i++) {
      if (i % 64 === 0) word = (Math.imul(word, 1103515245) + 12345) >>> 0;
      bytes[i] = (word >>> 16) + i;
    }
    return bytes;
  }

  #size(): number {
    const most = this.#kind.maxFile;
    const draw = this.#random();
    if (draw < 0.15) return 0;
    if (draw < 0.6) return this.#int(Math.min(most, 6000));
    return this.#int(most / 4);
  }

  #directories(): DirectoryNode[] {
    const list = [this.model.root];
    for (const { node } of this.model.walk()) if (node.kind === 'directory') list.push(node);
    return list;
  }

  #names(filter: (node: Node) => boolean): { parent: DirectoryNode; name: string; node: Node }[] {
    return [...this.model.walk()].filter(({ node }) => filter(node));
  }

  #newName(): string {
    const number = this.#int(this.#kind.names);
    return `${number}${'x'.repeat(number % this.#kind.nameLength)}`;
  }

  /** Inode number of a directory of the model. */
  #inode(directory: DirectoryNode): number {
    return this.editor.volume.resolve(this.#pathOf(directory)).number;
  }

  #pathOf(node: Node): string {
    if (node === this.model.root) return '/';
    for (const each of this.model.walk()) if (each.node === node) return each.path;
    throw new Error('the model lost a node');
  }

  #numberOf(node: Node): number {
    return this.editor.volume.resolve(this.#pathOf(node), false).number;
  }

  #do(operation: Operation): void {
    const { editor, model } = this;
    switch (operation) {
      case 'sync':
        editor.sync();
        return;
      case 'reopen':
        editor.close();
        this.editor = this.#open();
        return;
      case 'put': {
        const parent = this.#pick(this.#directories())!;
        const name = this.#newName();
        const old = parent.entries.get(name);
        if (old?.kind === 'directory') return;
        const content = this.#content(this.#size());
        this.#what = `put ${this.#pathOf(parent)} ${name} ${content.length}`;
        let at = 0;
        putFile(editor, this.#inode(parent), bytesOf(name), { mode: 0o644 }, (into) => {
          const count = Math.min(into.length, content.length - at);
          into.set(content.subarray(at, at + count));
          at += count;
          return count;
        });
        if (old) old.links--;
        parent.entries.set(name, model.file(0o644, content));
        return;
      }
      case 'write':
      case 'append':
      case 'overwrite':
      case 'scatter':
      case 'punch':
      case 'preallocate':
      case 'truncate':
        this.#changeContent(operation);
        return;
      case 'mkdir':
      case 'symlink': {
        const parent = this.#pick(this.#directories())!;
        const name = this.#newName();
        if (parent.entries.has(name) || (operation === 'mkdir' && this.#directories().length > 12)) return;
        this.#what = `${operation} ${this.#pathOf(parent)} ${name}`;
        const target = 't'.repeat(1 + this.#int(this.#random() < 0.6 ? 100 : 1000));
        const isDirectory = operation === 'mkdir';
        const mode = isDirectory ? MODE.DIR | 0o755 : MODE.SYMLINK | 0o777;
        create(editor, this.#inode(parent), bytesOf(name), {
          mode,
          ...(isDirectory ? {} : { target: bytesOf(target) }),
        });
        parent.entries.set(name, isDirectory ? model.directory(0o755) : model.symlink(target));
        return;
      }
      case 'link': {
        const source = this.#pick(this.#names((node) => node.kind !== 'directory'));
        const parent = this.#pick(this.#directories())!;
        const name = this.#newName();
        if (!source || parent.entries.has(name)) return;
        this.#what = `link ${this.#pathOf(source.node)} ${this.#pathOf(parent)} ${name}`;
        link(editor, this.#numberOf(source.node), this.#inode(parent), bytesOf(name));
        if (source.node.kind !== 'directory') source.node.links++;
        parent.entries.set(name, source.node);
        return;
      }
      case 'unlink':
      case 'rmdir': {
        const isDirectory = operation === 'rmdir';
        const wanted = (node: Node) => (node.kind === 'directory') === isDirectory;
        const victim = this.#pick(
          this.#names((node) => wanted(node) && (node.kind !== 'directory' || node.entries.size === 0)),
        );
        if (!victim) return;
        this.#what = `${operation} ${this.#pathOf(victim.node)}`;
        unlink(editor, this.#inode(victim.parent), bytesOf(victim.name), isDirectory);
        if (victim.node.kind !== 'directory') victim.node.links--;
        victim.parent.entries.delete(victim.name);
        return;
      }
      case 'rename':
        this.#rename();
        return;
      case 'chmod': {
        const target = this.#pick(this.#names((node) => node.kind !== 'symlink'));
        if (!target) return;
        const mode = this.#int(0o1000);
        this.#what = `chmod ${this.#pathOf(target.node)} ${mode}`;
        chmod(editor, this.#numberOf(target.node), mode);
        target.node.mode = mode;
        return;
      }
      case 'setxattr':
      case 'removexattr':
        this.#changeXattr(operation);
        return;
    }
  }

  #changeContent(operation: Operation): void {
    const { editor } = this;
    const found = this.#pick(this.#names((node) => node.kind === 'file'));
    if (!found) return;
    const node = found.node as FileNode;
    const number = this.#numberOf(node);
    const { length } = node.content;
    const most = this.#kind.maxFile;
    const { blockSize } = editor.volume.geometry;
    this.#what = `${operation} ${this.#pathOf(node)} (${length})`;
    if (operation === 'truncate') {
      const size = this.#random() < 0.5 ? this.#int(length + 1) : this.#int(most);
      this.#what += ` to ${size}`;
      truncate(editor, number, size);
      node.content = resized(node.content, size);
      return;
    }
    if (operation === 'preallocate') {
      const offset = this.#int(most / 2);
      const count = 1 + this.#int(most / 8);
      this.#what += ` ${offset}+${count}`;
      editor.chain((tx, units) =>
        allocateUnwritten(tx, editor.space, editor.data, editor.inode(tx, number), offset, count, true, units),
      );
      return;
    }
    if (operation === 'punch') {
      // Whole blocks, at once: pieces of a hole could be seen after a crash.
      const first = this.#int(length / blockSize + 1);
      const count = 1 + this.#int(8);
      this.#what += ` blocks ${first}+${count}`;
      editor.transact((tx) =>
        punchHole(tx, editor.space, editor.data, editor.inode(tx, number), first * blockSize, count * blockSize, 1000),
      );
      const content = node.content.slice();
      content.fill(0, first * blockSize, (first + count) * blockSize);
      node.content = content;
      return;
    }
    if (operation === 'scatter') {
      // One block here, one there: the extent list becomes a tree. Each write is a step of its own.
      const start = this.#int(4);
      for (let i = start; i < 60 && i * 2 * blockSize < most; i++) {
        if (i > start) this.#between(`scatter ${i}`);
        const bytes = this.#content(blockSize);
        writeAt(editor, number, i * 2 * blockSize, bytes);
        node.content = written(node.content, i * 2 * blockSize, bytes);
      }
      return;
    }
    const offset =
      operation === 'append' ? length : operation === 'overwrite' ? this.#int(length + 1) : this.#int(most / 2);
    const bytes = this.#content(1 + this.#int(this.#random() < 0.7 ? 5000 : 40_000));
    this.#what += ` ${offset}+${bytes.length}`;
    writeAt(editor, number, offset, bytes);
    node.content = written(node.content, offset, bytes);
  }

  /** What was done so far is an operation of its own; another one begins. */
  #between(what: string): void {
    const now = this.#device.events.length;
    const from = this.steps.at(-1)?.to ?? 0;
    this.steps.push({ what: this.#what, from, to: now });
    this.states.push(this.model.snapshot());
    this.#what = what;
  }

  #rename(): void {
    const source = this.#pick(this.#names(() => true));
    if (!source) return;
    const { node, parent, name } = source;
    // Not below itself.
    const inside = new Set<Node>([node]);
    if (node.kind === 'directory') for (const each of this.model.walk(node)) inside.add(each.node);
    const to = this.#pick(this.#directories().filter((each) => !inside.has(each)))!;
    const taken = this.#pick([...to.entries.keys()]);
    const newName = taken !== undefined && this.#random() < 0.4 ? taken : this.#newName();
    const victim = to.entries.get(newName);
    if (victim && victim !== node) {
      if ((victim.kind === 'directory') !== (node.kind === 'directory')) return;
      if (victim.kind === 'directory' && victim.entries.size > 0) return;
    }
    this.#what = `rename ${this.#pathOf(parent)} ${name} to ${this.#pathOf(to)} ${newName}`;
    rename(this.editor, this.#inode(parent), bytesOf(name), this.#inode(to), bytesOf(newName));
    if (victim === node) return;
    if (victim && victim.kind !== 'directory') victim.links--;
    parent.entries.delete(name);
    to.entries.set(newName, node);
  }

  #changeXattr(operation: Operation): void {
    const found = this.#pick([{ node: this.model.root as Node }, ...this.#names(() => true)])!;
    const { node } = found;
    const number = this.#numberOf(node);
    if (operation === 'removexattr') {
      const name = this.#pick([...node.xattrs.keys()]);
      if (name === undefined) return;
      this.#what = `removexattr ${this.#pathOf(node)} ${name}`;
      removeXattr(this.editor, number, bytesOf(name));
      node.xattrs.delete(name);
      return;
    }
    const name = `trusted.${'n'.repeat(1 + this.#int(12))}${this.#int(8)}`;
    const draw = this.#random();
    const length = draw < 0.5 ? this.#int(60) : draw < 0.8 ? this.#int(900) : this.#int(20_000);
    const value = this.#content(length);
    this.#what = `setxattr ${this.#pathOf(node)} ${name} ${length}`;
    setXattr(this.editor, number, bytesOf(name), value);
    node.xattrs.set(name, valueText(value));
  }
}

function resized(content: Uint8Array, size: number): Uint8Array {
  const out = new Uint8Array(size);
  out.set(content.subarray(0, size));
  return out;
}

function written(content: Uint8Array, offset: number, bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(Math.max(content.length, offset + bytes.length));
  out.set(content);
  out.set(bytes, offset);
  return out;
}
