import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Agf } from '../../formats/ag-headers.ts';
import { AGF_TYPE } from '../../formats/ag-verify.ts';
import { BTREES } from '../../formats/btree-blocks.ts';
import { CADASTRE, type Dialect, XFS } from '../../formats/dialect.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { InodeCore } from '../../formats/inode.ts';
import { INODE_CLUSTER, inodeCrcFault } from '../../formats/inode-verify.ts';
import { type Claim, dataClaim, SpaceModel } from '../../test/support/space-model.ts';
import { BufferCache } from '../buffer/cache.ts';
import { DirectTransaction } from '../buffer/direct.ts';
import { MemoryDevice } from '../device/memory.ts';
import { CadastreError } from '../errors.ts';
import { formatImage } from '../mkfs/format-image.ts';
import { planImage } from '../mkfs/geometry.ts';
import type { MkfsOptions } from '../mkfs/options.ts';
import { type ForkPlace, inodeOwner } from './owner.ts';
import { ReservedRun } from './reserved-run.ts';
import { Space } from './space.ts';

const MIB = 2 ** 20;
/** Random walks per case; more for a long search. */
const RUNS = Number(process.env.SPACE_RUNS ?? 5);

interface World {
  geometry: Geometry;
  device: MemoryDevice;
  cache: BufferCache;
  tx: DirectTransaction;
  space: Space;
  model: SpaceModel;
}

/** An empty image; `tiny`: trees of 10 records a leaf and 4 children a node, so that every tree grows high. */
function world(dialect: Dialect, options: Partial<MkfsOptions> = {}, tiny = false): World {
  const plan = planImage({
    dialect,
    size: 16 * MIB,
    uuid: new Uint8Array(16).fill(7),
    time: { seconds: 0, nanoseconds: 0 },
    ...options,
  });
  const { geometry } = plan;
  const device = new MemoryDevice(plan.size);
  formatImage(device, plan, true);
  if (tiny) {
    const names = Object.keys(BTREES) as (keyof typeof BTREES)[];
    const all = <T>(value: T): Record<keyof typeof BTREES, T> =>
      Object.fromEntries(names.map((name) => [name, value])) as Record<keyof typeof BTREES, T>;
    Object.defineProperty(geometry, 'btree', { value: all({ maxLeaf: 10, maxNode: 4 }) });
    Object.defineProperty(geometry, 'maxLevels', { value: all(8) });
  }
  const cache = new BufferCache(device, geometry);
  const tx = new DirectTransaction(cache);
  const model = new SpaceModel(geometry);
  for (let i = 0; i < 3; i++) model.inodes.add(geometry.rootInode + i);
  return { geometry, device, cache, tx, space: new Space(geometry), model };
}

function expectSame({ tx, model }: World): void {
  expect(model.differences(tx)).toEqual([]);
}

/** What is on the device, through a new cache: proves that nothing was left out of it. */
function expectSameOnDevice(w: World): void {
  w.tx.close();
  const fresh = new BufferCache(w.device, w.geometry);
  expect(w.model.differences(fresh)).toEqual([]);
  for (let ag = 0; ag < w.geometry.agCount; ag++) {
    w.space.forEachInodeChunk(fresh, ag, (view, offset) => {
      const start = view.getUint32(offset);
      const holes = w.geometry.features.sparse ? view.getUint16(offset + 4) : 0;
      for (let slot = 0; slot < 64; slot++) if (!((holes >>> (slot >> 2)) & 1)) expectSlot(w, fresh, ag, start + slot);
    });
  }
}

function expectSlot({ geometry, model }: World, reader: BufferCache, ag: number, agInode: number): void {
  const block = geometry.agBlockOfAgInode(agInode);
  const first = block - (block % geometry.clusterBlocks);
  const bytes = geometry.clusterBlocks * geometry.blockSize;
  const { view } = reader.get(geometry.agBlockToDaddr(ag, first), bytes, INODE_CLUSTER);
  const offset = (agInode - first * geometry.inodesPerBlock) * geometry.inodeSize;
  const core = InodeCore.at(view, offset);
  const number = geometry.inodeNumber(ag, agInode);
  const special = number >= geometry.rootInode && number < geometry.rootInode + 3;
  if (core.ino !== number || inodeCrcFault(view, offset, geometry) || (core.mode === 0) === special) {
    throw new Error(`slot of inode ${number}: ino ${core.ino}, mode ${core.mode}, in use ${model.inodes.has(number)}`);
  }
}

const placeOf = (claim: Claim): ForkPlace => ({
  attr: claim.attr,
  bmbt: claim.bmbt,
  fileBlock: claim.fileBlock,
  unwritten: claim.unwritten,
});

interface Live {
  fsBlock: number;
  count: number;
  claim: Claim;
}

/** Applies random steps to the space and the model alike. */
class Walker {
  readonly w: World;
  readonly live: Live[] = [];
  readonly staged: { fsBlock: number; count: number }[] = [];
  readonly #nextFileBlock = new Map<number, number>();
  #crc = 1;

  constructor(w: World) {
    this.w = w;
  }

  step(kind: number, a: number, b: number, c: number): void {
    const { w, live } = this;
    const pick = live.length > 0 ? a % live.length : -1;
    switch (kind) {
      case 0:
      case 1:
      case 2:
        this.#allocate(a, b, c);
        break;
      case 3:
      case 4:
        if (pick >= 0) this.#free(pick, b, c);
        break;
      case 5:
        if (pick >= 0) this.#share(live[pick]!, b, c);
        break;
      case 6:
        if (pick >= 0) this.#convert(pick, b, c);
        break;
      case 7:
        if (pick >= 0) this.#checksums(live[pick]!, b, c);
        break;
      case 8:
        for (let i = 0; i < (b % 80) + 1; i++) {
          const inode = this.#tryInode(a, c);
          if (inode === undefined) break;
          expect(w.model.inodes.has(inode)).toBe(false);
          w.model.inodes.add(inode);
        }
        break;
      case 9: {
        const all = [...w.model.inodes].filter((inode) => inode >= w.geometry.rootInode + 3);
        for (const inode of all.slice(a % (all.length + 1)).slice(0, (b % 100) + 1)) {
          w.space.freeInode(w.tx, inode);
          w.model.inodes.delete(inode);
        }
        break;
      }
      case 10:
        this.#stage(a, b, c);
        break;
      default:
        this.#run(a, b, c);
    }
    w.tx.commit();
  }

  #tryInode(a: number, c: number): number | undefined {
    const { w } = this;
    const parents = [...w.model.inodes];
    try {
      return w.space.allocateInode(w.tx, {
        parentInode: parents[a % parents.length]!,
        isDirectory: c % 5 === 0,
        generation: 99,
      });
    } catch (error) {
      if (error instanceof CadastreError && error.code === 'ENOSPC') return undefined;
      throw error;
    }
  }

  #claim(b: number, c: number): Claim {
    const owner = 5000 + (c % 5);
    const at = (this.#nextFileBlock.get(owner) ?? 0) + (b % 3 === 0 ? 7 : 0);
    const kind = c % 16;
    const claim = dataClaim(owner, at, kind === 3);
    if (kind === 4) claim.attr = true;
    if (kind === 5 || kind === 6) {
      claim.bmbt = true;
      claim.attr = kind === 6;
      claim.fileBlock = 0;
    }
    return claim;
  }
  #advance(claim: Claim, count: number): void {
    if (!claim.bmbt) this.#nextFileBlock.set(claim.owner as number, claim.fileBlock + count);
  }

  #allocate(a: number, b: number, c: number): void {
    const { w, live } = this;
    const { geometry } = w;
    const claim = this.#claim(b, c);
    const last = live.at(-1);
    const max = (b % 23) + 1;
    const min = b % 4 === 0 ? max : 1;
    const random = geometry.fsBlock(a % geometry.agCount, a % geometry.agLength(0));
    const request = {
      min,
      max,
      owner: inodeOwner(claim.owner as number),
      place: placeOf(claim),
      near: last && a % 3 === 0 ? last.fsBlock + last.count : random,
      alignment: c % 7 === 0 ? 8 : 1,
      exact: c % 11 === 0 ? random : undefined,
    };
    const before = w.space.countFree(w.tx);
    const got = w.space.allocate(w.tx, request);
    if (!got) {
      expect(w.space.countFree(w.tx)).toBe(before);
      return;
    }
    expect(got.blockCount).toBeGreaterThanOrEqual(min);
    expect(got.blockCount).toBeLessThanOrEqual(max);
    if (request.exact !== undefined) expect(got.fsBlock).toBe(request.exact);
    else if (request.alignment > 1) expect(geometry.agBlockOfFsBlock(got.fsBlock) % 8).toBe(0);
    for (let i = 0; i < got.blockCount; i++) expect(w.model.at(got.fsBlock + i)).toEqual([]);
    w.model.map(got.fsBlock, got.blockCount, claim);
    this.#advance(claim, got.blockCount);
    live.push({ ...got, count: got.blockCount, claim });
  }

  /** Cut a random part out of a live extent. */
  #cut(index: number, b: number, c: number): Live {
    const whole = this.live[index]!;
    const from = c % 3 === 0 ? 0 : b % whole.count;
    const count = c % 5 === 0 ? whole.count - from : 1 + (c % (whole.count - from));
    const part = (start: number, length: number): Live => ({
      fsBlock: whole.fsBlock + start,
      count: length,
      claim: { ...whole.claim, fileBlock: whole.claim.bmbt ? 0 : whole.claim.fileBlock + start },
    });
    const rest = [part(0, from), part(from + count, whole.count - from - count)].filter((x) => x.count > 0);
    this.live.splice(index, 1, ...rest);
    return part(from, count);
  }

  #free(index: number, b: number, c: number): void {
    const { w } = this;
    const part = this.#cut(index, b, c);
    w.space.free(w.tx, part.fsBlock, part.count, inodeOwner(part.claim.owner as number), placeOf(part.claim));
    w.model.unmap(part.fsBlock, part.count, part.claim);
  }

  #share(from: Live, b: number, c: number): void {
    const { w } = this;
    if (!w.geometry.features.reflink || from.claim.attr || from.claim.bmbt) return;
    const start = b % from.count;
    const count = 1 + (c % (from.count - start));
    const owner = 5000 + (b % 5);
    const next = this.#nextFileBlock.get(owner) ?? 0;
    const claim = dataClaim(owner, next, from.claim.unwritten);
    w.space.share(w.tx, from.fsBlock + start, count, inodeOwner(owner), placeOf(claim));
    w.model.map(from.fsBlock + start, count, claim);
    this.#advance(claim, count);
    this.live.push({ fsBlock: from.fsBlock + start, count, claim });
  }

  #convert(index: number, b: number, c: number): void {
    const { w } = this;
    if (this.live[index]!.claim.bmbt || this.live[index]!.claim.attr) return;
    const part = this.#cut(index, b, c);
    const unwritten = !part.claim.unwritten;
    w.space.convertRmap(
      w.tx,
      part.fsBlock,
      part.count,
      inodeOwner(part.claim.owner as number),
      placeOf(part.claim),
      unwritten,
    );
    w.model.unmap(part.fsBlock, part.count, part.claim);
    const claim = { ...part.claim, unwritten };
    w.model.map(part.fsBlock, part.count, claim);
    this.live.push({ ...part, claim });
    // The naive model drops the checksums of blocks without an owner, which these were for a moment.
    if (w.geometry.features.dataChecksums) w.space.removeChecksums(w.tx, part.fsBlock, part.count);
    for (let i = 0; i < part.count; i++) w.model.checksums.delete(part.fsBlock + i);
  }

  #checksums(on: Live, b: number, c: number): void {
    const { w } = this;
    if (!w.geometry.features.dataChecksums || on.claim.attr || on.claim.bmbt) return;
    const start = b % on.count;
    const count = 1 + (c % (on.count - start));
    if (c % 6 === 0) {
      w.space.removeChecksums(w.tx, on.fsBlock + start, count);
      for (let i = 0; i < count; i++) w.model.checksums.delete(on.fsBlock + start + i);
      return;
    }
    const crcs = new Uint32Array(count);
    for (let i = 0; i < count; i++) {
      crcs[i] = Math.imul(this.#crc++, 2654435761) >>> 0;
      w.model.checksums.set(on.fsBlock + start + i, crcs[i]!);
    }
    w.space.setChecksums(w.tx, on.fsBlock + start, crcs);
    const read = new Uint32Array(on.count);
    const present = w.space.readChecksums(w.tx, on.fsBlock, on.count, read);
    for (let i = 0; i < on.count; i++) {
      expect(present[i] ? read[i] : undefined).toBe(w.model.checksums.get(on.fsBlock + i));
    }
  }

  #stage(a: number, b: number, c: number): void {
    const { w, staged } = this;
    if (!w.geometry.features.reflink) return;
    if (a % 2 === 0 && staged.length > 0) {
      const whole = staged.splice(a % staged.length, 1)[0]!;
      const from = b % whole.count;
      const count = 1 + (c % (whole.count - from));
      w.space.removeStaging(w.tx, whole.fsBlock + from, count);
      w.space.giveBackUnowned(w.tx, whole.fsBlock + from, count);
      w.model.unstage(whole.fsBlock + from, count);
      if (from > 0) staged.push({ fsBlock: whole.fsBlock, count: from });
      const rest = whole.count - from - count;
      if (rest > 0) staged.push({ fsBlock: whole.fsBlock + from + count, count: rest });
      return;
    }
    const got = w.space.allocate(w.tx, { min: 1, max: (b % 9) + 1 });
    if (!got) return;
    w.space.addStaging(w.tx, got.fsBlock, got.blockCount);
    w.model.stage(got.fsBlock, got.blockCount);
    staged.push({ fsBlock: got.fsBlock, count: got.blockCount });
  }

  #run(_a: number, b: number, c: number): void {
    const { w } = this;
    const run = ReservedRun.open(w.space, w.tx, 4, 40);
    if (!run) return;
    for (let i = 0; i < (b % 6) + 1; i++) {
      const claim = this.#claim(b + i, c + i);
      const got = run.take(w.tx, 1, (c % 9) + 1, inodeOwner(claim.owner as number), placeOf(claim));
      if (!got) break;
      w.model.map(got.fsBlock, got.blockCount, claim);
      this.#advance(claim, got.blockCount);
      this.live.push({ ...got, count: got.blockCount, claim });
    }
    run.close(w.tx);
  }
}

const number = fc.nat(1_000_000);
const steps = (most: number) =>
  fc.array(fc.tuple(fc.nat(11), number, number, number), { minLength: most / 2, maxLength: most, size: 'max' });

const XFS_PLAIN = { features: { reflink: false, rmapbt: false, finobt: false, inobtcount: false, sparse: false } };
const CASES: [name: string, dialect: Dialect, options: Partial<MkfsOptions>, tiny: boolean][] = [
  ['cadastre, 4k blocks', CADASTRE, {}, false],
  ['cadastre, 1k blocks, tiny trees', CADASTRE, { size: 6 * MIB, blockSize: 1024 }, true],
  ['cadastre, 4k blocks, 3 AGs, tiny trees', CADASTRE, { size: 12 * MIB, agCount: 3 }, true],
  ['xfs, all features, 1k blocks, tiny trees', XFS, { blockSize: 1024, features: { rmapbt: true } }, true],
  ['xfs, default features, tiny trees', XFS, {}, true],
  ['xfs, no features, tiny trees', XFS, XFS_PLAIN, true],
];

describe('space against a model of every block', () => {
  for (const [name, dialect, options, tiny] of CASES) {
    it(name, () => {
      fc.assert(
        fc.property(steps(120), (list) => {
          const w = world(dialect, options, tiny);
          const walker = new Walker(w);
          list.forEach(([kind, a, b, c], i) => {
            walker.step(kind, a, b, c);
            if (i % 40 === 39) expectSame(w);
          });
          expectSameOnDevice(w);
        }),
        { numRuns: RUNS },
      );
    });
  }
});

describe('a full image', () => {
  for (const [name, dialect, options, tiny] of CASES) {
    it(`fills up, is shredded and becomes one piece again: ${name}`, () => {
      const w = world(dialect, options, tiny);
      const { space, tx, model } = w;
      const free = space.countFree(tx);
      const available = space.available(tx);
      const owner = inodeOwner(5000);
      const live: { fsBlock: number; fileBlock: number }[] = [];
      for (let fileBlock = 0; ; fileBlock += 2) {
        const got = space.allocate(tx, { min: 1, max: 1, near: live.at(-1)?.fsBlock, owner, place: { fileBlock } });
        if (!got) break;
        live.push({ fsBlock: got.fsBlock, fileBlock });
        model.map(got.fsBlock, 1, dataClaim(5000, fileBlock));
      }
      // Trees grew into what was held back: nearly all that was promised was had.
      expect(live.length).toBeGreaterThan(available * (tiny ? 0.6 : 0.95));
      expectSame(w);
      const drop = (wanted: (i: number) => boolean): void => {
        live.forEach(({ fsBlock, fileBlock }, i) => {
          if (!wanted(i)) return;
          space.free(tx, fsBlock, 1, owner, { fileBlock });
          model.unmap(fsBlock, 1, dataClaim(5000, fileBlock));
        });
      };
      drop((i) => i % 2 === 0);
      expectSame(w);
      drop((i) => i % 4 === 1);
      drop((i) => i % 4 === 3);
      expect(space.countFree(tx)).toBe(free);
      expectSameOnDevice(w);
    });
  }

  it('holds back what the trees need, but for reserved requests', () => {
    const w = world(CADASTRE);
    const { space, tx } = w;
    const ag = space.ag(tx, 0);
    const held = ag.heldBack;
    expect(held).toBeGreaterThan(20);
    const got = space.allocate(tx, { min: 1, max: 1_000_000, owner: inodeOwner(5000), place: {} })!;
    expect(got.blockCount).toBeGreaterThan(100);
    while (space.allocate(tx, { min: 1, max: 1, owner: inodeOwner(5001), place: { bmbt: true } }));
    expect(ag.agf.freeblks).toBeGreaterThanOrEqual(held - 2);
    expect(space.available(tx)).toBe(0);
    expect(
      space.allocate(tx, { min: 1, max: 1, owner: inodeOwner(5000), place: { bmbt: true }, reserved: true }),
    ).toBeDefined();
  });
});

describe('allocation', () => {
  it('takes a range in one piece where any AG has it', () => {
    const { space, tx, geometry } = world(CADASTRE, { size: 16 * MIB, agCount: 4 });
    const first = space.allocate(tx, {
      min: 400,
      max: 400,
      near: geometry.fsBlock(1, 500),
      owner: inodeOwner(9),
      place: {},
    })!;
    expect(geometry.agOfFsBlock(first.fsBlock)).toBe(1);
    const second = space.allocate(tx, { min: 1, max: 700, near: first.fsBlock, owner: inodeOwner(9), place: {} })!;
    expect(second.blockCount).toBe(700);
    expect(geometry.agOfFsBlock(second.fsBlock)).not.toBe(1);
  });

  it('appends at the hint, and exactly there on demand', () => {
    const { space, tx } = world(XFS);
    const owner = inodeOwner(9);
    const a = space.allocate(tx, { min: 5, max: 5, owner, place: {} })!;
    const b = space.allocate(tx, { min: 5, max: 5, near: a.fsBlock + 5, owner, place: {} })!;
    expect(b.fsBlock).toBe(a.fsBlock + 5);
    expect(space.allocate(tx, { min: 1, max: 5, exact: a.fsBlock, owner, place: {} })).toBeUndefined();
    expect(space.allocate(tx, { min: 1, max: 5, exact: b.fsBlock + 5, owner, place: {} })!.fsBlock).toBe(b.fsBlock + 5);
  });

  it('refuses to free what is not there', () => {
    const w = world(CADASTRE);
    const { space, tx, geometry } = w;
    const code = (run: () => void): string => {
      try {
        run();
      } catch (error) {
        return (error as CadastreError).code;
      }
      return 'none';
    };
    const got = space.allocate(tx, { min: 4, max: 4, owner: inodeOwner(9), place: { fileBlock: 3 } })!;
    expect(code(() => space.free(tx, got.fsBlock, 4, inodeOwner(8), { fileBlock: 3 }))).toBe('RMAP_MISSING');
    expect(code(() => space.free(tx, got.fsBlock, 4, inodeOwner(9), { fileBlock: 2 }))).toBe('RMAP_MISSING');
    expect(code(() => space.free(tx, got.fsBlock, 5, inodeOwner(9), { fileBlock: 3 }))).toBe('RMAP_MISSING');
    expect(code(() => space.free(tx, got.fsBlock, 1e9, inodeOwner(9), {}))).toBe('BLOCK_RANGE');
    expect(code(() => space.giveBackUnowned(tx, got.fsBlock + 4, 1))).toBe('FREE_TWICE');
    expect(code(() => space.freeInode(tx, geometry.rootInode + 5))).toBe('INODE_NOT_ALLOCATED');
    expect(code(() => space.freeInode(tx, 2 ** 50))).toBe('INODE_OUT_OF_RANGE');
    w.model.map(got.fsBlock, 4, dataClaim(9, 3));
    expectSame(w);
  });
});

describe('inodes', () => {
  it('says of any number whether it is in use', () => {
    const { space, tx, geometry } = world(XFS);
    expect(space.inodeState(tx, geometry.rootInode)).toBe('allocated');
    expect(space.inodeState(tx, geometry.rootInode + 3)).toBe('free');
    expect(space.inodeState(tx, geometry.rootInode + 64)).toBe('none');
    expect(space.inodeState(tx, 2 ** 52)).toBe('none');
    expect(space.inodeState(tx, 0)).toBe('none');
  });

  it('uses sparse pieces where no whole chunk fits', () => {
    const w = world(CADASTRE, { size: 8 * MIB });
    const { space, tx, model, geometry } = w;
    const owner = inodeOwner(9);
    // Leave only holes of a cluster's size, each aligned.
    const taken: number[] = [];
    for (;;) {
      const got = space.allocate(tx, { min: 1, max: 1, owner, place: { bmbt: true } });
      if (!got) break;
      taken.push(got.fsBlock);
      model.map(got.fsBlock, 1, { ...dataClaim(9, 0), bmbt: true });
    }
    for (const block of taken) {
      if (block % geometry.inodeAlignment >= geometry.sparseAlignment) continue;
      space.free(tx, block, 1, owner, { bmbt: true });
      model.unmap(block, 1, { ...dataClaim(9, 0), bmbt: true });
    }
    for (let i = 0; i < 500; i++) {
      model.inodes.add(space.allocateInode(tx, { parentInode: geometry.rootInode, isDirectory: false, generation: 1 }));
    }
    expectSame(w);
    for (const inode of [...model.inodes]) {
      if (inode < geometry.rootInode + 3) continue;
      space.freeInode(tx, inode);
      model.inodes.delete(inode);
    }
    expectSameOnDevice(w);
  });

  it('respects imaxPct', () => {
    const w = world(XFS, { imaxPct: 5 });
    const { space, tx, geometry } = w;
    const limit = Math.floor((geometry.blocks * 5) / 100) * geometry.inodesPerBlock;
    let count = 3;
    expect(() => {
      for (; ; count++) space.allocateInode(tx, { parentInode: geometry.rootInode, isDirectory: false, generation: 1 });
    }).toThrow(expect.objectContaining({ code: 'ENOSPC' }));
    expect(count).toBeGreaterThan(limit - 64);
    expect(count).toBeLessThanOrEqual(limit);
  });

  it('keeps unlinked chains, whatever order they leave in', () => {
    const w = world(CADASTRE);
    const { space, tx, geometry, model } = w;
    const all: number[] = [];
    for (let i = 0; i < 300; i++) {
      all.push(space.allocateInode(tx, { parentInode: geometry.rootInode, isDirectory: false, generation: 1 }));
      model.inodes.add(all[i]!);
      space.addUnlinked(tx, all[i]!);
    }
    const seen: number[] = [];
    space.forEachUnlinked(tx, 0, (inode) => seen.push(inode));
    expect(seen.sort((a, b) => a - b)).toEqual(all);
    for (let i = 0; i < all.length; i++) space.removeUnlinked(tx, all[(i * 7) % 300]!);
    space.forEachUnlinked(tx, 0, (inode) => expect.unreachable(`inode ${inode}`));
    expect(() => space.removeUnlinked(tx, all[0]!)).toThrow(expect.objectContaining({ code: 'UNLINKED_CHAIN' }));
    expectSame(w);
  });
});

describe('sharing', () => {
  it('reports shared runs clipped to the range', () => {
    const { space, tx } = world(XFS);
    const { fsBlock } = space.allocate(tx, { min: 20, max: 20, owner: inodeOwner(9), place: {} })!;
    expect(space.firstShared(tx, fsBlock, 20)).toBeUndefined();
    space.share(tx, fsBlock + 5, 5, inodeOwner(10), { fileBlock: 0 });
    space.share(tx, fsBlock + 8, 5, inodeOwner(11), { fileBlock: 0 });
    const runs: number[][] = [];
    space.sharedRuns(tx, fsBlock + 6, 10, (start, count, refcount) => {
      runs.push([start - fsBlock, count, refcount]);
      return undefined;
    });
    expect(runs).toEqual([
      [6, 2, 2],
      [8, 2, 3],
      [10, 3, 2],
    ]);
    expect(space.firstShared(tx, fsBlock, 7)).toEqual({ fsBlock: fsBlock + 5, blockCount: 2, refcount: 2 });
  });
});

describe('hostile headers', () => {
  it('refuses a free list slot outside the AG', () => {
    const { space, tx, geometry } = world(CADASTRE);
    const ag = space.ag(tx, 0);
    const agfl = ag.changeAgfl(tx);
    const { flfirst } = Agf.at(tx.get(geometry.agHeaderDaddr(0, 1), geometry.sectorSize, AGF_TYPE).view);
    for (let i = 0; i < 8; i++) agfl.setUint32(36 + 4 * (flfirst + i), 0);
    const shred = (): void => {
      const owner = inodeOwner(9);
      for (let i = 0; i < 3000; i++) space.allocate(tx, { min: 1, max: 1, owner: inodeOwner(10 + i), place: {} });
      expect(owner).toBeDefined();
    };
    expect(shred).toThrow(expect.objectContaining({ code: 'AGFL_BAD_BLOCK' }));
  });
});
