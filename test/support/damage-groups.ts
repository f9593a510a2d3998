/**
 * Random damage of the AG headers and trees of an image, and of nothing else: whatever it does, every file is still there.
 * The same for the same numbers drawn.
 */
import { Agf, Agfl, Agi } from '../../formats/ag-headers.ts';
import { BTREES, RMAP_OWNER, ShortHeader } from '../../formats/btree-blocks.ts';
import { sealCrc } from '../../formats/checksum.ts';
import type { Geometry } from '../../formats/geometry.ts';
import type { Observed } from '../../lib/check/check.ts';
import type { Device } from '../../lib/device/device.ts';

const OWNERS = new Set<number>([RMAP_OWNER.AG, RMAP_OWNER.INOBT, RMAP_OWNER.REFC, RMAP_OWNER.CSUM]);

export interface TreeBlock {
  readonly ag: number;
  readonly agBlock: number;
}

/** All blocks of the AGs' trees and free lists, as a check of the undamaged image has seen them. */
export function groupBlocks({ context }: Observed): TreeBlock[] {
  const blocks: TreeBlock[] = [];
  for (const [ag, table] of context.claims.entries()) {
    for (let row = 0; row < table.length; row++) {
      if (!table.isSpecial(row) || !OWNERS.has(table.ownerLo[row]!)) continue;
      for (let i = 0; i < table.count[row]!; i++) blocks.push({ ag, agBlock: table.start[row]! + i });
    }
  }
  return blocks;
}

/**
 * Do up to five kinds of harm.
 * @param random gives a number below its argument. @returns what was done, in words.
 */
export function damageGroups(
  device: Device,
  geometry: Geometry,
  blocks: readonly TreeBlock[],
  random: (below: number) => number,
): string[] {
  const done: string[] = [];
  for (let hits = 1 + random(5); hits > 0; hits--) {
    const kind = random(8);
    if (kind < 3) done.push(damageHeader(device, geometry, random));
    else if (kind === 3) {
      const ag = random(geometry.agCount);
      for (const block of blocks) {
        if (block.ag === ag) device.zero(geometry.agBlockToByte(ag, block.agBlock), geometry.blockSize);
      }
      done.push(`AG ${ag}: no tree left`);
    } else done.push(damageBlock(device, geometry, blocks[random(blocks.length)]!, random));
  }
  return done;
}

function damageHeader(device: Device, geometry: Geometry, random: (below: number) => number): string {
  const ag = random(geometry.agCount);
  const sector = (1 + random(3)) as 1 | 2 | 3;
  const table = sector === 1 ? Agf : sector === 2 ? Agi : Agfl;
  const byte = geometry.agHeaderDaddr(ag, sector) * 512;
  const bytes = new Uint8Array(geometry.sectorSize);
  device.read(byte, bytes);
  const how = harm(bytes, 0, table.size, table.offsets.lsn, table.offsets.crc, random);
  device.write(byte, bytes);
  return `AG ${ag}, ${table.name}: ${how}`;
}

function damageBlock(
  device: Device,
  geometry: Geometry,
  { ag, agBlock }: TreeBlock,
  random: (below: number) => number,
): string {
  const byte = geometry.agBlockToByte(ag, agBlock);
  const bytes = new Uint8Array(geometry.blockSize);
  device.read(byte, bytes);
  const magic = new DataView(bytes.buffer).getUint32(0);
  // A wrong checksum in a sound block of the checksum tree is not to be told from wrong data.
  const isSummed = magic === BTREES.csumbt.magic;
  const from = isSummed || random(2) === 0 ? 0 : ShortHeader.size;
  const to = from === 0 ? ShortHeader.size : bytes.length;
  const how = harm(bytes, from, to, ShortHeader.offsets.lsn, ShortHeader.offsets.crc, random);
  device.write(byte, bytes);
  return `AG ${ag}, block ${agBlock} (magic ${magic.toString(16)}): ${how}`;
}

/** Zero it, fill it with nonsense, or change one word between two bytes, mostly with a right CRC. Positions in the log stay. */
function harm(
  bytes: Uint8Array,
  from: number,
  to: number,
  lsn: number,
  crc: number,
  random: (below: number) => number,
): string {
  const way = random(4);
  if (way === 0) {
    bytes.fill(0);
    return 'zeroed';
  }
  if (way === 1) {
    const seed = random(2 ** 31);
    for (let i = 0; i < bytes.length; i++) bytes[i] = Math.imul(seed + i, 0x9e3779b1) >>> 24;
    return 'nonsense';
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const at = from + 4 * random((to - from) >> 2);
  if (at === lsn || at === lsn + 4) return 'spared';
  const old = view.getUint32(at);
  const values = [0, 0xffffffff, old + 1, old - 1, random(2 ** 31), old ^ (1 << random(31))];
  const value = values[random(values.length)]! >>> 0;
  view.setUint32(at, value);
  const isSealed = random(4) > 0;
  if (isSealed) sealCrc(bytes, crc);
  return `byte ${at}: ${old} is ${value}${isSealed ? '' : ', CRC wrong'}`;
}
