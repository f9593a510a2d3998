/**
 * An image with its model, and a walker that does random things to both. Steps are four numbers, so that a failing list of
 * them shrinks and can be replayed.
 */
import { expect } from 'vitest';
import { BTREES } from '../../formats/btree-blocks.ts';
import type { Dialect } from '../../formats/dialect.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { InodeCore } from '../../formats/inode.ts';
import { INODE_CLUSTER, inodeCrcFault } from '../../formats/inode-verify.ts';
import { BufferCache } from '../../lib/buffer/cache.ts';
import { DirectTransaction } from '../../lib/buffer/direct.ts';
import { MemoryDevice } from '../../lib/device/memory.ts';
import { CadastreError } from '../../lib/errors.ts';
import { formatImage } from '../../lib/mkfs/format-image.ts';
import { planImage } from '../../lib/mkfs/geometry.ts';
import type { MkfsOptions } from '../../lib/mkfs/options.ts';
import { type ForkPlace, inodeOwner } from '../../lib/space/owner.ts';
import { ReservedRun } from '../../lib/space/reserved-run.ts';
import { Space } from '../../lib/space/space.ts';
import { type Claim, dataClaim, SpaceModel } from './space-model.ts';

const MIB = 2 ** 20;

export interface World {
  geometry: Geometry;
  device: MemoryDevice;
  cache: BufferCache;
  tx: DirectTransaction;
  space: Space;
  model: SpaceModel;
}

/** An empty image; `tiny`: trees of 10 records a leaf and 4 children a node, so that every tree grows high. */
export function world(dialect: Dialect, options: Partial<MkfsOptions> = {}, tiny = false): World {
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

export function expectSame({ tx, model }: World): void {
  expect(model.differences(tx)).toEqual([]);
}

/** What is on the device, through a new cache: proves that nothing was left out of it. */
export function expectSameOnDevice(w: World): void {
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
export class Walker {
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
    let claim = this.#claim(b, c);
    let last = live.at(-1);
    // One time in three go on where an older extent ends, in the file and (if free) on the disk.
    const older = live.length > 0 ? live[b % live.length]! : undefined;
    if (a % 3 === 0 && older && !older.claim.bmbt) {
      const end = older.claim.fileBlock + older.count;
      if (end === this.#nextFileBlock.get(older.claim.owner as number)) {
        claim = { ...older.claim, fileBlock: end };
        last = older;
      }
    }
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
