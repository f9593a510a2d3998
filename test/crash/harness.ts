/**
 * The crash suite's engine: an image, work recorded on it, crashes, recovery, judgement.
 *
 * A case is named by a line `world/workload/seed/steps@cut:choice`, and `>cut:choice` behind it when recovery was cut, too.
 * CADASTRE_CRASH=<line> replays it alone.
 */
import { CADASTRE, XFS } from '../../formats/dialect.ts';
import { check } from '../../lib/check/check.ts';
import type { Device } from '../../lib/device/device.ts';
import { MemoryDevice } from '../../lib/device/memory.ts';
import { type CrashChoice, FlushedImage, RecorderDevice, seededRandom } from '../../lib/device/recorder.ts';
import { planImage } from '../../lib/mkfs/geometry.ts';
import { writeImage } from '../../lib/mkfs/make.ts';
import type { MkfsOptions } from '../../lib/mkfs/options.ts';
import { Volume } from '../../lib/volume/volume.ts';
import { stateOf } from './image-state.ts';
import { matchState, type State, TreeModel } from './model.ts';
import { recoverImage } from './recover-image.ts';
import { FULL, WORKLOADS, Workload, type WorkloadKind } from './workload.ts';

const MIB = 1 << 20;
const TIME = { seconds: 1_700_000_000, nanoseconds: 0 };

/** An image to work on. */
export interface World {
  readonly name: string;
  readonly options: Partial<MkfsOptions> & { dialect: MkfsOptions['dialect'] };
}

/** Logs are the smallest there may be, so that they go round. */
export const WORLDS: readonly World[] = [
  { name: 'cadastre-4k', options: { dialect: CADASTRE, size: 8 * MIB } },
  { name: 'cadastre-1k', options: { dialect: CADASTRE, size: 6 * MIB, blockSize: 1024 } },
  { name: 'xfs-4k', options: { dialect: XFS, size: 24 * MIB } },
  { name: 'xfs-1k-rmap', options: { dialect: XFS, size: 24 * MIB, blockSize: 1024, features: { rmapbt: true } } },
  {
    name: 'xfs-4k-all',
    options: { dialect: XFS, size: 40 * MIB, features: { rmapbt: true, nrext64: true }, inodeSize: 1024 },
  },
  {
    name: 'xfs-plain',
    options: { dialect: XFS, size: 24 * MIB, features: { reflink: false, finobt: false, bigtime: false } },
  },
  // 4k sectors: the log has a stripe unit of a block.
  { name: 'xfs-sector-4k', options: { dialect: XFS, size: 24 * MIB, sectorSize: 4096, features: { rmapbt: true } } },
  // xfs_repair 6.1 knows no parent pointers: the kernel alone judges them.
  { name: 'xfs-parent', options: { dialect: XFS, size: 40 * MIB, features: { rmapbt: true, parent: true } } },
  { name: 'xfs-stripe', options: { dialect: XFS, size: 64 * MIB, stripeUnit: 32768, stripeWidth: 65536 } },
];

export function makeWorld(world: World): MemoryDevice {
  const image = planImage({ uuid: new Uint8Array(16).fill(0xca), time: TIME, size: 16 * MIB, ...world.options });
  const device = new MemoryDevice(image.size);
  writeImage(device, { image, from: undefined, tree: undefined, available: 0 } as never, true);
  return device;
}

export interface CaseName {
  world: string;
  workload: string;
  seed: number;
  steps: number;
}

/** A recorded piece of work, ready to be cut anywhere. */
export class Recording {
  readonly name: CaseName;
  readonly recorder: RecorderDevice;
  readonly work: Workload;
  readonly world: World;
  #flushed: FlushedImage;
  #lastCut = 0;
  readonly #base: Device;

  /** @param from go on with this image, which shows this state; default: a fresh one. */
  constructor(name: CaseName, from?: { image: Device; state: State }) {
    this.name = name;
    this.world = WORLDS.find((each) => each.name === name.world)!;
    const kind: WorkloadKind = [...WORKLOADS, FULL].find((each) => each.name === name.workload)!;
    this.#base = from?.image ?? makeWorld(this.world);
    this.recorder = new RecorderDevice(this.#base);
    this.#flushed = new FlushedImage(this.#base);
    this.work = new Workload(this.recorder, kind, name.seed, from && TreeModel.fromState(from.state));
    this.work.run(name.steps);
    if (!from) this.work.close();
  }

  get overwritesInPlace(): boolean {
    return !this.world.options.dialect.alwaysCopyOnWrite;
  }

  /** The image after a crash; cuts that grow are cheap. */
  crash(cut: number, choice: CrashChoice): Device {
    if (cut < this.#lastCut) this.#flushed = new FlushedImage(this.#base);
    this.#lastCut = cut;
    return this.recorder.crashImage(cut, choice, this.#flushed);
  }

  /** The states that a user may find after a crash at `cut`. */
  allowed(cut: number): { low: number; high: number } {
    const { durable, steps } = this.work;
    let low = 0;
    for (const [events, state] of durable) if (events <= cut) low = Math.max(low, state);
    let high = 0;
    while (high < steps.length && steps[high]!.from < cut) high++;
    return { low, high: Math.max(low, high) };
  }

  /**
   * Recover a crashed image and judge it. Throws with the replay line.
   * @returns the index of the state that was found.
   */
  judge(image: Device, point: CutPoint): number {
    try {
      recoverImage(image);
      return this.judgeRecovered(image, point.cut);
    } catch (error) {
      throw this.failure(error, point);
    }
  }

  /**
   * Crash again in the middle of recovery, then recover and judge. The second crash is the point's `again`; where that is
   * `undefined`, `count` of them are drawn. The state must be that of an undisturbed recovery.
   * @returns how many second crashes there were.
   */
  judgeTwice(point: CutPoint, count: number, random: () => number): number {
    const first = new RecorderDevice(this.crash(point.cut, point.choice));
    const index = this.judge(first, point);
    const total = first.events.length;
    for (let i = 0; i < count && total > 0; i++) {
      const again = point.again ?? { cut: 1 + Math.floor(random() * total), choice: drawChoice(random) };
      const image = first.crashImage(again.cut, again.choice);
      const named = { ...point, again };
      const found = this.judge(image, named);
      // Content of files may differ as far as it was overwritten in place, so it may fit another state as well.
      if (found !== index && !this.overwritesInPlace) {
        throw this.failure(new Error(`recovery gives state ${index}, a second one state ${found}`), named);
      }
    }
    return total > 0 ? count : 0;
  }

  /** The same for an image that was recovered already. */
  judgeRecovered(image: Device, cut: number): number {
    assertClean(image);
    const { low, high } = this.allowed(cut);
    const found = readState(image);
    const { index, why } = matchState(found, this.work.states, low, high, this.overwritesInPlace);
    if (index < 0) throw new Error(why);
    return index;
  }

  line(point: CutPoint): string {
    const { world, workload, seed, steps } = this.name;
    const again = point.again ? `>${pointText(point.again)}` : '';
    return `${world}/${workload}/${seed}/${steps}@${pointText(point)}${again}`;
  }

  failure(error: unknown, point: CutPoint): Error {
    const { low, high } = this.allowed(point.cut);
    const step = this.work.steps.find((each) => each.from < point.cut && point.cut <= each.to);
    const message = error instanceof Error ? error.message : String(error);
    return new Error(
      `CADASTRE_CRASH='${this.line(point)}'\n  states ${low}..${high}, in step: ${step?.what}\n  ${message}`,
      { cause: error },
    );
  }
}

/** One crash: behind how many events, what of the unflushed writes is there; and perhaps a second one in recovery. */
export interface CutPoint {
  readonly cut: number;
  readonly choice: CrashChoice;
  readonly again?: { readonly cut: number; readonly choice: CrashChoice };
}

const pointText = ({ cut, choice }: CutPoint): string => `${cut}:${choice.unflushed}:${choice.seed}:${choice.sector}`;

export function readState(image: Device): State {
  const volume = Volume.open(image);
  return stateOf(volume);
}

export function assertClean(image: Device): void {
  const { clean, problems } = check(image, { data: true, maxProblems: 20 });
  if (clean) return;
  const list = problems.map(
    (each) => `${each.code} ${JSON.stringify(each.where)} expected ${each.expected} found ${each.found}`,
  );
  throw new Error(`check: ${list.slice(0, 8).join('; ')}`);
}

/** Parse a replay line. */
export function parseLine(line: string): { name: CaseName; point: CutPoint } {
  const match = /^([^/]+)\/([^/]+)\/(\d+)\/(\d+)@([^>]+)(?:>(.+))?$/.exec(line);
  if (!match) throw new Error(`not a replay line: ${line}`);
  const [, world, workload, seed, steps, first, again] = match;
  return {
    name: { world: world!, workload: workload!, seed: Number(seed), steps: Number(steps) },
    point: { ...parsePoint(first!), ...(again === undefined ? {} : { again: parsePoint(again) }) },
  };
}

function parsePoint(text: string): { cut: number; choice: CrashChoice } {
  const match = /^(\d+):(all|none|some):(\d+):(\d+)$/.exec(text);
  if (!match) throw new Error(`not a cut point: ${text}`);
  const [, cut, unflushed, seed, sector] = match;
  const choice = { unflushed: unflushed as CrashChoice['unflushed'], seed: Number(seed), sector: Number(sector) };
  return { cut: Number(cut), choice };
}

function drawChoice(random: () => number, sector = SECTOR): CrashChoice {
  const draw = random();
  const unflushed = draw < 0.1 ? 'all' : draw < 0.2 ? 'none' : 'some';
  return { unflushed, seed: Math.floor(random() * 2 ** 31), sector };
}

const SECTOR = 512;

/** `count` cut points of a recording, growing, spread over its events; the same event may be cut with several choices. */
export function* cutPoints(recording: Recording, count: number, sector = SECTOR): Iterable<CutPoint> {
  const random = seededRandom(recording.name.seed ^ 0x5eed);
  const total = recording.recorder.events.length;
  const phase = random();
  for (let i = 0; i < count; i++) {
    yield {
      cut: 1 + Math.min(total - 1, Math.floor(((i + phase) * total) / count)),
      choice: drawChoice(random, sector),
    };
  }
}
