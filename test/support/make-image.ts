/** An image file made from a host directory, as the command does it: plan first, write, close. */
import { rmSync } from 'node:fs';
import { CADASTRE, type Dialect, XFS } from '../../formats/dialect.ts';
import { FileDevice } from '../../lib/device/file.ts';
import { HostTree } from '../../lib/host/tree.ts';
import { type MakeOptions, type MakePlan, planMake, writeImage } from '../../lib/mkfs/make.ts';
import type { PopulateOptions, PopulateResult } from '../../lib/populate/populate.ts';

export const FIXED_TIME = { seconds: 1_700_000_000, nanoseconds: 123_456_789 };

/** What a test may choose; everything else is fixed, so that the same call makes the same bytes. */
export interface TestImage extends Partial<Omit<MakeOptions, 'from' | 'dialect'>> {
  dialect?: 'xfs' | 'cadastre';
  /** Host directory. */
  source: string | Uint8Array;
  populate?: Partial<PopulateOptions>;
}

export interface MadeImage {
  plan: MakePlan;
  result: PopulateResult;
  /** What could not be carried over, one line each. */
  leftOut: string[];
}

/** Make the image at `path` (an existing file is replaced). */
export function makeImage(path: string, options: TestImage): MadeImage {
  const { source, populate, dialect: name, ...rest } = options;
  const dialect: Dialect = name === 'cadastre' ? CADASTRE : XFS;
  const tree = new HostTree(source);
  try {
    const plan = planMake({
      size: 'auto',
      uuid: Uint8Array.from({ length: 16 }, (_, i) => 0xc0 + i),
      time: FIXED_TIME,
      ...rest,
      dialect,
      from: tree,
    });
    rmSync(path, { force: true });
    const device = new FileDevice(path, 'create');
    try {
      device.resize(plan.image.size);
      const result = writeImage(device, plan, true, {
        time: FIXED_TIME,
        reproducible: false,
        generation: 1,
        ...populate,
      });
      return { plan, result: result!, leftOut: tree.leftOut.items.map((item) => JSON.stringify(item)) };
    } finally {
      device.close();
    }
  } finally {
    tree.close();
  }
}
