/**
 * Whatever happens to the headers and trees of an AG, stage 4 makes them again from the inodes: nothing is lost, the check is
 * clean, xfs_repair has nothing to say. And which chunks are believed, and what becomes of data checksums.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Agf } from '../../../formats/ag-headers.ts';
import { RMAP_OWNER } from '../../../formats/btree-blocks.ts';
import { sealCrc } from '../../../formats/checksum.ts';
import { CADASTRE, type Dialect, XFS } from '../../../formats/dialect.ts';
import { copyToFile } from '../../../test/support/copy-device.ts';
import { damageGroups, groupBlocks } from '../../../test/support/damage-groups.ts';
import { digestVolume } from '../../../test/support/image-digest.ts';
import { requireOracle, withTempDir, xfsRepairCheck } from '../../../test/support/oracle.ts';
import { mendGroups } from '../../../test/support/repair-groups.ts';
import {
  damaged,
  edit,
  editHeader,
  editInode,
  editTreeBlock,
  inodeByte,
  makeSpecimen,
  rootOf,
  type Specimen,
} from '../../../test/support/specimen.ts';
import { check } from '../../check/check.ts';
import { RunList } from '../../check/rows.ts';
import { sameRows } from '../../check/tables.ts';
import type { Device } from '../../device/device.ts';
import { deviceError } from '../../errors.ts';
import type { MkfsOptions } from '../../mkfs/options.ts';
import { Volume } from '../../volume/volume.ts';
import { ForkExtents } from '../pending.ts';
import { PlanDevice } from '../plan-device.ts';
import { RepairReport } from '../report.ts';
import { RepairState } from '../state.ts';
import { rebuildGroups } from './rebuild.ts';
import { cover } from './runs.ts';

const isFull = process.env.FULL === '1';
const hasXfsRepair = requireOracle('xfsprogs');

const KINDS: readonly (readonly [string, Dialect, Partial<MkfsOptions>])[] = [
  ['xfs', XFS, {}],
  ['xfs with a register', XFS, { features: { rmapbt: true } }],
  ['xfs, bare', XFS, { features: { finobt: false, inobtcount: false, reflink: false, sparse: false, bigtime: false } }],
  ['xfs, 1k blocks', XFS, { blockSize: 1024, features: { rmapbt: true } }],
  ['xfs, 64k blocks', XFS, { blockSize: 65536, size: 320 << 20, features: { rmapbt: true } }],
  ['cadastre', CADASTRE, {}],
  ['cadastre, 1k blocks', CADASTRE, { blockSize: 1024 }],
];
const specimens = new Map<string, Specimen>();
function specimenOf(kind: string): Specimen {
  const [name, dialect, options] = KINDS.find(([each]) => each === kind)!;
  let known = specimens.get(name);
  if (!known) specimens.set(name, (known = makeSpecimen(dialect, options)));
  return known;
}

const digest = (device: Device): string => JSON.stringify(digestVolume(Volume.open(device)));

/** What belongs to inodes in the undamaged specimens, by AG: their slots, data, directories, attributes. */
const belongings = new Map<Specimen, RunList[]>();
function belongingsOf(specimen: Specimen): RunList[] {
  const known = belongings.get(specimen);
  if (known) return known;
  const { context } = check(specimen.device).observed!;
  const lists = context.claims.map((table) => {
    const runs = new RunList();
    for (let row = 0; row < table.length; row++) {
      const isInodes = table.isSpecial(row) && table.ownerLo[row] === RMAP_OWNER.INODES;
      if (isInodes || !table.isSpecial(row)) cover(runs, table.start[row]!, table.count[row]!);
    }
    return runs;
  });
  belongings.set(specimen, lists);
  return lists;
}

/** Not a byte of any inode, file or directory is another one. */
function expectSameBytes(specimen: Specimen, device: Device): void {
  const { geometry } = specimen;
  for (const [ag, runs] of belongingsOf(specimen).entries()) {
    for (let i = 0; i < runs.length; i++) {
      const [was, is] = [specimen.device, device].map((from) => {
        const bytes = new Uint8Array(runs.count[i]! * geometry.blockSize);
        from.read(geometry.agBlockToByte(ag, runs.start[i]!), bytes);
        return bytes;
      });
      expect(Buffer.compare(was!, is!), `AG ${ag}, block ${runs.start[i]}`).toBe(0);
    }
  }
}

/** Everything is there again. */
function expectWhole(specimen: Specimen, device: Device): ReturnType<typeof mendGroups> {
  const mended = mendGroups(device);
  expect(mended.after.problems).toEqual([]);
  expectSameBytes(specimen, mended.plan);
  return mended;
}

function expectNoComplaints(device: Device): void {
  if (!hasXfsRepair) return;
  withTempDir((directory) => {
    copyToFile(device, `${directory}/image`);
    expect(xfsRepairCheck(`${directory}/image`)).toEqual({ ok: true, output: '' });
  });
}

describe.each(KINDS.map(([name]) => name))('%s', (kind) => {
  it('nothing to do is nothing done', () => {
    const { plan, report } = mendGroups(specimenOf(kind).device);
    expect(plan.isUnchanged).toBe(true);
    expect(report.actions).toEqual([]);
  });

  it('a header sector, whichever', () => {
    const specimen = specimenOf(kind);
    const { geometry } = specimen;
    for (let ag = 0; ag < geometry.agCount; ag++) {
      for (const sector of [1, 2, 3] as const) {
        const device = damaged(specimen);
        device.zero(geometry.agHeaderDaddr(ag, sector) * 512, geometry.sectorSize);
        expectWhole(specimen, device);
      }
    }
  });

  it('a block of a tree or of the free list, whichever; all of them', () => {
    const specimen = specimenOf(kind);
    const { geometry } = specimen;
    const blocks = groupBlocks(check(specimen.device).observed!);
    // A look at some of them, in the long form at all where they are few.
    const most = isFull ? 40 : 5;
    const step = Math.ceil(blocks.length / most);
    for (let i = 0; i < blocks.length; i += step) {
      const device = damaged(specimen);
      device.zero(geometry.agBlockToByte(blocks[i]!.ag, blocks[i]!.agBlock), geometry.blockSize);
      expectWhole(specimen, device);
    }
    const device = damaged(specimen);
    for (const { ag, agBlock } of blocks) device.zero(geometry.agBlockToByte(ag, agBlock), geometry.blockSize);
    const { plan } = expectWhole(specimen, device);
    expect(digest(plan)).toBe(digest(specimen.device));
    if (geometry.dialect === XFS) expectNoComplaints(plan);
  });

  it('AGF, AGI and AGFL of all AGs at once', () => {
    const specimen = specimenOf(kind);
    const { geometry } = specimen;
    const device = damaged(specimen);
    for (let ag = 0; ag < geometry.agCount; ag++) {
      device.zero(geometry.agHeaderDaddr(ag, 1) * 512, 3 * geometry.sectorSize);
    }
    const { plan } = expectWhole(specimen, device);
    if (isFull && geometry.dialect === XFS) expectNoComplaints(plan);
  });

  it('several kinds of harm, by lot', () => {
    const specimen = specimenOf(kind);
    const blocks = groupBlocks(check(specimen.device).observed!);
    fc.assert(
      fc.property(fc.infiniteStream(fc.nat(2 ** 31 - 1)), (numbers) => {
        const device = damaged(specimen);
        damageGroups(device, specimen.geometry, blocks, (below) => numbers.next().value % below);
        expectWhole(specimen, device);
      }),
      { numRuns: Number(process.env.CADASTRE_HUNT ?? 6) },
    );
  });
});

describe('claims', () => {
  it('of a few changed inodes are put together as if all were looked at again', () => {
    for (const kind of ['xfs', 'xfs with a register', 'cadastre']) {
      const specimen = specimenOf(kind);
      const { geometry, inodes } = specimen;
      const plan = new PlanDevice(specimen.device);
      const first = check(plan);
      const state = new RepairState(plan, geometry, first, new RepairReport(), {});
      expect(state.claims.changedAgs.size).toBe(0);
      const extents = new ForkExtents();
      extents.push(0, state.free.take(3, 3)!.fsBlock, 3, false);
      extents.push(9, state.free.take(2, 2)!.fsBlock, 2, true);
      state.setFork({ inode: inodes['/frag']!, attr: false, extents });
      state.setFork({ inode: inodes['/attrs']!, attr: true, extents: new ForkExtents() });
      editInode(specimen, plan, '/fifo', (core) => {
        core.nlink = 7;
      });
      state.planChanged(inodes['/fifo']!);
      const few = state.claims;
      expect(few.changedAgs.size).toBeGreaterThan(0);
      state.planChanged();
      const all = state.claims;
      expect(few.tables.every((table, ag) => sameRows(table, all.tables[ag]!))).toBe(true);
      expect([...few.inodes.nlink]).toEqual([...all.inodes.nlink]);
      expect([...few.inodes.mode]).toEqual([...all.inodes.mode]);
      expect([...few.changedAgs]).toEqual([...all.changedAgs]);
    }
  });
});

describe('a device that fails', () => {
  it('costs what stood there and nothing else', () => {
    for (const kind of ['xfs', 'cadastre']) {
      const specimen = specimenOf(kind);
      const { geometry } = specimen;
      const lost = [geometry.agHeaderDaddr(0, 2) * 512, geometry.agBlockToByte(1, 1), geometry.agBlockToByte(0, 2)];
      const device = damaged(specimen);
      const read = device.read.bind(device);
      device.read = (offset, into) => {
        for (const byte of lost) {
          if (offset < byte + 512 && offset + into.length > byte) throw deviceError('EIO', 'unreadable sector');
        }
        read(offset, into);
      };
      expectWhole(specimen, device);
    }
  });
});

describe('lists of unlinked inodes', () => {
  it('are emptied; the inodes stay for the next stage', () => {
    const specimen = specimenOf('xfs');
    const device = damaged(specimen);
    // Two inodes without a name, one behind the other.
    const [first, second] = [specimen.inodes['/fifo']!, specimen.inodes['/small-attr']!];
    const { geometry } = specimen;
    editInode(specimen, device, '/fifo', (core) => {
      core.nlink = 0;
      core.nextUnlinked = geometry.agInodeOfInode(second);
    });
    editInode(specimen, device, '/small-attr', (core) => {
      core.nlink = 0;
    });
    const agInode = geometry.agInodeOfInode(first);
    editHeader(specimen, device, 0, 2, (view) => view.setUint32(40 + 4 * (agInode % 64), agInode));
    const { before, after } = mendGroups(device);
    expect(before.damaged.codes.has('UNLINKED_LIST')).toBe(true);
    expect([...after.damaged.codes.keys()]).toEqual(['LINK_COUNT']);
  });
});

describe('counters alone', () => {
  it('cost no tree', () => {
    const specimen = specimenOf('cadastre');
    const device = damaged(specimen);
    editHeader(specimen, device, 0, 1, (view) => {
      Agf.at(view).freeblks -= 7;
    });
    const roots = (from: Device): number[] => [
      rootOf(specimen, from, 0, 1, Agf.offsets.bnoRoot),
      rootOf(specimen, from, 0, 1, Agf.offsets.rmapRoot),
    ];
    const { plan } = expectWhole(specimen, device);
    expect(roots(plan)).toEqual(roots(specimen.device));
    expect(plan.changedBytes).toBeLessThanOrEqual(2 * specimen.geometry.blockSize);
  });
});

describe('chunks', () => {
  /** Change record 0 of the inode tree of AG 0, and of the free-inode tree. */
  function editRecord(specimen: Specimen, device: Device, change: (view: DataView, at: number) => void): void {
    for (const field of [20, 328]) {
      const root = rootOf(specimen, device, 0, 2, field);
      editTreeBlock(specimen, device, 0, root, (view) => change(view, 56));
    }
  }

  it('a record that is gone: found because entries miss its inodes', () => {
    for (const kind of ['xfs', 'xfs with a register', 'cadastre', 'xfs, 64k blocks']) {
      const specimen = specimenOf(kind);
      const device = damaged(specimen);
      for (const field of [20, 328]) {
        const root = rootOf(specimen, device, 1, 2, field);
        editTreeBlock(specimen, device, 1, root, (view) => view.setUint16(6, view.getUint16(6) - 1));
      }
      expectWhole(specimen, device);
    }
  });

  it('one of two records that share a block', () => {
    const specimen = specimenOf('xfs, 64k blocks');
    const device = damaged(specimen);
    editRecord(specimen, device, (view) => view.setUint16(6, 1));
    device.zero(specimen.geometry.agHeaderDaddr(0, 1) * 512, 512);
    // xfs_repair crashes on an image that lacks such a record.
    expectNoComplaints(expectWhole(specimen, device).plan);
  });

  it('a record with holes where inodes are', () => {
    const specimen = specimenOf('xfs with a register');
    const device = damaged(specimen);
    editRecord(specimen, device, (view, at) => view.setUint16(at + 4, 0x00f0));
    expectWhole(specimen, device);
  });

  it('a record that points at file data is dropped, and the data stays', () => {
    for (const kind of ['xfs', 'cadastre']) {
      const specimen = specimenOf(kind);
      const device = damaged(specimen);
      editRecord(specimen, device, (view, at) => view.setUint32(at, view.getUint32(at) + 64));
      const { report } = expectWhole(specimen, device);
      expect(report.losses.map(({ what }) => what)).toEqual(['inode']);
    }
  });

  it('inodes of other places, and of other file systems, are not found', () => {
    const specimen = specimenOf('xfs');
    const { geometry } = specimen;
    const device = damaged(specimen);
    const chunk = new Uint8Array(64 * geometry.inodeSize);
    device.read(inodeByte(specimen, geometry.rootInode), chunk);
    // In free space of AG 1, as a file would hold them that is a backup of the image; then again with another uuid.
    const from = geometry.agBlockToByte(1, geometry.agLength(1) - 64);
    device.write(from, chunk);
    for (let slot = 0; slot < 64; slot++) {
      const inode = chunk.subarray(slot * geometry.inodeSize, (slot + 1) * geometry.inodeSize);
      const number = geometry.inodeNumber(1, (geometry.agLength(1) - 32) * geometry.inodesPerBlock + slot);
      const view = new DataView(inode.buffer, inode.byteOffset, inode.byteLength);
      view.setUint32(152, Math.floor(number / 2 ** 32));
      view.setUint32(156, number % 2 ** 32);
      inode[160]! ^= 1;
      sealCrc(inode, 100);
    }
    device.write(geometry.agBlockToByte(1, geometry.agLength(1) - 32), chunk);
    device.zero(geometry.agHeaderDaddr(1, 1) * 512, 2 * geometry.sectorSize);
    expectWhole(specimen, device);
  });

  it('inodes left behind in free space whose blocks others have now are not taken for live ones', () => {
    const specimen = specimenOf('xfs');
    const { geometry, inodes } = specimen;
    const device = damaged(specimen);
    // A chunk of old: one of its inodes still maps the blocks of /a.
    const chunk = new Uint8Array(64 * geometry.inodeSize);
    device.read(inodeByte(specimen, geometry.rootInode), chunk);
    const old = new Uint8Array(geometry.inodeSize);
    device.read(inodeByte(specimen, inodes['/a']!), old);
    const block = geometry.agLength(1) - 32;
    for (let slot = 0; slot < 64; slot++) {
      const inode = chunk.subarray(slot * geometry.inodeSize, (slot + 1) * geometry.inodeSize);
      const view = new DataView(inode.buffer, inode.byteOffset, inode.byteLength);
      if (slot === 5) inode.set(old);
      else {
        inode.fill(0, 2, 4);
        inode.fill(0, 5, 100);
        view.setUint32(96, 0xffffffff);
        inode[83] = 2;
      }
      const number = geometry.inodeNumber(1, block * geometry.inodesPerBlock + slot);
      view.setUint32(152, Math.floor(number / 2 ** 32));
      view.setUint32(156, number % 2 ** 32);
      sealCrc(inode, 100);
    }
    device.write(geometry.agBlockToByte(1, block), chunk);
    device.zero(geometry.agHeaderDaddr(1, 1) * 512, 2 * geometry.sectorSize);
    const { report } = expectWhole(specimen, device);
    expect(report.actions.some(({ text }) => text.includes('were left behind'))).toBe(true);
  });
});

describe('checksums', () => {
  const specimen = specimenOf('cadastre');
  const csumRoot = rootOf(specimen, specimen.device, 0, 1, Agf.offsets.csumRoot);
  const unproven = (report: RepairReport): number =>
    report.actions.filter(({ text }) => text.includes('never proven')).length;

  it('of an old tree that is whole are kept, right or wrong', () => {
    const device = damaged(specimen);
    editTreeBlock(specimen, device, 0, csumRoot, (view) => view.setUint32(64, view.getUint32(64) ^ 1));
    device.zero(specimen.geometry.agHeaderDaddr(0, 3) * 512, 512);
    const { after, plan, report } = mendGroups(device);
    expect(after.problems).toEqual([]);
    expect(unproven(report)).toBe(0);
    expect(check(plan, { data: true }).problems.map(({ code }) => code)).toEqual(['DATA_CHECKSUM']);
  });

  it('are computed when the tree is gone, which is said', () => {
    const device = damaged(specimen);
    device.zero(specimen.geometry.agBlockToByte(0, csumRoot), specimen.geometry.blockSize);
    const { plan, report } = expectWhole(specimen, device);
    expect(unproven(report)).toBeGreaterThan(1);
    expect(check(plan, { data: true }).problems).toEqual([]);
  });

  it('are proven by a tree that nobody leads to any more', () => {
    const device = damaged(specimen);
    device.zero(specimen.geometry.agHeaderDaddr(0, 1) * 512, 512);
    const { report } = expectWhole(specimen, device);
    expect(unproven(report)).toBe(0);
  });

  it('of a block with a wrong CRC prove only what they match', () => {
    const device = damaged(specimen);
    edit(device, specimen.geometry.agBlockToByte(0, csumRoot) + 64, 4, -1, (view) => view.setUint32(0, 1));
    const { plan, report } = expectWhole(specimen, device);
    expect(unproven(report)).toBe(2);
    expect(check(plan, { data: true }).problems).toEqual([]);
  });
});

describe('room', () => {
  /** The state of a repair in which an AG has to be rebuilt. */
  function stateOf(device: Device): RepairState {
    const plan = new PlanDevice(device);
    const first = check(plan, { toTheEnd: true });
    return new RepairState(plan, first.observed!.context.geometry, first, new RepairReport(), {});
  }
  /** Keep all free blocks of AG 0, but for so many. */
  function fill(state: RepairState, spare: number): void {
    const { byStart } = state.first.observed!.trees[0]!;
    let left = spare;
    for (let i = 0; i < byStart.length; i++) {
      const free = Math.min(left, byStart.count[i]!);
      left -= free;
      const blockCount = byStart.count[i]! - free;
      if (blockCount > 0) state.keep({ ag: 0, agBlock: byStart.start[i]! + free, blockCount });
    }
    state.dirtyAgs.add(0);
  }

  it('without a free block the old trees make place for the new ones', () => {
    for (const kind of ['xfs with a register', 'cadastre', 'cadastre, 1k blocks']) {
      const state = stateOf(specimenOf(kind).device);
      fill(state, 0);
      rebuildGroups(state);
      // The kept ranges belong to nobody until the next stage has made files of them.
      const after = check(state.plan);
      expect(after.problems.filter(({ code }) => code !== 'BLOCK_LOST' && code !== 'SUPERBLOCK_COUNTER')).toEqual([]);
      expectSameBytes(specimenOf(kind), state.plan);
      expect(check(state.plan, { data: true }).damaged.codes.has('DATA_CHECKSUM')).toBe(false);
    }
  });

  it('that does not suffice is said in blocks, before anything is written', () => {
    const specimen = specimenOf('cadastre');
    const state = stateOf(specimen.device);
    fill(state, 0);
    const table = state.first.observed!.context.claims[0]!;
    const owners = new Set<number>([RMAP_OWNER.AG, RMAP_OWNER.INOBT, RMAP_OWNER.REFC, RMAP_OWNER.CSUM]);
    for (let row = 0; row < table.length; row++) {
      if (!table.isSpecial(row) || !owners.has(table.ownerLo[row]!)) continue;
      state.keep({ ag: 0, agBlock: table.start[row]!, blockCount: table.count[row]! });
    }
    expect(() => rebuildGroups(state)).toThrow(/needs \d+ blocks \(\d+ KiB\) in AG 0 more than are free/);
    expect(state.plan.isUnchanged).toBe(true);
  });

  it('of data comes from runs nobody has; what was taken stays taken when claims are looked at again', () => {
    const state = stateOf(specimenOf('cadastre').device);
    const { geometry } = state;
    const seen = new Set<number>();
    const before = state.free.freeBlocks;
    for (let i = 0; i < 20; i++) {
      const run = state.free.take(1, 8, geometry.fsBlock(i % 2, 100))!;
      for (let k = 0; k < run.blockCount; k++) {
        expect(seen.has(run.fsBlock + k)).toBe(false);
        seen.add(run.fsBlock + k);
      }
      state.planChanged();
    }
    expect(state.free.freeBlocks).toBe(before - seen.size);
    const run = state.free.take(4, 4)!;
    state.free.giveBack(run.fsBlock, 4);
    expect(state.free.freeBlocks).toBe(before - seen.size);
    expect(() => state.free.takeAll(2 ** 30)).toThrow(/more than are free/);
    expect(state.free.freeBlocks).toBe(before - seen.size);
  });
});
