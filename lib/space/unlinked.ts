/**
 * Unlinked inodes: 64 chains per AG, heads in the AGI, links in the inodes' nextUnlinked. New members go to the head.
 * A chain never has more members than the AG has inodes in use; walking stops there.
 */
import { AGI_BUCKETS, Agi } from '../../formats/ag-headers.ts';
import { InodeCore } from '../../formats/inode.ts';
import { NULL32 } from '../../formats/struct.ts';
import type { Transaction } from '../buffer/transaction.ts';
import { corrupt } from '../errors.ts';
import type { AllocationGroup } from './allocation-group.ts';
import { inodeCluster, inodeSlotOffset } from './inode-chunks.ts';

const NEXT = InodeCore.offsets.nextUnlinked;
const bucketOffset = (bucket: number): number => Agi.offsets.unlinked + 4 * bucket;

const broken = (ag: AllocationGroup, bucket: number, message: string) =>
  corrupt('UNLINKED_CHAIN', `unlinked chain ${bucket} of AG ${ag.number}: ${message}`, {
    where: { ag: ag.number, structure: 'AGI', field: `unlinked[${bucket}]` },
  });

function next(ag: AllocationGroup, agInode: number, bucket: number): number {
  if (!ag.geometry.isAgInode(ag.number, agInode)) throw broken(ag, bucket, `names inode ${agInode}`);
  return inodeCluster(ag.reader, ag.number, agInode).view.getUint32(inodeSlotOffset(ag.geometry, agInode) + NEXT);
}

function setNext(tx: Transaction, ag: AllocationGroup, agInode: number, value: number): void {
  const buffer = inodeCluster(tx, ag.number, agInode);
  const offset = inodeSlotOffset(ag.geometry, agInode) + NEXT;
  tx.change(buffer, offset, 4);
  buffer.view.setUint32(offset, value);
}

/** Put an inode at the head of its chain. */
export function addUnlinked(tx: Transaction, ag: AllocationGroup, agInode: number): void {
  const bucket = agInode % AGI_BUCKETS;
  const head = ag.agi.view.getUint32(bucketOffset(bucket));
  if (head === agInode) throw broken(ag, bucket, `inode ${agInode} is in it already`);
  setNext(tx, ag, agInode, head);
  ag.changeAgi(tx).view.setUint32(bucketOffset(bucket), agInode);
}

/** Take an inode out of its chain. Throws `corrupt` UNLINKED_CHAIN when it is not there or the chain does not end. */
export function removeUnlinked(tx: Transaction, ag: AllocationGroup, agInode: number): void {
  const bucket = agInode % AGI_BUCKETS;
  const rest = next(ag, agInode, bucket);
  let previous = -1;
  let at = ag.agi.view.getUint32(bucketOffset(bucket));
  for (let left = ag.agi.count; at !== agInode; left--) {
    if (at === NULL32) throw broken(ag, bucket, `inode ${agInode} is not in it`);
    if (left <= 0) throw broken(ag, bucket, 'it does not end');
    previous = at;
    at = next(ag, at, bucket);
  }
  if (previous < 0) ag.changeAgi(tx).view.setUint32(bucketOffset(bucket), rest);
  else setNext(tx, ag, previous, rest);
  setNext(tx, ag, agInode, NULL32);
}

/** Call back every unlinked AG inode; throws `corrupt` UNLINKED_CHAIN. */
export function forEachUnlinked(ag: AllocationGroup, visit: (agInode: number) => void): void {
  let left = ag.agi.count;
  for (let bucket = 0; bucket < AGI_BUCKETS; bucket++) {
    for (let at = ag.agi.view.getUint32(bucketOffset(bucket)); at !== NULL32; at = next(ag, at, bucket)) {
      if (left-- <= 0) throw broken(ag, bucket, 'it does not end');
      visit(at);
    }
  }
}
