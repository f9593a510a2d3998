/**
 * A second, deliberately naive reader of trees, for tests: raw bytes from the device, BigInt, one list per node. It
 * shares no code with the engine; what both believe is what the format says.
 */

import { BTREES } from '../../formats/btree-blocks.ts';
import { crcWithHole, storedCrc } from '../../formats/checksum.ts';
import { AG, INODE, TestFork, type World } from './fixture.ts';

interface Entry {
  key: bigint;
  high: bigint;
}

const word = (bytes: Uint8Array, offset: number, size: number): bigint => {
  let value = 0n;
  for (let i = 0; i < size; i++) value = (value << 8n) | BigInt(bytes[offset + i]!);
  return value;
};
const UNWRITTEN = 1n << 61n;

/** Key and high key of a record as one big number each. */
function keysOf(world: World, bytes: Uint8Array, at: number): Entry {
  switch (world.name) {
    case 'cntbt': {
      const key = (word(bytes, at + 4, 4) << 32n) | word(bytes, at, 4);
      return { key, high: key };
    }
    case 'rmapbt': {
      const start = word(bytes, at, 4);
      const length = word(bytes, at + 4, 4);
      const owner = word(bytes, at + 8, 8);
      const offset = word(bytes, at + 16, 8) & ~UNWRITTEN;
      const still = owner >= 1n << 63n || (offset & (1n << 62n)) !== 0n;
      const high = ((start + length - 1n) << 128n) | (owner << 64n) | (still ? offset : offset + length - 1n);
      return { key: (start << 128n) | (owner << 64n) | offset, high };
    }
    case 'bmbt': {
      const key = (word(bytes, at, 8) & ~(1n << 63n)) >> 9n;
      return { key, high: key };
    }
    default: {
      const key = word(bytes, at, 4);
      return { key, high: key };
    }
  }
}

/** A key stored in a node, in the same form. */
function storedKey(world: World, bytes: Uint8Array, at: number): bigint {
  switch (world.name) {
    case 'cntbt':
      return (word(bytes, at + 4, 4) << 32n) | word(bytes, at, 4);
    case 'rmapbt':
      return (word(bytes, at, 4) << 128n) | (word(bytes, at + 4, 8) << 64n) | word(bytes, at + 12, 8);
    case 'bmbt':
      return word(bytes, at, 8);
    default:
      return word(bytes, at, 4);
  }
}

/** What is wrong with a tree, after writing everything to the device. */
export function naiveFaults(world: World): string[] {
  const { cache, device, geometry, blocks, name } = world;
  const layout = BTREES[name];
  const { maxLeaf, maxNode } = geometry.btree[name];
  const faults: string[] = [];
  const rows: number[][] = [];
  cache.writeBack();

  const walk = (pointer: number, level: number, min: number): Entry[] => {
    const bytes = new Uint8Array(geometry.blockSize);
    const daddr = blocks.daddr(pointer);
    device.read(daddr * 512, bytes);
    const say = (what: string) => faults.push(`block ${pointer}: ${what}`);
    const long = layout.long;
    if (word(bytes, 0, 4) !== BigInt(layout.magic)) say('magic');
    if (word(bytes, 4, 2) !== BigInt(level)) say('level');
    if (word(bytes, long ? 24 : 16, 8) !== BigInt(daddr)) say('blkno');
    if (word(bytes, long ? 56 : 48, long ? 8 : 4) !== BigInt(long ? INODE : AG)) say('owner');
    if (bytes.subarray(long ? 40 : 32, long ? 56 : 48).some((b, i) => b !== i + 1)) say('uuid');
    const crcOffset = long ? 64 : 52;
    if (crcWithHole(bytes, crcOffset) !== storedCrc(bytes, crcOffset)) say('crc');
    const count = Number(word(bytes, 6, 2));
    if (count > (level === 0 ? maxLeaf : maxNode) || count < min) say(`count ${count}`);
    const row = (rows[level] ??= []);
    const before = row.at(-1);
    const width = long ? 8 : 4;
    const none = (1n << BigInt(8 * width)) - 1n;
    if (word(bytes, 8, width) !== (before === undefined ? none : BigInt(before))) say('left sibling');
    row.push(pointer);
    const list: Entry[] = [];
    const head = layout.headerSize;
    if (level === 0) {
      for (let i = 0; i < count; i++) list.push(keysOf(world, bytes, head + i * layout.recordSize));
      return list;
    }
    const stride = layout.keySize * (layout.hasHighKeys ? 2 : 1);
    for (let i = 0; i < count; i++) {
      const child = Number(word(bytes, head + maxNode * stride + i * width, width));
      const below = walk(child, level - 1, Math.floor((level === 1 ? maxLeaf : maxNode) / 2));
      if (storedKey(world, bytes, head + i * stride) !== below[0]?.key) say(`key ${i}`);
      let high = 0n;
      for (const entry of below) if (entry.high > high) high = entry.high;
      if (layout.hasHighKeys && storedKey(world, bytes, head + i * stride + layout.keySize) !== high)
        say(`high key ${i}`);
      list.push(...below);
    }
    return list;
  };

  let all: Entry[] = [];
  if (world.root instanceof TestFork) {
    const view = world.root.view();
    const room = Math.floor((view.byteLength - 4) / 16);
    const count = view.getUint16(2);
    for (let i = 0; i < count; i++) {
      const below = walk(Number(view.getBigUint64(4 + 8 * room + 8 * i)), view.getUint16(0) - 1, 0);
      if (below.length > 0 && view.getBigUint64(4 + 8 * i) !== below[0]!.key) faults.push(`root key ${i}`);
      all = all.concat(below);
    }
  } else {
    all = walk(world.root.block, world.root.levels - 1, 0);
  }
  for (let i = 1; i < all.length; i++) if (all[i]!.key <= all[i - 1]!.key) faults.push(`order at ${i}`);
  for (const [level, row] of rows.entries()) {
    row.forEach((pointer, i) => {
      const bytes = new Uint8Array(32);
      device.read(blocks.daddr(pointer) * 512, bytes);
      const right = layout.long ? word(bytes, 16, 8) : word(bytes, 12, 4);
      const wanted = row[i + 1] === undefined ? (layout.long ? (1n << 64n) - 1n : 0xffffffffn) : BigInt(row[i + 1]!);
      if (right !== wanted) faults.push(`block ${pointer} level ${level}: right sibling`);
    });
  }
  return faults;
}
