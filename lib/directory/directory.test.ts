import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { foldByte, nameHash } from '../../formats/da.ts';
import { FakeFork } from '../../test/support/fake-fork.ts';
import { testGeometry } from '../../test/support/geometry.ts';
import {
  buildDirectory,
  checkDirectory,
  compact,
  type DirectoryFault,
  directoryForm,
  entryCount,
  forEachEntry,
  initialise,
  insert,
  isEmpty,
  lookup,
  parentOf,
  remove,
  replace,
  setParent,
} from './directory.ts';

const bytes = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));
const text = (name: Uint8Array): string => String.fromCharCode(...name);
const PARENT = 128;

type TestGeometry = NonNullable<Parameters<typeof testGeometry>[0]>;

function makeFork(options: TestGeometry = {}, inode = 131): FakeFork {
  const fork = new FakeFork(testGeometry(options), { inode });
  initialise(fork, inode, PARENT);
  return fork;
}

type Model = Map<string, { inode: number; ftype: number }>;

/** Faults of the structure, the size included; blocks are sealed and verified first. */
function faultsOf(fork: FakeFork): DirectoryFault[] {
  fork.commit();
  const faults: DirectoryFault[] = [];
  const summary = checkDirectory(fork, (fault) => faults.push(fault));
  if (faults.length === 0) expect(summary.size).toBe(fork.size);
  return faults;
}

/**
 * Everything the model knows, the directory knows, and the structure is clean. Compared by hand: thousands of `expect`
 * calls would take longer than what they test.
 */
function expectSame(fork: FakeFork, model: Model): void {
  expect(faultsOf(fork)).toEqual([]);
  let cookie = 0;
  let count = 0;
  const wrong: string[] = [];
  forEachEntry(fork, (inode, ftype, data, start, end, next) => {
    const name = text(data.subarray(start, end));
    const entry = model.get(name);
    if (next <= cookie || entry?.inode !== inode || entry.ftype !== ftype) wrong.push(`visited ${name}`);
    cookie = next;
    count++;
  });
  const found = { inode: 0, ftype: 0 };
  for (const [name, entry] of model) {
    if (!lookup(fork, bytes(name), found) || found.inode !== entry.inode || found.ftype !== entry.ftype) {
      wrong.push(`looked up ${name}`);
    }
  }
  expect(wrong).toEqual([]);
  expect(count).toBe(model.size);
  expect(entryCount(fork)).toBe(model.size);
  expect(isEmpty(fork)).toBe(model.size === 0);
  expect(lookup(fork, bytes('.'))).toEqual({ inode: fork.inode, ftype: 2 });
  expect(lookup(fork, bytes('..'))).toEqual({ inode: parentOf(fork), ftype: 2 });
}

/** Names of 12 bytes and more that all have one hash: pairs of bytes are traded so that their contributions cancel. */
function sameHashNames(count: number): Uint8Array[] {
  const names: Uint8Array[] = [];
  for (let i = 0; names.length < count; i++) {
    // Two neighbouring bytes add (a << 7) ^ b: raising a by one bit and flipping bit 7 of b leaves the sum alone.
    const name = bytes('@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@');
    for (let bit = 0; bit < 16; bit++) {
      if (((i >> bit) & 1) === 0) continue;
      name[2 * bit] = name[2 * bit]! ^ 1;
      name[2 * bit + 1] = name[2 * bit + 1]! ^ 0x80;
    }
    names.push(name);
  }
  return names;
}

const GEOMETRIES: Record<string, TestGeometry> = {
  'tiny 512/512': { blockSize: 512, dirBlockSize: 512, inodeSize: 256 },
  '1k/1k': { blockSize: 1024, dirBlockSize: 1024 },
  '1k/4k': { blockSize: 1024, dirBlockSize: 4096 },
  '4k/4k': { blockSize: 4096 },
  '4k/64k': { blockSize: 4096, dirBlockSize: 65536 },
  '64k/64k': { blockSize: 65536 },
};

describe('forms', () => {
  it('an empty directory is six bytes', () => {
    const fork = makeFork();
    expect(fork.localBytes).toEqual(Uint8Array.of(0, 0, 0, 0, 0, 128));
    expect(fork.size).toBe(6);
    expectSame(fork, new Map());
  });

  it('writes the short form byte by byte', () => {
    const fork = makeFork();
    insert(fork, bytes('ab'), 132, 1);
    insert(fork, bytes('c'), 133, 2);
    expect([...fork.localBytes!]).toEqual([
      2, 0, 0, 0, 0, 128, 2, 0, 96, 97, 98, 1, 0, 0, 0, 132, 1, 0, 112, 99, 2, 0, 0, 0, 133,
    ]);
    remove(fork, bytes('ab'));
    insert(fork, bytes('ab'), 132, 1);
    // The gap at 96 stays: offsets only go up.
    expect([...fork.localBytes!.subarray(6, 9)]).toEqual([1, 0, 112]);
    expect([...fork.localBytes!.subarray(15, 18)]).toEqual([2, 0, 128]);
  });

  it('widens inode numbers for one above 2^32 and narrows them again', () => {
    const geometry = { agBlocks: 2 ** 26 };
    const fork = makeFork(geometry);
    const far = testGeometry(geometry).inodeNumber(9, 640);
    expect(far).toBeGreaterThan(2 ** 32);
    insert(fork, bytes('near'), 200, 1);
    insert(fork, bytes('far'), far, 1);
    expect(fork.size).toBe(10 + (12 + 4) + (12 + 3));
    expect(fork.localBytes![1]).toBe(1);
    setParent(fork, far + 1);
    expect(fork.localBytes![1]).toBe(2);
    expect(parentOf(fork)).toBe(far + 1);
    expectSame(
      fork,
      new Map([
        ['near', { inode: 200, ftype: 1 }],
        ['far', { inode: far, ftype: 1 }],
      ]),
    );
    setParent(fork, 128);
    expect(replace(fork, bytes('far'), 201, 2)).toBe(true);
    expect(fork.size).toBe(6 + 12 + 11);
    expectSame(
      fork,
      new Map([
        ['near', { inode: 200, ftype: 1 }],
        ['far', { inode: 201, ftype: 2 }],
      ]),
    );
  });

  it.each(Object.entries(GEOMETRIES))('%s: grows through every form and shrinks back', (_, options) => {
    const fork = makeFork(options);
    const model: Model = new Map();
    const forms = new Set<string>();
    const tiny = fork.blockBytes <= 1024;
    const count = tiny ? 4000 : fork.blockBytes === 65536 ? 8600 : 1500;
    fork.strict = false;
    for (let i = 0; i < count; i++) {
      const name = `file-${(i * 7919) % 100003}${'x'.repeat(i % 5)}`;
      insert(fork, bytes(name), 200 + i, 1 + (i % 7));
      model.set(name, { inode: 200 + i, ftype: 1 + (i % 7) });
      const form = directoryForm(fork);
      if (!forms.has(form)) expectSame(fork, model);
      forms.add(form);
    }
    expect([...forms]).toEqual(['local', 'block', 'leaf', 'node']);
    expectSame(fork, model);
    const back = new Set<string>();
    let left = model.size;
    for (const name of [...model.keys()]) {
      if (!remove(fork, bytes(name))) throw new Error(`not removed: ${name}`);
      model.delete(name);
      const form = directoryForm(fork);
      if (!back.has(form) || --left % 499 === 0) expectSame(fork, model);
      back.add(form);
    }
    expect([...back].at(0)).toBe('node');
    expect([...back].at(-1)).toBe('local');
    expect(fork.localBytes).toEqual(Uint8Array.of(0, 0, 0, 0, 0, 128));
    expect(fork.blocks.size).toBe(0);
  });

  it('has three levels of index and several free index blocks in tiny blocks', () => {
    const fork = makeFork({ blockSize: 512, dirBlockSize: 512, inodeSize: 256 });
    fork.strict = false;
    const names: string[] = [];
    for (let i = 0; i < 6000; i++) names.push(`${(i * 2654435761) % 2 ** 32}`.padEnd(60, 'n'));
    names.forEach((name, i) => {
      insert(fork, bytes(name), 200 + i, 1);
    });
    const root = fork.blocks.get(2 ** 35 / 512)!;
    expect(root.view.getUint16(58)).toBeGreaterThanOrEqual(2);
    expect([...fork.mapped(2 ** 36 / 512, 2 ** 32)].length).toBeGreaterThan(4);
    expect(faultsOf(fork)).toEqual([]);
    // A hole in the middle of the data space is found again.
    for (let i = 600; i < 2600; i++) remove(fork, bytes(names[i]!));
    expect(faultsOf(fork)).toEqual([]);
    const size = fork.size;
    for (let i = 600; i < 2600; i++) insert(fork, bytes(names[i]!), 200 + i, 1);
    expect(faultsOf(fork)).toEqual([]);
    expect(fork.size).toBe(size);
    for (let i = 0; i < 6000; i += 131) expect(lookup(fork, bytes(names[i]!))?.inode).toBe(200 + i);
    for (const name of names) if (!remove(fork, bytes(name))) throw new Error(name);
    expect(fork.size).toBe(6);
  });

  it('keeps equal hashes apart over many leaves', () => {
    const names = sameHashNames(700);
    expect(new Set(names.map((name) => nameHash(name))).size).toBe(1);
    const fork = makeFork({ blockSize: 512, dirBlockSize: 512, inodeSize: 256 });
    const model: Model = new Map();
    names.forEach((name, i) => {
      insert(fork, name, 200 + i, 1);
      model.set(text(name), { inode: 200 + i, ftype: 1 });
      if (i % 140 === 0) expectSame(fork, model);
    });
    for (let i = 0; i < 700; i++) {
      const name = names[(i * 37) % 700]!;
      expect(remove(fork, name)).toBe(true);
      model.delete(text(name));
      if (i % 140 === 0) expectSame(fork, model);
    }
    expect(isEmpty(fork)).toBe(true);
  });

  it('compares without case where the file system does', () => {
    const fork = makeFork({ asciiCi: true, blockSize: 512, dirBlockSize: 512, inodeSize: 256 });
    for (let i = 0; i < 300; i++) {
      insert(fork, bytes(`Some-NAME-${i}`), 200 + i, 1);
      if (i === 5 || i === 15 || i === 299) {
        expect(faultsOf(fork)).toEqual([]);
        expect(lookup(fork, bytes(`sOME-name-${i}`))?.inode).toBe(200 + i);
      }
    }
    expect(remove(fork, bytes('SOME-name-7'))).toBe(true);
    expect(lookup(fork, bytes('Some-NAME-7'))).toBeUndefined();
    expect(foldByte(0x41)).toBe(0x61);
  });
});

describe('random commands against a Map', () => {
  const nameArbitrary = fc.oneof(
    fc.nat(400).map((i) => `f${i}`),
    fc.nat(60).map((i) => `${i}-`.padEnd(255, '\xff')),
    fc.nat(120).map((i) => String.fromCharCode(0x80 + i, 1, 0xfe)),
    fc.nat(200).map((i) => text(sameHashNames(i + 1)[i]!)),
  );
  const inodeArbitrary = fc.oneof(
    fc.integer({ min: 128, max: 5000 }),
    fc.integer({ min: 2 ** 33 + 4096, max: 2 ** 33 + 4600 }),
  );
  const command = fc.record({
    kind: fc.constantFrom('insert', 'insert', 'insert', 'remove', 'replace', 'lookup', 'drain', 'parent', 'compact'),
    name: nameArbitrary,
    inode: inodeArbitrary,
    run: fc.nat(60),
  });

  it.each([
    ['tiny', { blockSize: 512, dirBlockSize: 512, inodeSize: 256, agBlocks: 2 ** 30 }, 30],
    ['1k/4k', { blockSize: 1024, dirBlockSize: 4096, agBlocks: 2 ** 29 }, 12],
    ['4k', { blockSize: 4096, agBlocks: 2 ** 28 }, 12],
  ] as const)('%s', (_, options, runs) => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 60, minLength: 20 }), (commands) => {
        const fork = makeFork(options);
        const model: Model = new Map();
        for (const { kind, name, inode, run } of commands) {
          switch (kind) {
            case 'insert':
              for (let i = 0; i <= run; i++) {
                const one = i === 0 ? name : `${name.slice(0, 200)}:${i}`;
                if (model.has(one)) continue;
                insert(fork, bytes(one), inode + i, 1 + (i % 8));
                model.set(one, { inode: inode + i, ftype: 1 + (i % 8) });
              }
              break;
            case 'remove':
              expect(remove(fork, bytes(name))).toBe(model.delete(name));
              break;
            case 'drain':
              for (const one of [...model.keys()].slice(run >> 1, run >> 1 || 10 + run * 8)) {
                expect(remove(fork, bytes(one))).toBe(model.delete(one));
              }
              for (const one of [...model.keys()].slice(run, 9 * run)) {
                expect(remove(fork, bytes(one))).toBe(model.delete(one));
              }
              break;
            case 'replace':
              expect(replace(fork, bytes(name), inode, 3)).toBe(model.has(name));
              if (model.has(name)) model.set(name, { inode, ftype: 3 });
              break;
            case 'lookup':
              expect(lookup(fork, bytes(name))).toEqual(model.get(name));
              break;
            case 'parent':
              setParent(fork, inode);
              expect(parentOf(fork)).toBe(inode);
              break;
            default:
              compact(fork);
          }
          expectSame(fork, model);
        }
      }),
      { numRuns: runs },
    );
  });
});

describe('blocks that run out', () => {
  it('an insert that fails leaves a clean directory without the entry', () => {
    for (const width of [20, 200]) {
      const fork = makeFork({ blockSize: 512, dirBlockSize: 512, inodeSize: 256 });
      const model: Model = new Map();
      let failures = 0;
      for (let i = 0; i < 500; i++) {
        const name = `${i}`.padStart(width, 'q');
        fork.budget = i % 7 === 0 ? Number.POSITIVE_INFINITY : i % 2;
        try {
          insert(fork, bytes(name), 200 + i, 1);
          model.set(name, { inode: 200 + i, ftype: 1 });
        } catch (error) {
          expect(error).toMatchObject({ code: 'ENOSPC' });
          failures++;
          expectSame(fork, model);
        }
      }
      expect(failures).toBeGreaterThan(5);
      expectSame(fork, model);
    }
  });

  it('a build that fails gives back its blocks and the old content', () => {
    const fork = makeFork();
    insert(fork, bytes('old'), 132, 1);
    fork.budget = 20;
    const entries = Array.from({ length: 5000 }, (_, i) => ({ name: bytes(`n${i}`), inode: 200 + i, ftype: 1 }));
    expect(() => buildDirectory(fork, 131, PARENT, entries)).toThrow('no blocks');
    expect(fork.budget).toBe(20);
    expectSame(fork, new Map([['old', { inode: 132, ftype: 1 }]]));
  });
});

describe('build', () => {
  const sizes = [0, 1, 5, 12, 40, 150, 490, 510, 1200, 20000];
  it.each(Object.entries(GEOMETRIES))('%s: any number of entries', (_, options) => {
    for (const size of sizes) {
      if (size > 1200 && options.blockSize !== 512) continue;
      const fork = makeFork(options);
      fork.strict = false;
      const model: Model = new Map();
      const entries = Array.from({ length: size }, (_, i) => {
        const name = `entry ${i} ${'z'.repeat((i * 31) % 40)}`;
        model.set(name, { inode: 200 + i, ftype: 1 + (i % 7) });
        return { name: bytes(name), inode: 200 + i, ftype: 1 + (i % 7) };
      });
      buildDirectory(fork, 131, PARENT, entries);
      expectSame(fork, model);
      // And it can be edited.
      for (let i = 0; i < 40; i++) {
        insert(fork, bytes(`new ${i}`), 300, 1);
        model.set(`new ${i}`, { inode: 300, ftype: 1 });
      }
      for (let i = 0; i < size; i += 3) {
        expect(remove(fork, entries[i]!.name)).toBe(true);
        model.delete(text(entries[i]!.name));
      }
      expectSame(fork, model);
    }
  });

  it('refuses equal names and names that cannot be', () => {
    const fork = makeFork();
    const entry = (name: string) => ({ name: bytes(name), inode: 200, ftype: 1 });
    expect(() => buildDirectory(fork, 131, PARENT, [entry('a'), entry('b'), entry('a')])).toThrow(
      expect.objectContaining({ code: 'EEXIST' }),
    );
    for (const name of ['', '.', '..', 'a/b', 'a\0b']) {
      expect(() => buildDirectory(fork, 131, PARENT, [entry(name)])).toThrow(
        expect.objectContaining({ code: 'EINVAL' }),
      );
      expect(() => insert(fork, bytes(name), 200, 1)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    }
    expect(() => insert(fork, new Uint8Array(256).fill(65), 200, 1)).toThrow(
      expect.objectContaining({ code: 'ENAMETOOLONG' }),
    );
    expect(fork.size).toBe(6);
  });
});
