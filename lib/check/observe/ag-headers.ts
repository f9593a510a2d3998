/**
 * AGF, AGI and AGFL of one AG. Counters are not judged here: they are counted and compared when the trees have been seen.
 */
import {
  AGF_TYPE,
  AGFL_TYPE,
  AGI_TYPE,
  activeFreeListFault,
  agfFreeListFault,
  agfStructureFault,
  agiStructureFault,
  forEachActiveSlot,
} from '../../../formats/ag-verify.ts';
import { type BlockType, checkBlock } from '../../../formats/block-type.ts';
import { RMAP_OWNER } from '../../../formats/btree-blocks.ts';
import type { CheckContext } from '../context.ts';
import type { ProblemCode } from '../problems.ts';

/** The headers of an AG, each undefined when nothing in it can be believed. */
export interface AgHeaders {
  agf: DataView | undefined;
  agi: DataView | undefined;
  /** False when the free list could not be claimed. */
  freeListKnown: boolean;
}

/** Read, verify, and claim the header blocks, the log and the free list. */
export function observeAgHeaders(context: CheckContext, ag: number): AgHeaders {
  const { geometry, problems } = context;
  context.claimSpecial(ag, 0, geometry.headerBlocks, RMAP_OWNER.FS);
  if (geometry.agOfFsBlock(geometry.logStart) === ag) {
    context.claimSpecial(ag, geometry.agBlockOfFsBlock(geometry.logStart), geometry.logBlocks, RMAP_OWNER.LOG);
  }
  const agf = header(context, ag, 1, AGF_TYPE, 'AGF_BAD', agfStructureFault);
  const agi = header(context, ag, 2, AGI_TYPE, 'AGI_BAD', agiStructureFault);
  const agfl = header(context, ag, 3, AGFL_TYPE, 'AGFL_BAD', AGFL_TYPE.verify);
  let freeListKnown = false;
  if (agf && agfl && !agfFreeListFault(agf, geometry)) {
    freeListKnown = true;
    const fault = activeFreeListFault(agf, agfl, geometry, ag);
    if (fault) problems.fault('AGFL_BAD', { ag, structure: 'AGFL' }, fault);
    const seen = new Set<number>();
    forEachActiveSlot(agf, agfl, geometry, (_slot, agBlock) => {
      if (!geometry.isAgBlock(ag, agBlock) || seen.has(agBlock)) freeListKnown = false;
      else context.claimSpecial(ag, agBlock, 1, RMAP_OWNER.AG);
      seen.add(agBlock);
    });
  }
  return { agf, agi, freeListKnown };
}

function header(
  context: CheckContext,
  ag: number,
  sector: 1 | 2 | 3,
  type: BlockType,
  code: ProblemCode,
  deadly: BlockType['verify'],
): DataView | undefined {
  const { geometry, problems } = context;
  const bytes = new Uint8Array(geometry.sectorSize);
  const view = new DataView(bytes.buffer);
  const daddr = geometry.agHeaderDaddr(ag, sector);
  const where = { ag, structure: type.name };
  if (!context.read(daddr * 512, bytes)) return undefined;
  const fault = checkBlock(type, bytes, view, geometry, daddr);
  // Wrong counts are told once, by whoever counts.
  if (fault && fault.code !== 'BAD_COUNT') problems.fault(code, where, fault);
  if (fault && deadly(view, geometry, daddr)) {
    if (fault.code === 'BAD_CRC') problems.fault(code, where, deadly(view, geometry, daddr)!);
    return undefined;
  }
  context.checkLsn(view, type.lsnOffset, type.name, where);
  return view;
}
