/**
 * What the parts of this stage share: the plan as blocks, inodes and space, changed directly. The plan is no image that
 * could be left half-done, so nothing here goes through a log: a directory of any size is written in one go.
 *
 * 1. `settle` after every object that is whole again: memory comes back under its bound there.
 * 2. Who reads the plan's bytes past the cache reads what was there at the last `toPlan`.
 */
import type { Geometry } from '../../../formats/geometry.ts';
import { Superblock } from '../../../formats/superblock.ts';
import { SUPERBLOCK_TYPE } from '../../../formats/superblock-verify.ts';
import type { Time } from '../../../formats/time.ts';
import { BufferCache } from '../../buffer/cache.ts';
import { DirectTransaction } from '../../buffer/direct.ts';
import { type LookupResult, lookup } from '../../directory/directory.ts';
import { CadastreError } from '../../errors.ts';
import { initialiseInode } from '../../file/create.ts';
import { Inode } from '../../file/inode.ts';
import { readFork } from '../../file/inode-fork-blocks.ts';
import { freeForks } from '../../file/truncate.ts';
import { Space } from '../../space/space.ts';
import type { PlanDevice } from '../plan-device.ts';
import type { RepairReport } from '../report.ts';
import type { RepairState } from '../state.ts';

/** Less than the usual: what the checks saw is in memory as well. */
const CACHE_BYTES = 16 << 20;

export class Workshop {
  readonly state: RepairState;
  readonly plan: PlanDevice;
  readonly geometry: Geometry;
  readonly report: RepairReport;
  readonly tx: DirectTransaction;
  readonly space: Space;
  readonly #cache: BufferCache;

  constructor(state: RepairState) {
    this.state = state;
    this.plan = state.plan;
    this.geometry = state.geometry;
    this.report = state.report;
    this.#cache = new BufferCache(state.plan, state.geometry, CACHE_BYTES);
    this.tx = new DirectTransaction(this.#cache);
    this.space = new Space(state.geometry);
  }

  /** An inode in use; throws `corrupt` when it is none. */
  inode(number: number): Inode {
    return Inode.load(this.tx, number);
  }

  /** The same, undefined when it cannot be had. */
  tryInode(number: number): Inode | undefined {
    return attempt(() => this.inode(number));
  }

  /** What a name in a directory stands for. */
  lookUp(directory: number, name: Uint8Array): LookupResult | undefined {
    return lookup(readFork(this.inode(directory), 'data'), name);
  }

  /** A free slot that was just allocated becomes an inode in use. */
  newInode(number: number, mode: number, nlink: number): Inode {
    const now = hostTime();
    const times = { atime: now, mtime: now, ctime: now, crtime: now };
    return initialiseInode(this.tx, number, { mode, uid: 0, gid: 0, nlink, forkoff: 0, ...times });
  }

  /** Give back an inode and all it holds. */
  freeInode(number: number): void {
    const inode = this.inode(number);
    while (freeForks(this.tx, this.space, inode)) this.settle();
    inode.change(this.tx);
    inode.core.nlink = 0;
    this.space.freeInode(this.tx, number);
    this.settle();
  }

  settle(): void {
    this.tx.commit();
  }

  /** Everything done so far can be read from the plan. */
  toPlan(): void {
    this.#cache.flush();
  }

  /** Bring the superblock's sums up to date and everything onto the plan. */
  close(): void {
    const buffer = this.tx.get(0, this.geometry.sectorSize, SUPERBLOCK_TYPE);
    const sb = Superblock.at(buffer.view);
    const { inodes, free } = this.space.countInodes(this.tx);
    const blocks = this.space.countFree(this.tx);
    if (sb.icount !== inodes || sb.ifree !== free || sb.fdblocks !== blocks) {
      this.tx.change(buffer);
      sb.icount = inodes;
      sb.ifree = free;
      sb.fdblocks = blocks;
    }
    this.tx.close();
  }
}

/** Run something that may meet damage or a device that fails: undefined then. */
export function attempt<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    if (error instanceof CadastreError && (error.family === 'corrupt' || error.family === 'device')) return undefined;
    throw error;
  }
}

function hostTime(): Time {
  const milliseconds = Date.now();
  const seconds = Math.floor(milliseconds / 1000);
  return { seconds, nanoseconds: (milliseconds - seconds * 1000) * 1e6 };
}
