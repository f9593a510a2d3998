/**
 * Values too long for a leaf: blocks of their own, one header each, consecutive file blocks from `valueblk` on. They
 * never go through the log, so a value is never changed in place: a new one gets new blocks.
 */
import {
  ATTR_REMOTE,
  ATTR_REMOTE_MAGIC,
  AttrRemoteHeader,
  remoteBlocks,
  remotePayload,
} from '../../formats/attribute.ts';
import { NULL32 } from '../../formats/struct.ts';
import type { Buffer } from '../buffer/buffer.ts';
import type { ForkBlocks, ForkReader } from '../buffer/fork-blocks.ts';
import { corrupt, noSpace } from '../errors.ts';

/** File blocks are 32-bit numbers in attribute forks. */
export const FILE_BLOCKS = 2 ** 32;

/** Start of the lowest run of `count` file blocks, behind block 0, that nothing is mapped at. */
export function lowestUnmapped(fork: ForkReader, count: number): number {
  let at = 1;
  for (const block of fork.mapped(0, FILE_BLOCKS)) {
    if (block >= at + count) break;
    if (block >= at) at = block + 1;
  }
  if (at + count >= FILE_BLOCKS) throw noSpace('attribute fork: no file blocks left', { where: { inode: fork.inode } });
  return at;
}

/** Write block `index` of a value into a fresh buffer. */
export function fillRemoteBlock(buffer: Buffer, fork: ForkReader, value: Uint8Array, index: number): void {
  const payload = remotePayload(buffer.length);
  const offset = index * payload;
  const piece = value.subarray(offset, offset + payload);
  buffer.data.fill(0);
  const header = AttrRemoteHeader.at(buffer.view);
  header.magic = ATTR_REMOTE_MAGIC;
  header.valueOffset = offset;
  header.valueBytes = piece.length;
  header.uuid = fork.geometry.metaUuid;
  header.owner = fork.inode;
  header.blkno = buffer.daddr;
  header.lsnHi = NULL32;
  header.lsnLo = NULL32;
  buffer.data.set(piece, AttrRemoteHeader.size);
}

/** Store a value in blocks from `start` on (unmapped until now). */
export function writeRemote(fork: ForkBlocks, start: number, value: Uint8Array): void {
  const count = remoteBlocks(value.length, fork.blockBytes);
  for (let i = 0; i < count; i++) fillRemoteBlock(fork.create(start + i, ATTR_REMOTE), fork, value, i);
}

/** Block `index` of a value of `length` bytes; throws `corrupt` when it is missing or not that block. */
function remoteBlock(fork: ForkReader, start: number, length: number, index: number): Buffer {
  const where = { inode: fork.inode, fileBlock: start + index, structure: 'AttrRemoteValue' };
  const buffer = fork.find(start + index, ATTR_REMOTE);
  if (!buffer) throw corrupt('ATTR_VALUE_HOLE', `attribute value: no block at file block ${start + index}`, { where });
  const fault = remoteFault(buffer.view, fork.inode, length, index);
  if (fault) {
    throw corrupt('ATTR_VALUE_BLOCK', `attribute value: ${fault.field} is ${fault.found}, expected ${fault.expected}`, {
      where: { ...where, field: fault.field },
      expected: fault.expected,
      found: fault.found,
    });
  }
  return buffer;
}

/** What tells a verified block from block `index` of this inode's value of `length` bytes. */
export function remoteFault(
  view: DataView,
  inode: number,
  length: number,
  index: number,
): { field: string; expected: number; found: number } | undefined {
  const header = AttrRemoteHeader.at(view);
  const payload = remotePayload(view.byteLength);
  const bytes = Math.min(payload, length - index * payload);
  if (header.owner !== inode) return { field: 'owner', expected: inode, found: header.owner };
  if (header.valueOffset !== index * payload)
    return { field: 'valueOffset', expected: index * payload, found: header.valueOffset };
  if (header.valueBytes !== bytes) return { field: 'valueBytes', expected: bytes, found: header.valueBytes };
  return undefined;
}

/** A copy of a value. `length` is at most 64 KiB: the leaf verifier saw to that. */
export function readRemote(fork: ForkReader, start: number, length: number): Uint8Array {
  const value = new Uint8Array(length);
  const payload = remotePayload(fork.blockBytes);
  const count = remoteBlocks(length, fork.blockBytes);
  for (let i = 0; i < count; i++) {
    const { data } = remoteBlock(fork, start, length, i);
    const bytes = Math.min(payload, length - i * payload);
    value.set(data.subarray(AttrRemoteHeader.size, AttrRemoteHeader.size + bytes), i * payload);
  }
  return value;
}

/** Make sure that the blocks really are this value's, before they are freed: a damaged pointer must not free others'. */
export function verifyRemote(fork: ForkReader, start: number, length: number): void {
  const count = remoteBlocks(length, fork.blockBytes);
  for (let i = 0; i < count; i++) remoteBlock(fork, start, length, i);
}

/** Free the blocks of a value that `verifyRemote` accepted. */
export function freeRemote(fork: ForkBlocks, start: number, length: number): void {
  const count = remoteBlocks(length, fork.blockBytes);
  for (let i = 0; i < count; i++) fork.free(start + i);
}
