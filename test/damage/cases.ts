/**
 * Every field of every structure of an image, times every verb, times CRC made right or left: the cases of the damage suite,
 * in an order that a seed decides. Of things that repeat (records, inodes, blocks of one kind) the first, one in the middle and
 * the last stand for all.
 */
import { type BitField, seeded, type Verb } from '../../lib/damage/bits.ts';
import { type DamageSpec, readTarget } from '../../lib/damage/damage.ts';
import { forEachPlace } from '../../lib/damage/enumerate.ts';
import { locate, type Target } from '../../lib/damage/locate.ts';
import { placeWords } from '../../lib/damage/place.ts';
import type { DamageImage } from './image.ts';

export interface DamageCase {
  readonly image: DamageImage;
  readonly structure: string;
  /** The field with its indexes taken out: `recs[].startBlock`. */
  readonly kind: string;
  readonly spec: DamageSpec;
}

const SUITE_VERBS: readonly Verb[] = ['zero', 'ones', 'first', 'middle', 'last', 'add', 'sub', 'random'];

/** The case as it can be typed. */
export function caseLine({ image, spec }: DamageCase): string {
  const { place, field, verb, crc } = spec;
  return `${image.name}: ${placeWords(place).join(' ')} ${field} ${verb}${crc === 'keep' ? ' --crc keep' : ''}`;
}

/** All cases of an image. */
export function casesOf(image: DamageImage): DamageCase[] {
  const cases: DamageCase[] = [];
  for (const target of chosenTargets(image)) {
    const bytes = readTarget(image.device, target);
    for (const field of chosenFields(target.fields(bytes))) {
      const kind = kindOf(field.name);
      for (const verb of SUITE_VERBS) {
        for (const crc of ['fix', 'keep'] as const) {
          const spec = { place: target.place, field: field.name, verb, crc, seed: cases.length + 1 };
          cases.push({ image, structure: target.structure, kind, spec });
        }
      }
    }
  }
  return cases;
}

/** `most` cases, or all: every structure and kind of field has its turn before any comes again. */
export function sample(cases: readonly DamageCase[], most: number, seed: number): DamageCase[] {
  const random = seeded(seed);
  const groups = new Map<string, DamageCase[]>();
  for (const each of cases) {
    const key = `${each.structure} ${each.kind}`;
    const group = groups.get(key);
    if (group) group.push(each);
    else groups.set(key, [each]);
  }
  const lists = shuffle([...groups.values()], random).map((group) => shuffle(group, random));
  const chosen: DamageCase[] = [];
  for (let round = 0; chosen.length < most; round++) {
    const before = chosen.length;
    for (const list of lists) if (list[round] && chosen.length < most) chosen.push(list[round]!);
    if (chosen.length === before) break;
  }
  return chosen;
}

function shuffle<T>(items: T[], random: () => number): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const k = Math.floor(random() * (i + 1));
    [items[i], items[k]] = [items[k]!, items[i]!];
  }
  return items;
}

const kindOf = (name: string): string => name.replace(/\[\d+\]/g, '[]');

/** Structures of each kind: all headers, named inodes, and three blocks of everything else. */
function chosenTargets(image: DamageImage): Target[] {
  const { device, geometry, inodes } = image;
  const named = new Set([...inodes].filter(([path]) => path.lastIndexOf('/') === 0).map(([, inode]) => inode));
  named.add(geometry.rootInode + 1);
  // A free one, too.
  named.add(geometry.rootInode + 63);
  const groups = new Map<string, Target[]>();
  forEachPlace(device, geometry, (place) => {
    if ('inode' in place && place.kind === 'inode' && !named.has(place.inode)) return;
    const target = locate(device, geometry, place);
    const owner = place.kind === 'inode' ? place.inode : 'inode' in place ? place.inode : '';
    const key = `${target.structure} ${owner}`;
    const group = groups.get(key);
    if (group) group.push(target);
    else groups.set(key, [target]);
  });
  return [...groups.values()].flatMap((group) => edges(group));
}

function chosenFields(fields: readonly BitField[]): BitField[] {
  const groups = new Map<string, BitField[]>();
  for (const field of fields) {
    const group = groups.get(kindOf(field.name));
    if (group) group.push(field);
    else groups.set(kindOf(field.name), [field]);
  }
  return [...groups.values()].flatMap((group) => edges(group));
}

/** First, middle and last. */
function edges<T>(items: readonly T[]): T[] {
  if (items.length <= 3) return [...items];
  return [items[0]!, items[items.length >> 1]!, items.at(-1)!];
}
