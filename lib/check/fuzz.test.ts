/**
 * Random damage: whatever the bytes, the checker comes back with a result in bounded time. Damage is aimed at metadata
 * (random bytes of a mostly empty image would hit nothing), with and without a right CRC behind it.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Agf, Agi } from '../../formats/ag-headers.ts';
import { RMAP_OWNER } from '../../formats/btree-blocks.ts';
import { sealCrc } from '../../formats/checksum.ts';
import { CADASTRE, XFS } from '../../formats/dialect.ts';
import { InodeCore } from '../../formats/inode.ts';
import { Superblock } from '../../formats/superblock.ts';
import { makeSpecimen, type Specimen } from '../../test/support/specimen.ts';
import { OverlayDevice } from '../device/overlay.ts';
import { check } from './check.ts';

/** A piece of metadata: where it is, how long, where its CRC is. */
interface Target {
  byte: number;
  length: number;
  crc: number;
}

/** Everything worth hitting, from the claims of a sound run. */
function targets(specimen: Specimen): Target[] {
  const { geometry } = specimen;
  const { blockSize, sectorSize, inodeSize } = geometry;
  const list: Target[] = [];
  const { claims } = check(specimen.device).observed!.context;
  for (let ag = 0; ag < geometry.agCount; ag++) {
    const header = (sector: 0 | 1 | 2 | 3, crc: number) =>
      list.push({ byte: geometry.agHeaderDaddr(ag, sector) * 512, length: sectorSize, crc });
    header(0, Superblock.offsets.crc);
    header(1, Agf.offsets.crc);
    header(2, Agi.offsets.crc);
    header(3, 32);
    const table = claims[ag]!;
    for (let row = 0; row < table.length; row++) {
      const byte = geometry.agBlockToByte(ag, table.start[row]!);
      const count = Math.min(table.count[row]!, 8);
      const owner = table.isSpecial(row) ? table.ownerLo[row]! : 0;
      if (owner === RMAP_OWNER.FS) continue;
      if (owner === RMAP_OWNER.INODES) {
        for (let slot = 0; slot < 24; slot++) {
          list.push({ byte: byte + slot * inodeSize, length: inodeSize, crc: InodeCore.offsets.crc });
        }
      } else {
        // Trees have their CRC at 52, bmbt blocks at 64, directory data at 4, index and attribute blocks at 12.
        const crcs = owner !== 0 ? [52] : table.isForkData(row) ? [4, 12] : [64];
        for (let i = 0; i < count; i++) {
          for (const crc of crcs) list.push({ byte: byte + i * blockSize, length: blockSize, crc });
        }
      }
    }
  }
  return list;
}

const INTERESTING = [0, 1, 0x7f, 0x80, 0xff];

describe.each([
  ['ours', makeSpecimen(CADASTRE)],
  ['xfs, no register', makeSpecimen(XFS, { size: 64 << 20, features: { rmapbt: false } })],
  ['xfs, small blocks', makeSpecimen(XFS, { size: 64 << 20, blockSize: 1024, features: { rmapbt: true } })],
] as const)('%s', (_name, specimen) => {
  const places = targets(specimen);

  it('survives any damage of its metadata', () => {
    const hit = fc.record({
      target: fc.nat(places.length - 1),
      // Heads of blocks decide more than their tails.
      offset: fc.oneof({ weight: 3, arbitrary: fc.nat(200) }, { weight: 2, arbitrary: fc.nat(4095) }),
      bytes: fc.array(fc.oneof(fc.constantFrom(...INTERESTING), fc.nat(255)), { minLength: 1, maxLength: 8 }),
      seal: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(hit, { minLength: 1, maxLength: 6 }), (hits) => {
        const device = new OverlayDevice(specimen.device);
        for (const { target, offset, bytes, seal } of hits) {
          const { byte, length, crc } = places[target]!;
          const data = new Uint8Array(length);
          device.read(byte, data);
          data.set(bytes, Math.min(offset, length - bytes.length));
          if (seal) sealCrc(data, crc);
          device.write(byte, data);
        }
        const start = performance.now();
        const result = check(device, { data: true, maxProblems: 200 });
        expect(result.problems.length).toBeLessThanOrEqual(200);
        expect(result.clean).toBe(result.problemCount === 0);
        expect(performance.now() - start).toBeLessThan(20_000);
      }),
      { numRuns: 200 },
    );
  });

  it('survives blocks that changed places', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(places.length - 1), fc.nat(places.length - 1)), { minLength: 1, maxLength: 4 }),
        (swaps) => {
          const device = new OverlayDevice(specimen.device);
          for (const [a, b] of swaps) {
            const data = new Uint8Array(Math.min(places[a]!.length, places[b]!.length));
            specimen.device.read(places[a]!.byte, data);
            device.write(places[b]!.byte, data);
          }
          const result = check(device);
          expect(result.clean).toBe(result.problemCount === 0);
        },
      ),
      { numRuns: 100 },
    );
  });
});

it('survives what is no image at all', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 70_000 }), (bytes) => {
      const device = new OverlayDevice({ ...memory(bytes) });
      expect(check(device).clean).toBe(false);
    }),
    { numRuns: 50 },
  );
});

function memory(bytes: Uint8Array) {
  const refuse = (): never => {
    throw new Error('read only');
  };
  return {
    size: bytes.length,
    readOnly: true,
    read: (offset: number, into: Uint8Array) => into.set(bytes.subarray(offset, offset + into.length)),
    write: refuse,
    flush: refuse,
    zero: refuse,
    resize: refuse,
    close: () => {},
  };
}
