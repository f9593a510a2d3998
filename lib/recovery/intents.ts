/**
 * Finishing what the log says was intended: each intent is carried out in a transaction that also logs it as done.
 *
 * 1. Intents are taken in the order they were logged; what one leaves over goes to the end of the queue.
 * 2. An intent leaves the queue in the transaction that does it, so what the journal keeps in the log is always exactly
 *    what is not done yet.
 * 3. Everything an intent names is checked: a hostile log moves no block that is not where it says.
 */
import { ATTR_NAMESPACE_MASK } from '../../formats/attribute.ts';
import { RMAP_BMBT_BLOCK, RMAP_OFFSET_HI_MASK, RmapRecord } from '../../formats/btree-blocks.ts';
import { ATTRI_OP, BUI_TYPE, CUI_TYPE, LOG_ITEM, RUI_TYPE } from '../../formats/log-items.ts';
import { NULL32 } from '../../formats/struct.ts';
import { forEachOverlap } from '../btree/btree.ts';
import type { Transaction } from '../buffer/transaction.ts';
import { corrupt, unsupported } from '../errors.ts';
import { Fork } from '../file/fork.ts';
import { Inode } from '../file/inode.ts';
import { itemTypeName } from '../journal/recovery/checkpoints.ts';
import type { Intent } from '../journal/recovery/replay.ts';
import { ensureFreeList } from '../space/free-list.ts';
import type { ForkPlace } from '../space/owner.ts';
import { addStaging, removeStaging } from '../space/refcounts.ts';
import { unmapRmap } from '../space/reverse-map.ts';
import { removeInodeAttribute, setInodeAttribute } from '../volume/attributes.ts';
import type { RecoveryContext } from './context.ts';
import { exchangeStep } from './exchange.ts';
import {
  type CuiPiece,
  doneRegion,
  type MapPiece,
  readAttri,
  readCui,
  readEfi,
  readMaps,
  remainingCui,
  renewed,
} from './intent-items.ts';

const TWO32 = 2 ** 32;
/** Blocks whose refcounts change in one transaction. */
const REFCOUNT_BLOCKS = 512;
/** Namespace bit of parent pointers. */
const PARENT = 0x08;

/** Finish all intents of a log. @returns how many, by type. */
export function finishIntents(context: RecoveryContext, intents: readonly Intent[]): Record<string, number> {
  const { journal } = context;
  const counts: Record<string, number> = {};
  let pending = [...intents];
  // When the tail moves, what is left is reported done and logged again under new ids, in one checkpoint.
  journal.keep = () => {
    const done = pending.map(doneRegion);
    pending = pending.map(renewed);
    return [...done, ...pending.flatMap((intent) => intent.regions)];
  };
  journal.advanceTail();
  while (pending.length > 0) {
    const intent = pending[0]!;
    const left = context.transact((tx) => {
      const rest = carryOut(context, tx, intent);
      tx.addItem(doneRegion(intent));
      if (rest) tx.addItem(...rest.regions);
      pending.shift();
      if (rest) pending.push(rest);
      return rest;
    });
    if (left) continue;
    const name = itemTypeName(intent.type);
    counts[name] = (counts[name] ?? 0) + 1;
  }
  journal.keep = undefined;
  return counts;
}

/** Do one intent, or a bounded part of it. @returns what is left, as a new intent. */
function carryOut(context: RecoveryContext, tx: Transaction, intent: Intent): Intent | undefined {
  switch (intent.type) {
    case LOG_ITEM.EFI:
      for (const { startBlock, blockCount } of readEfi(intent)) freeBlocks(context, tx, startBlock, blockCount);
      return undefined;
    case LOG_ITEM.RUI:
      for (const piece of readMaps(intent)) changeRegister(context, tx, piece);
      return undefined;
    case LOG_ITEM.CUI:
      return changeRefcounts(context, tx, readCui(intent));
    case LOG_ITEM.BUI:
      for (const piece of readMaps(intent)) changeMapping(context, tx, piece);
      return undefined;
    case LOG_ITEM.ATTRI:
      changeAttribute(context, tx, intent);
      return undefined;
    default:
      return exchangeStep(context, tx, intent);
  }
}

const bad = (what: string, expected: unknown, found: unknown): Error =>
  corrupt('LOG_INTENT', `log: ${what}`, { where: { structure: 'log' }, expected, found });

/**
 * Blocks go back to free space. The log does not say whose they were: what the register still has of them goes with them (a
 * tree block's record is removed when it is freed, a file's was removed before).
 */
export function freeBlocks(context: RecoveryContext, tx: Transaction, startBlock: number, blockCount: number): void {
  context.checkRange(startBlock, blockCount, 'an extent to free');
  const { geometry, space } = context;
  if (geometry.features.rmapbt) {
    const ag = space.ag(tx, geometry.agOfFsBlock(startBlock));
    const start = geometry.agBlockOfFsBlock(startBlock);
    const found: { start: number; count: number; ownerHi: number; ownerLo: number; hi: number; lo: number }[] = [];
    const record = RmapRecord.view();
    forEachOverlap(tx, ag.tree('rmapbt'), start, start + blockCount, (view, offset) => {
      record.at(view, offset);
      const { ownerHi, ownerLo, offsetHi, offsetLo } = record;
      const from = Math.max(start, record.startBlock);
      const to = Math.min(start + blockCount, record.startBlock + record.blockCount);
      const isPlaced = ownerHi !== NULL32 && (offsetHi & RMAP_BMBT_BLOCK) === 0;
      const moved = isPlaced ? from - record.startBlock : 0;
      const place = (offsetHi & RMAP_OFFSET_HI_MASK) * TWO32 + offsetLo + moved;
      const flags = (offsetHi & ~RMAP_OFFSET_HI_MASK) >>> 0;
      const hi = (flags | Math.floor(place / TWO32)) >>> 0;
      found.push({ start: from, count: to - from, ownerHi, ownerLo, hi, lo: place % TWO32 });
    });
    for (const each of found) {
      ensureFreeList(tx, ag);
      unmapRmap(tx, ag, each.start, each.count, each.ownerHi, each.ownerLo, each.hi, each.lo);
    }
  }
  space.giveBackUnowned(tx, startBlock, blockCount);
}

/** One change of the reverse map. */
function changeRegister(context: RecoveryContext, tx: Transaction, piece: MapPiece): void {
  const { startBlock, blockCount, attr, bmbt, fileBlock, unwritten, kind } = piece;
  context.checkRange(startBlock, blockCount, 'a reverse mapping');
  const { space } = context;
  const owner = { hi: piece.ownerHi, lo: piece.ownerLo };
  const place: ForkPlace = { attr, bmbt, fileBlock, unwritten };
  switch (kind) {
    case RUI_TYPE.MAP:
    case RUI_TYPE.MAP_SHARED:
    case RUI_TYPE.ALLOC:
      space.mapRmap(tx, startBlock, blockCount, owner, place);
      return;
    case RUI_TYPE.UNMAP:
    case RUI_TYPE.UNMAP_SHARED:
    case RUI_TYPE.FREE:
      space.unmapRmap(tx, startBlock, blockCount, owner, place);
      return;
    case RUI_TYPE.CONVERT:
    case RUI_TYPE.CONVERT_SHARED:
      space.convertRmap(tx, startBlock, blockCount, owner, { ...place, unwritten: !unwritten }, unwritten);
      return;
    default:
      throw bad('an unknown change of the reverse map', '1..8', kind);
  }
}

/** Refcount changes, so many blocks at a time. */
function changeRefcounts(context: RecoveryContext, tx: Transaction, pieces: CuiPiece[]): Intent | undefined {
  const { geometry, space } = context;
  if (!geometry.features.reflink) throw bad('refcounts are to change on an image without them', 'reflink', 'none');
  let budget = REFCOUNT_BLOCKS;
  while (pieces.length > 0 && budget > 0) {
    const piece = pieces[0]!;
    const { startBlock, kind } = piece;
    context.checkRange(startBlock, piece.blockCount, 'a refcount change');
    const isStaging = kind === CUI_TYPE.ALLOC_COW || kind === CUI_TYPE.FREE_COW;
    const count = isStaging ? piece.blockCount : Math.min(budget, piece.blockCount);
    const ag = space.ag(tx, geometry.agOfFsBlock(startBlock));
    const agBlock = geometry.agBlockOfFsBlock(startBlock);
    if (kind === CUI_TYPE.INCREASE) space.increaseRefcount(tx, startBlock, count);
    else if (kind === CUI_TYPE.DECREASE) {
      space.decreaseRefcount(tx, startBlock, count, (block, blocks) => space.giveBackUnowned(tx, block, blocks));
    } else if (kind === CUI_TYPE.ALLOC_COW) addStaging(tx, ag, agBlock, count);
    else if (kind === CUI_TYPE.FREE_COW) removeStaging(tx, ag, agBlock, count);
    else throw bad('an unknown change of refcounts', '1..4', kind);
    budget -= isStaging ? 1 : count;
    if (count === piece.blockCount) pieces.shift();
    else pieces[0] = { kind, startBlock: startBlock + count, blockCount: piece.blockCount - count };
  }
  return pieces.length > 0 ? remainingCui(pieces) : undefined;
}

/** An extent enters or leaves a fork, and the register with it. Refcounts have intents of their own. */
function changeMapping(context: RecoveryContext, tx: Transaction, piece: MapPiece): void {
  const { startBlock, blockCount, fileBlock, attr, unwritten, kind } = piece;
  if (piece.realtime) throw unsupported('REALTIME', 'the log changes a file of the realtime section');
  context.checkRange(startBlock, blockCount, 'a mapping');
  const { space } = context;
  const inode = Inode.load(tx, piece.ownerHi * TWO32 + piece.ownerLo);
  const owner = { hi: piece.ownerHi, lo: piece.ownerLo };
  const fork = new Fork(inode, attr ? 'attr' : 'data');
  const end = fileBlock + blockCount;
  if (kind === BUI_TYPE.MAP) {
    const cursor = fork.cursor();
    if (cursor.seekContaining(fileBlock) && cursor.fileBlock < end) {
      throw bad(`inode ${inode.number}: a mapping is to go where another one is`, 'a hole', cursor.fileBlock);
    }
    fork.map(tx, space, fileBlock, startBlock, blockCount, unwritten);
    space.mapRmap(tx, startBlock, blockCount, owner, { attr, fileBlock, unwritten });
    return;
  }
  if (kind !== BUI_TYPE.UNMAP) throw bad('an unknown change of mappings', '1..2', kind);
  fork.unmap(tx, space, fileBlock, end, (at, block, count, isUnwritten) => {
    if (block - startBlock !== at - fileBlock) {
      throw bad(`inode ${inode.number}: another extent is mapped at ${at}`, startBlock + at - fileBlock, block);
    }
    space.unmapRmap(tx, block, count, owner, { attr, fileBlock: at, unwritten: isUnwritten });
  });
}

/** An attribute operation is done once more from its start: what it had done already makes no difference. */
function changeAttribute(context: RecoveryContext, tx: Transaction, intent: Intent): void {
  const { space } = context;
  const work = readAttri(intent);
  const { op, name, value } = work;
  const flags = work.flags & ATTR_NAMESPACE_MASK;
  const inode = Inode.load(tx, work.inode);
  const isParent = op >= ATTRI_OP.PARENT_SET;
  if (isParent && inode.core.gen !== work.generation) {
    throw bad(`inode ${inode.number} is another one by now`, work.generation, inode.core.gen);
  }
  switch (op) {
    case ATTRI_OP.SET:
    case ATTRI_OP.REPLACE:
      setInodeAttribute(tx, space, inode, flags, name, value);
      return;
    case ATTRI_OP.REMOVE:
      removeInodeAttribute(tx, space, inode, flags, name);
      return;
    case ATTRI_OP.PARENT_SET:
      setInodeAttribute(tx, space, inode, PARENT, name, value);
      return;
    case ATTRI_OP.PARENT_REMOVE:
      removeInodeAttribute(tx, space, inode, PARENT, name, value);
      return;
    case ATTRI_OP.PARENT_REPLACE:
      removeInodeAttribute(tx, space, inode, PARENT, name, value);
      setInodeAttribute(tx, space, inode, PARENT, work.newName, work.newValue);
      return;
    default:
      throw bad('an unknown attribute operation', '1..6', op);
  }
}
