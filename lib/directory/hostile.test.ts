/** Damaged directories: whatever the bytes, an error of family `corrupt` or a fault, never a crash or a hang. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DA_NODE } from '../../formats/da.ts';
import { DIR_LEAF1, DIR_LEAFN } from '../../formats/directory.ts';
import { FakeFork } from '../../test/support/fake-fork.ts';
import { testGeometry } from '../../test/support/geometry.ts';
import { CadastreError } from '../errors.ts';
import {
  buildDirectory,
  checkDirectory,
  type DirectoryFault,
  entryCount,
  forEachEntry,
  insert,
  isEmpty,
  lookup,
  parentOf,
  readEntries,
  remove,
  replace,
  setParent,
} from './directory.ts';

const bytes = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));
const GEOMETRY = testGeometry({ blockSize: 512, dirBlockSize: 512, inodeSize: 256 });
const LEAF = 2 ** 35 / 512;
const FREE = 2 ** 36 / 512;

/** A clean directory in the form that so many entries take: 3 local, 12 block, 40 leaf, 900 node with two levels. */
function makeFork(count: number): FakeFork {
  const fork = new FakeFork(GEOMETRY, { inode: 131 });
  fork.strict = false;
  const entries = Array.from({ length: count }, (_, i) => ({ name: bytes(`name-${i}`), inode: 200 + i, ftype: 1 }));
  buildDirectory(fork, 131, 128, entries);
  fork.commit();
  return fork;
}

function faultsOf(fork: FakeFork): DirectoryFault[] {
  const faults: DirectoryFault[] = [];
  checkDirectory(fork, (fault) => faults.push(fault));
  return faults;
}

const codesOf = (fork: FakeFork): string[] => [...new Set(faultsOf(fork).map(({ code }) => code))];

/** Run it; only errors that say "corrupt" (or no space) may come out. */
function tolerate(action: () => unknown): void {
  try {
    action();
  } catch (error) {
    if (!(error instanceof CadastreError) || (error.family !== 'corrupt' && error.family !== 'no-space')) throw error;
  }
}

describe('random damage', () => {
  it.each([3, 12, 40, 900])('directory of %i entries', (count) => {
    const clean = makeFork(count);
    expect(faultsOf(clean)).toEqual([]);
    const blocks = clean.blocks.size === 0 ? [-1] : [...clean.blocks.keys()];
    const edit = fc.record({
      block: fc.nat(blocks.length - 1),
      // Headers, counts and tails are where damage hurts.
      offset: fc.oneof(fc.nat(511), fc.integer({ min: 44, max: 80 }), fc.integer({ min: 490, max: 511 })),
      value: fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 0xff, 0x80)),
    });
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
        const damaged = () =>
          clean.reread((fileBlock, data) => {
            for (const { block, offset, value } of edits) {
              if (blocks[block] === fileBlock) data[offset % data.length] = value;
            }
          });
        expect(Array.isArray(faultsOf(damaged()))).toBe(true);
        for (const look of [entryCount, isEmpty, parentOf, readEntries]) tolerate(() => look(damaged()));
        tolerate(() => forEachEntry(damaged(), () => {}));
        const fork = damaged();
        for (let i = 0; i < count; i += 7) {
          tolerate(() => lookup(fork, bytes(`name-${i}`)));
          tolerate(() => replace(fork, bytes(`name-${i}`), 300, 1));
          tolerate(() => remove(fork, bytes(`name-${i}`)));
          tolerate(() => insert(fork, bytes(`other-${i}`), 300, 1));
        }
        tolerate(() => setParent(fork, 129));
      }),
      { numRuns: count > 100 ? 40 : 150 },
    );
  });
});

describe('each kind of damage has its code', () => {
  const damage = (count: number, where: number, change: (view: DataView) => void): FakeFork =>
    makeFork(count).reread((fileBlock, data) => {
      if (fileBlock === where) change(new DataView(data.buffer));
    });

  it('an index entry that points nowhere, and an entry without one', () => {
    const fork = damage(40, LEAF, (view) => view.setUint32(64 + 8 * 5 + 4, view.getUint32(64 + 8 * 5 + 4) + 1));
    expect(codesOf(fork).sort()).toEqual(['DIR_BAD_POINTER', 'DIR_NOT_INDEXED']);
  });
  it('a wrong hash', () => {
    const fork = damage(40, LEAF, (view) => view.setUint32(64 + 8 * 41, 0xffffffff));
    expect(codesOf(fork).sort()).toEqual(['DIR_BAD_POINTER', 'DIR_NOT_INDEXED']);
  });
  it('a wrong best in leaf form and in the free index', () => {
    expect(codesOf(damage(40, LEAF, (view) => view.setUint16(506, 16)))).toEqual(['DIR_BAD_BEST']);
    expect(codesOf(damage(900, FREE, (view) => view.setUint16(64, 16)))).toEqual(['DIR_BAD_BEST']);
  });
  it('a key of a node that is not the greatest hash below', () => {
    const fork = makeFork(900);
    const root = fork.blocks.get(LEAF)!;
    expect(root.type).toBe(DA_NODE);
    expect(codesOf(damage(900, LEAF, (view) => view.setUint32(64, view.getUint32(64) - 1)))).toEqual(['DIR_BAD_KEY']);
  });
  it('children that repeat, loop or lie outside', () => {
    for (const child of [LEAF, LEAF + 1, 0, FREE]) {
      const codes = codesOf(damage(900, LEAF, (view) => view.setUint32(64 + 12, child)));
      expect(codes).toContain('DIR_BAD_CHILD');
    }
    // A lookup of everything ends, too.
    const fork = damage(900, LEAF, (view) => view.setUint32(64 + 12, LEAF + 1));
    for (let i = 0; i < 900; i++) tolerate(() => lookup(fork, bytes(`name-${i}`)));
  });
  it('siblings', () => {
    const leaf = LEAF + 3;
    expect(makeFork(900).blocks.get(leaf)!.type).toBe(DIR_LEAFN);
    expect(codesOf(damage(900, leaf, (view) => view.setUint32(0, 7)))).toEqual(['BAD_SIBLING']);
    expect(codesOf(damage(900, leaf, (view) => view.setUint32(4, 7)))).toEqual(['BAD_SIBLING']);
    expect(makeFork(40).blocks.get(LEAF)!.type).toBe(DIR_LEAF1);
    expect(codesOf(damage(40, LEAF, (view) => view.setUint32(0, 7)))).toEqual(['BAD_SIBLING']);
  });
  it('"." and ".."', () => {
    expect(codesOf(damage(12, 0, (view) => view.setUint32(68, 132)))).toEqual(['DIR_BAD_DOT']);
    expect(codesOf(damage(12, 0, (view) => view.setUint8(73, 0x41)))).toContain('DIR_NO_DOT');
    expect(codesOf(damage(12, 0, (view) => view.setUint8(90, 0x41)))).toContain('DIR_NO_DOTDOT');
    const fork = damage(12, 0, (view) => view.setUint8(90, 0x41));
    expect(() => parentOf(fork)).toThrow(expect.objectContaining({ code: 'DIR_NO_DOTDOT' }));
  });
  it('names', () => {
    expect(codesOf(damage(12, 0, (view) => view.setUint8(96 + 9, 0x2f)))).toContain('DIR_BAD_NAME');
    const twice = damage(12, 0, (view) => view.setUint8(120 + 9 + 5, 0x30));
    expect(codesOf(twice)).toContain('DIR_DUPLICATE_NAME');
    expect(codesOf(damage(3, -1, (view) => view.setUint8(6 + 3, 0)))).toEqual(['DIR_BAD_NAME']);
    expect(codesOf(damage(3, -1, (view) => view.setUint8(6 + 14 + 3 + 5, 0x30)))).toEqual(['DIR_DUPLICATE_NAME']);
  });
  it('a foreign or missing block', () => {
    expect(codesOf(damage(40, 1, (view) => view.setUint32(44, 132)))).toContain('BAD_OWNER');
    const fork = makeFork(40);
    fork.free(1);
    expect(codesOf(fork).sort()).toEqual(['DIR_BAD_BEST', 'DIR_BAD_POINTER']);
    const bare = makeFork(40);
    bare.free(LEAF);
    expect(codesOf(bare)).toEqual(['DIR_NO_INDEX']);
    const leafless = makeFork(900);
    leafless.free(LEAF + 2);
    expect(codesOf(leafless)).toEqual(['DIR_MISSING_BLOCK']);
    const stray = makeFork(900);
    stray.create(LEAF + 400, DIR_LEAFN);
    expect(codesOf(stray)).toEqual(['DIR_STRAY_BLOCK']);
  });
  it('gives up on a directory with too many faults', () => {
    const fork = makeFork(900).reread((fileBlock, data) => {
      if (fileBlock > LEAF && fileBlock < FREE) for (let at = 68; at < 512; at += 8) data[at + 3]! ^= 1;
    });
    const faults = faultsOf(fork);
    expect(faults.at(-1)!.code).toBe('DIR_TOO_DAMAGED');
    expect(faults.length).toBe(201);
  });
});
