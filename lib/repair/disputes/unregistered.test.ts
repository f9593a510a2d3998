/** Homes without a register: one range and one claim of a length are believed, several are not, and what was there before is kept. */
import { expect, it } from 'vitest';
import { Hand } from '../../../test/scenes/scenes.ts';
import { blocksOf, makeWorld, VARIANTS, type World } from '../../../test/scenes/world.ts';
import { OverlayDevice } from '../../device/overlay.ts';
import { Volume } from '../../volume/volume.ts';
import { repair } from '../repair.ts';
import type { RepairResult } from '../report.ts';
import { slotByte } from '../slot.ts';
import type { RepairOptions } from '../state.ts';

const [, , , withRefcounts, bare] = VARIANTS.map((variant) => makeWorld(variant)) as [
  World,
  World,
  World,
  World,
  World,
];

/** Damage a copy of a world and repair it; a second repair must have nothing to do. */
function mend(
  from: World,
  damage: (hand: Hand) => void,
  options: RepairOptions = {},
): { world: World; result: RepairResult } {
  const world = { ...from, device: new OverlayDevice(from.device) };
  damage(new Hand(world));
  const result = repair(world.device, options);
  expect(result.remaining).toEqual([]);
  expect(repair(world.device).changed).toBe(false);
  return { world, result };
}

const read = (world: World, path: string): string => blocksOf(world, Volume.open(world.device), path);
const shown = ({ decisions }: RepairResult): string[] =>
  decisions.map(
    ({ action, claimants }) => `${action} ${claimants.map(({ path, outcome }) => `${path} ${outcome}`).join()}`,
  );
const free = (hand: Hand, skip = 0): number => hand.stage.geometry.agLength(0) - 200 + skip;

/** What the files in lost+found hold, by name. */
function kept(world: World): string[] {
  const volume = Volume.open(world.device);
  const number = volume.child(volume.root, new TextEncoder().encode('lost+found'));
  if (number === undefined) return [];
  return volume.sortedEntries(volume.inode(number)).map(({ name }) => {
    const text = new TextDecoder().decode(name);
    return `${text.replace(/\d+/g, 'N')}: ${blocksOf(world, volume, `/lost+found/${text}`)}`;
  });
}

it('a claim on free space goes to the only lost blocks of its length, is called suspect, and what stood there is kept', () => {
  const { world, result } = mend(bare, (hand) => {
    const { device, geometry } = hand.stage;
    device.write(geometry.fsBlockToByte(free(hand)), new Uint8Array(geometry.blockSize).fill(7));
    hand.aim(hand.extent('/a'), free(hand));
  });
  expect(shown(result)).toEqual(['restore /a restored']);
  expect(result.decisions[0]!.outcome).toContain('suspect');
  expect(result.actions.map(({ path, text }) => `${path} ${text}`).join()).toContain('/a parts of the file may be');
  expect(read(world, '/a')).toBe('. . . .');
  expect(kept(world)).toEqual(['blocks-N-N-of-inode-N-at-N: ? 0 0 0']);
});

it('whoever is asked may leave it there: then the lost blocks are kept', () => {
  const offered: unknown[] = [];
  const { world } = mend(bare, (hand) => hand.aim(hand.extent('/a'), free(hand)), {
    decide: ({ action }, choices) => {
      offered.push(action, choices);
      return 'stay';
    },
  });
  expect(offered).toEqual(['restore', ['restore', 'stay']]);
  expect(read(world, '/a')).toBe('0 0 0 0');
  expect(kept(world)).toEqual(['blocks-N-N-of-inode-N-at-N: a.0 a.1 a.2 a.3']);
});

it('two claims of one length, or two ranges, prove nothing: everything is kept', () => {
  const { world, result } = mend(bare, (hand) => {
    hand.aim(hand.extent('/a'), free(hand));
    hand.aim(hand.extent('/c'), free(hand, 8));
  });
  expect(shown(result)).toEqual([]);
  expect(kept(world).join()).toContain('a.0 a.1 a.2 a.3');
  expect(kept(world).join()).toContain('c.0 c.1 c.2 c.3');
  const named = new Set(result.actions.map(({ path }) => path));
  expect([named.has('/a'), named.has('/c')]).toEqual([true, true]);
});

it('when an inode is gone, lost blocks may have been its own', () => {
  const { world, result } = mend(bare, (hand) => {
    const { device, geometry } = hand.stage;
    hand.aim(hand.extent('/a'), free(hand));
    device.write(slotByte(geometry, hand.inode('/gap')), new Uint8Array(geometry.inodeSize));
  });
  expect(shown(result).filter((each) => each.startsWith('restore'))).toEqual([]);
  expect(kept(world).join()).toContain('a.0 a.1 a.2 a.3');
});

it('a refcount moves a claim that merely collides, but not one of another length', () => {
  const clone = mend(withRefcounts, (hand) => hand.link('/clone', '/c'));
  // Both claims are of four blocks, but only files that share can be missing from a refcount.
  expect(shown(clone.result)).toEqual(['restore /c keeps,/clone restored']);
  expect(clone.result.decisions[0]!.evidence[0]).toContain('fewer claims than their refcount says');
  expect(read(clone.world, '/clone')).toBe('shared.0 shared.1 shared.2 shared.3');
  const both = mend(withRefcounts, (hand) => {
    hand.link('/clone', '/c');
    hand.link('/shared', '/c');
  });
  // Of the sharers nobody is left: a count alone says nothing of whose the blocks were.
  expect(shown(both.result)).toEqual(['share /c shares,/shared shares,/clone shares']);
  expect(kept(both.world).join()).toContain('shared.0 shared.1 shared.2 shared.3');
});

it('a tree block of another inode is not believed, nor is one that was freed; a wrong owner alone is', () => {
  const foreign = mend(bare, (hand) => {
    hand.stage.set({ kind: 'inode', inode: hand.inode('/frag') }, 'pointers[0]', hand.treeBlock('/frag2'));
  });
  expect(shown(foreign.result)).toEqual(['self-description /frag rebuilt,/frag2 keeps']);
  expect(foreign.result.losses).toEqual([]);
  const before = read(bare, '/frag');
  expect(read(foreign.world, '/frag')).toBe(before);
  const freed = mend(bare, (hand) => {
    const { device, geometry } = hand.stage;
    const bytes = hand.stage.block(hand.treeBlock('/frag2'));
    device.write(geometry.fsBlockToByte(free(hand)), bytes);
    hand.stage.set({ kind: 'inode', inode: hand.inode('/frag') }, 'pointers[0]', free(hand));
  });
  expect(read(freed.world, '/frag')).toBe(before);
  const owner = mend(bare, (hand) => {
    hand.stage.set(
      { kind: 'bmbt', inode: hand.inode('/frag'), fork: 'data', children: [0] },
      'owner',
      hand.inode('/a'),
    );
  });
  expect(shown(owner.result)).toEqual([]);
  expect(read(owner.world, '/frag')).toBe(before);
});

it('a tree of which nothing is left is a loss, and what nobody claims is kept', () => {
  const { world, result } = mend(bare, (hand) => {
    const { device, geometry } = hand.stage;
    device.write(geometry.fsBlockToByte(hand.treeBlock('/frag')), new Uint8Array(geometry.blockSize));
  });
  expect(result.losses.map(({ what, path, blockCount }) => [what, path, blockCount])).toContainEqual([
    'extents',
    '/frag',
    61,
  ]);
  expect(kept(world).join()).toContain('frag.118');
});
