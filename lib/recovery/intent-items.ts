/**
 * Intents as values: read from the log's regions, and written again with less left to do. The items that say an intent is
 * done are made here, too.
 */
import {
  ATTRI_OP,
  AttriItem,
  BUI_FLAG,
  CuiExtent,
  DoneItem,
  EfiExtent,
  IntentHeader,
  LOG_ITEM,
  MapExtent,
  RUI_FLAG,
  XmiItem,
} from '../../formats/log-items.ts';
import { type CadastreError, corrupt } from '../errors.ts';
import { itemTypeName, viewOf } from '../journal/recovery/checkpoints.ts';
import type { Intent } from '../journal/recovery/replay.ts';

/** Low 28 bits of MapExtent.flags: what to do. */
const KIND_MASK = 0x0fffffff;
/** Ids of intents we log again: the high half names us, the low half counts. */
const ID_HI = 0x43445354;
let lastId = 0;

export interface EfiPiece {
  startBlock: number;
  blockCount: number;
}
export interface CuiPiece extends EfiPiece {
  /** One of CUI_TYPE. */
  kind: number;
}
export interface MapPiece extends EfiPiece {
  /** One of RUI_TYPE or BUI_TYPE. */
  kind: number;
  ownerHi: number;
  ownerLo: number;
  fileBlock: number;
  attr: boolean;
  bmbt: boolean;
  unwritten: boolean;
  realtime: boolean;
}
export interface AttributeWork {
  inode: number;
  /** One of ATTRI_OP. */
  op: number;
  /** Namespace bit. */
  flags: number;
  generation: number;
  name: Uint8Array;
  newName: Uint8Array;
  value: Uint8Array;
  newValue: Uint8Array;
}

const broken = (type: number, expected: unknown, found: unknown): CadastreError =>
  corrupt('LOG_INTENT', `log: ${itemTypeName(type)} item is not valid`, {
    where: { structure: 'log' },
    expected,
    found,
  });

/** Count and size of an extent-list intent, checked against its region. */
function extents(intent: Intent, size: number): { view: DataView; count: number } {
  const region = intent.regions[0]!;
  const view = viewOf(region);
  const { count } = IntentHeader.at(view);
  if (count === 0 || IntentHeader.size + count * size > region.length) {
    throw broken(intent.type, `extents in ${region.length} bytes`, count);
  }
  return { view, count };
}

export function readEfi(intent: Intent): EfiPiece[] {
  const region = intent.regions[0]!;
  const count = IntentHeader.at(viewOf(region)).count;
  // 32-bit machines leave the padding of each extent out.
  const size = region.length === IntentHeader.size + count * 12 ? 12 : EfiExtent.size;
  const { view } = extents(intent, size);
  return Array.from({ length: count }, (_, i) => {
    const at = IntentHeader.size + i * size;
    const low = view.getUint32(at, true);
    return { startBlock: view.getUint32(at + 4, true) * 2 ** 32 + low, blockCount: view.getUint32(at + 8, true) };
  });
}

export function readCui(intent: Intent): CuiPiece[] {
  const { view, count } = extents(intent, CuiExtent.size);
  return Array.from({ length: count }, (_, i) => {
    const { startBlock, blockCount, flags } = CuiExtent.at(view, IntentHeader.size + i * CuiExtent.size);
    return { startBlock, blockCount, kind: flags };
  });
}

/** RUI and BUI: the same bytes, other flags. */
export function readMaps(intent: Intent): MapPiece[] {
  const { view, count } = extents(intent, MapExtent.size);
  const isBui = intent.type === LOG_ITEM.BUI;
  return Array.from({ length: count }, (_, i) => {
    const extent = MapExtent.at(view, IntentHeader.size + i * MapExtent.size);
    const { flags } = extent;
    const has = (bit: number): boolean => (flags & bit) !== 0;
    return {
      startBlock: extent.startBlock,
      blockCount: extent.blockCount,
      kind: flags & KIND_MASK,
      ownerHi: extent.ownerHi,
      ownerLo: extent.ownerLo,
      fileBlock: extent.startOffset,
      attr: has(isBui ? BUI_FLAG.ATTR_FORK : RUI_FLAG.ATTR_FORK),
      bmbt: !isBui && has(RUI_FLAG.BMBT_BLOCK),
      unwritten: has(isBui ? BUI_FLAG.UNWRITTEN : RUI_FLAG.UNWRITTEN),
      realtime: isBui && has(BUI_FLAG.REALTIME),
    };
  });
}

export function readAttri(intent: Intent): AttributeWork {
  const head = intent.regions[0]!;
  if (head.length < AttriItem.size) throw broken(intent.type, AttriItem.size, head.length);
  const item = AttriItem.at(viewOf(head));
  const isReplace = item.op === ATTRI_OP.PARENT_REPLACE;
  const nameLength = isReplace ? item.nameLength & 0xffff : item.nameLength;
  const newNameLength = isReplace ? item.nameLength >>> 16 : 0;
  let next = 1;
  const take = (length: number): Uint8Array => {
    if (length === 0) return new Uint8Array(0);
    const region = intent.regions[next++];
    if (!region || region.length < length) throw broken(intent.type, length, region?.length ?? 0);
    return region.subarray(0, length);
  };
  const name = take(nameLength);
  const newName = take(newNameLength);
  const value = take(item.valueLength);
  const newValue = take(isReplace ? item.valueLength : 0);
  return { inode: item.ino, op: item.op, flags: item.filter, generation: item.igen, name, newName, value, newValue };
}

export function readXmi(intent: Intent): ReturnType<typeof XmiItem.at> {
  const region = intent.regions[0]!;
  if (region.length < XmiItem.size) throw broken(intent.type, XmiItem.size, region.length);
  return XmiItem.at(viewOf(region));
}

/** The item that says this intent is done. */
export function doneRegion(intent: Intent): Uint8Array {
  const head = intent.regions[0]!;
  const region = intent.type === LOG_ITEM.EFI ? head.slice() : new Uint8Array(DoneItem.size);
  region.set(head.subarray(DoneItem.offsets.id, DoneItem.offsets.id + 8), DoneItem.offsets.id);
  const view = viewOf(region);
  view.setUint16(0, intent.type + 1, true);
  view.setUint16(2, 1, true);
  return region;
}

/** The same work under a new id: what is logged when the old one is reported done. */
export function renewed(intent: Intent): Intent {
  const [head, ...rest] = intent.regions as [Uint8Array, ...Uint8Array[]];
  const copy = head.slice();
  const view = viewOf(copy);
  view.setUint32(IntentHeader.offsets.id + 4, ID_HI, true);
  view.setUint32(IntentHeader.offsets.id, ++lastId, true);
  return { type: intent.type, regions: [copy, ...rest] };
}

/** A refcount intent with these pieces left, under a new id. */
export function remainingCui(pieces: readonly CuiPiece[]): Intent {
  const region = new Uint8Array(IntentHeader.size + pieces.length * CuiExtent.size);
  const view = viewOf(region);
  const header = IntentHeader.at(view);
  header.type = LOG_ITEM.CUI;
  header.regions = 1;
  header.count = pieces.length;
  pieces.forEach((piece, i) => {
    const extent = CuiExtent.at(view, IntentHeader.size + i * CuiExtent.size);
    extent.startBlock = piece.startBlock;
    extent.blockCount = piece.blockCount;
    extent.flags = piece.kind;
  });
  return renewed({ type: LOG_ITEM.CUI, regions: [region] });
}

/** A mapping exchange that has come so far, under a new id. */
export function remainingXmi(intent: Intent, done: number): Intent {
  const next = renewed(intent);
  const item = XmiItem.at(viewOf(next.regions[0]!));
  item.offset1 += done;
  item.offset2 += done;
  item.blockCount -= done;
  return next;
}
