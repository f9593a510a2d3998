/** Symlink targets: in the inode while they fit, else in extents of the data fork with one header per mapped extent. */
import { FORMAT } from '../../formats/inode.ts';
import {
  MAX_SYMLINK,
  SYMLINK,
  symlinkBlocks,
  symlinkPiece,
  symlinkPieceFault,
  writeSymlinkExtent,
} from '../../formats/symlink.ts';
import type { Transaction } from '../buffer/transaction.ts';
import { corrupt, fileError, noSpace } from '../errors.ts';
import { inodeOwner } from '../space/owner.ts';
import type { Space } from '../space/space.ts';
import { Fork, homeBlock } from './fork.ts';
import type { Inode } from './inode.ts';

/** The target's bytes (a copy). Throws `corrupt` SYMLINK_* when the pieces do not make up the target. */
export function readSymlink(inode: Inode): Uint8Array {
  const fork = new Fork(inode, 'data');
  const { size, geometry } = inode;
  if (fork.format === FORMAT.LOCAL) {
    return new Uint8Array(inode.view.buffer, inode.view.byteOffset + fork.base, size).slice();
  }
  if (size > MAX_SYMLINK) throw broken(inode, 'size', `at most ${MAX_SYMLINK}`, size);
  const target = new Uint8Array(size);
  let at = 0;
  fork.forEachExtent((_fileBlock, startBlock, blockCount) => {
    if (at >= size) return true;
    const daddr = geometry.fsBlockToDaddr(startBlock);
    if (blockCount > symlinkBlocks(MAX_SYMLINK, geometry.blockSize))
      throw broken(inode, 'extent', 'a short extent', blockCount);
    const buffer = inode.reader.get(daddr, blockCount * geometry.blockSize, SYMLINK);
    const fault = symlinkPieceFault(buffer.view, inode.number, at, size);
    if (fault) throw broken(inode, fault.field, fault.expected, fault.found);
    const piece = symlinkPiece(buffer.view);
    target.set(piece, at);
    at += piece.length;
    return at >= size;
  });
  if (at < size) throw broken(inode, 'bytes', size, at);
  return target;
}

/** Give a fresh symlink inode its target. Throws ENAMETOOLONG, EINVAL (empty). */
export function writeSymlink(tx: Transaction, space: Space, inode: Inode, target: Uint8Array): void {
  const { geometry } = inode;
  if (target.length === 0) throw fileError('EINVAL', 'a symlink needs a target');
  if (target.length > MAX_SYMLINK) {
    throw fileError('ENAMETOOLONG', `symlink target of ${target.length} bytes`, { expected: `at most ${MAX_SYMLINK}` });
  }
  const fork = new Fork(inode, 'data');
  inode.change(tx);
  if (target.length <= fork.bytes) {
    new Uint8Array(inode.view.buffer, inode.view.byteOffset + fork.base, fork.bytes).set(target);
    fork.setFormat(FORMAT.LOCAL);
  } else {
    fork.setFormat(FORMAT.EXTENTS);
    const blocks = symlinkBlocks(target.length, geometry.blockSize);
    for (let at = 0; at < blocks; ) {
      const got = space.allocate(tx, {
        min: 1,
        max: blocks - at,
        near: homeBlock(inode),
        owner: inodeOwner(inode.number),
        place: { fileBlock: at },
      });
      if (!got) throw noSpace(`no block for the target of symlink inode ${inode.number}`);
      fork.map(tx, space, at, got.fsBlock, got.blockCount, false);
      at += got.blockCount;
    }
    // One header for each extent as it is mapped in the end: neighbours have become one.
    let done = 0;
    fork.forEachExtent((_fileBlock, startBlock, blockCount) => {
      const daddr = geometry.fsBlockToDaddr(startBlock);
      const buffer = tx.create(daddr, blockCount * geometry.blockSize, SYMLINK);
      done += writeSymlinkExtent(buffer.view, geometry, daddr, inode.number, target, done);
    });
  }
  inode.core.size = target.length;
}

function broken(inode: Inode, field: string, expected: unknown, found: unknown): Error {
  return corrupt('BAD_SYMLINK', `symlink inode ${inode.number}: ${field} is ${found}, expected ${expected}`, {
    where: { inode: inode.number, field },
    expected,
    found,
  });
}
