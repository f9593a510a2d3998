import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Agf } from '../../formats/ag-headers.ts';
import { AGF_TYPE } from '../../formats/ag-verify.ts';
import { sealCrc } from '../../formats/checksum.ts';
import { CADASTRE, type Dialect, XFS } from '../../formats/dialect.ts';
import { Superblock } from '../../formats/superblock.ts';
import { requireOracle, withTempDir, xfsRepairCheck } from '../../test/support/oracle.ts';
import { dataClaim } from '../../test/support/space-model.ts';
import { expectSame, expectSameOnDevice, Walker, world } from '../../test/support/space-walker.ts';
import { forEachRecord } from '../btree/btree.ts';
import { BufferCache } from '../buffer/cache.ts';
import { DirectTransaction } from '../buffer/direct.ts';
import { FileDevice } from '../device/file.ts';
import type { CadastreError } from '../errors.ts';
import { finishImage, formatImage } from '../mkfs/format-image.ts';
import { planImage } from '../mkfs/geometry.ts';
import type { MkfsOptions } from '../mkfs/options.ts';
import { inodeOwner } from './owner.ts';
import { Space } from './space.ts';

const MIB = 2 ** 20;
/** Random walks per case; more for a long search. */
const RUNS = Number(process.env.SPACE_RUNS ?? 5);

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

describe('merging', () => {
  it('finds a left neighbour behind records of other owners', () => {
    const w = world(XFS, { features: { rmapbt: true } });
    const { space, tx, model } = w;
    const { fsBlock } = space.allocate(tx, { min: 10, max: 10, owner: inodeOwner(9), place: { fileBlock: 0 } })!;
    model.map(fsBlock, 10, dataClaim(9, 0));
    space.share(tx, fsBlock + 2, 3, inodeOwner(10), { fileBlock: 0 });
    model.map(fsBlock + 2, 3, dataClaim(10, 0));
    const next = { min: 5, max: 5, exact: fsBlock + 10, owner: inodeOwner(9), place: { fileBlock: 10 } };
    expect(space.allocate(tx, next)?.fsBlock).toBe(fsBlock + 10);
    model.map(fsBlock + 10, 5, dataClaim(9, 10));
    expectSame(w);
    space.free(tx, fsBlock + 8, 4, inodeOwner(9), { fileBlock: 8 });
    model.unmap(fsBlock + 8, 4, dataClaim(9, 8));
    expectSame(w);
  });

  it('joins shared runs of the same count on both sides', () => {
    const w = world(XFS, { features: { rmapbt: true } });
    const { space, tx, model } = w;
    const { fsBlock } = space.allocate(tx, { min: 30, max: 30, owner: inodeOwner(9), place: { fileBlock: 0 } })!;
    model.map(fsBlock, 30, dataClaim(9, 0));
    for (const [start, owner] of [
      [0, 10],
      [20, 11],
      [10, 12],
    ] as const) {
      space.share(tx, fsBlock + start, 10, inodeOwner(owner), { fileBlock: 0 });
      model.map(fsBlock + start, 10, dataClaim(owner, 0));
      expectSame(w);
    }
    expect(space.firstShared(tx, fsBlock, 30)).toEqual({ fsBlock, blockCount: 30, refcount: 2 });
  });

  it('fits checksums between those that are there, and packs appended ones', () => {
    const w = world(CADASTRE);
    const { space, tx, model, geometry } = w;
    const { fsBlock } = space.allocate(tx, { min: 60, max: 60, owner: inodeOwner(9), place: { fileBlock: 0 } })!;
    model.map(fsBlock, 60, dataClaim(9, 0));
    const set = (start: number, count: number): void => {
      space.setChecksums(tx, fsBlock + start, new Uint32Array(count).fill(start + 1));
      for (let i = 0; i < count; i++) model.checksums.set(fsBlock + start + i, start + 1);
    };
    set(5, 2);
    set(0, 5);
    set(10, 3);
    set(0, 40);
    expectSame(w);
    for (let i = 40; i < 60; i++) set(i, 1);
    expectSame(w);
    let records = 0;
    forEachRecord(tx, space.ag(tx, geometry.agOfFsBlock(fsBlock)).tree('csumbt'), () => void records++);
    expect(records).toBeLessThanOrEqual(7);
    expect(space.checksum(tx, fsBlock + 41)).toBe(42);
    expect(space.checksum(tx, fsBlock + 60)).toBeUndefined();
  });
});

describe.runIf(requireOracle('xfsprogs'))('xfs_repair', () => {
  for (const [name, options] of [
    ['default features', {}],
    ['rmapbt, 1k blocks', { blockSize: 1024, features: { rmapbt: true } }],
    ['no sparse inodes, no finobt', { features: { sparse: false, finobt: false, inobtcount: false } }],
  ] as [string, Partial<MkfsOptions>][]) {
    it(`finds nothing after inode chunks came and went: ${name}`, () => {
      const plan = planImage({
        dialect: XFS,
        size: 64 * MIB,
        uuid: new Uint8Array(16).fill(7),
        time: { seconds: 0, nanoseconds: 0 },
        ...options,
      });
      const { geometry } = plan;
      withTempDir((directory) => {
        const path = join(directory, 'image');
        const device = new FileDevice(path, 'create');
        device.resize(plan.size);
        formatImage(device, plan, true);
        const cache = new BufferCache(device, geometry);
        const tx = new DirectTransaction(cache);
        const space = new Space(geometry);
        const inodes: number[] = [];
        for (let i = 0; i < 9000; i++) {
          const parentInode = i % 3 === 0 ? geometry.rootInode : inodes[i >> 1]!;
          inodes.push(space.allocateInode(tx, { parentInode, isDirectory: i % 2 === 0, generation: 5 }));
        }
        // Every second chunk goes first, so that free space falls into pieces, then the rest.
        const chunk = (inode: number): number =>
          geometry.agBlockOfAgInode(geometry.agInodeOfInode(inode)) / geometry.chunkBlocks;
        const held = space.allocate(tx, { min: 1, max: 1 })!;
        for (const odd of [1, 0])
          for (const inode of inodes) if (Math.floor(chunk(inode)) % 2 === odd) space.freeInode(tx, inode);
        space.giveBackUnowned(tx, held.fsBlock, 1);
        tx.close();
        finishImage(device, plan);
        const sector = new Uint8Array(geometry.sectorSize);
        device.read(0, sector);
        const sb = Superblock.at(new DataView(sector.buffer));
        const counts = space.countInodes(cache);
        sb.icount = counts.inodes;
        sb.ifree = counts.free;
        sb.fdblocks = space.countFree(cache);
        sealCrc(sector, Superblock.offsets.crc);
        device.write(0, sector);
        device.close();
        expect(xfsRepairCheck(path)).toEqual({ ok: true, output: '' });
      });
    });
  }
});

describe('hostile headers', () => {
  it('refuses a free list slot outside the AG', () => {
    const { space, tx, geometry } = world(CADASTRE);
    const ag = space.ag(tx, 0);
    const agfl = ag.changeAgfl(tx);
    const { flfirst } = Agf.at(tx.get(geometry.agHeaderDaddr(0, 1), geometry.sectorSize, AGF_TYPE).view);
    for (let i = 0; i < 8; i++) agfl.setUint32(36 + 4 * (flfirst + i), 0);
    const shred = (): void => {
      for (let i = 0; i < 3000; i++) space.allocate(tx, { min: 1, max: 1, owner: inodeOwner(10 + i), place: {} });
    };
    expect(shred).toThrow(expect.objectContaining({ code: 'AGFL_BAD_BLOCK' }));
  });
});
