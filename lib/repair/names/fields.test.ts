/**
 * One field of a directory or of attributes damaged, CRC made right or not: what the other bytes still say must be there
 * after the repair. Only the name, or the inode number, that was destroyed itself may be missing, and then the file is
 * in lost+found. CADASTRE_RUNS=500 looks longer; the seed of a failing run is printed.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CADASTRE, XFS } from '../../../formats/dialect.ts';
import { contentOf, makeNameWorld, type NameWorld } from '../../../test/support/name-world.ts';
import { requireOracle, xfsRepairCheck } from '../../../test/support/oracle.ts';
import { check } from '../../check/check.ts';
import { damageTarget, listFields } from '../../damage/damage.ts';
import { placesOfInode } from '../../damage/enumerate.ts';
import { locate } from '../../damage/locate.ts';
import type { Place } from '../../damage/place.ts';
import type { Device } from '../../device/device.ts';
import { OverlayDevice } from '../../device/overlay.ts';
import { Volume } from '../../volume/volume.ts';
import { repair } from '../repair.ts';

const RUNS = Number(process.env.CADASTRE_RUNS ?? 12);
const VERBS = ['zero', 'ones', 'first', 'middle', 'last', 'add', 'sub', 'random'] as const;
const TIMEOUT = 20_000 + 5000 * RUNS;
const small = { block: 25, leaf: 0, node: 0 };

const worlds: [string, NameWorld][] = [
  ['cadastre', makeNameWorld(CADASTRE, {}, { block: 25, leaf: 220, node: 0 })],
  ['xfs, register, 1 KiB blocks', makeNameWorld(XFS, { blockSize: 1024, features: { rmapbt: true } }, small)],
  ['xfs, node form', makeNameWorld(XFS, { blockSize: 1024, dirBlockSize: 1024 }, { block: 0, leaf: 40, node: 170 })],
  [
    'xfs, plain, large directory blocks',
    makeNameWorld(XFS, { dirBlockSize: 65536, features: { reflink: false } }, small),
  ],
];

interface Hurt {
  readonly device: Device;
  readonly field: string;
  readonly what: string;
}

/** Damage a field; undefined when nothing changed by it. */
function hurt(
  world: NameWorld,
  place: Place,
  pick: { field: number; verb: number; fix: boolean; seed: number },
): Hurt | undefined {
  const device = new OverlayDevice(world.device);
  const { geometry } = Volume.open(device);
  const target = locate(device, geometry, place);
  // Of an inode's slot only what its forks hold is about names.
  const fields = listFields(device, target).filter(
    ({ name }) => place.kind !== 'inode' || /^(dir|entries|attr\.(?!extents))/.test(name),
  );
  if (fields.length === 0) return undefined;
  const field = fields[pick.field % fields.length]!.name;
  const verb = VERBS[pick.verb]!;
  const change = damageTarget(device, target, {
    field,
    verb,
    crc: pick.fix ? 'fix' : 'keep',
    value: 1n,
    seed: pick.seed,
  });
  if (change.before === change.after || check(device).clean) return undefined;
  return { device, field, what: `${change.what} ${field} ${verb}: ${change.before} -> ${change.after}` };
}

const picks = fc.record({
  place: fc.nat(),
  field: fc.nat(),
  verb: fc.nat(VERBS.length - 1),
  fix: fc.boolean(),
  seed: fc.nat(),
});

/** Run over structures of these paths. */
function overFields(world: NameWorld, paths: string[], judge: (after: Map<string, string>, hurt: Hurt) => void): void {
  const { geometry } = Volume.open(world.device);
  const places = paths.flatMap((path) => placesOfInode(world.device, geometry, world.inodes[path]!));
  fc.assert(
    fc.property(picks, ({ place, ...pick }) => {
      const damaged = hurt(world, places[place % places.length]!, pick);
      if (!damaged) return;
      const result = repair(damaged.device);
      expect(result.remaining, damaged.what).toEqual([]);
      expect(repair(damaged.device).changed, damaged.what).toBe(false);
      judge(contentOf(damaged.device), damaged);
    }),
    { numRuns: RUNS },
  );
}

describe.each(worlds)('%s', (_name, world) => {
  const before = contentOf(world.device);
  const directories = ['/', '/short', '/short/dir', '/block', '/leaf', '/node'].filter((path) => world.inodes[path]);

  it(
    'directories: no name is lost whose bytes are there',
    () => {
      overFields(world, directories, (after, { field, what }) => {
        const gone = [...before.keys()].filter((path) => after.get(path) !== before.get(path));
        // A name may become that of a neighbour: then one of the two gives way, and the short form has nobody to ask which.
        const most = field.endsWith('.name') ? 2 : field.endsWith('inode') ? 1 : 0;
        // What hangs below a name goes where it goes.
        const tops = gone.filter((path) => !gone.some((other) => other !== path && path.startsWith(`${other}/`)));
        expect(tops.length, `${what}\n${gone.join('\n')}`).toBeLessThanOrEqual(most);
        const left = new Set(after.values());
        for (const [path, content] of before) expect(left.has(content), `${what}: content of ${path}`).toBe(true);
      });
    },
    TIMEOUT,
  );

  it(
    'attributes: the others stay, and all files',
    () => {
      overFields(world, ['/attr-short', '/attr-leaf', '/attr-node'], (after, { field, what }) => {
        const gone = [...before.keys()].filter((path) => after.get(path) !== before.get(path));
        expect(gone.length, what).toBeLessThan(2);
        // Type and data.
        for (const [path, content] of before) {
          expect(after.get(path)?.split('\n').slice(0, 2), what).toEqual(content.split('\n').slice(0, 2));
        }
        const missing = gone.flatMap((path) => {
          const now = new Set(after.get(path)!.split('\n'));
          return before
            .get(path)!
            .split('\n')
            .filter((line) => !now.has(line));
        });
        // A length in a shortform may take the neighbour with it: nothing else says where that one begins.
        const most = /(records|entries)\[\d+\]|^value|^crc/.test(field) ? (field.startsWith('attr.') ? 2 : 1) : 0;
        expect(missing.length, `${what}\n${missing.join('\n')}`).toBeLessThanOrEqual(most);
      });
    },
    TIMEOUT,
  );
});

describe.runIf(requireOracle('xfsprogs'))('xfs_repair -n', () => {
  it('has nothing to say afterwards', () => {
    const folder = mkdtempSync(join(tmpdir(), 'cadastre-names-'));
    try {
      const world = worlds[2]![1];
      let left = 6;
      overFields(world, ['/node', '/leaf', '/attr-leaf', '/short'], (_after, { what, device }) => {
        if (left-- <= 0) return;
        const bytes = new Uint8Array(device.size);
        device.read(0, bytes);
        const path = join(folder, 'image');
        writeFileSync(path, bytes);
        expect(xfsRepairCheck(path).output, what).toBe('');
      });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
