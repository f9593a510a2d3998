import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ATTR, ATTR_LEAF_MAGIC, AttrLeafHeader, AttrLocal, AttrRemote, encodeParent } from '../../formats/attribute.ts';
import { testGeometry } from '../../test/support/geometry.ts';
import { MapFork } from '../../test/support/map-fork.ts';
import { CadastreError } from '../errors.ts';
import { type AttributeEntry, buildAttributes, shortformBytesOf } from './build.ts';
import { checkAttributes } from './check.ts';
import { leafCount, leafFlags, leafRecord } from './leaf.ts';
import { fromLinux, fromLinuxName, toLinux, toLinuxName } from './linux-names.ts';
import { isNode, nodeLevel } from './path.ts';
import { forEachAttribute, getAttribute, listAttributes, listParents } from './read.ts';
import { removeAttribute, setAttribute, shortformBytesAfter } from './write.ts';

const ascii = (text: string): Uint8Array => Uint8Array.from(text, (char) => char.charCodeAt(0));
const text = (data: Uint8Array): string => String.fromCharCode(...data);
/** Bytes that tell a value of one length and salt from another. */
const value = (length: number, salt = 0): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 7 + salt + (i >> 8)) & 0xff);

/** The matcher for bytes: toEqual compares large arrays element by element, far too slowly. */
const digest = (data: Uint8Array | undefined): string | undefined => data && Buffer.from(data).toString('latin1');
const SIZES = [1024, 4096, 65536];
const newFork = (blockSize: number, localCapacity = 144, parent = false) =>
  new MapFork(testGeometry({ blockSize, parent }), { blockBytes: blockSize, localCapacity });

function faults(fork: MapFork): string[] {
  const found: string[] = [];
  checkAttributes(fork, (bad, block) =>
    found.push(`${bad.code} ${bad.field} ${bad.found}, not ${bad.expected} @${block}`),
  );
  return found;
}
/** Everything the rules of a fork say: sealed blocks verify, the structure checks clean, local exactly when it fits. */
function expectSound(fork: MapFork): void {
  fork.settle();
  expect(faults(fork)).toEqual([]);
  if (fork.blocks.size > 0) {
    const entries: AttributeEntry[] = [];
    forEachAttribute(fork, (found) =>
      entries.push({ flags: found.flags, name: found.name(), value: new Uint8Array(found.valueLength) }),
    );
    expect(shortformBytesOf(entries) ?? Number.POSITIVE_INFINITY).toBeGreaterThan(fork.localCapacity);
  }
}
function contents(fork: MapFork): Map<string, string> {
  const all = new Map<string, string>();
  forEachAttribute(fork, (found) => {
    const key = `${found.flags}:${Buffer.from(found.name()).toString('hex')}`;
    expect(all.has(key)).toBe(false);
    all.set(key, Buffer.from(found.value()).toString('base64'));
  });
  return all;
}
const rootLevel = (fork: MapFork): number => {
  const root = fork.blocks.get(0);
  return root ? (isNode(root.view) ? nodeLevel(root.view) : 0) : -1;
};

/** Names of `2 * pairs` bytes that all have one hash: flipping bit 0 of a byte and bit 7 of the next cancels out. */
function sameHashName(index: number, pairs = 8): Uint8Array {
  const name = new Uint8Array(2 * pairs).fill(0x62);
  for (let k = 0; k < pairs; k++) {
    if ((index >> k) & 1) {
      name[2 * k]! ^= 1;
      name[2 * k + 1]! ^= 0x80;
    }
  }
  return name;
}

describe('forms', () => {
  it('writes the shortform bytes of the format', () => {
    const fork = newFork(4096);
    setAttribute(fork, ATTR.PARENT, ascii('d1'), encodeParent(128, 0));
    expect(Buffer.from(fork.local()!.buffer).toString('hex')).toBe('00150100020c086431000000000000008000000000');
    setAttribute(fork, ATTR.USER, ascii('a'), ascii('xy'));
    expect(shortformBytesAfter(fork, ATTR.USER, ascii('a'), 5)).toBe(0x15 + 3 + 1 + 5);
    expect(shortformBytesAfter(fork, ATTR.USER, ascii('b'), 5)).toBe(0x15 + 6 + 3 + 1 + 5);
    expect(shortformBytesAfter(fork, ATTR.USER, ascii('b'), 255)).toBeUndefined();
    expect(removeAttribute(fork, ATTR.PARENT, ascii('d1'), encodeParent(129, 0))).toBe(false);
    expect(removeAttribute(fork, ATTR.PARENT, ascii('d1'), encodeParent(128, 0))).toBe(true);
    expect(removeAttribute(fork, ATTR.ROOT, ascii('a'))).toBe(false);
    expect(removeAttribute(fork, ATTR.USER, ascii('a'))).toBe(true);
    expect(Buffer.from(fork.local()!.buffer).toString('hex')).toBe('00040000');
  });

  it('writes the leaf and remote bytes of the format', () => {
    const fork = newFork(1024, 20);
    setAttribute(fork, ATTR.ROOT, ascii('t'), ascii('value'));
    setAttribute(fork, ATTR.USER, ascii('long'), value(1000));
    const leaf = fork.blocks.get(0)!.view;
    expect(leaf.getUint16(8)).toBe(0x3bee);
    expect([56, 58, 60].map((at) => leaf.getUint16(at))).toEqual([2, 12 + 16, 1024 - 28]);
    expect([64, 66].map((at) => leaf.getUint16(at))).toEqual([96, 1024 - 28 - 96]);
    expect([leaf.getUint32(80), leaf.getUint16(84), leaf.getUint8(86)]).toEqual([0x74, 1012, ATTR.ROOT | ATTR.LOCAL]);
    expect(text(fork.blocks.get(0)!.data.subarray(1012, 1021))).toBe('\0\x05\x01tvalue');
    const record = leaf.getUint16(92);
    expect([leaf.getUint32(record), leaf.getUint32(record + 4), leaf.getUint8(record + 8)]).toEqual([1, 1000, 4]);
    const second = fork.blocks.get(2)!.view;
    expect([0, 4, 8, 48, 52].map((at) => second.getUint32(at))).toEqual([0x5841524d, 968, 32, 0xffffffff, 0xffffffff]);
    expectSound(fork);
    // A new long value gets new blocks; the old ones are free again, and used by the next.
    setAttribute(fork, ATTR.USER, ascii('long'), value(1936, 5));
    expect([...fork.blocks.keys()].sort()).toEqual([0, 3, 4]);
    expect(digest(getAttribute(fork, ATTR.USER, ascii('long')))).toBe(digest(value(1936, 5)));
    setAttribute(fork, ATTR.USER, ascii('other'), value(900));
    expect([...fork.blocks.keys()].sort()).toEqual([0, 1, 3, 4]);
    expect(removeAttribute(fork, ATTR.USER, ascii('long'))).toBe(true);
    expect(removeAttribute(fork, ATTR.USER, ascii('other'))).toBe(true);
    expect(fork.local()?.getUint16(0)).toBe(4 + 3 + 6);
  });

  it('goes local, leaf, node and back, and the room decides', () => {
    for (const blockSize of SIZES) {
      const fork = newFork(blockSize);
      const levels = new Set<number>();
      const count = Math.ceil((blockSize * 2) / 300);
      for (let i = 0; i < count; i++) {
        setAttribute(fork, ATTR.USER, ascii(`name-${i}`), value(250, i));
        levels.add(rootLevel(fork));
        if (i % 7 === 0) expectSound(fork);
      }
      for (let i = 0; i < count; i++) {
        expect(digest(getAttribute(fork, ATTR.USER, ascii(`name-${i}`)))).toBe(digest(value(250, i)));
        expect(removeAttribute(fork, ATTR.USER, ascii(`name-${i}`))).toBe(true);
        levels.add(rootLevel(fork));
        if (i % 7 === 0) expectSound(fork);
      }
      expect([...levels].sort((a, b) => a - b)).toEqual([-1, 0, 1]);
      expect(fork.blocks.size).toBe(0);
      expect(fork.local()?.getUint16(0)).toBe(4);
    }
  });

  it('splits a leaf in three when the new record fits beside neither neighbour', () => {
    const fork = newFork(1024);
    // Hashes of one-letter names are the letters: b goes between a and c.
    setAttribute(fork, ATTR.USER, ascii('a'), value(440));
    setAttribute(fork, ATTR.USER, ascii('c'), value(440));
    setAttribute(fork, ATTR.USER, ascii('b'), value(750));
    expect(fork.blocks.size).toBe(4);
    expectSound(fork);
  });

  it('moves a shortform of many tiny entries into more than one leaf', () => {
    const fork = newFork(1024, 336);
    for (let i = 0; i < 83; i++) setAttribute(fork, ATTR.USER, Uint8Array.of(1 + i), value(0));
    expect(fork.local()).toBeDefined();
    setAttribute(fork, ATTR.USER, ascii('straw'), value(1));
    expect(rootLevel(fork)).toBe(1);
    expectSound(fork);
    expect(listAttributes(fork).length).toBe(84);
  });

  it('keeps many attributes of one hash, over many leaves', () => {
    const fork = newFork(1024);
    for (let i = 0; i < 200; i++) setAttribute(fork, ATTR.USER, sameHashName((i * 77) & 255), value(60, i));
    setAttribute(fork, ATTR.SECURE, sameHashName(0), value(3));
    expectSound(fork);
    expect(rootLevel(fork)).toBe(1);
    for (let i = 0; i < 200; i++) {
      const name = sameHashName((i * 77) & 255);
      expect(digest(getAttribute(fork, ATTR.USER, name))).toBe(digest(value(60, i)));
      setAttribute(fork, ATTR.USER, name, value(i % 90, i + 1));
    }
    expect(getAttribute(fork, ATTR.USER, sameHashName(200 * 77))).toBeUndefined();
    expectSound(fork);
    for (let i = 0; i < 200; i += 2) expect(removeAttribute(fork, ATTR.USER, sameHashName((i * 77) & 255))).toBe(true);
    expectSound(fork);
    expect(digest(getAttribute(fork, ATTR.SECURE, sameHashName(0)))).toBe(digest(value(3)));
    for (let i = 1; i < 200; i += 2)
      expect(getAttribute(fork, ATTR.USER, sameHashName((i * 77) & 255))?.length).toBe(i % 90);
  });

  it('grows by inserting to two node levels and shrinks again', () => {
    const fork = newFork(1024);
    const count = 260;
    for (let i = 0; i < count; i++) {
      setAttribute(fork, ATTR.USER, ascii(`grow-${i}`), value(600, i));
      if (i % 40 === 0) expectSound(fork);
    }
    expect(rootLevel(fork)).toBe(2);
    expectSound(fork);
    for (let i = 0; i < count; i++) {
      const name = ascii(`grow-${(i * 97) % count}`);
      expect(digest(getAttribute(fork, ATTR.USER, name))).toBe(digest(value(600, (i * 97) % count)));
      expect(removeAttribute(fork, ATTR.USER, name)).toBe(true);
      if (i % 40 === 0) expectSound(fork);
    }
    expect(fork.local()?.getUint16(0)).toBe(4);
  });

  it('edits a tree of three node levels', () => {
    const fork = newFork(1024);
    const entries = Array.from({ length: 15000 }, (_, i) => ({
      flags: 0,
      name: ascii(`deep-${i}`),
      value: value(600, i),
    }));
    buildAttributes(fork, entries);
    expect(rootLevel(fork)).toBe(3);
    expectSound(fork);
    // Full nodes from bottom to top: the first inserts split all of them.
    for (let i = 0; i < 20; i++) setAttribute(fork, ATTR.ROOT, ascii(`more-${i}`), value(700, i));
    expectSound(fork);
    for (let i = 0; i < 15000; i++) if (i % 3 !== 0) expect(removeAttribute(fork, 0, ascii(`deep-${i}`))).toBe(true);
    expectSound(fork);
    for (let i = 0; i < 15000; i += 3) {
      if (i % 99 === 0) expect(digest(getAttribute(fork, 0, ascii(`deep-${i}`)))).toBe(digest(value(600, i)));
      removeAttribute(fork, 0, ascii(`deep-${i}`));
    }
    expect(listAttributes(fork).length).toBe(20);
    expectSound(fork);
  });

  it('tells parent pointers by name and value', () => {
    for (const capacity of [1000, 60]) {
      const fork = newFork(4096, capacity, true);
      for (let i = 0; i < 20; i++) setAttribute(fork, ATTR.PARENT, ascii('same name'), encodeParent(1000 + i, i));
      setAttribute(fork, ATTR.PARENT, ascii('same name'), encodeParent(1005, 5));
      expectSound(fork);
      expect(listParents(fork).map(({ inode, generation }) => inode - generation)).toEqual(Array(20).fill(1000));
      expect(removeAttribute(fork, ATTR.PARENT, ascii('same name'), encodeParent(1003, 3))).toBe(true);
      expect(removeAttribute(fork, ATTR.PARENT, ascii('same name'), encodeParent(1003, 3))).toBe(false);
      expect(listParents(fork).some(({ inode }) => inode === 1003)).toBe(false);
      expectSound(fork);
    }
  });

  it('refuses what the format cannot hold, before changing anything', () => {
    const fork = newFork(4096);
    const code = (flags: number, name: Uint8Array, data: Uint8Array): string => {
      try {
        setAttribute(fork, flags, name, data);
        return 'stored';
      } catch (error) {
        return (error as CadastreError).code;
      }
    };
    expect(code(0, new Uint8Array(0), value(1))).toBe('ERANGE');
    expect(code(0, new Uint8Array(256).fill(97), value(1))).toBe('ERANGE');
    expect(code(0, new Uint8Array([97, 0, 98]), value(1))).toBe('EINVAL');
    expect(code(0, ascii('a'), value(65537))).toBe('E2BIG');
    expect(code(ATTR.ROOT | ATTR.SECURE, ascii('a'), value(1))).toBe('EINVAL');
    expect(code(ATTR.LOCAL, ascii('a'), value(1))).toBe('EINVAL');
    expect(code(ATTR.PARENT, ascii('a'), value(11))).toBe('EINVAL');
    expect(fork.local()).toBeUndefined();
    expect(fork.blocks.size).toBe(0);
    expect(code(0, new Uint8Array(255).fill(97), value(65536))).toBe('stored');
    expectSound(fork);
  });

  it('does not see entries that were being replaced, and reports them', () => {
    const fork = newFork(1024, 20);
    setAttribute(fork, 0, ascii('a'), value(20));
    setAttribute(fork, 0, ascii('b'), value(20));
    fork.blocks.get(0)!.data[86]! |= ATTR.INCOMPLETE;
    expect(getAttribute(fork, 0, ascii('a'))).toBeUndefined();
    expect(listAttributes(fork).map(({ name }) => text(name))).toEqual(['b']);
    expect(faults(fork).map((line) => line.split(' ')[0])).toEqual(['ATTR_INCOMPLETE']);
  });
});

describe('what a crash has left half-replaced', () => {
  /** Mark entries in the leaves as the kernel does before it removes them; `forgets`: they point at their value no more. */
  function interrupt(fork: MapFork, which: (name: string) => boolean, forgets: boolean): number {
    let marked = 0;
    for (const buffer of fork.blocks.values()) {
      const { view, data } = buffer;
      if (view.getUint16(8) !== ATTR_LEAF_MAGIC) continue;
      fork.change(buffer);
      for (let i = 0; i < leafCount(view); i++) {
        const record = leafRecord(view, i);
        const isLocal = (leafFlags(view, i) & ATTR.LOCAL) !== 0;
        const start = record + (isLocal ? AttrLocal.size : AttrRemote.size);
        const name = text(data.subarray(start, start + data[record + (isLocal ? 2 : 8)]!));
        if (!which(name)) continue;
        data[AttrLeafHeader.size + i * 8 + 6]! |= ATTR.INCOMPLETE;
        if (forgets && !isLocal) view.setBigUint64(record, 0n);
        marked++;
      }
    }
    fork.settle();
    return marked;
  }

  it.each([false, true])('goes with the next change, its blocks too (forgotten: %s)', (forgets) => {
    for (const change of ['set', 'replace', 'remove'] as const) {
      const fork = newFork(1024);
      for (const name of ['keep', 'other', 'half']) setAttribute(fork, 0, ascii(name), value(3000, name.length));
      setAttribute(fork, 0, ascii('short'), value(10));
      expect(interrupt(fork, (name) => name === 'half', forgets)).toBe(1);
      const blocks = fork.blocks.size;
      if (change === 'set') setAttribute(fork, 0, ascii('half'), value(20));
      else if (change === 'replace') setAttribute(fork, 0, ascii('other'), value(3000, 9));
      else expect(removeAttribute(fork, 0, ascii('short'))).toBe(true);
      expectSound(fork);
      expect(fork.blocks.size).toBe(blocks - 4);
      expect(digest(getAttribute(fork, 0, ascii('keep')))).toBe(digest(value(3000, 4)));
      expect(getAttribute(fork, 0, ascii('half'))?.length).toBe(change === 'set' ? 20 : undefined);
    }
  });

  it('goes from all leaves of a tree, and the last one leaves a shortform', () => {
    const fork = newFork(1024);
    for (let i = 0; i < 200; i++) setAttribute(fork, 0, ascii(`name-${i}`), value(20 + (i % 900), i));
    expect(rootLevel(fork)).toBeGreaterThan(0);
    expect(interrupt(fork, (name) => Number(name.slice(5)) % 3 !== 0, false)).toBe(133);
    setAttribute(fork, 0, ascii('name-0'), value(5));
    setAttribute(fork, 0, ascii('name-1'), value(5));
    expectSound(fork);
    expect(listAttributes(fork)).toHaveLength(68);
    interrupt(fork, (name) => name !== 'name-0', true);
    expect(removeAttribute(fork, 0, ascii('name-0'))).toBe(true);
    expectSound(fork);
    expect(fork.blocks.size).toBe(0);
    expect(fork.local()).toBeDefined();
  });

  it('leaves blocks alone that are no value of the inode', () => {
    const fork = newFork(1024);
    for (const name of ['keep', 'half']) setAttribute(fork, 0, ascii(name), value(900, 1));
    interrupt(fork, (name) => name === 'half', true);
    const [block] = [...fork.blocks.keys()].filter((each) => each !== 0).slice(-1);
    fork.blocks.get(block!)!.data.fill(0x55);
    setAttribute(fork, 0, ascii('keep'), value(30));
    expect(fork.blocks.has(block!)).toBe(true);
  });
});

/** A name of 1..255 bytes out of a small set, so that names come again. */
const nameArbitrary = fc.oneof(
  fc.integer({ min: 0, max: 12 }).map((i) => ascii(`n${i}`)),
  fc.integer({ min: 0, max: 6 }).map((i) => new Uint8Array(250 + (i % 6)).fill(0x80 + i)),
  fc.integer({ min: 0, max: 15 }).map((i) => sameHashName(i, 4)),
  fc.uint8Array({ minLength: 1, maxLength: 255, min: 1 }),
);
const lengthArbitrary = fc.oneof(
  fc.integer({ min: 0, max: 60 }),
  fc.integer({ min: 0, max: 1000 }),
  fc.integer({ min: 700, max: 780 }),
  fc.integer({ min: 0, max: 65536 }),
);
const stepArbitrary = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      flags: fc.constantFrom(0, 2, 4),
      name: nameArbitrary,
      length: lengthArbitrary,
      salt: fc.nat(255),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      flags: fc.constantFrom(0, 2, 4),
      name: nameArbitrary,
      length: fc.constant(-1),
      salt: fc.nat(1000),
    }),
  },
);

describe('properties', () => {
  for (const blockSize of SIZES) {
    it(`behaves like a Map (${blockSize})`, () => {
      fc.assert(
        fc.property(
          fc.constantFrom(40, 144, 336, 900),
          fc.array(stepArbitrary, { minLength: 1, maxLength: 60, size: 'max' }),
          (capacity, steps) => {
            const fork = newFork(blockSize, Math.min(capacity, blockSize / 2 - 176));
            const model = new Map<string, { flags: number; name: Uint8Array; value: Uint8Array }>();
            let step = 0;
            for (const { flags, name, length, salt } of steps) {
              const key = `${flags}:${Buffer.from(name).toString('hex')}`;
              if (length >= 0) {
                const data = value(length, salt);
                setAttribute(fork, flags, name, data);
                model.set(key, { flags, name, value: data });
                expect(digest(getAttribute(fork, flags, name))).toBe(digest(data));
              } else {
                // Mostly something that exists.
                const known = [...model.entries()];
                const [victim, entry] = known[salt % (known.length + 1)] ?? [key, { flags, name }];
                expect(removeAttribute(fork, entry.flags, entry.name)).toBe(model.delete(victim));
                expect(getAttribute(fork, entry.flags, entry.name)).toBeUndefined();
              }
              if (++step % 6 === 0) expectSound(fork);
            }
            expectSound(fork);
            const expected = new Map(
              [...model].map(([key, entry]) => [key, Buffer.from(entry.value).toString('base64')]),
            );
            expect(new Map([...contents(fork)].sort())).toEqual(new Map([...expected].sort()));
            const built = newFork(blockSize, fork.localCapacity);
            buildAttributes(built, [...model.values()]);
            expectSound(built);
            expect(new Map([...contents(built)].sort())).toEqual(new Map([...expected].sort()));
            for (const { flags, name } of model.values()) removeAttribute(fork, flags, name);
            expect(fork.blocks.size).toBe(0);
          },
        ),
        { numRuns: blockSize === 65536 ? 12 : 40 },
      );
    });
  }

  it('builds the same bytes twice, and refuses twins', () => {
    const entries = Array.from({ length: 300 }, (_, i) => ({ flags: 0, name: ascii(`k${i}`), value: value(i * 5) }));
    const [one, two] = [newFork(1024), newFork(1024)];
    buildAttributes(one, entries);
    buildAttributes(two, entries);
    expect([...two.blocks.keys()]).toEqual([...one.blocks.keys()]);
    for (const [at, { data }] of one.blocks) expect(Buffer.compare(data, two.blocks.get(at)!.data)).toBe(0);
    expect(() => buildAttributes(newFork(1024), [entries[0]!, entries[1]!, entries[0]!])).toThrow(CadastreError);
  });
});

/** Forks of each form, with remote values and parent pointers among them. */
function samples(): MapFork[] {
  const entries = (count: number, length: number): AttributeEntry[] =>
    Array.from({ length: count }, (_, i) => ({
      flags: [0, 2, 4][i % 3]!,
      name: ascii(`sample-${i}`),
      value: value(length, i),
    }));
  const parents: AttributeEntry[] = Array.from({ length: 5 }, (_, i) => ({
    flags: ATTR.PARENT,
    name: ascii(`p${i}`),
    value: encodeParent(500 + i, i),
  }));
  return [
    [336, [...entries(5, 20), ...parents]],
    [40, [...entries(6, 30), ...parents, { flags: 0, name: ascii('remote'), value: value(3000) }]],
    [40, [...entries(40, 200), ...parents, { flags: 0, name: ascii('remote'), value: value(3000) }]],
    [40, entries(260, 600)],
  ].map(([capacity, all]) => {
    const fork = newFork(1024, capacity as number, true);
    buildAttributes(fork, all as AttributeEntry[]);
    expectSound(fork);
    return fork;
  });
}

describe('damage', () => {
  it('reads, edits and checks damaged forks without anything but errors of its own', () => {
    const forks = samples();
    const onlyCorrupt = (work: () => unknown) => {
      try {
        work();
      } catch (error) {
        if (!(error instanceof CadastreError) || error.family !== 'corrupt') throw error;
      }
    };
    fc.assert(
      fc.property(
        fc.nat(forks.length - 1),
        fc.array(fc.record({ block: fc.nat(), at: fc.nat(), how: fc.nat(3), byte: fc.nat(255) }), {
          minLength: 1,
          maxLength: 4,
        }),
        fc.nat(100),
        (which, hits, pick) => {
          const keys = [...forks[which]!.blocks.keys()];
          const damaged = () =>
            forks[which]!.reread((block, data) => {
              for (const hit of hits) {
                if (block >= 0 && keys[hit.block % Math.min(keys.length, 8)] !== block) continue;
                // Most hits into headers, entries and the heap's end, where the structure is.
                const at = [hit.at % data.length, hit.at % 160, 56 + (hit.at % 8), data.length - 1 - (hit.at % 400)][
                  hit.how
                ]!;
                if (at >= 0 && at < data.length) data[at] = hit.byte;
              }
            });
          const names = listAttributes(forks[which]!);
          const { flags, name } = names[pick % names.length]!;
          const parent = encodeParent(500 + pick, pick);
          checkAttributes(
            damaged(),
            () => {},
            (found) => onlyCorrupt(() => found.value()),
          );
          onlyCorrupt(() => contents0(damaged()));
          onlyCorrupt(() => listParents(damaged()));
          if (flags !== ATTR.PARENT) {
            onlyCorrupt(() => getAttribute(damaged(), flags, name));
            onlyCorrupt(() => setAttribute(damaged(), flags, name, value(pick * 10)));
            onlyCorrupt(() => setAttribute(damaged(), flags, name, value(pick * 30)));
          }
          onlyCorrupt(() => setAttribute(damaged(), ATTR.ROOT, ascii(`new-${pick}`), value(pick * 9)));
          onlyCorrupt(() => removeAttribute(damaged(), flags, name, parent));
        },
      ),
      { numRuns: 600 },
    );
  });
  const contents0 = (fork: MapFork) => forEachAttribute(fork, (found) => found.value());

  it('finds every wrong byte of a leaf that means something', () => {
    const fork = newFork(1024, 20);
    setAttribute(fork, ATTR.ROOT, ascii('first'), value(30));
    setAttribute(fork, ATTR.USER, ascii('second'), value(1000));
    setAttribute(fork, ATTR.SECURE, ascii('third'), value(10));
    fork.settle();
    const silent: number[] = [];
    const { data: leaf } = fork.blocks.get(0)!;
    for (let at = 0; at < leaf.length; at++) {
      const bad = fork.reread((block, data) => {
        if (block === 0) data[at]! ^= 0x40;
      });
      if (faults(bad).length === 0) silent.push(at);
    }
    // Silent: pads, crc and lsn (the cache's), `holes` and smaller freemaps (hints), free bytes, values, record padding.
    const firstUsed = new DataView(leaf.buffer).getUint16(60);
    const records = [0, 1, 2].map((i) => new DataView(leaf.buffer).getUint16(80 + i * 8 + 4));
    const meant = new Set<number>();
    const range = (from: number, to: number) => {
      for (let at = from; at < to; at++) meant.add(at);
    };
    range(0, 10);
    range(16, 24);
    range(32, 62);
    for (let i = 0; i < 3; i++) range(80 + i * 8, 80 + i * 8 + 7);
    for (const record of records) {
      const local = leaf[80 + records.indexOf(record) * 8 + 6]! & ATTR.LOCAL;
      const nameLength = leaf[record + (local ? 2 : 8)]!;
      range(record, record + (local ? 3 : 9) + nameLength);
    }
    expect(firstUsed).toBeGreaterThan(104);
    expect(silent.filter((at) => meant.has(at))).toEqual([]);
  });

  it('names damage the verifiers cannot see', () => {
    const codes = (fork: MapFork, edit: (data: DataView, block: number) => void) =>
      new Set(
        faults(fork.reread((block, data) => edit(new DataView(data.buffer), block))).map((line) => line.split(' ')[0]),
      );
    const node = newFork(1024);
    buildAttributes(
      node,
      Array.from({ length: 20 }, (_, i) => ({ flags: 0, name: ascii(`n${i}`), value: value(200, i) })),
    );
    const on = (wanted: number, edit: (view: DataView) => void) => (view: DataView, block: number) => {
      if (block === wanted) edit(view);
    };
    expect(codes(node, () => {})).toEqual(new Set());
    expect(
      codes(
        node,
        on(0, (view) => view.setUint32(64, view.getUint32(64) - 1)),
      ),
    ).toEqual(new Set(['ATTR_KEY']));
    expect(
      codes(
        node,
        on(0, (view) => view.setUint32(68, 2)),
      ),
    ).toContain('ATTR_BLOCK_SHARED');
    expect(
      codes(
        node,
        on(0, (view) => view.setUint32(68, 77)),
      ),
    ).toContain('ATTR_HOLE');
    expect(
      codes(
        node,
        on(0, (view) => view.setUint16(58, 2)),
      ),
    ).toContain('BAD_MAGIC');
    expect(
      codes(
        node,
        on(2, (view) => view.setUint32(0, 2)),
      ),
    ).toEqual(new Set(['ATTR_SIBLINGS']));
    expect(
      codes(
        node,
        on(2, (view) => view.setUint32(4, 0)),
      ),
    ).toEqual(new Set(['ATTR_SIBLINGS']));
    expect(
      codes(
        node,
        on(2, (view) => view.setUint32(52, 134)),
      ),
    ).toContain('BAD_OWNER');
    const orphaned = node.reread();
    orphaned.create(99, node.blocks.get(1)!.type);
    expect(faults(orphaned).map((line) => line.split(' ')[0])).toEqual(['ATTR_ORPHAN_BLOCK']);
    const remote = newFork(1024, 10);
    setAttribute(remote, 0, ascii('r'), value(3000));
    expect(
      codes(
        remote,
        on(2, (view) => view.setUint32(4, 0)),
      ),
    ).toEqual(new Set(['ATTR_VALUE_BLOCK']));
    const holed = remote.reread();
    holed.blocks.delete(3);
    expect(faults(holed).map((line) => line.split(' ')[0])).toContain('ATTR_HOLE');
    expect(() => getAttribute(holed, 0, ascii('r'))).toThrow(CadastreError);
  });
});

describe('linux names', () => {
  const acl = Uint8Array.of(2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255);
  const disk = Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 1, 255, 255, 255, 255, 0, 6, 0, 0);
  it('maps prefixes to namespaces and back', () => {
    for (const [flags, prefix] of [
      [0, 'user.'],
      [2, 'trusted.'],
      [4, 'security.'],
    ] as const) {
      expect(fromLinuxName(ascii(`${prefix}x.y`))).toEqual({ flags, name: ascii('x.y'), acl: false });
      expect(toLinuxName(flags, ascii('x.y'))).toEqual(ascii(`${prefix}x.y`));
    }
    expect(fromLinuxName(ascii('user.'))).toBeUndefined();
    expect(fromLinuxName(ascii('system.other'))).toBeUndefined();
    expect(toLinuxName(ATTR.PARENT, ascii('x'))).toBeUndefined();
  });
  it('renames and recodes ACLs', () => {
    expect(fromLinux(ascii('system.posix_acl_access'), acl)).toEqual({
      flags: 2,
      name: ascii('SGI_ACL_FILE'),
      value: disk,
    });
    expect(fromLinux(ascii('system.posix_acl_default'), acl)?.name).toEqual(ascii('SGI_ACL_DEFAULT'));
    expect(fromLinux(ascii('system.posix_acl_default'), value(7))).toBeUndefined();
    expect(toLinux(2, ascii('SGI_ACL_FILE'), disk)).toEqual({ name: ascii('system.posix_acl_access'), value: acl });
    expect(toLinux(2, ascii('SGI_ACL_FILE'), value(7))).toEqual({
      name: ascii('trusted.SGI_ACL_FILE'),
      value: value(7),
    });
    expect(toLinux(0, ascii('SGI_ACL_FILE'), disk)).toEqual({ name: ascii('user.SGI_ACL_FILE'), value: disk });
  });
});
