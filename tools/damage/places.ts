/** The words of a command line as a place: the syntax of `db`, and what it takes to name a block inside a tree or a fork. */
import type { Geometry } from '../../formats/geometry.ts';
import { forEachTreeBlock, placesOfInode, treesOf } from '../../lib/damage/enumerate.ts';
import { locate } from '../../lib/damage/locate.ts';
import type { AgTree, ForkName, Place } from '../../lib/damage/place.ts';
import type { Device } from '../../lib/device/device.ts';
import { usage } from '../../lib/errors.ts';
import { Volume } from '../../lib/volume/volume.ts';
import { parseBlocks } from '../ui/blocks.ts';
import { parseNumber, parseSize } from '../ui/sizes.ts';

/** Bytes of `raw` when no length is given. */
const RAW_BYTES = 512;
const TREES: readonly string[] = ['bnobt', 'cntbt', 'inobt', 'finobt', 'rmapbt', 'refcountbt', 'csumbt', 'bmbt'];
const WORDS = 'sb agf agi agfl inode btree dir attr symlink log block as raw';

/** Throws usage errors: BAD_WHAT, BAD_NUMBER, BAD_BLOCK, NO_TREE, NOT_THERE, NEEDS_SUPERBLOCK. */
export function parsePlace(words: readonly string[], device: Device, geometry: Geometry | undefined): Place {
  const [verb = '', ...rest] = words;
  const known = (): Geometry => {
    if (geometry) return geometry;
    throw usage(
      'NEEDS_SUPERBLOCK',
      `without a superblock there is no ${verb}: sb 0, raw byte:N or as STRUCTURE byte:N`,
    );
  };
  switch (verb) {
    case 'sb':
    case 'superblock':
      return { kind: 'superblock', ag: agOf(rest) };
    case 'agf':
    case 'agi':
    case 'agfl':
      return { kind: verb, ag: agOf(rest) };
    case 'inode':
      return { kind: 'inode', inode: inodeOf(only(verb, rest), device) };
    case 'btree':
      return treePlace(rest, device, known());
    case 'dir':
    case 'attr':
    case 'symlink':
      return forkPlace(verb, rest, device, known());
    case 'log':
      if (rest.length > 1) throw usage('BAD_WHAT', `log: too many words: ${rest.join(' ')}`);
      return rest[0] === undefined ? { kind: 'log' } : { kind: 'log', block: parseNumber(rest[0], 'block of the log') };
    case 'block': {
      const { ag, agBlock } = parseBlocks(only(verb, rest), known());
      return { kind: 'block', byte: known().agBlockToByte(ag, agBlock) };
    }
    case 'as': {
      const [structure = '', ...more] = rest;
      return { kind: 'as', structure, byte: range(only(`as ${structure}`, more), geometry).byte };
    }
    case 'raw':
      return { kind: 'raw', ...range(only(verb, rest), geometry) };
    default:
      throw usage('BAD_WHAT', `damage does not know ${verb === '' ? 'what to break' : verb}`, {
        expected: WORDS,
        found: verb,
      });
  }
}

function only(verb: string, rest: readonly string[]): string {
  const [word, ...more] = rest;
  if (word === undefined || more.length > 0) throw usage('BAD_WHAT', `${verb} needs one argument`);
  return word;
}

function agOf(rest: readonly string[]): number {
  if (rest.length > 1) throw usage('BAD_WHAT', `too many words: ${rest.join(' ')}`);
  return parseNumber(rest[0] ?? '0', 'AG', 0, 2 ** 32 - 1);
}

function inodeOf(text: string, device: Device): number {
  if (!text.startsWith('/')) return parseNumber(text, 'inode');
  return Volume.open(device, { allowUnfinished: true }).resolve(text, false).number;
}

function treePlace([name = '', owner, ...more]: readonly string[], device: Device, geometry: Geometry): Place {
  if (!TREES.includes(name)) {
    throw usage('BAD_WHAT', name === '' ? 'which tree?' : `no tree is called ${name}`, {
      expected: TREES.join(' '),
      found: name,
    });
  }
  if (owner === undefined) throw usage('BAD_WHAT', `btree ${name} needs ${name === 'bmbt' ? 'a path' : 'an AG'}`);
  if (name === 'bmbt') {
    const fork: ForkName = more[0] === 'attr' ? 'attr' : 'data';
    const children = indexes(more[0] === 'attr' || more[0] === 'data' ? more.slice(1) : more);
    // The root is a part of the inode, so its first child is what is meant.
    return { kind: 'bmbt', inode: inodeOf(owner, device), fork, children: children.length === 0 ? [0] : children };
  }
  if (!treesOf(geometry).includes(name as AgTree)) throw usage('NO_TREE', `this image has no ${name}`);
  const ag = parseNumber(owner, 'AG', 0, geometry.agCount - 1);
  if (more[0]?.startsWith('block:')) return blockOfTree(name as AgTree, ag, more, device, geometry);
  return { kind: 'btree', tree: name as AgTree, ag, children: indexes(more) };
}

/** `block:N`: the block of a tree by its AG block, as `db` shows it. */
function blockOfTree(tree: AgTree, ag: number, words: readonly string[], device: Device, geometry: Geometry): Place {
  const wanted = parseNumber(only('block:', words).slice('block:'.length), 'AG block');
  let found: Place | undefined;
  forEachTreeBlock(device, geometry, tree, ag, (place, _view, agBlock) => {
    if (agBlock === wanted) found = place;
    return found !== undefined;
  });
  if (!found) throw usage('NOT_THERE', `block ${wanted} does not belong to the ${tree} of AG ${ag}`);
  return found;
}

const indexes = (words: readonly string[]): number[] => words.map((word) => parseNumber(word, 'child', 0, 65535));

/** What `leaf`, `data` ... stand for. */
const PARTS: Record<string, RegExp> = {
  data: /^dir-(block|data)$/,
  leaf: /-leaf/,
  node: /^da-node$/,
  free: /^dir-free$/,
  value: /^attr-value$/,
};

function forkPlace(
  kind: 'dir' | 'attr' | 'symlink',
  [owner, part, ...more]: readonly string[],
  device: Device,
  geometry: Geometry,
): Place {
  if (owner === undefined || more.length > 0) throw usage('BAD_WHAT', `${kind} needs a path, and perhaps a block`);
  const inode = inodeOf(owner, device);
  const places = placesOfInode(device, geometry, inode).filter((place) => place.kind === kind);
  if (places.length === 0) {
    throw usage('NOT_THERE', `${owner} has no ${kind} blocks: what there is is in \`inode ${owner}\``);
  }
  if (part === undefined) return places[0]!;
  const named = /^(data|leaf|node|free|value)(?::(\d+))?$/.exec(part);
  if (!named) return { kind, inode, fileBlock: parseNumber(part, 'file block') };
  const index = Number(named[2] ?? 0);
  const wanted = places.filter((place) => PARTS[named[1]!]!.test(locate(device, geometry, place).structure));
  if (wanted[index]) return wanted[index];
  throw usage('NOT_THERE', `${owner} has ${wanted.length} ${named[1]} blocks`, { found: part });
}

/** `byte:N[+LENGTH]` exactly there, also in an image that cannot be opened; else whole blocks. */
function range(text: string, geometry: Geometry | undefined): { byte: number; length: number } {
  const exact = /^byte:([^+]+)(?:\+(.+))?$/.exec(text);
  if (exact) {
    const length = exact[2] === undefined ? RAW_BYTES : parseSize(exact[2], 'length');
    if (length < 1 || length > 1 << 20)
      throw usage('BAD_SIZE', 'a range of 1 byte to 1 MiB is wanted', { found: length });
    return { byte: parseSize(exact[1]!, 'byte'), length };
  }
  if (!geometry) throw usage('NEEDS_SUPERBLOCK', `without a superblock places are byte:N, not ${text}`);
  const { ag, agBlock, blockCount } = parseBlocks(text, geometry);
  return { byte: geometry.agBlockToByte(ag, agBlock), length: blockCount * geometry.blockSize };
}
