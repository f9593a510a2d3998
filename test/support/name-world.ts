/**
 * An image in memory whose tree has every form of directory and attribute fork, made through the editor; and what is in
 * it, path by path, so that a test can say after a repair which names and contents are still there.
 */
import { createHash } from 'node:crypto';
import type { Dialect } from '../../formats/dialect.ts';
import { MODE } from '../../formats/inode.ts';
import type { Device } from '../../lib/device/device.ts';
import { MemoryDevice } from '../../lib/device/memory.ts';
import { OverlayDevice } from '../../lib/device/overlay.ts';
import { CadastreError } from '../../lib/errors.ts';
import type { Inode } from '../../lib/file/inode.ts';
import { readSymlink } from '../../lib/file/symlink.ts';
import { finishImage, formatImage } from '../../lib/mkfs/format-image.ts';
import { planImage } from '../../lib/mkfs/geometry.ts';
import type { MkfsOptions } from '../../lib/mkfs/options.ts';
import { writeAt } from '../../lib/volume/content.ts';
import { Editor } from '../../lib/volume/editor.ts';
import { listXattrs, setXattr } from '../../lib/volume/metadata.ts';
import { create, link, unlink } from '../../lib/volume/names.ts';
import { nameBytes, showPath } from '../../lib/volume/path.ts';
import { Volume } from '../../lib/volume/volume.ts';
import { walkTree } from '../../lib/volume/walk.ts';

const TIME = { seconds: 1_700_000_000, nanoseconds: 5 };

export interface NameWorld {
  readonly device: Device;
  /** Inode numbers by path. */
  readonly inodes: Readonly<Record<string, number>>;
}

/** @param sizes entries of the directories /block, /leaf and /node. */
export function makeNameWorld(
  dialect: Dialect,
  options: Partial<MkfsOptions> = {},
  sizes: { block: number; leaf: number; node: number } = { block: 30, leaf: 200, node: 700 },
): NameWorld {
  const plan = planImage({
    dialect,
    size: 64 << 20,
    agCount: 2,
    uuid: Uint8Array.from({ length: 16 }, (_, i) => i + 1),
    time: TIME,
    ...options,
  });
  const device = new MemoryDevice(plan.size);
  formatImage(device, plan, true);
  finishImage(device, plan);
  const kept = new OverlayDevice(device);
  const editor = Editor.open(kept, { now: () => TIME, generation: () => 7 });
  const inodes: Record<string, number> = { '/': plan.geometry.rootInode };
  const world = new Maker(editor, inodes);
  world.short('/short', 4);
  world.short('/short/dir', 1);
  world.mixed('/block', sizes.block, 1);
  world.mixed('/leaf', sizes.leaf, 7);
  world.mixed('/node', sizes.node, 20);
  // Deleted entries leave their bytes in unused regions.
  for (const path of ['/block', '/leaf', '/node']) world.thin(path);
  world.attributes();
  editor.close();
  return { device: kept, inodes };
}

class Maker {
  readonly editor: Editor;
  readonly inodes: Record<string, number>;

  constructor(editor: Editor, inodes: Record<string, number>) {
    this.editor = editor;
    this.inodes = inodes;
  }

  #make(path: string, mode: number, target?: string): number {
    const cut = path.lastIndexOf('/');
    const parent = this.inodes[path.slice(0, cut) || '/']!;
    const number = create(this.editor, parent, nameBytes(path.slice(cut + 1)), {
      mode,
      ...(target === undefined ? {} : { target: nameBytes(target) }),
    });
    this.inodes[path] = number;
    return number;
  }

  file(path: string, bytes = 300): number {
    const number = this.#make(path, MODE.FILE | 0o644);
    if (bytes > 0) writeAt(this.editor, number, 0, nameBytes(path.repeat(Math.ceil(bytes / path.length))));
    return number;
  }

  short(path: string, files: number): void {
    if (!this.inodes[path]) this.#make(path, MODE.DIR | 0o755);
    for (let i = 0; i < files; i++) this.file(`${path}/file number ${i}`);
    if (files === 1) return;
    this.#make(`${path}/dir`, MODE.DIR | 0o700);
    this.#make(`${path}/link`, MODE.SYMLINK | 0o777, `to/${path}`);
    this.#make(`${path}/f`, MODE.FIFO | 0o600);
  }

  /** Files, every so many a directory, a symlink or a fifo; most files are second names of few. */
  mixed(path: string, count: number, share: number): void {
    this.#make(path, MODE.DIR | 0o755);
    let shared = 0;
    for (let i = 0; i < count; i++) {
      const name = `${path}/${String(i).padStart(4, '0')}${'-name'.repeat(i % 7)}`;
      if (i % 40 === 3) this.#make(name, MODE.DIR | 0o755);
      else if (i % 40 === 4) this.#make(name, MODE.SYMLINK | 0o777, `of/${i}`);
      else if (i % 80 === 5) this.#make(name, MODE.FIFO | 0o644);
      else if (i % share === 0) shared = this.file(name, 1 + (i % 3) * 4000);
      else if (shared > 0) {
        const parent = this.inodes[path]!;
        link(this.editor, shared, parent, nameBytes(name.slice(path.length + 1)));
        this.inodes[name] = shared;
      }
    }
  }

  thin(path: string): void {
    const names = Object.keys(this.inodes).filter((one) => one.startsWith(`${path}/`));
    const counts = new Map<number, number>();
    for (const inode of Object.values(this.inodes)) counts.set(inode, (counts.get(inode) ?? 0) + 1);
    for (let i = 10; i < names.length; i += 9) {
      const name = names[i]!;
      const inode = this.inodes[name]!;
      if (counts.get(inode)! < 2) continue;
      counts.set(inode, counts.get(inode)! - 1);
      unlink(this.editor, this.inodes[path]!, nameBytes(name.slice(path.length + 1)));
      delete this.inodes[name];
    }
  }

  attributes(): void {
    const set = (number: number, name: string, bytes: number): void => {
      const value = new Uint8Array(bytes);
      for (let i = 0; i < bytes; i++) value[i] = 32 + ((i * 7 + name.length) % 90);
      setXattr(this.editor, number, nameBytes(name), value);
    };
    const short = this.file('/attr-short');
    for (let i = 0; i < 5; i++) set(short, `${['user', 'trusted', 'security'][i % 3]}.name ${i}`, 3 + 4 * i);
    const leaf = this.file('/attr-leaf');
    for (let i = 0; i < 20; i++) set(leaf, `user.attribute ${i}`, 20 + (i % 5) * 9);
    set(leaf, 'user.large', 9000);
    set(leaf, 'user.larger', 20_000);
    const node = this.file('/attr-node');
    for (let i = 0; i < 90; i++) set(node, `user.one of many attributes ${i}`, 30 + (i % 50));
    this.#make('/long-link', MODE.SYMLINK | 0o777, 'long/'.repeat(150));
  }
}

/** Everything reachable, by path: what it is and what it holds. Unreadable parts say so. */
export function contentOf(device: Device): Map<string, string> {
  const volume = Volume.open(new OverlayDevice(device));
  const found = new Map<string, string>();
  walkTree(volume, volume.root, Uint8Array.of(0x2f), {
    enter({ path, inode }) {
      found.set(showPath(path), describe(volume, inode));
      return undefined;
    },
    failed(error, path) {
      found.set(`${showPath(path)} (unreadable)`, error.code);
    },
  });
  return found;
}

function describe(volume: Volume, inode: Inode): string {
  const parts = [inode.type.toString(8)];
  try {
    if (inode.isSymlink) parts.push(showPath(readSymlink(inode)));
    if (inode.isFile) {
      const bytes = new Uint8Array(inode.size);
      volume.fileReader(inode).read(0, bytes);
      parts.push(createHash('sha1').update(bytes).digest('hex'));
    }
    const list = listXattrs(inode).map(({ name, value }) => `${showPath(name)}=${showPath(value)}`);
    parts.push(...list.sort());
  } catch (error) {
    if (!(error instanceof CadastreError)) throw error;
    parts.push(`unreadable: ${error.code}`);
  }
  return parts.join('\n');
}
