/**
 * Crashes: recorded work is cut anywhere, what was not flushed is lost, reordered or torn, recovery runs (and is cut, too),
 * and the image must be clean and show a state between the last durable point and the cut.
 *
 * CADASTRE_SEED chooses other work, CADASTRE_CRASH_CUTS more cut points, CADASTRE_CRASH='line' replays one failure.
 */
import { describe, expect, it } from 'vitest';
import type { Device } from '../../lib/device/device.ts';
import { seededRandom } from '../../lib/device/recorder.ts';
import { readLogState } from '../../lib/journal/log-reader.ts';
import { openSuperblock } from '../../lib/volume/open.ts';
import { type CaseName, type CutPoint, cutPoints, parseLine, Recording, readState, WORLDS } from './harness.ts';
import { matchState, type State } from './model.ts';
import { WORKLOADS } from './workload.ts';

const replay = process.env.CADASTRE_CRASH;
const seed = Number(process.env.CADASTRE_SEED ?? 1);
const cuts = Number(process.env.CADASTRE_CRASH_CUTS ?? 48);
const steps = Number(process.env.CADASTRE_CRASH_STEPS ?? 120);
/** Every so many cuts, recovery is cut as well, so many times. */
const AGAIN_EVERY = 6;
const AGAIN = 2;
const LIVES = 12;

const cases: CaseName[] = WORLDS.flatMap((world, i) =>
  WORKLOADS.map((kind, k) => ({ world: world.name, workload: kind.name, seed: seed * 1000 + i * 10 + k, steps })),
);

if (replay !== undefined) {
  it(`replays ${replay}`, () => {
    const { name, point } = parseLine(replay);
    const recording = new Recording(name);
    if (point.again) recording.judgeTwice(point, 1, Math.random);
    else recording.judge(recording.crash(point.cut, point.choice), point);
  });
} else {
  describe(`crash at any write (CADASTRE_SEED=${seed})`, () => {
    it.each(cases)('$world, $workload', (name) => {
      const recording = new Recording(name);
      const { states } = recording.work;
      const last = states.length - 1;
      expect(matchState(readState(recording.recorder), states, last, last, false).why).toBe('');
      const random = seededRandom(name.seed);
      let i = 0;
      for (const point of cutPoints(recording, cuts)) {
        if (i++ % AGAIN_EVERY === 0) recording.judgeTwice(point, AGAIN, random);
        else recording.judge(recording.crash(point.cut, point.choice), point);
      }
      expect(i).toBe(cuts);
    });
  });

  describe(`the log goes round (CADASTRE_SEED=${seed})`, () => {
    it.each(['cadastre-4k', 'cadastre-1k'])('%s', (world) => {
      const recording = new Recording({ world, workload: 'names', seed: seed * 1000 + 500, steps: 2500 });
      const state = readLogState(recording.recorder, openSuperblock(recording.recorder).geometry);
      expect(state.head.cycle).toBeGreaterThan(2);
      for (const point of cutPoints(recording, cuts)) recording.judge(recording.crash(point.cut, point.choice), point);
    });
  });

  /** A life of crashes: each piece of work begins on what recovery made of the piece before. */
  describe(`crash after crash (CADASTRE_SEED=${seed})`, () => {
    it.each(WORLDS.map(({ name }, i) => ({ world: name, workload: WORKLOADS[i % WORKLOADS.length]!.name })))(
      '$world, $workload',
      ({ world, workload }) => {
        const random = seededRandom(seed * 77);
        let from: { image: Device; state: State } | undefined;
        for (let life = 0; life < LIVES; life++) {
          const name = { world, workload, seed: seed * 1000 + 600 + life, steps: 30 };
          const recording = new Recording(name, from);
          const { length } = recording.recorder.events;
          const cut = Math.min(length, 1 + Math.floor(random() * length));
          const point: CutPoint = {
            cut,
            choice: { unflushed: 'some', seed: Math.floor(random() * 2 ** 31), sector: 512 },
          };
          const image = recording.crash(point.cut, point.choice);
          const index = recording.judge(image, point);
          // What is in the files now may be a mixture where data is overwritten in place: take it from the image.
          from = { image, state: withContentOf(recording.work.states[index]!, readState(image)) };
        }
        expect(from).toBeDefined();
      },
    );
  });
}

function withContentOf(state: State, found: State): State {
  return new Map(
    [...state].map(([path, entry]) => {
      const { content, hash } = found.get(path)!;
      return [path, { ...entry, content, hash }];
    }),
  );
}
