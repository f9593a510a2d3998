/** The part of mkfs that fills an image from a directory of the host: loaded only when there is one. */
import type { Time } from '../../formats/time.ts';
import type { LeftOut } from '../../lib/host/left-out.ts';
import { HostTree } from '../../lib/host/tree.ts';
import type { ImagePlan } from '../../lib/mkfs/geometry.ts';
import { type MakeOptions, type MakePlan, planMake, writeImage } from '../../lib/mkfs/make.ts';
import type { PopulateResult } from '../../lib/populate/populate.ts';
import type { Progress } from '../ui/progress.ts';
import { count, showSize } from '../ui/sizes.ts';
import { randomGeneration } from './reproducible.ts';
import type { OpenTarget } from './target.ts';

/** What was put into the image, and what could not be. */
export interface Filled {
  readonly result: PopulateResult;
  readonly leftOut: LeftOut;
}

interface FillWork {
  readonly image: ImagePlan;
  write(target: OpenTarget): void;
  report(): Filled | undefined;
  close(): void;
}

/** A file costs about as much as this much data. */
const FILE_BYTES = 32768;

/**
 * Read the source's sizes and plan the image. Throws ENOSPC when the source does not fit, before anything is written.
 * @param times of a reproducible image: `epoch` if one was given.
 */
export function fillWork(
  from: string,
  options: Omit<MakeOptions, 'from'>,
  times: { epoch: number | undefined } | undefined,
  owner: { uid: number; gid: number } | undefined,
  progress: Progress,
): FillWork {
  const tree = new HostTree(from);
  try {
    const planned = planMake({ ...options, from: tree });
    const plan = times ? timed(planned, times.epoch) : planned;
    let result: PopulateResult | undefined;
    return {
      image: plan.image,
      write({ device, blank }) {
        result = writeImage(device, plan, blank, {
          ...(owner ? { owner } : {}),
          time: plan.image.time,
          reproducible: times !== undefined,
          generation: times ? 0 : randomGeneration(),
          progress: watch(progress, plan),
        });
      },
      report: () => result && { result, leftOut: tree.leftOut },
      close: () => tree.close(),
    };
  } catch (error) {
    tree.close();
    throw error;
  }
}

/** No clock: the time asked for, or that of the newest content. */
function timed(plan: MakePlan, epoch: number | undefined): MakePlan {
  const time: Time = { seconds: epoch ?? Math.max(0, plan.tree?.totals.newestSeconds ?? 0), nanoseconds: 0 };
  return { ...plan, image: { ...plan.image, time } };
}

function watch(progress: Progress, plan: MakePlan): (done: { files: number; bytes: number }) => void {
  const totals = plan.tree?.totals;
  const whole = totals ? totals.dataBytes + totals.files * FILE_BYTES : 0;
  return (done) =>
    progress.update(
      whole > 0 ? Math.min(1, (done.bytes + done.files * FILE_BYTES) / whole) : undefined,
      () => `${count(done.files, 'file')}, ${showSize(done.bytes)}`,
    );
}
