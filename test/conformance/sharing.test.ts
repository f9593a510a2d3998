/**
 * Shared blocks on images of mkfs.xfs: a random script runs in turns, a piece by us, a piece by the kernel on the mounted
 * image. After each piece xfs_repair -n and our checker have nothing to say; at the end the kernel sees the content and
 * the sharing of the model. SEED=n chooses another script, FULL=1 takes longer ones.
 */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { check } from '../../lib/check/check.ts';
import { FileDevice } from '../../lib/device/file.ts';
import { Editor } from '../../lib/volume/editor.ts';
import { loopMount, mkfsXfs, mustRun, requireOracle, withTempDir, xfsRepairCheck } from '../support/oracle.ts';
import { FILES, fileName, kernelCommand, kernelOp, SharingEditor, SharingModel } from '../support/sharing-model.ts';

const seed = Number(process.env.SEED ?? '1');
const PIECE = process.env.FULL === '1' ? 60 : 20;
const PIECES = 4;

const IMAGES = {
  'the default of mkfs.xfs': ['-m', 'reflink=1'],
  'with rmapbt': ['-m', 'reflink=1,rmapbt=1'],
  'blocks of 1 KiB, rmapbt': ['-b', 'size=1024', '-m', 'reflink=1,rmapbt=1'],
};

interface Seen {
  content: Buffer | undefined;
  places: number[] | undefined;
  /** The kernel's own word for each block. */
  shared: boolean[];
}

/** A file as the kernel shows it: physical block + 1 of each file block, 0 in holes. */
function look(path: string, blockSize: number): Seen {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) return { content: undefined, places: undefined, shared: [] };
  const places: number[] = new Array(Math.ceil(stat.size / blockSize)).fill(0);
  const shared: boolean[] = places.map(() => false);
  const sectors = blockSize / 512;
  for (const line of mustRun('xfs_io', ['-r', '-c', 'fiemap -v', path]).split('\n')) {
    const match = /^\s*\d+:\s+\[(\d+)\.\.(\d+)\]:\s+(\d+)\.\.\d+\s+\d+\s+(0x[0-9a-f]+)/.exec(line);
    if (!match) continue;
    const [first, last, start, flags] = match.slice(1).map(Number) as [number, number, number, number];
    if ((flags & 0x800) !== 0) continue;
    for (let i = 0; i <= (last - first) / sectors; i++) {
      const block = first / sectors + i;
      if (block >= places.length) break;
      places[block] = start / sectors + i + 1;
      shared[block] = (flags & 0x2000) !== 0;
    }
  }
  return { content: readFileSync(path), places, shared };
}

describe.runIf(requireOracle('xfsprogs', 'loop'))('blocks shared by us and by the kernel', () => {
  it.each(Object.entries(IMAGES))('are one and the same: %s', (_name, options) => {
    withTempDir((directory) => {
      const image = join(directory, 'image');
      mkfsXfs(image, 64 << 20, options);
      const blockSize = options.includes('size=1024') ? 1024 : 4096;
      const model = new SharingModel(blockSize);
      const script = fc.sample(kernelOp, { seed, numRuns: PIECES * PIECE });
      for (let piece = 0; piece < PIECES; piece++) {
        const operations = script.slice(piece * PIECE, (piece + 1) * PIECE);
        if (piece % 2 === 0) {
          const editor = Editor.open(new FileDevice(image, 'rw'));
          const ours = new SharingEditor(editor);
          for (const op of operations) {
            const expected = model.apply(op);
            if (expected !== false) expect(ours.apply(op, model), `seed ${seed}`).toBe(expected);
          }
          editor.close();
        } else {
          const commands: string[] = [];
          for (const op of operations) if (model.apply(op) === undefined) commands.push(kernelCommand(op, model)!);
          loopMount(image, { write: true }, (at) =>
            mustRun('sh', ['-ec', `cd "$1"; ${commands.join('\n')}`, 'sh', at]),
          );
        }
        expect(xfsRepairCheck(image), `seed ${seed}, piece ${piece}`).toEqual({ ok: true, output: '' });
        const device = new FileDevice(image, 'r');
        expect(check(device).problems, `seed ${seed}, piece ${piece}`).toEqual([]);
        device.close();
      }
      const seen = loopMount(image, {}, (at) =>
        Array.from({ length: FILES }, (_, i) => look(join(at, fileName(i)), blockSize)),
      );
      for (const [i, file] of model.files.entries()) {
        expect(seen[i]!.content === undefined, `seed ${seed}`).toBe(file === undefined);
        if (file) expect(Buffer.compare(seen[i]!.content!, file.content), `seed ${seed}, file ${i}`).toBe(0);
      }
      const places = seen.map((each) => each.places);
      // Smaller blocks than pages: the kernel copies what else is in the page.
      if (blockSize === 4096) expect(model.sharingOf(places), `seed ${seed}`).toEqual(model.sharing());
      const editor = Editor.open(new FileDevice(image, 'rw'));
      const ours = new SharingEditor(editor).places();
      editor.close();
      expect(groupsOf(ours), `seed ${seed}`).toEqual(groupsOf(places));
      for (const { places: blocks, shared } of seen) {
        const owners = (place: number) => places.flat().filter((each) => each === place).length;
        for (const [block, place] of (blocks ?? []).entries()) {
          if (place !== 0) expect(shared[block], `seed ${seed}`).toBe(owners(place) > 1);
        }
      }
    });
  });
});

/** Which blocks are one, whatever their numbers: the first place of each physical block. */
function groupsOf(places: readonly (readonly number[] | undefined)[]): (number[] | undefined)[] {
  const first = new Map<number, number>();
  let next = 1;
  return places.map((blocks) =>
    blocks?.map((place) => {
      if (place === 0) return 0;
      if (!first.has(place)) first.set(place, next++);
      return first.get(place)!;
    }),
  );
}
