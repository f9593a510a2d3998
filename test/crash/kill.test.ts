/**
 * kill -9 of a process that edits an image file, at random moments: what it wrote is there (the host lives on), nothing it
 * kept in memory is. Recovery gives a clean image, and a state between its last sync and its last operation. Which states
 * those were is found by doing the same work again, in memory.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { FileDevice } from '../../lib/device/file.ts';
import { MemoryDevice } from '../../lib/device/memory.ts';
import { RecorderDevice, seededRandom } from '../../lib/device/recorder.ts';
import { withTempDir } from '../support/oracle.ts';
import { assertClean, makeWorld, readState, WORLDS } from './harness.ts';
import { matchState, TreeModel } from './model.ts';
import { recoverImage } from './recover-image.ts';
import { WORKLOADS, Workload } from './workload.ts';

const seed = Number(process.env.CADASTRE_SEED ?? 1);
const kills = Number(process.env.CADASTRE_CRASH_KILLS ?? 2);
const worker = fileURLToPath(new URL('./kill-worker.ts', import.meta.url));

describe(`kill -9 while editing (CADASTRE_SEED=${seed})`, () => {
  it.each(['cadastre-4k', 'xfs-1k-rmap'])('%s', async (name) => {
    const world = WORLDS.find((each) => each.name === name)!;
    await withTempDir(async (directory) => {
      const path = join(directory, 'edited.img');
      const made = new FileDevice(path, 'create');
      const fresh = makeWorld(world);
      made.resize(fresh.size);
      made.write(0, fresh.toBytes());
      made.close();
      const random = seededRandom(seed);
      for (let i = 0; i < kills; i++) {
        const before = new MemoryDevice(readFileSync(path));
        const done = await killAfter(path, seed * 100 + i, 20 + Math.floor(random() * 150), random() * 30);
        const work = new Workload(
          new RecorderDevice(before),
          WORKLOADS[0]!,
          seed * 100 + i,
          TreeModel.fromState(readState(before)),
        );
        // `scatter` counts as many states; the operation that was cut off may have happened.
        let low = 0;
        for (let k = 0; k <= done.length; k++) {
          work.step();
          if (done[k] === 's') low = work.states.length - 1;
        }
        const device = new FileDevice(path, 'rw');
        recoverImage(device);
        assertClean(device);
        const inPlace = !world.options.dialect.alwaysCopyOnWrite;
        const { why } = matchState(readState(device), work.states, low, work.states.length - 1, inPlace);
        expect(why).toBe('');
        device.close();
      }
    });
  });
});

/**
 * Let the worker do so many operations, then go on so many milliseconds, and kill it.
 * @returns what it said: a character per operation.
 */
function killAfter(path: string, workSeed: number, operations: number, milliseconds: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import', 'tsx', worker, path, String(workSeed)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    let complaint = '';
    child.stderr.on('data', (data) => {
      complaint += data;
    });
    child.stdout.on('data', (data) => {
      const isDue = said.length < operations && said.length + data.length >= operations;
      said += data;
      if (isDue) setTimeout(() => child.kill('SIGKILL'), milliseconds);
    });
    child.on('error', reject);
    child.on('close', (_code, signal) => {
      if (signal === 'SIGKILL') resolve(said);
      else reject(new Error(`the worker ended by itself: ${complaint}`));
    });
  });
}
