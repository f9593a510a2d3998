/**
 * Verifiers of AGF, AGI and AGFL.
 *
 * 1. Structural rules (addresses, heights, ranges) come before counter rules, so the first fault is the gravest.
 * 2. After `verify` accepts an AGF, its roots lie behind the AG headers, its heights are within the tree's maximum and
 *    the free list indexes address the list. Whether the *active slots* make sense takes both AGF and AGFL: see
 *    `activeFreeListFault`.
 * 3. Roots of trees the file system does not have are not looked at: some tools leave old values there.
 */
import { AG_HEADER_VERSION, AGF_MAGIC, AGFL_MAGIC, AGI_BUCKETS, AGI_MAGIC, Agf, Agfl, Agi } from './ag-headers.ts';
import { type BlockType, type Fault, fault } from './block-type.ts';
import type { BtreeLayout } from './btree-blocks.ts';
import type { Geometry } from './geometry.ts';
import { NULL32 } from './struct.ts';

const agf = Agf.view();
const agi = Agi.view();
const agfl = Agfl.view();

const hex = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`;

/** Magic, version, uuid, AG number, length: what AGF and AGI have at the same offsets (but for the uuid). */
function headerFault(
  view: DataView,
  geometry: Geometry,
  ag: number,
  magic: number,
  uuidOffset: number,
): Fault | undefined {
  const length = geometry.agLength(ag);
  if (view.getUint32(0) !== magic) return fault('BAD_MAGIC', 'magicnum', hex(magic), hex(view.getUint32(0)));
  if (view.getUint32(4) !== AG_HEADER_VERSION) {
    return fault('BAD_VERSION', 'versionnum', AG_HEADER_VERSION, view.getUint32(4));
  }
  if (!geometry.isMetaUuid(view, uuidOffset)) return fault('BAD_UUID', 'uuid', 'the metadata uuid', 'another one');
  if (view.getUint32(8) !== ag) return fault('BAD_ADDRESS', 'seqno', ag, view.getUint32(8));
  if (view.getUint32(12) !== length) return fault('BAD_LENGTH', 'length', length, view.getUint32(12));
  return undefined;
}

/** Root inside the AG, height within the tree's maximum. */
function rootFault(
  geometry: Geometry,
  ag: number,
  tree: BtreeLayout['name'],
  rootField: string,
  root: number,
  levelField: string,
  level: number,
): Fault | undefined {
  if (!geometry.isAgBlock(ag, root)) {
    return fault('BAD_ROOT', rootField, `${geometry.headerBlocks}..${geometry.agLength(ag) - 1}`, root);
  }
  const max = geometry.maxLevels[tree];
  return level < 1 || level > max ? fault('BAD_LEVEL', levelField, `1..${max}`, level) : undefined;
}

/** AGF without its free list: everything needed to walk the trees. */
export function agfStructureFault(view: DataView, geometry: Geometry, daddr: number): Fault | undefined {
  const ag = geometry.agOfDaddr(daddr);
  agf.at(view);
  const { features } = geometry;
  return (
    headerFault(view, geometry, ag, AGF_MAGIC, Agf.offsets.uuid) ??
    rootFault(geometry, ag, 'bnobt', 'bnoRoot', agf.bnoRoot, 'bnoLevel', agf.bnoLevel) ??
    rootFault(geometry, ag, 'cntbt', 'cntRoot', agf.cntRoot, 'cntLevel', agf.cntLevel) ??
    (features.rmapbt
      ? rootFault(geometry, ag, 'rmapbt', 'rmapRoot', agf.rmapRoot, 'rmapLevel', agf.rmapLevel)
      : undefined) ??
    (features.reflink
      ? rootFault(geometry, ag, 'refcountbt', 'refcountRoot', agf.refcountRoot, 'refcountLevel', agf.refcountLevel)
      : undefined) ??
    (features.dataChecksums
      ? rootFault(geometry, ag, 'csumbt', 'csumRoot', agf.csumRoot, 'csumLevel', agf.csumLevel)
      : undefined)
  );
}

/** The free list indexes: in range, and the active range as long as the count says. An empty list may point anywhere. */
export function agfFreeListFault(view: DataView, geometry: Geometry): Fault | undefined {
  agf.at(view);
  const slots = geometry.agflSlots;
  const { flfirst, fllast, flcount } = agf;
  if (flfirst >= slots) return fault('BAD_FREE_LIST', 'flfirst', `0..${slots - 1}`, flfirst);
  if (fllast >= slots) return fault('BAD_FREE_LIST', 'fllast', `0..${slots - 1}`, fllast);
  if (flcount > slots) return fault('BAD_FREE_LIST', 'flcount', `0..${slots}`, flcount);
  if (flcount === 0) return undefined;
  const active = ((fllast - flfirst + slots) % slots) + 1;
  return active === flcount ? undefined : fault('BAD_FREE_LIST', 'flcount', active, flcount);
}

/** Counters that no intact AG can have. */
function agfCounterFault(view: DataView, geometry: Geometry, daddr: number): Fault | undefined {
  const length = geometry.agLength(geometry.agOfDaddr(daddr));
  const { features } = geometry;
  agf.at(view);
  if (agf.freeblks > length) return fault('BAD_COUNT', 'freeblks', `0..${length}`, agf.freeblks);
  if (agf.longest > agf.freeblks) return fault('BAD_COUNT', 'longest', `0..${agf.freeblks}`, agf.longest);
  if (agf.btreeblks > length) return fault('BAD_COUNT', 'btreeblks', `0..${length}`, agf.btreeblks);
  if (features.rmapbt && agf.rmapBlocks > length)
    return fault('BAD_COUNT', 'rmapBlocks', `0..${length}`, agf.rmapBlocks);
  if (features.reflink && agf.refcountBlocks > length) {
    return fault('BAD_COUNT', 'refcountBlocks', `0..${length}`, agf.refcountBlocks);
  }
  if (features.dataChecksums && agf.csumBlocks > length) {
    return fault('BAD_COUNT', 'csumBlocks', `0..${length}`, agf.csumBlocks);
  }
  return undefined;
}

export const AGF_TYPE: BlockType = {
  name: 'AGF',
  logType: 5,
  crcOffset: Agf.offsets.crc,
  lsnOffset: Agf.offsets.lsn,
  verify: (view, geometry, daddr) =>
    agfStructureFault(view, geometry, daddr) ??
    agfFreeListFault(view, geometry) ??
    agfCounterFault(view, geometry, daddr),
};

/** AGI without counters and buckets: everything needed to walk the inode trees. */
export function agiStructureFault(view: DataView, geometry: Geometry, daddr: number): Fault | undefined {
  const ag = geometry.agOfDaddr(daddr);
  agi.at(view);
  return (
    headerFault(view, geometry, ag, AGI_MAGIC, Agi.offsets.uuid) ??
    rootFault(geometry, ag, 'inobt', 'root', agi.root, 'level', agi.level) ??
    (geometry.features.finobt
      ? rootFault(geometry, ag, 'finobt', 'freeRoot', agi.freeRoot, 'freeLevel', agi.freeLevel)
      : undefined)
  );
}

function agiCounterFault(view: DataView, geometry: Geometry, daddr: number): Fault | undefined {
  const ag = geometry.agOfDaddr(daddr);
  const length = geometry.agLength(ag);
  agi.at(view);
  const most = (length - geometry.headerBlocks) * geometry.inodesPerBlock;
  if (agi.count > most) return fault('BAD_COUNT', 'count', `0..${most}`, agi.count);
  if (agi.freecount > agi.count) return fault('BAD_COUNT', 'freecount', `0..${agi.count}`, agi.freecount);
  if (geometry.features.inobtcount) {
    if (agi.iblocks > length) return fault('BAD_COUNT', 'iblocks', `0..${length}`, agi.iblocks);
    if (geometry.features.finobt && agi.fblocks > length)
      return fault('BAD_COUNT', 'fblocks', `0..${length}`, agi.fblocks);
  }
  for (let bucket = 0; bucket < AGI_BUCKETS; bucket++) {
    const head = view.getUint32(Agi.offsets.unlinked + 4 * bucket);
    if (head !== NULL32 && !geometry.isAgInode(ag, head)) {
      return fault('BAD_POINTER', `unlinked[${bucket}]`, 'null or an inode of this AG', head);
    }
  }
  return undefined;
}

export const AGI_TYPE: BlockType = {
  name: 'AGI',
  logType: 7,
  crcOffset: Agi.offsets.crc,
  lsnOffset: Agi.offsets.lsn,
  verify: (view, geometry, daddr) => agiStructureFault(view, geometry, daddr) ?? agiCounterFault(view, geometry, daddr),
};

export const AGFL_TYPE: BlockType = {
  name: 'AGFL',
  logType: 6,
  crcOffset: Agfl.offsets.crc,
  lsnOffset: Agfl.offsets.lsn,
  verify(view, geometry, daddr) {
    const ag = geometry.agOfDaddr(daddr);
    agfl.at(view);
    if (agfl.magicnum !== AGFL_MAGIC) return fault('BAD_MAGIC', 'magicnum', hex(AGFL_MAGIC), hex(agfl.magicnum));
    if (!geometry.isMetaUuid(view, Agfl.offsets.uuid))
      return fault('BAD_UUID', 'uuid', 'the metadata uuid', 'another one');
    if (agfl.seqno !== ag) return fault('BAD_ADDRESS', 'seqno', ag, agfl.seqno);
    // Inactive slots hold what was once there: a shrunk last AG leaves numbers behind its end, so the common AG size is
    // the bound here, and the true one only for the active slots (activeFreeListFault).
    for (let slot = 0; slot < geometry.agflSlots; slot++) {
      const agBlock = view.getUint32(Agfl.size + 4 * slot);
      if (agBlock !== NULL32 && agBlock >= geometry.agBlocks) {
        return fault('BAD_POINTER', `bno[${slot}]`, `null or 0..${geometry.agBlocks - 1}`, agBlock);
      }
    }
    return undefined;
  },
};

/** The active slots of a free list, first to last, each given to `visit` as (slot, AG block). The AGF must have verified. */
export function forEachActiveSlot(
  agfView: DataView,
  agflView: DataView,
  geometry: Geometry,
  visit: (slot: number, agBlock: number) => void,
): void {
  agf.at(agfView);
  const { flfirst, flcount } = agf;
  for (let i = 0; i < flcount; i++) {
    const slot = (flfirst + i) % geometry.agflSlots;
    visit(slot, agflView.getUint32(Agfl.size + 4 * slot));
  }
}

/** Every active slot must name a block of the AG behind its headers, none twice. Both headers must have verified. */
export function activeFreeListFault(
  agfView: DataView,
  agflView: DataView,
  geometry: Geometry,
  ag: number,
): Fault | undefined {
  let found: Fault | undefined;
  const seen = new Set<number>();
  forEachActiveSlot(agfView, agflView, geometry, (slot, agBlock) => {
    if (found) return;
    if (!geometry.isAgBlock(ag, agBlock)) {
      found = fault('BAD_POINTER', `bno[${slot}]`, `${geometry.headerBlocks}..${geometry.agLength(ag) - 1}`, agBlock);
    } else if (seen.has(agBlock)) {
      found = fault('BAD_POINTER', `bno[${slot}]`, 'a block listed once', agBlock);
    }
    seen.add(agBlock);
  });
  return found;
}
