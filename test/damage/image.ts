/**
 * The images that the damage suite breaks: in memory, small, with 77 files in every form of directory, fork and attribute,
 * made through the editor so that the log holds real records. Each file's content says which file and block it is.
 */
import { CADASTRE, type Dialect, XFS } from '../../formats/dialect.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { MODE } from '../../formats/inode.ts';
import { cloneFile } from '../../lib/clone/clone-file.ts';
import type { Device } from '../../lib/device/device.ts';
import { MemoryDevice } from '../../lib/device/memory.ts';
import { OverlayDevice } from '../../lib/device/overlay.ts';
import { planMake, writeImage } from '../../lib/mkfs/make.ts';
import type { MkfsOptions } from '../../lib/mkfs/options.ts';
import { putFile, truncate, writeAt } from '../../lib/volume/content.ts';
import { Editor } from '../../lib/volume/editor.ts';
import { setXattr } from '../../lib/volume/metadata.ts';
import { create, link, unlink } from '../../lib/volume/names.ts';

const TIME = { seconds: 1_700_000_000, nanoseconds: 5 };
const MIB = 2 ** 20;

export interface DamageImage {
  readonly name: string;
  readonly device: Device;
  readonly geometry: Geometry;
  /** Inode numbers of what is worth breaking, by path. */
  readonly inodes: ReadonlyMap<string, number>;
}

interface Variant {
  readonly dialect: Dialect;
  readonly size: number;
  readonly options: Partial<MkfsOptions>;
}

const VARIANTS: Readonly<Record<string, Variant>> = {
  cadastre: { dialect: CADASTRE, size: 24 * MIB, options: { agCount: 2 } },
  xfs: {
    dialect: XFS,
    size: 40 * MIB,
    options: { agCount: 2, features: { rmapbt: true, reflink: true, nrext64: true } },
  },
  'xfs-plain': {
    dialect: XFS,
    size: 40 * MIB,
    options: { agCount: 2, features: { rmapbt: false, reflink: false, finobt: false, inobtcount: false } },
  },
  'xfs-1k': { dialect: XFS, size: 40 * MIB, options: { agCount: 2, blockSize: 1024, features: { rmapbt: true } } },
};

export const IMAGE_NAMES = Object.keys(VARIANTS);

const ALL = { rmapbt: true, reflink: true, nrext64: true } as const;
/** Rarer kinds of image, for what depends on them. */
const RARE: Readonly<Record<string, Variant>> = {
  'xfs-1ag': { dialect: XFS, size: 40 * MIB, options: { agCount: 1, features: ALL } },
  'xfs-4ag': { dialect: XFS, size: 80 * MIB, options: { agCount: 4, features: ALL } },
  'cadastre-1ag': { dialect: CADASTRE, size: 24 * MIB, options: { agCount: 1 } },
  'cadastre-4ag': { dialect: CADASTRE, size: 48 * MIB, options: { agCount: 4 } },
  'xfs-64k': { dialect: XFS, size: 256 * MIB, options: { agCount: 2, blockSize: 65536, features: ALL } },
  'xfs-dir16k': { dialect: XFS, size: 64 * MIB, options: { agCount: 2, dirBlockSize: 16384, features: ALL } },
  'xfs-1k-dir8k': {
    dialect: XFS,
    size: 40 * MIB,
    options: { agCount: 2, blockSize: 1024, dirBlockSize: 8192, features: { rmapbt: false } },
  },
  'xfs-parent': { dialect: XFS, size: 64 * MIB, options: { agCount: 2, features: { ...ALL, parent: true } } },
};
export const RARE_NAMES = Object.keys(RARE);
const made = new Map<string, DamageImage>();

/** The image of this name, made once; never written: put an overlay on it. */
export function damageImage(name: string): DamageImage {
  let image = made.get(name);
  if (!image) made.set(name, (image = make(name, { ...VARIANTS, ...RARE }[name]!)));
  return image;
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

function make(name: string, { dialect, size, options }: Variant): DamageImage {
  const uuid = Uint8Array.from({ length: 16 }, (_, i) => 0xd0 + i);
  const plan = planMake({ dialect, size, uuid, time: TIME, ...options });
  const device = new MemoryDevice(plan.image.size);
  writeImage(device, plan, true, { time: TIME, reproducible: true, generation: 1 });
  const editor = Editor.open(new OverlayThrough(device), { now: () => TIME, generation: () => 7 });
  const inodes = new Builder(editor).build();
  const { geometry } = editor.volume;
  editor.close();
  return { name, device, geometry, inodes };
}

/** The editor closes its device; the memory must stay. */
class OverlayThrough extends OverlayDevice {
  readonly #image: Device;
  constructor(image: Device) {
    super(image);
    this.#image = image;
  }
  override read(offset: number, into: Uint8Array): void {
    this.#image.read(offset, into);
  }
  override write(offset: number, from: Uint8Array): void {
    this.#image.write(offset, from);
  }
  override zero(offset: number, length: number): void {
    this.#image.zero(offset, length);
  }
  override close(): void {}
}

class Builder {
  readonly #editor: Editor;
  readonly #inodes = new Map<string, number>();
  readonly #root: number;
  readonly #blockSize: number;
  #files = 0;

  constructor(editor: Editor) {
    this.#editor = editor;
    this.#root = editor.volume.geometry.rootInode;
    this.#blockSize = editor.volume.geometry.blockSize;
    this.#inodes.set('/', this.#root);
  }

  build(): ReadonlyMap<string, number> {
    const { features, dirBlockSize } = this.#editor.volume.geometry;
    for (const blocks of [1, 2, 3, 10, 40]) this.#file(this.#root, `/plain-${blocks}`, blocks);
    this.#file(this.#root, '/empty', 0);
    this.#sparse();
    this.#fragmented();
    this.#attributes();
    const shared = this.#file(this.#root, '/shared', 4);
    if (features.reflink) this.#inodes.set('/clone', cloneFile(this.#editor, shared, this.#root, text('clone')));
    else this.#file(this.#root, '/clone', 4);
    const linked = this.#file(this.#root, '/linked', 1);
    link(this.#editor, linked, this.#root, text('hard link'));
    this.#object('/fifo', { mode: MODE.FIFO | 0o644 });
    this.#object('/device', { mode: MODE.CHAR | 0o600, device: { major: 5, minor: 300 } });
    this.#object('/symlink', { mode: MODE.SYMLINK | 0o777, target: text('plain-3') });
    this.#object('/long-symlink', { mode: MODE.SYMLINK | 0o777, target: text('long/'.repeat(150)) });
    this.#directory('/short', 3, 0, linked);
    this.#directory('/block', 20, 0, linked);
    // As many names as give the form where directory blocks are larger.
    const scale = Math.max(1, dirBlockSize / 4096);
    this.#directory('/leaf', 14, 150 * scale, linked);
    this.#directory('/node', 77 - this.#files, 900 * scale, linked);
    if (this.#files !== 77) throw new Error(`${this.#files} files were made`);
    return this.#inodes;
  }

  #object(path: string, what: Parameters<typeof create>[3]): number {
    const number = create(this.#editor, this.#root, text(path.slice(1)), what);
    this.#inodes.set(path, number);
    return number;
  }

  /** Content: every block starts with the path and its own number. */
  #content(path: string, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let at = 0, block = 0; at < length; at += this.#blockSize, block++) {
      const head = text(`${path} block ${block}`);
      for (let i = 0; i < this.#blockSize && at + i < length; i++) bytes[at + i] = head[i % head.length]! ^ (i >> 6);
    }
    return bytes;
  }

  #file(directory: number, path: string, blocks: number): number {
    let content = this.#content(path, Math.max(0, blocks * this.#blockSize - 100));
    const name = text(path.slice(path.lastIndexOf('/') + 1));
    const number = putFile(this.#editor, directory, name, { mode: 0o644 }, (into) => {
      const part = content.subarray(0, into.length);
      into.set(part);
      content = content.subarray(part.length);
      return part.length;
    });
    this.#inodes.set(path, number);
    this.#files++;
    return number;
  }

  #sparse(): void {
    const number = this.#file(this.#root, '/sparse', 2);
    writeAt(this.#editor, number, 100 * this.#blockSize, this.#content('/sparse end', 3 * this.#blockSize));
    truncate(this.#editor, number, 200 * this.#blockSize);
  }

  /** Two files in turns: each has an extent tree, and the trees of the AG get a second level. */
  #fragmented(): void {
    const files = ['/pieces-1', '/pieces-2'].map((path) => this.#file(this.#root, path, 0));
    const few = this.#file(this.#root, '/few-pieces', 1);
    for (let i = 0; i < 130; i++) {
      files.forEach((number, k) => {
        writeAt(this.#editor, number, 2 * i * this.#blockSize, this.#content(`/pieces-${k + 1} ${i}`, this.#blockSize));
      });
      if (i % 30 === 0) {
        writeAt(this.#editor, few, (5 + i) * this.#blockSize, this.#content(`/few-pieces ${i}`, 2 * this.#blockSize));
      }
    }
  }

  #attributes(): void {
    const value = (i: number, length: number): Uint8Array => new Uint8Array(length).fill(i + 1);
    const few = this.#file(this.#root, '/few-attributes', 1);
    setXattr(this.#editor, few, text('user.short'), value(1, 20));
    setXattr(this.#editor, few, text('trusted.other'), value(2, 10));
    const leaf = this.#file(this.#root, '/leaf-attributes', 1);
    for (let i = 0; i < 10; i++) setXattr(this.#editor, leaf, text(`user.attribute ${i}`), value(i, 50));
    setXattr(this.#editor, leaf, text('user.large'), value(9, 9000));
    const node = this.#file(this.#root, '/node-attributes', 1);
    for (let i = 0; i < 120; i++) setXattr(this.#editor, node, text(`user.attribute number ${i}`), value(i, 60));
  }

  /** @param links entries beside those of the files, all for one inode. */
  #directory(path: string, files: number, links: number, linked: number): void {
    const number = this.#object(path, { mode: MODE.DIR | 0o755 });
    const filler = (i: number): Uint8Array => text(`another name for the linked file, number ${i}`);
    for (let i = 0; i < links; i++) link(this.#editor, linked, number, filler(i));
    for (let i = 0; i < files; i++) this.#file(number, `${path}/file ${i}`, 1 + (i % 3));
    // Unused regions and stale index entries.
    for (let i = 5; i < links; i += 9) unlink(this.#editor, number, filler(i));
  }
}
