/**
 * Inodes and extent trees damaged field by field, CRC made right or left: after the repair the image checks clean, a second
 * repair finds nothing, and no file has lost a byte but where nothing on the image can know better (see `mayLose`). A sample
 * that CADASTRE_SEED (or the day) decides; FULL=1 runs all.
 */
import { describe, expect, it } from 'vitest';
import { InodeCore } from '../../../formats/inode.ts';
import { caseLine, casesOf, type DamageCase, sample } from '../../../test/damage/cases.ts';
import { bytesOf, compareContent, contentOf, type Held } from '../../../test/damage/content.ts';
import { type DamageImage, damageImage, IMAGE_NAMES } from '../../../test/damage/image.ts';
import { check } from '../../check/check.ts';
import { damage } from '../../damage/damage.ts';
import type { Device } from '../../device/device.ts';
import { OverlayDevice } from '../../device/overlay.ts';
import { repair } from '../repair.ts';
import { slotByte } from '../slot.ts';

const isFull = process.env.FULL === '1';
const seed = Number(process.env.CADASTRE_SEED ?? Math.floor(Date.now() / 86_400_000));
const SAMPLED = isFull ? Number.POSITIVE_INFINITY : 6;

/** Why a damaged field may cost its own file's content: nothing else on the image says what it was. */
function mayLose({ image, kind, structure, spec }: DamageCase): string | undefined {
  if (/target/.test(kind)) return 'the text of a symlink inside the inode stands nowhere else';
  if (/^size$/.test(kind)) return 'no other structure holds the size of a file';
  if (/fileBlock/.test(kind)) return 'fork and register name two places, and a sparse file fits both';
  if (/unwritten/.test(kind)) return 'without checksums only the register knows, and it may be the wrong one';
  const isLoose = !image.geometry.features.rmapbt;
  if (isLoose && /startBlock|pointers|root\./.test(kind)) return 'no register: another file claims the same blocks';
  if (isLoose && structure === 'bmbt' && spec.crc === 'keep') return 'no register';
  return undefined;
}

const contents = new Map<string, ReadonlyMap<string, Held>>();
function heldBy(image: DamageImage): ReadonlyMap<string, Held> {
  let held = contents.get(image.name);
  if (!held) contents.set(image.name, (held = contentOf(image.device)));
  return held;
}

/** Repair, and what went wrong; files lost by path. */
function mend(image: DamageImage, device: Device): { wrong: string[]; lost: readonly Held[]; losses: number } {
  const wrong: string[] = [];
  const result = repair(device, {});
  const again = check(device, { data: true });
  if (!again.clean) wrong.push(`not clean: ${again.problems[0]?.message}`);
  if (repair(new OverlayDevice(device), {}).changed) wrong.push('the second repair writes');
  const { lost } = compareContent(heldBy(image), contentOf(device));
  return { wrong, lost, losses: result.losses.length };
}

describe.each(IMAGE_NAMES)('%s', (name) => {
  it.each(['inode', 'bmbt'])(`%s fields (seed ${seed})`, (structure) => {
    const image = damageImage(name);
    const cases = casesOf(image).filter((each) => each.structure === structure);
    const failures: string[] = [];
    for (const each of sample(cases, SAMPLED, seed)) {
      const device = new OverlayDevice(image.device);
      const change = damage(device, image.geometry, each.spec);
      if (change.before === change.after || check(device, { data: true, maxProblems: 1 }).clean) continue;
      const { wrong, lost } = mend(image, device);
      const own = 'inode' in each.spec.place ? each.spec.place.inode : -1;
      const unexplained = lost.filter((held) => held.inode !== own || mayLose(each) === undefined);
      if (unexplained.length > 0) wrong.push(`lost ${unexplained.map(({ path }) => path).join()}`);
      if (wrong.length > 0) failures.push(`${caseLine(each)} seed ${each.spec.seed}: ${wrong.join('; ')}`);
    }
    expect(failures).toEqual([]);
  });
});

describe('an attribute fork that counts nothing', () => {
  it.each(['xfs-plain', 'xfs-1k'])('%s: blocks that say whose they are are counted again', (name) => {
    const image = damageImage(name);
    for (const path of ['/leaf-attributes', '/node-attributes']) {
      const device = new OverlayDevice(image.device);
      const place = { kind: 'inode', inode: image.inodes.get(path)! } as const;
      damage(device, image.geometry, { place, field: 'anextents', verb: 'zero', crc: 'fix' });
      const { wrong } = mend(image, device);
      expect(wrong).toEqual([]);
      const [before, after] = [heldBy(image), contentOf(device)].map((held) => held.get(path)?.attributes);
      expect(after, path).toBe(before);
    }
  });
});

describe('slots that hold nothing any more', () => {
  const wipe = (image: DamageImage, device: Device, path: string, byte: number): void => {
    const inode = image.inodes.get(path)!;
    device.write(slotByte(image.geometry, inode), new Uint8Array(image.geometry.inodeSize).fill(byte));
  };
  const image = damageImage('cadastre');

  it('a file in pieces is made again from the register: every block, the size rounded up', () => {
    const device = new OverlayDevice(image.device);
    wipe(image, device, '/pieces-1', 0);
    const result = repair(device, {});
    expect(check(device, { data: true }).clean).toBe(true);
    expect(result.losses.map(({ what }) => what)).toContain('inode core');
    const after = contentOf(device);
    expect(after.has('/pieces-1')).toBe(true);
    const number = image.inodes.get('/pieces-1')!;
    const old = bytesOf(image.device, number);
    const made = bytesOf(device, number);
    expect(made.length).toBeGreaterThanOrEqual(old.length);
    expect(Buffer.compare(made.subarray(0, old.length), old)).toBe(0);
    expect(compareContent(heldBy(image), after).lost.map(({ path }) => path)).not.toContain('/plain-10');
  });

  it('a directory keeps its entries, a small one its name', () => {
    for (const [path, byte] of [
      ['/node', 0xff],
      ['/short', 0],
    ] as const) {
      expect(image.inodes.has(path)).toBe(true);
      const device = new OverlayDevice(image.device);
      wipe(image, device, path, byte);
      repair(device, {});
      expect(check(device, { data: true }).clean).toBe(true);
      expect(compareContent(heldBy(image), contentOf(device)).lost).toEqual([]);
    }
  });

  it('a symlink inside the inode is cleared and named', () => {
    const device = new OverlayDevice(image.device);
    wipe(image, device, '/symlink', 0);
    const result = repair(device, {});
    expect(check(device, { data: true }).clean).toBe(true);
    expect(result.losses.some(({ text }) => text.includes('"symlink"'))).toBe(true);
  });

  it('an extent count that no fork could have, under a CRC that explains nothing, is no stumbling block', () => {
    const device = new OverlayDevice(image.device);
    const inode = image.inodes.get('/plain-10')!;
    const at = slotByte(image.geometry, inode) + InodeCore.offsets.bigNextents;
    device.write(at, Uint8Array.from([0, 0, 0, 9, 1, 2, 3, 4]));
    const { wrong, lost } = mend(image, device);
    expect(wrong).toEqual([]);
    expect(lost).toEqual([]);
  });

  it('a free slot full of garbage becomes a proper free one', () => {
    const device = new OverlayDevice(image.device);
    const inode = image.geometry.rootInode + 63;
    const bytes = Uint8Array.from({ length: image.geometry.inodeSize }, (_, i) => (i * 37 + 11) & 0xff);
    device.write(slotByte(image.geometry, inode), bytes);
    const { wrong, lost } = mend(image, device);
    expect(wrong).toEqual([]);
    expect(lost).toEqual([]);
    const mode = new Uint8Array(2);
    device.read(slotByte(image.geometry, inode) + InodeCore.offsets.mode, mode);
    expect([...mode]).toEqual([0, 0]);
  });

  it('a whole chunk of inodes wiped: everything with blocks is found through the register', () => {
    const device = new OverlayDevice(image.device);
    const first = image.inodes.get('/plain-10')!;
    const start = first - (first % 64);
    device.write(slotByte(image.geometry, start), new Uint8Array(64 * image.geometry.inodeSize));
    const result = repair(device, {});
    expect(check(device, { data: true }).clean).toBe(true);
    expect(result.losses.length).toBeGreaterThan(0);
  });
});

describe('a record for other blocks than the register names', () => {
  const image = damageImage('xfs');
  const inode = image.inodes.get('/few-pieces')!;
  const broken = (): OverlayDevice => {
    const device = new OverlayDevice(image.device);
    const place = { kind: 'inode', inode } as const;
    damage(device, image.geometry, { place, field: 'extents[1].startBlock', verb: 'add', value: 1500n, crc: 'fix' });
    return device;
  };

  it('goes home', () => {
    const device = broken();
    const { decisions } = repair(device, {});
    expect(decisions.map(({ action }) => action)).toEqual(['restore']);
    expect(mend(image, device)).toEqual({ wrong: [], lost: [], losses: 0 });
  });

  it('is left as it is when whoever is asked says so, once; what it should have named is kept', () => {
    const device = broken();
    const asked: unknown[] = [];
    const { clean, decisions, found } = repair(device, {
      decide: ({ action, claimants }, choices) => {
        asked.push(action, claimants[0]?.path, choices);
        return 'stay';
      },
    });
    expect(asked).toEqual(['restore', '/few-pieces', ['restore', 'stay']]);
    expect(clean).toBe(true);
    expect(decisions.map(({ action, outcome }) => [action, outcome])).toEqual([
      ['stay', `inode ${inode} is left as it is, as asked`],
    ]);
    expect(mend(image, device)).toMatchObject({ wrong: [], lost: [{ path: '/few-pieces' }] });
    expect(found.map(({ path }) => path)).toEqual([expect.stringMatching(/^\/lost\+found\/blocks-0-85-of-inode/)]);
    const kept = bytesOf(device, found[0]!.inode);
    expect(kept).toEqual(bytesOf(image.device, inode).subarray(5 * 4096, 7 * 4096));
  });
});
