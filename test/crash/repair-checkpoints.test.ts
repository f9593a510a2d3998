/**
 * A repair that changes more than its log can hold at once: it publishes in several checkpoints, and is cut off between and in
 * them, what was not flushed lost, reordered or torn. Run again it comes to the same files, clean. A failure prints world,
 * cut and choice; CADASTRE_SEED draws others, CRASH_CUTS more.
 */
import { setImmediate } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { CADASTRE, XFS } from '../../formats/dialect.ts';
import { MODE } from '../../formats/inode.ts';
import { damage } from '../../lib/damage/damage.ts';
import type { Place } from '../../lib/damage/place.ts';
import type { Device } from '../../lib/device/device.ts';
import { MemoryDevice } from '../../lib/device/memory.ts';
import { OverlayDevice } from '../../lib/device/overlay.ts';
import { FlushedImage, RecorderDevice, seededRandom } from '../../lib/device/recorder.ts';
import { planMake, writeImage } from '../../lib/mkfs/make.ts';
import { repair } from '../../lib/repair/repair.ts';
import { writeAt } from '../../lib/volume/content.ts';
import { Editor } from '../../lib/volume/editor.ts';
import { create } from '../../lib/volume/names.ts';
import { openSuperblock } from '../../lib/volume/open.ts';
import { contents, drawChoice, expectRepair } from './repair-cuts.ts';

const SEED = Number(process.env.CADASTRE_SEED ?? 1);
const CUTS = Number(process.env.CRASH_CUTS ?? 2);
const MIB = 2 ** 20;
const TIME = { seconds: 1_700_000_000, nanoseconds: 5 };
const FILES_OF_DIRECTORY = 80;
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

const WORLDS = {
  cadastre: { directories: 15, dialect: CADASTRE, size: 24 * MIB, logSize: MIB },
  // The smallest log that the kernel accepts holds more.
  xfs: { directories: 60, dialect: XFS, size: 40 * MIB, features: { rmapbt: true } },
} as const;

/** Many files, whose numbers are told. */
function imageWithFiles({ directories, ...options }: (typeof WORLDS)[keyof typeof WORLDS]): {
  device: Device;
  files: number[];
} {
  const plan = planMake({ uuid: new Uint8Array(16).fill(0xd1), time: TIME, agCount: 2, blockSize: 1024, ...options });
  const device = new MemoryDevice(plan.image.size);
  writeImage(device, plan, true, { time: TIME, reproducible: true, generation: 1 });
  const edited = new OverlayDevice(device);
  const editor = Editor.open(edited, { now: () => TIME, generation: () => 7 });
  const files: number[] = [];
  for (let d = 0; d < directories; d++) {
    const directory = create(editor, editor.volume.geometry.rootInode, text(`directory ${d}`), {
      mode: MODE.DIR | 0o755,
    });
    for (let f = 0; f < FILES_OF_DIRECTORY; f++) {
      const file = create(editor, directory, text(`file ${f}`), { mode: MODE.FILE | 0o644 });
      if (f % 8 === 0) writeAt(editor, file, 0, text(`the content of file ${f} of ${d}`));
      files.push(file);
    }
  }
  editor.close();
  return { device: edited, files };
}

it.each(Object.entries(WORLDS))(`%s (CADASTRE_SEED=${SEED})`, async (_name, options) => {
  const { device, files } = imageWithFiles(options);
  const { geometry } = openSuperblock(device);
  const before = contents(device);
  const broken = new OverlayDevice(device);
  // Every inode has to be written again, and both AGs' trees.
  for (const inode of files) {
    const place: Place = { kind: 'inode', inode };
    damage(broken, geometry, { place, field: 'nlink', verb: 'value', value: 3n, crc: 'fix' });
    damage(broken, geometry, { place, field: 'cowextsize', verb: 'value', value: 7n, crc: 'fix' });
  }
  for (const ag of [0, 1]) {
    damage(broken, geometry, { place: { kind: 'agf', ag }, field: 'freeblks', verb: 'add', crc: 'fix' });
  }
  const recorder = new RecorderDevice(broken);
  let batches = 0;
  const progress = (phase: string): void => void (phase === 'publish' && batches++);
  expect(repair(recorder, { progress }).clean).toBe(true);
  expect(contents(recorder)).toEqual(before);
  // Content goes straight to its place and is flushed; then each checkpoint is, before and after what it describes.
  const { events } = recorder;
  expect(batches).toBeGreaterThan(0);
  expect(events.filter(({ kind }) => kind === 'flush').length).toBeGreaterThan(6);

  const random = seededRandom(SEED * 7919 + events.length);
  const cuts = Array.from({ length: CUTS }, () => Math.floor(random() * (events.length + 1))).sort((a, b) => a - b);
  const flushed = new FlushedImage(broken);
  for (const cut of cuts) {
    await setImmediate();
    const choice = drawChoice(random);
    const again = new RecorderDevice(recorder.crashImage(cut, choice, flushed));
    const where = `cut ${cut} of ${events.length}, ${JSON.stringify(choice)}`;
    expectRepair(again, before, where);
    if (again.events.length === 0) continue;
    const second = Math.floor(random() * (again.events.length + 1));
    const choiceAgain = drawChoice(random);
    const there = `${where}, then ${second} of ${again.events.length}, ${JSON.stringify(choiceAgain)}`;
    const twice = again.crashImage(second, choiceAgain);
    expectRepair(twice, before, there);
  }
});
