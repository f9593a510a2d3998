/**
 * The crash suite's engine: an image, work recorded on it, crashes, recovery, judgement.
 *
 * A case is named by a line `world/workload/seed/steps@cut:choice`; CADASTRE_CRASH=<line> replays it alone.
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
import { matchState, type State } from './model.ts';
import { recoverImage } from './recover-image.ts';
import { WORKLOADS, Workload, type WorkloadKind } from './workload.ts';

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

  constructor(name: CaseName) {
    this.name = name;
    this.world = WORLDS.find((each) => each.name === name.world)!;
    const kind: WorkloadKind = WORKLOADS.find((each) => each.name === name.workload)!;
    this.#base = makeWorld(this.world);
    this.recorder = new RecorderDevice(this.#base);
    this.#flushed = new FlushedImage(this.#base);
    this.work = new Workload(this.recorder, kind, name.seed);
    this.work.run(name.steps);
    this.work.close();
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

  line(cut: number, choice: CrashChoice): string {
    const { world, workload, seed, steps } = this.name;
    return `${world}/${workload}/${seed}/${steps}@${cut}:${choice.unflushed}:${choice.seed}:${choice.sector}`;
  }

  /**
   * Recover a crashed image and judge it. Throws with the replay line.
   * @returns the index of the state that was found.
   */
  judge(image: Device, cut: number, choice: CrashChoice): number {
    try {
      recoverImage(image);
      return this.judgeRecovered(image, cut);
    } catch (error) {
      throw this.failure(error, cut, choice);
    }
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

  failure(error: unknown, cut: number, choice: CrashChoice): Error {
    const { low, high } = this.allowed(cut);
    const step = this.work.steps.find((each) => each.from < cut && cut <= each.to);
    const message = error instanceof Error ? error.message : String(error);
    return new Error(
      `CADASTRE_CRASH=${this.line(cut, choice)}\n  states ${low}..${high}, in step: ${step?.what}\n  ${message}`,
      { cause: error },
    );
  }
}

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
export function parseLine(line: string): { name: CaseName; cut: number; choice: CrashChoice } {
  const match = /^([^/]+)\/([^/]+)\/(\d+)\/(\d+)@(\d+):(all|none|some):(\d+):(\d+)$/.exec(line);
  if (!match) throw new Error(`not a replay line: ${line}`);
  const [, world, workload, seed, steps, cut, unflushed, choiceSeed, sector] = match;
  return {
    name: { world: world!, workload: workload!, seed: Number(seed), steps: Number(steps) },
    cut: Number(cut),
    choice: { unflushed: unflushed as CrashChoice['unflushed'], seed: Number(choiceSeed), sector: Number(sector) },
  };
}

/** Cut points of a recording, growing: `count` of them with seeded choices, or every event when there are fewer. */
export function* cutPoints(recording: Recording, count: number): Iterable<{ cut: number; choice: CrashChoice }> {
  const random = seededRandom(recording.name.seed ^ 0x5eed);
  const total = recording.recorder.events.length;
  const cuts: number[] = [];
  for (let i = 0; i < count; i++)
    cuts.push(count >= total ? Math.floor((i * total) / count) : Math.floor(random() * total));
  cuts.sort((a, b) => a - b);
  for (const cut of cuts) {
    const draw = random();
    const unflushed = draw < 0.1 ? 'all' : draw < 0.2 ? 'none' : 'some';
    yield { cut: cut + 1, choice: { unflushed, seed: Math.floor(random() * 2 ** 31), sector: 512 } };
  }
}
