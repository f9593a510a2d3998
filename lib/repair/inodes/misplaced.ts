/**
 * Inodes that were written into the wrong slot: everything in it is right, its CRC too, but the number is that of another
 * slot, and what stands there is not sound. Both went astray together, so it goes home. What was in the slot that it leaves
 * is another matter: it may come home itself, or be made again.
 */
import { InodeCore } from '../../../formats/inode.ts';
import { inodeCoreFault, inodeCrcFault } from '../../../formats/inode-verify.ts';
import { getU64 } from '../../../formats/struct.ts';
import { CadastreError } from '../../errors.ts';
import { readSlot, writeSlot } from '../slot.ts';
import type { RepairState } from '../state.ts';
import { type InodeDecisions, RESTORE_INODE } from './decisions.ts';

const at = InodeCore.offsets;

/**
 * Put astray inodes back on the plan. @param hasSlot is there a slot for this number?
 * Two that name the same home stay where they are: nothing tells which is the later one.
 */
export function sendHome(
  state: RepairState,
  suspects: ReadonlySet<number>,
  hasSlot: (inode: number) => boolean,
  decisions: InodeDecisions,
): void {
  const { geometry, plan, report } = state;
  const found = new Map<number, { from: number; slot: DataView } | undefined>();
  for (const inode of suspects) {
    if (!hasSlot(inode)) continue;
    const slot = soundSlot(state, inode);
    if (!slot) continue;
    const home = getU64(slot, at.ino);
    if (home === inode || !geometry.isInode(home) || !hasSlot(home)) continue;
    const own = soundSlot(state, home);
    if (own && getU64(own, at.ino) === home) continue;
    found.set(home, found.has(home) ? undefined : { from: inode, slot });
  }
  // All were read before the first is written: two may have changed places.
  for (const [home, astray] of found) {
    if (!astray) continue;
    const { from, slot } = astray;
    writeSlot(plan, geometry, home, slot);
    state.planChanged(home);
    state.planChanged(from);
    const text = `inode ${home}: it stood in the slot of inode ${from} and is put back`;
    report.did('inodes', text, { inode: home });
    const evidence = [
      `the slot of inode ${from} holds an inode with a right CRC that says it is ${home}`,
      `what stands in the slot of inode ${home} is not sound`,
    ];
    decisions.inode(home, RESTORE_INODE, evidence, `inode ${home} is put back into its slot`);
  }
}

/** The slot, when all that is wrong with it can be the place where it stands. */
function soundSlot({ plan, geometry }: RepairState, inode: number): DataView | undefined {
  try {
    const slot = readSlot(plan, geometry, inode);
    if (inodeCrcFault(slot, 0, geometry) !== undefined) return undefined;
    return inodeCoreFault(slot, 0, geometry, getU64(slot, at.ino)) ? undefined : slot;
  } catch (error) {
    if (error instanceof CadastreError && error.family === 'device') return undefined;
    throw error;
  }
}
