import { describe, expect, it } from 'vitest';
import { BTREE_BLOCK_TYPES } from '../../formats/btree-verify.ts';
import { makeWorld, TREE_NAMES, testGeometry, type World } from './fixture.ts';

const geometry = testGeometry(1024, 4096);

/** The header of an empty root leaf of each tree. */
function leafOf(world: World): { view: DataView; daddr: number } {
  const pointer = [...world.blocks.inUse][0]!;
  const daddr = world.blocks.daddr(pointer);
  return { view: new DataView(world.cache.get(daddr, 1024, world.tree.type.blockType).data.slice().buffer), daddr };
}

describe.each(TREE_NAMES)('verifier of %s', (name) => {
  const type = BTREE_BLOCK_TYPES[name];
  const world = makeWorld(name, geometry);
  const long = name === 'bmbt';
  const own = geometry.headerBlocks + 2;

  it('accepts what the engine makes', () => {
    const { view, daddr } = leafOf(world);
    expect(type.verify(view, geometry, daddr)).toBeUndefined();
  });

  const cases: readonly [field: string, code: string, offset: number, value: number][] = [
    ['magic', 'BAD_MAGIC', 0, 0x41423344],
    ['level', 'BAD_LEVEL', 4, 9 << 16],
    ['numrecs', 'BAD_COUNT', 4, 200],
    ['numrecs', 'BAD_COUNT', 4, 1 << 16],
    ['blkno', 'BAD_ADDRESS', long ? 28 : 20, 7],
    ['blkno', 'BAD_ADDRESS', long ? 24 : 16, 7],
    ['uuid', 'BAD_UUID', long ? 52 : 44, 0],
    // A block of the AG headers, itself, behind the end.
    ['rightSibling', 'BAD_SIBLING', long ? 20 : 12, long ? 4096 : 1],
    ['rightSibling', 'BAD_SIBLING', long ? 20 : 12, long ? 4096 + own : own],
    ['leftSibling', 'BAD_SIBLING', long ? 12 : 8, long ? 4096 + own : own],
    ['leftSibling', 'BAD_SIBLING', long ? 8 : 8, long ? 5 : 4096],
  ];
  it.each(cases)('%s: %s at %i = %i', (field, code, offset, value) => {
    const { view, daddr } = leafOf(world);
    if (field.endsWith('Sibling') && long) view.setUint32(offset & ~7, 0);
    view.setUint32(offset, value);
    expect(type.verify(view, geometry, daddr)).toMatchObject({ code, field });
  });

  it('owner', () => {
    const { view, daddr } = leafOf(world);
    view.setUint32(long ? 56 : 48, 0);
    if (long) view.setUint32(60, 0);
    expect(type.verify(view, geometry, daddr)).toMatchObject({ code: 'BAD_OWNER', field: 'owner' });
  });
});
