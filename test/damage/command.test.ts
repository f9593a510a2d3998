/** `cadastre damage` as it is called: fields by name, scenes, undo, dry runs, and what it refuses. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { applyVerb, readBits, seeded, VERBS, type Verb, writeBits } from '../../lib/damage/bits.ts';
import { damage } from '../../lib/damage/damage.ts';
import { locate } from '../../lib/damage/locate.ts';
import { OverlayDevice } from '../../lib/device/overlay.ts';
import { parsePlace } from '../../tools/damage/places.ts';
import { cli, cliJson } from '../support/cli.ts';
import { bytesOf } from '../support/empty-image.ts';
import { withTempDir } from '../support/oracle.ts';
import { writeImageFile } from './contest.ts';
import { damageImage } from './image.ts';

interface Change {
  field: string;
  byte: number;
  before: number;
  after: number;
  crcFixed: boolean;
}

function withImage(body: (path: string, directory: string) => void): void {
  withTempDir((directory) => {
    const path = `${directory}/image.img`;
    writeImageFile(damageImage('cadastre').device, path);
    body(path, directory);
  });
}

describe('damage', () => {
  it('changes a field by name; check finds it, undo puts it back', () => {
    withImage((path, directory) => {
      const before = readFileSync(path);
      const undo = `${directory}/undo`;
      const change = cliJson<Change>('damage', path, 'agf', '0', 'longest', 'add', '5', '--undo', undo);
      expect(change).toMatchObject({ field: 'longest', byte: 512 + 56, after: change.before + 5, crcFixed: true });
      const { status, stdout } = cli(['check', path]);
      expect(status).toBe(4);
      expect(stdout).toContain(`longest is ${change.after}, counted ${change.before}`);
      expect(cli(['undo', path, undo]).status).toBe(0);
      expect(Buffer.compare(readFileSync(path), before)).toBe(0);
    });
  });

  it('lists fields, and the scenes', () => {
    withImage((path) => {
      const { fields } = cliJson<{ fields: { name: string }[] }>('damage', path, 'agi', '--list');
      expect(fields.map(({ name }) => name)).toContain('unlinked[63]');
      const scenes = cliJson<{ name: string }[]>('damage', path, '--scenes');
      expect(scenes.map(({ name }) => name)).toContain('cross-link-three');
      const { paths, changes } = cliJson<{ paths: string[]; changes: unknown[] }>(
        ...['damage', path, '--scene', 'lost-fork', '/plain-10'],
      );
      expect(paths).toEqual(['/plain-10']);
      expect(changes.length).toBeGreaterThan(1);
    });
  });

  it('damages an image whose superblock is gone', () => {
    withImage((path) => {
      expect(cli(['damage', path, '--scene', 'wipe-superblock']).status).toBe(0);
      expect(cli(['damage', path, 'sb', '0', 'blocksize', 'value', '4096']).status).toBe(0);
      const { status, stderr } = cli(['damage', path, 'agf', '0', 'length', 'zero']);
      expect(status).toBe(2);
      expect(stderr).toContain('NEEDS_SUPERBLOCK');
    });
  });

  it.each([
    ['agf 0 longest', 'BAD_VERB', 2],
    ['agf 0 longest value x', 'BAD_VALUE', 2],
    ['agf 0 nothing zero', 'BAD_FIELD', 2],
    ['inode /nothing mode zero', 'ENOENT', 1],
    ['--scene nothing', 'BAD_SCENE', 2],
  ] as const)('refuses %j: %s', (words, code, expected) => {
    withImage((path) => {
      const before = readFileSync(path);
      const { status, stderr } = cli(['damage', path, ...words.split(' ')]);
      expect(stderr).toContain(code);
      expect(status).toBe(expected);
      expect(stderr).not.toContain('    at ');
      expect(Buffer.compare(readFileSync(path), before)).toBe(0);
    });
  });
});

describe('places', () => {
  const { device, geometry } = damageImage('cadastre');

  it.each([
    ['inode /plain-40', 'extents[0].startBlock', 'inode'],
    ['btree rmapbt 0 0', 'recs[3].owner', 'rmapbt'],
    ['btree bmbt /pieces-1', 'recs[5].blockCount', 'bmbt'],
    ['dir /leaf data:1', 'entries[2].inode', 'dir-data'],
    ['dir /node leaf:0', 'entries[0].hash', 'dir-leafn'],
    ['dir /node free', 'nvalid', 'dir-free'],
    ['attr /leaf-attributes leaf:0', 'entries[1].nameidx', 'attr-leaf'],
    ['attr /leaf-attributes value:1', 'valueOffset', 'attr-value'],
    ['symlink /long-symlink', 'targetBytes', 'symlink'],
    ['log', 'numLogops', 'log-record'],
    ['raw byte:4096+16', 'bytes[3]', 'raw'],
    ['as agf byte:512', 'freeblks', 'agf'],
  ])('%s: %s', (words, field, structure) => {
    const overlay = new OverlayDevice(device);
    const place = parsePlace(words.split(' '), overlay, geometry);
    const change = damage(overlay, geometry, { place, field, verb: 'add' });
    expect(change.structure).toBe(structure);
    expect(change.after).not.toBe(change.before);
    // The words that name what was changed lead to the same place.
    const again = damage(overlay, geometry, {
      place: parsePlace(change.what.split(' '), overlay, geometry),
      field,
      verb: 'sub',
    });
    expect([again.before, again.after]).toEqual([change.after, change.before]);
    expect(Buffer.compare(bytesOf(overlay), bytesOf(device))).toBe(0);
  });

  it.each([
    ['', 'BAD_WHAT'],
    ['nothing', 'BAD_WHAT'],
    ['agf 9', 'BAD_AG'],
    ['agf x', 'BAD_NUMBER'],
    ['btree nothing 0', 'BAD_WHAT'],
    ['btree bnobt 0 7', 'NOT_THERE'],
    ['inode 7', 'BAD_INODE'],
    ['dir /plain-1', 'NOT_THERE'],
    ['attr /leaf-attributes node', 'NOT_THERE'],
    ['as nothing byte:0', 'BAD_WHAT'],
    ['raw byte:99g', 'NOT_THERE'],
  ])('refuses %j: %s', (words, code) => {
    const place = () => locate(device, geometry, parsePlace(words.split(' '), device, geometry));
    expect(place).toThrow(expect.objectContaining({ code }));
  });
});

describe('fields as bits', () => {
  it('writes what it reads and touches nothing else', () => {
    const random = seeded(3);
    for (let i = 0; i < 500; i++) {
      const bytes = Uint8Array.from({ length: 32 }, () => random() * 256);
      const littleEndian = i % 5 === 0;
      const bits = littleEndian ? 8 * (1 + Math.floor(random() * 4)) : 1 + Math.floor(random() * 70);
      const bit = littleEndian ? 8 * Math.floor(random() * 20) : Math.floor(random() * (256 - bits));
      const field = { name: '', bit, bits, littleEndian };
      const copy = bytes.slice();
      const value = readBits(bytes, field) ^ 1n;
      writeBits(copy, field, value);
      expect(readBits(copy, field)).toBe(value);
      writeBits(copy, field, value ^ 1n);
      expect(copy).toEqual(bytes);
    }
  });

  it.each<[Verb, bigint]>([
    ['zero', 0n],
    ['ones', 0xffn],
    ['first', 0x85n],
    ['middle', 0x15n],
    ['last', 0x04n],
    ['add', 0x06n],
    ['sub', 0x04n],
    ['value', 0x42n],
  ])('%s of 5 in 8 bits', (verb, after) => {
    expect(applyVerb(verb, 5n, 8, verb === 'value' ? 0x42n : undefined, seeded(1))).toBe(after);
    expect(VERBS).toContain(verb);
  });

  it('goes round the end, and draws another value by lot', () => {
    expect(applyVerb('add', 255n, 8, undefined, seeded(1))).toBe(0n);
    expect(applyVerb('sub', 0n, 8, 2n, seeded(1))).toBe(254n);
    expect(applyVerb('random', 5n, 8, undefined, seeded(1))).toBe(applyVerb('random', 5n, 8, undefined, seeded(1)));
    for (let seed = 0; seed < 50; seed++) expect(applyVerb('random', 1n, 1, undefined, seeded(seed))).toBe(0n);
  });
});
