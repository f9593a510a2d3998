/**
 * A file tree in memory, as naive as can be: what the operations of an Editor must amount to. It keeps a snapshot after
 * every operation, so that an image found after a crash can be looked up among the states that its user may see.
 */
import { createHash } from 'node:crypto';

export interface FileNode {
  readonly id: number;
  readonly kind: 'file';
  content: Uint8Array;
  links: number;
  mode: number;
  xattrs: Map<string, string>;
}
export interface DirectoryNode {
  readonly id: number;
  readonly kind: 'directory';
  readonly entries: Map<string, Node>;
  mode: number;
  xattrs: Map<string, string>;
}
export interface SymlinkNode {
  readonly id: number;
  readonly kind: 'symlink';
  readonly target: string;
  links: number;
  mode: number;
  xattrs: Map<string, string>;
}
export type Node = FileNode | DirectoryNode | SymlinkNode;

/** What is compared of one object; `content` is not part of `text` where it may be a mixture of versions. */
export interface Entry {
  readonly id: number;
  /** Type, mode, links, size, target, xattrs. */
  readonly text: string;
  readonly content: Uint8Array | undefined;
  readonly hash: string;
}
/** A whole tree: path → entry. */
export type State = ReadonlyMap<string, Entry>;

const EMPTY = new Uint8Array(0);
const hashes = new WeakMap<Uint8Array, string>();

/** Content is never changed in place, so its hash can be kept. */
export function hashOf(content: Uint8Array): string {
  let hash = hashes.get(content);
  if (hash === undefined) {
    hash = createHash('sha1').update(content).digest('base64');
    hashes.set(content, hash);
  }
  return hash;
}

export function valueText(value: Uint8Array): string {
  return `${value.length}:${createHash('sha1').update(value).digest('base64').slice(0, 12)}`;
}

/** The line that describes an object; the model and the image make it the same way. */
export function describeObject(
  kind: string,
  mode: number,
  links: number,
  size: number,
  target: string,
  xattrs: ReadonlyMap<string, string>,
): string {
  const list = [...xattrs].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => `${name}=${value}`);
  return `${kind} ${mode.toString(8)} ${links} ${size} ${target} ${list.join(',')}`;
}

export class TreeModel {
  #nextId = 1;
  readonly root: DirectoryNode = this.directory(0o755);

  directory(mode: number): DirectoryNode {
    return { id: this.#nextId++, kind: 'directory', entries: new Map(), mode, xattrs: new Map() };
  }
  file(mode: number, content: Uint8Array = EMPTY): FileNode {
    return { id: this.#nextId++, kind: 'file', content, links: 1, mode, xattrs: new Map() };
  }
  symlink(target: string): SymlinkNode {
    return { id: this.#nextId++, kind: 'symlink', target, links: 1, mode: 0o777, xattrs: new Map() };
  }

  /** All objects with their paths; a hard link shows up under each name. */
  *walk(
    from: DirectoryNode = this.root,
    path = '',
  ): Iterable<{ path: string; node: Node; parent: DirectoryNode; name: string }> {
    for (const [name, node] of from.entries) {
      yield { path: `${path}/${name}`, node, parent: from, name };
      if (node.kind === 'directory') yield* this.walk(node, `${path}/${name}`);
    }
  }

  snapshot(): State {
    const state = new Map<string, Entry>();
    state.set('/', entryOf(this.root));
    for (const { path, node } of this.walk()) state.set(path, entryOf(node));
    return state;
  }

  /** The tree that a snapshot shows: to go on from there. */
  static fromState(state: State): TreeModel {
    const model = new TreeModel();
    const byId = new Map<number, Node>();
    const paths = [...state.keys()].filter((path) => path !== '/').sort();
    const nodeAt = new Map<string, Node>([['/', model.root]]);
    for (const path of ['/', ...paths]) {
      const entry = state.get(path)!;
      const [kind, mode, links, , target, list] = entry.text.split(' ') as [
        string,
        string,
        string,
        string,
        string,
        string,
      ];
      const xattrs = new Map(list === '' ? [] : list.split(',').map((each) => each.split('=') as [string, string]));
      let node = path === '/' ? model.root : byId.get(entry.id);
      node ??= kind === 'd' ? model.directory(0) : kind === 'l' ? model.symlink(target) : model.file(0, entry.content!);
      byId.set(entry.id, node);
      Object.assign(node, { mode: Number.parseInt(mode, 8), xattrs });
      if (node.kind !== 'directory') node.links = Number(links);
      nodeAt.set(path, node);
      if (path === '/') continue;
      const slash = path.lastIndexOf('/');
      const parent = nodeAt.get(path.slice(0, slash) || '/');
      if (parent?.kind !== 'directory') throw new Error(`no directory above ${path}`);
      parent.entries.set(path.slice(slash + 1), node);
    }
    return model;
  }
}

function entryOf(node: Node): Entry {
  if (node.kind === 'directory') {
    let links = 2;
    for (const child of node.entries.values()) if (child.kind === 'directory') links++;
    return {
      id: node.id,
      text: describeObject('d', node.mode, links, 0, '', node.xattrs),
      content: undefined,
      hash: '',
    };
  }
  if (node.kind === 'symlink') {
    const text = describeObject('l', node.mode, node.links, 0, node.target, node.xattrs);
    return { id: node.id, text, content: undefined, hash: '' };
  }
  const text = describeObject('f', node.mode, node.links, node.content.length, '', node.xattrs);
  return { id: node.id, text, content: node.content, hash: hashOf(node.content) };
}

/** Sectors of overwritten content are whole, whatever happens. */
const SECTOR = 512;

/**
 * Is the found tree one of states[low..high]? Where data is overwritten in place, each sector of a file may be of any
 * version that the file had in that time.
 * @returns the index, or -1; `why` then tells how the closest state differs.
 */
export function matchState(
  found: State,
  states: readonly State[],
  low: number,
  high: number,
  overwritesInPlace: boolean,
): { index: number; why: string } {
  const differsFrom = (state: State, most: number): string[] => {
    const differences: string[] = [];
    for (const [path, entry] of state) {
      if (differences.length >= most) break;
      const other = found.get(path);
      if (!other) differences.push(`missing ${path} (${entry.text})`);
      else if (other.text !== entry.text) differences.push(`${path}: expected ${entry.text}, found ${other.text}`);
      else if (other.hash !== entry.hash) {
        if (!overwritesInPlace || !isMixture(other.content!, entry.id, states, low, high))
          differences.push(
            `${path}: content differs ${most > 1 ? firstDifference(entry.content!, other.content!) : ''}`,
          );
      }
    }
    if (differences.length < most && (found.size !== state.size || differences.length > 0)) {
      for (const path of found.keys()) if (!state.has(path)) differences.push(`unwanted ${path}`);
    }
    return differences;
  };
  for (let index = high; index >= low; index--) {
    if (differsFrom(states[index]!, 1).length === 0) return { index, why: '' };
  }
  let why = '';
  let closest = Number.POSITIVE_INFINITY;
  for (let index = high; index >= low; index--) {
    const differences = differsFrom(states[index]!, 6);
    if (differences.length >= closest) continue;
    closest = differences.length;
    why = `closest is state ${index}: ${differences.slice(0, 6).join('; ')}`;
  }
  return { index: -1, why: `no state of ${low}..${high}; ${why}` };
}

function isMixture(found: Uint8Array, id: number, states: readonly State[], low: number, high: number): boolean {
  const versions = new Set<Uint8Array>();
  for (let index = low; index <= high; index++) {
    for (const entry of states[index]!.values()) if (entry.id === id && entry.content) versions.add(entry.content);
  }
  for (let at = 0; at < found.length; at += SECTOR) {
    const end = Math.min(at + SECTOR, found.length);
    let fits = false;
    for (const version of versions) {
      let same = true;
      for (let i = at; i < end && same; i++) same = found[i] === (i < version.length ? version[i] : 0);
      if (same) {
        fits = true;
        break;
      }
    }
    if (!fits) return false;
  }
  return true;
}

function firstDifference(a: Uint8Array, b: Uint8Array): string {
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    if (a[i] !== b[i]) return `at byte ${i} of ${a.length}: expected ${a[i]}, found ${b[i]}`;
  }
  return '';
}
