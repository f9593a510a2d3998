/**
 * The attribute fork of an inode that is gone, from blocks that say that they are its own. They do not say where in the fork
 * they stood: for leaves that does not matter, but an entry finds its value by that.
 */
import { ATTR, AttrLeafEntry, AttrLeafHeader, AttrRemote, remoteBlocks } from '../../../formats/attribute.ts';
import { DaHeader } from '../../../formats/da.ts';
import type { PlanReader } from '../forks/plan-reader.ts';
import { ForkExtents } from '../pending.ts';

/** A block of attributes. */
export interface AttributeBlock {
  readonly fsBlock: number;
  /** Bytes of the value before it; -1: a leaf. */
  readonly offset: number;
}

/** File blocks from which on values are put whose place is not known: entries name none so high, and they are found by length. */
const VALUES_FROM = 2 ** 24;

/** @param blocks in disk order. */
export function goneAttributes(reader: PlanReader, blocks: readonly AttributeBlock[]): ForkExtents {
  const extents = new ForkExtents();
  const leaves = blocks.filter(({ offset }) => offset < 0).map(({ fsBlock }) => fsBlock);
  const values = blocks.filter(({ offset }) => offset >= 0);
  for (const [i, leaf] of leaves.entries()) extents.push(i, leaf, 1, false);
  if (leaves.length === 0) return extents;
  const [root, ...others] = leaves;
  const isWhole = others.length === 0 && isOneRun(reader, root!, values);
  for (const [i, { fsBlock }] of values.entries()) {
    extents.push(isWhole ? fsBlock - root! : VALUES_FROM + i, fsBlock, 1, false);
  }
  return extents;
}

/** Was the fork one run of blocks from its only leaf on? Then every value begins where an entry says, and none elsewhere. */
function isOneRun(reader: PlanReader, root: number, values: readonly AttributeBlock[]): boolean {
  const view = reader.raw(root);
  if (view?.getUint32(DaHeader.offsets.forw) !== 0 || view.getUint32(DaHeader.offsets.back) !== 0) return false;
  const wanted = new Map<number, number>();
  const count = view.getUint16(AttrLeafHeader.offsets.count);
  for (let i = 0; i < count; i++) {
    const entry = AttrLeafHeader.size + AttrLeafEntry.size * i;
    const record = view.getUint16(entry + AttrLeafEntry.offsets.nameidx);
    if ((view.getUint8(entry + AttrLeafEntry.offsets.flags) & ATTR.LOCAL) !== 0) continue;
    if (record + AttrRemote.size > view.byteLength) return false;
    wanted.set(view.getUint32(record), remoteBlocks(view.getUint32(record + 4), reader.geometry.blockSize));
  }
  let next = 1;
  for (const { fsBlock, offset } of values) {
    if (fsBlock - root !== next) return false;
    const length = wanted.get(next);
    if ((offset === 0) !== (length !== undefined)) return false;
    next++;
  }
  let sum = 1;
  for (const length of wanted.values()) sum += length;
  return sum === next;
}
