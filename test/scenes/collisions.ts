/**
 * The table of docs/COLLISIONS.md, measured: what xfs_repair, e2fsck and our repair do to the bytes of every claimant of every
 * scene. Each tool gets a copy of the same broken image (e2fsck: the same collision on ext4), says yes to everything, and then
 * the files are read again.
 *
 *   node --import tsx test/scenes/collisions.ts [--write]     prints the table, or puts it into the document
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FileDevice } from '../../lib/device/file.ts';
import { OverlayDevice } from '../../lib/device/overlay.ts';
import { CadastreError } from '../../lib/errors.ts';
import { readFork } from '../../lib/file/inode-fork-blocks.ts';
import { readSymlink } from '../../lib/file/symlink.ts';
import { repair } from '../../lib/repair/repair.ts';
import { Volume } from '../../lib/volume/volume.ts';
import { forEachAttribute } from '../../lib/xattr/read.ts';
import { bytesOf } from '../support/empty-image.ts';
import { mustRun, run, withTempDir } from '../support/oracle.ts';
import { blockOf, Ext4 } from './ext4.ts';
import { Hand, SCENES, type Scene } from './scenes.ts';
import { keyOf, makeWorld, VARIANTS, type Variant, type World } from './world.ts';

/** Who has something to lose. Directories, symlinks and attributes count as claimants, too. */
const CLAIMANTS: Readonly<Record<string, readonly string[]>> = {
  whole: ['/a', '/b'],
  part: ['/a', '/b', '/c'],
  offset: ['/a', '/b'],
  three: ['/a', '/b', '/c'],
  chain: ['/a', '/b', '/c'],
  'free-space': ['/a'],
  'directory-block': ['/e', '/tree'],
  'extent-tree': ['/e', '/frag'],
  'attribute-leaf': ['/e', '/named'],
  symlink: ['/e', '/link'],
  'inode-chunk': ['/e', 'all others'],
  'ag-header': ['/e', 'all others'],
  log: ['/d'],
  'free-list': ['/e'],
  'ag-tree': ['/e'],
  'past-end': ['/d'],
  'one-file': ['/two'],
  'attributes-over-data': ['/named', '/b'],
  'directory-over-data': ['/dir', '/b'],
  'symlink-over-data': ['/link', '/b'],
  'two-directories': ['/dir', '/dir2'],
  'two-extent-trees': ['/frag', '/frag2'],
  'unwritten-over-written': ['/pre', '/b'],
  'written-over-unwritten': ['/a', '/pre'],
  intruder: ['/a', '/shared', '/clone'],
  'clone-astray': ['/clone', '/shared', '/b'],
  'clone-on-free-space': ['/clone', '/shared'],
};

/** The collision on ext4; scenes without one have no counterpart there. */
const ON_EXT4: Readonly<Record<string, (image: Ext4) => void>> = {
  whole: (image) => image.aim('/a', image.blocks('/b').slice(0, 4)),
  part: (image) => image.aim('/a', [...image.blocks('/b').slice(4), ...image.blocks('/c').slice(0, 2)]),
  offset: (image) => image.aim('/a', image.blocks('/b').slice(1, 5)),
  three: (image) => {
    image.aim('/a', image.blocks('/b').slice(0, 4));
    image.aim('/c', image.blocks('/b').slice(2, 6));
  },
  chain: (image) => {
    const home = image.blocks('/c');
    image.aim('/c', image.blocks('/b').slice(0, 4));
    image.aim('/a', home);
  },
  'free-space': (image) => image.aim('/a', [5000, 5001, 5002, 5003]),
  'directory-block': (image) => image.aim('/e', image.blocks('/tree').slice(0, 1)),
  'extent-tree': (image) => image.aim('/e', image.blocks('/frag').slice(12, 13)),
  'attribute-leaf': (image) => image.aim('/e', [image.number('stat /named', 'File ACL')]),
  symlink: (image) => image.aim('/e', image.blocks('/link')),
  'inode-chunk': (image) => image.aim('/e', [image.number('stats', 'inode table')]),
  'ag-header': (image) => image.aim('/e', [1]),
  log: (image) => image.aim('/d', image.blocks('<8>').slice(2, 4)),
  'ag-tree': (image) => image.aim('/e', [image.number('stats', 'block bitmap')]),
  'past-end': (image) => image.aim('/d', [16384, 16385]),
  'one-file': (image) => image.aim('/two', image.blocks('/two').slice(0, 2), 2),
  'attributes-over-data': (image) => image.edit(`sif /named file_acl ${image.blocks('/b')[0]}`),
  'directory-over-data': (image) => image.aim('/dir', image.blocks('/b').slice(0, 1)),
  'symlink-over-data': (image) => image.aim('/link', image.blocks('/b').slice(0, 1)),
  'two-directories': (image) => image.aim('/dir', image.blocks('/dir2')),
};

/** Labels of the blocks that files in lost+found hold, and all other files. */
interface Everywhere {
  readonly found: Set<string>;
  readonly files: Set<string>;
}

const fileOf = (label: string): string => label.replace(/\.\d+$/, '');

/** Where the blocks are that were somebody's. */
function whereabouts(own: readonly string[], { found, files }: Everywhere): string {
  if (own.every((label) => found.has(label) || files.has(label))) {
    return own.some((label) => found.has(label)) ? 'own bytes in lost+found' : 'own bytes in another file';
  }
  return '**own bytes lost**';
}

/** Blocks in words. @param labels of the blocks read. @param own labels of what was there. */
function fateOf(labels: readonly string[], own: readonly string[], everywhere: Everywhere): string {
  if (labels.length === own.length && labels.every((label, i) => label === own[i])) return 'intact';
  const name = fileOf(own[0]!);
  const parts = new Set(
    labels.map((label, i) => {
      if (label === own[i]) return 'own';
      if (label === '0' || label === '?') return label === '0' ? 'zeroes' : 'garbage';
      return fileOf(label) === name ? 'other blocks of its own' : `bytes of /${fileOf(label)}`;
    }),
  );
  return `${parts.size === 0 ? 'emptied' : [...parts].join(' + ')}; ${whereabouts(own, everywhere)}`;
}

/** What our reader finds in an image. */
class XfsLook {
  readonly #world: World;
  readonly #volume: Volume;
  readonly #labels: Map<string, string>;
  readonly #everywhere: Everywhere = { found: new Set(), files: new Set() };

  constructor(world: World, volume: Volume) {
    this.#world = world;
    this.#volume = volume;
    this.#labels = new Map([...world.written].map(([label, key]) => [key, label]));
    const lost = volume.child(volume.root, new TextEncoder().encode('lost+found'));
    const collect = (directory: number, labels: Set<string>): void => {
      for (const { inode } of volume.entries(volume.inode(directory))) {
        for (const label of this.#readable(inode)) labels.add(label);
      }
    };
    collect(volume.root.number, this.#everywhere.files);
    if (lost !== undefined) collect(lost, this.#everywhere.found);
  }

  #readable(number: number): string[] {
    try {
      return this.#volume.inode(number).isFile ? this.#blocks(number) : [];
    } catch (error) {
      if (!(error instanceof CadastreError)) throw error;
      return [];
    }
  }

  #blocks(number: number): string[] {
    const inode = this.#volume.inode(number);
    const { blockSize } = this.#world.geometry;
    const reader = this.#volume.fileReader(inode);
    const block = new Uint8Array(blockSize);
    const labels: string[] = [];
    for (let at = 0; at < inode.size; at += blockSize) {
      reader.read(at, block);
      labels.push(this.#labels.get(keyOf(block)) ?? (block.every((byte) => byte === 0) ? '0' : '?'));
    }
    return labels;
  }

  /** @param before the sound image. */
  fate(path: string, before: XfsLook): string {
    try {
      if (path === 'all others') return this.#others(before);
      const inode = this.#volume.resolve(path, false);
      if (inode.isDirectory) return this.#directory(path, before);
      if (inode.isSymlink) return readSymlink(inode).length === 750 ? 'intact' : 'another target';
      if (path === '/named') return this.#attributes(inode.number);
      const was = before.#blocks(before.#volume.resolve(path).number);
      return fateOf(this.#blocks(inode.number), was, this.#everywhere);
    } catch (error) {
      if (!(error instanceof CadastreError)) throw error;
      const own = [...this.#world.written.keys()].filter((label) => fileOf(label) === path.slice(1));
      const what = error.code === 'ENOENT' ? 'deleted' : `unreadable (${error.code})`;
      return own.length === 0 ? what : `${what}; ${whereabouts(own, this.#everywhere)}`;
    }
  }

  #directory(path: string, before: XfsLook): string {
    const count = (look: XfsLook): number => look.#volume.entries(look.#volume.resolve(path)).length;
    const [was, is] = [count(before), count(this)];
    return was === is ? 'intact' : `${is} of ${was} names`;
  }

  #attributes(number: number): string {
    const inode = this.#volume.inode(number);
    let count = 0;
    if (inode.core.forkoff !== 0) forEachAttribute(readFork(inode, 'attr'), () => void count++);
    return count === 20 ? 'intact' : `${count} of 20 attributes`;
  }

  /** Names of the root directory that are gone. */
  #others(before: XfsLook): string {
    const names = (look: XfsLook): string[] =>
      look.#volume.entries(look.#volume.root).map(({ name }) => new TextDecoder().decode(name));
    const now = new Set(names(this));
    const gone = names(before).filter((name) => !now.has(name) && name !== 'e');
    return gone.length === 0 ? 'intact' : `${gone.length} gone`;
  }
}

type Row = readonly string[];

function broken(variant: Variant, scene: Scene): { before: World; after: World } {
  let before = made.get(variant.name);
  if (!before) {
    before = makeWorld(variant);
    made.set(variant.name, before);
  }
  const after = { ...before, device: new OverlayDevice(before.device) };
  scene.damage(new Hand(after));
  return { before, after };
}
const made = new Map<string, World>();

function byXfsRepair(variant: Variant, scene: Scene, claimants: readonly string[]): Row {
  const { before, after } = broken(variant, scene);
  return withTempDir((directory) => {
    const image = join(directory, 'image');
    writeFileSync(image, bytesOf(after.device));
    const { status } = run('xfs_repair', [image]);
    let volume: Volume;
    try {
      volume = Volume.open(new FileDevice(image, 'r'));
    } catch (error) {
      if (!(error instanceof CadastreError)) throw error;
      return claimants.map(() => `gives up with status ${status}, the image is not usable`);
    }
    return fates(before, after, volume, claimants);
  });
}

function byOurs(variant: Variant, scene: Scene, claimants: readonly string[]): Row {
  const { before, after } = broken(variant, scene);
  repair(after.device);
  return fates(before, after, Volume.open(after.device), claimants);
}

function fates(before: World, after: World, volume: Volume, claimants: readonly string[]): Row {
  const look = new XfsLook(after, volume);
  const was = new XfsLook(before, Volume.open(before.device));
  return claimants.map((path) => look.fate(path, was));
}

function byE2fsck(scene: Scene, claimants: readonly string[]): Row {
  const damage = ON_EXT4[scene.name];
  if (!damage) return claimants.map(() => '-');
  return withTempDir((directory) => {
    const image = new Ext4(directory);
    const names = image.list('/').sort();
    damage(image);
    image.repair();
    return claimants.map((path) => onExt4(image, path, names));
  });
}

const EXT4_BLOCK = 4096;
function onExt4(image: Ext4, path: string, names: readonly string[]): string {
  const now = image.list('/');
  const gone = names.filter((name) => !now.includes(name));
  if (path === 'all others') return gone.every((name) => name === 'e') ? 'intact' : `${gone.length} gone`;
  if (gone.includes(path.slice(1))) return 'deleted';
  if (path === '/link') return image.target(path).length === 750 ? 'intact' : 'another target';
  if (path === '/named') return image.attributes(path) === 5 ? 'intact' : `${image.attributes(path)} of 5 attributes`;
  if (/^\/(dir|tree)/.test(path)) {
    const wanted = path === '/tree' ? 300 : 30;
    const is = image.list(path).filter((name) => name.startsWith(`${path.slice(1)} entry`)).length;
    return is === wanted ? 'intact' : `${is} of ${wanted} names`;
  }
  const labels = labelsOf(image.read(path));
  const length = { '/a': 4, '/b': 6, '/c': 4, '/d': 2, '/e': 1, '/two': 4, '/frag': 20 }[path] ?? 0;
  const own = Array.from({ length }, (_, i) => `${path.slice(1)}.${i}`);
  const found = new Set(image.list('/lost+found').flatMap((name) => labelsOf(image.read(`/lost+found/${name}`))));
  const files = new Set(
    now.filter((name) => /^(.|two|frag)$/.test(name)).flatMap((name) => labelsOf(image.read(`/${name}`))),
  );
  return fateOf(labels, own, { found, files });
}

function labelsOf(content: Buffer | undefined): string[] {
  const labels: string[] = [];
  for (let at = 0; content && at < content.length; at += EXT4_BLOCK) {
    const block = content.subarray(at, at + EXT4_BLOCK);
    const [, name, number] = /^(\w+)\.(\d+) /.exec(block.toString('latin1', 0, 16)) ?? [];
    const isWhole = name !== undefined && blockOf(name, Number(number)).subarray(0, block.length).equals(block);
    labels.push(isWhole ? `${name}.${number}` : block.every((byte) => byte === 0) ? '0' : '?');
  }
  return labels;
}

const COLUMNS = [
  'xfs_repair, reflink on',
  'xfs_repair, reflink off',
  'e2fsck, on ext4',
  'cadastre, with reverse map',
  'cadastre, reflink only',
  'cadastre, neither',
];

function table(): string {
  const [, full, rmapOnly, reflinkOnly, bare] = VARIANTS as readonly [Variant, Variant, Variant, Variant, Variant];
  const lines = [`| scene | claimant | ${COLUMNS.join(' | ')} |`, `|---|---|${COLUMNS.map(() => '---|').join('')}`];
  for (const scene of SCENES) {
    const claimants = CLAIMANTS[scene.name];
    if (!claimants) continue;
    const can = (variant: Variant): boolean => !scene.needs || scene.needs(variant);
    const none = claimants.map(() => '-');
    const columns = [
      byXfsRepair(full, scene, claimants),
      can(rmapOnly) ? byXfsRepair(rmapOnly, scene, claimants) : none,
      byE2fsck(scene, claimants),
      byOurs(full, scene, claimants),
      can(reflinkOnly) ? byOurs(reflinkOnly, scene, claimants) : none,
      can(bare) ? byOurs(bare, scene, claimants) : none,
    ];
    claimants.forEach((path, i) => {
      lines.push(`| ${i === 0 ? scene.what : ''} | ${path} | ${columns.map((column) => column[i]!).join(' | ')} |`);
    });
  }
  return lines.join('\n');
}

const version = (command: string, flag: string): string =>
  /\d+\.\d+(\.\d+)?/.exec(mustRun('sh', ['-c', `${command} ${flag} 2>&1 | head -1`]))?.[0] ?? '?';

const text = `${table()}\n\nxfs_repair ${version('xfs_repair', '-V')}, e2fsck ${version('e2fsck', '-V')}.`;
if (process.argv.includes('--write')) {
  const path = fileURLToPath(new URL('../../docs/COLLISIONS.md', import.meta.url));
  const document = readFileSync(path, 'utf8');
  const [head, tail] = [document.split('<!-- measured -->')[0]!, document.split('<!-- /measured -->')[1]!];
  writeFileSync(path, `${head}<!-- measured -->\n${text}\n<!-- /measured -->${tail}`);
} else process.stdout.write(`${text}\n`);
