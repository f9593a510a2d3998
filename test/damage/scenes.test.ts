/** Every canned scene: what the check says of it, that the same seed does the same, and that an impossible one writes nothing. */
import { describe, expect, it } from 'vitest';
import { check } from '../../lib/check/check.ts';
import { playScene, SCENES } from '../../lib/damage/scenes/scenes.ts';
import { OverlayDevice } from '../../lib/device/overlay.ts';
import { CadastreError } from '../../lib/errors.ts';
import { emptyImage } from '../support/empty-image.ts';
import { damageImage } from './image.ts';

/** A code that the check must report; `''`: nothing that metadata shows (data checksums do, where there are some). */
const FOUND: Readonly<Record<string, string>> = {
  'cross-link': 'BLOCK_MULTIPLY_CLAIMED',
  'cross-link-part': 'BLOCK_MULTIPLY_CLAIMED',
  'cross-link-three': 'BLOCK_MULTIPLY_CLAIMED',
  'self-collision': 'BLOCK_MULTIPLY_CLAIMED',
  'file-over-directory': 'BLOCK_MULTIPLY_CLAIMED',
  'file-over-bmbt': 'BLOCK_MULTIPLY_CLAIMED',
  'file-over-inodes': 'BLOCK_MULTIPLY_CLAIMED',
  'file-over-ag-header': 'EXTENT_BAD',
  'file-over-log': 'BLOCK_MULTIPLY_CLAIMED',
  'file-over-free-list': 'BLOCK_MULTIPLY_CLAIMED',
  'file-past-ag-end': 'EXTENT_BAD',
  'attr-over-data': 'BLOCK_MULTIPLY_CLAIMED',
  'stale-refcount': 'REFCOUNT_WRONG',
  'missing-refcount': 'REFCOUNT_WRONG',
  'missing-rmap': 'RMAP_MISSING',
  'wrong-rmap-owner': 'RMAP_EXTRA',
  'lost-free-space-leaf': 'TREE_BLOCK',
  'lost-rmap-roots': 'TREE_BLOCK',
  'lost-refcount-roots': 'TREE_BLOCK',
  'lost-agf': 'AGF_BAD',
  'lost-inode-chunk': 'ENTRY_DANGLING',
  'lost-fork': 'RMAP_EXTRA',
  'lost-bmbt-root': 'INODE_BAD',
  'swapped-blocks': '',
  'misdirected-write': '',
  orphan: 'INODE_UNREACHABLE',
  'bad-dotdot': 'DIRECTORY_PARENT',
  'link-count': 'LINK_COUNT',
  'dir-hash-garbage': 'DIRECTORY_INDEX',
  'dir-data-garbage': 'DIRECTORY_BLOCK',
  'wipe-superblock': 'UNSUPPORTED',
  'wipe-64k': 'UNSUPPORTED',
  'wipe-1m': 'UNSUPPORTED',
  'wipe-ag1': 'AGF_BAD',
  'wipe-inodes': 'INODE_BAD',
  'wipe-log': 'LSN_AHEAD',
  cut: 'SUPERBLOCK_BAD',
};
const SEEDS = process.env.FULL === '1' ? [1, 2, 3, 4, 5] : [1, 2];
/** Where garbage falls, the seed says. */
const BY_LOT = ['wipe-sectors'];

function play(name: string, scene: string, seed: number) {
  const { device, geometry } = damageImage(name);
  const overlay = new OverlayDevice(device);
  const report = playScene(overlay, geometry, scene, { seed });
  return { overlay, report };
}

describe.each(['cadastre', 'xfs'])('%s', (name) => {
  it.each(Object.entries(FOUND))('%s is found as %s', (scene, code) => {
    for (const seed of SEEDS) {
      const { overlay, report } = play(name, scene, seed);
      expect(report.changes.length).toBeGreaterThan(0);
      expect(report.text).not.toMatch(/undefined|NaN/);
      const codes = check(overlay, { data: true }).problems.map((problem) => problem.code);
      if (code !== '') expect(codes).toContain(code);
      else expect([...new Set(codes)]).toEqual(name === 'cadastre' ? ['DATA_CHECKSUM'] : []);
    }
  });

  it.each(Object.keys(SCENES))('%s does the same for the same seed', (scene) => {
    const [a, b] = [play(name, scene, 7), play(name, scene, 7)];
    expect(a.report).toEqual(b.report);
    expect(a.overlay.changedBytes).toBe(b.overlay.changedBytes);
  });
});

it('every scene is in the table', () => {
  expect([...Object.keys(FOUND), ...BY_LOT].sort()).toEqual(Object.keys(SCENES).sort());
});

it('a scene that the image has no stage for says so and writes nothing', () => {
  const device = emptyImage({ dialect: 'xfs' });
  const { geometry } = check(device).observed!.context;
  let refused = 0;
  for (const scene of Object.keys(SCENES)) {
    const overlay = new OverlayDevice(device);
    try {
      playScene(overlay, geometry, scene);
    } catch (error) {
      expect(error).toBeInstanceOf(CadastreError);
      expect((error as CadastreError).code).toBe('SCENE_IMPOSSIBLE');
      expect(overlay.changedBytes).toBe(0);
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(15);
});

it('names say who plays which part', () => {
  const { device, geometry, inodes } = damageImage('xfs');
  const overlay = new OverlayDevice(device);
  const report = playScene(overlay, geometry, 'cross-link', { paths: ['/plain-40', '/plain-3'] });
  expect(report.paths).toEqual(['/plain-40', '/plain-3']);
  const [problem] = check(overlay).problems.filter(({ code }) => code === 'BLOCK_MULTIPLY_CLAIMED');
  expect(problem?.claimants?.map(({ inode, registered }) => [inode, registered])).toEqual(
    [
      [inodes.get('/plain-3'), false],
      [inodes.get('/plain-40'), true],
    ].sort((a, b) => (a[0] as number) - (b[0] as number)),
  );
});
