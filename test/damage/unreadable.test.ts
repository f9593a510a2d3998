/**
 * A sector that cannot be read, in a structure of every kind: the repair names it, goes on, and comes to a clean image; only
 * what stood there may be lost. A sample that CADASTRE_SEED (or the day) decides; FULL=1 runs all structures.
 */
import { describe, expect, it } from 'vitest';
import { seeded } from '../../lib/damage/bits.ts';
import { forEachPlace } from '../../lib/damage/enumerate.ts';
import { locate, type Target } from '../../lib/damage/locate.ts';
import { placeWords } from '../../lib/damage/place.ts';
import { repair } from '../../lib/repair/repair.ts';
import { UnreadableDevice } from '../support/unreadable.ts';
import { compareContent, contentOf, type Held } from './content.ts';
import { contentBefore } from './harness.ts';
import { type DamageImage, damageImage, IMAGE_NAMES } from './image.ts';

const isFull = process.env.FULL === '1';
const seed = Number(process.env.CADASTRE_SEED ?? Math.floor(Date.now() / 86_400_000));
const SECTOR = 512;
/** What says nothing that is not said elsewhere, too. */
const REDUNDANT =
  /^(superblock|agf|agi|agfl|bnobt|cntbt|inobt|finobt|rmapbt|refcountbt|csumbt|dir-leaf1|dir-leafn|dir-free|da-node|log-record)$/;

/** One structure of each kind, or all. */
function targets({ device, geometry }: DamageImage): Target[] {
  const kinds = new Map<string, Target[]>();
  forEachPlace(device, geometry, (place) => {
    const target = locate(device, geometry, place);
    const list = kinds.get(target.structure);
    if (list) list.push(target);
    else kinds.set(target.structure, [target]);
  });
  const random = seeded(seed);
  return [...kinds.values()].flatMap((list) => (isFull ? list : [list[Math.floor(random() * list.length)]!]));
}

/** Whose bytes may be gone: those of the inodes in the sector, of the object the block belongs to. */
function mayLose({ geometry }: DamageImage, { structure, place }: Target): (held: Held) => boolean {
  if (REDUNDANT.test(structure)) return () => false;
  const inode = 'inode' in place ? place.inode : -1;
  if (structure !== 'inode') return (held) => held.inode === inode;
  const slots = Math.max(1, SECTOR / geometry.inodeSize);
  return (held) => Math.floor(held.inode / slots) === Math.floor(inode / slots);
}

describe.each(IMAGE_NAMES)(`%s (seed ${seed})`, (name) => {
  const image = damageImage(name);
  it.each(targets(image).map((target) => [placeWords(target.place).join(' '), target] as const))('%s', (_w, target) => {
    const byte = target.ranges[0]!.byte;
    const device = new UnreadableDevice(image.device, byte - (byte % SECTOR), SECTOR);
    const result = repair(device, {});
    expect(result.remaining).toEqual([]);
    if (target.structure !== 'log-record') expect(result.problems.map(({ code }) => code)).toContain('READ_ERROR');
    expect(repair(device, {})).toMatchObject({ clean: true, changed: false });
    const { lost } = compareContent(contentBefore(image), contentOf(device));
    const may = mayLose(image, target);
    expect(lost.filter((held) => !may(held)).map(({ path }) => path)).toEqual([]);
  });
});
