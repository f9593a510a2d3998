/**
 * What stage 1 decides about blocks and inodes, told as decisions: what was found, what speaks for it, what is done. Whoever
 * asked to be asked is, where the fork could as well be left as it is.
 */
import { pathsOf } from '../../check/paths.ts';
import type { ClaimKind } from '../disputes/kinds.ts';
import type { Decision, DisputeClaimant } from '../report.ts';
import type { RepairState } from '../state.ts';
import type { Witness } from './witness.ts';

/** A fork, and as whose claim its blocks count. */
export interface ForkOwner {
  readonly inode: number;
  readonly kind: ClaimKind;
}

export interface Finding {
  /** restore, correct-extent, self-description. */
  readonly action: string;
  /** Where the fork has its blocks from now on: fs block and number of blocks. */
  readonly home: readonly [fsBlock: number, blockCount: number];
  /** Where it had them, if the image has such blocks. */
  readonly before: readonly [fsBlock: number, blockCount: number] | undefined;
  /** Where in the fork; undefined: a block of its tree. */
  readonly fileBlock?: number;
  readonly evidence: readonly string[];
  readonly outcome: string;
  /** What happens to the fork: restored, rebuilt. */
  readonly effect: string;
  /** The fork can be left as it is. */
  readonly canStay: boolean;
}

export class InodeDecisions {
  readonly #state: RepairState;
  readonly #witness: Witness;

  constructor(state: RepairState, witness: Witness) {
    this.#state = state;
    this.#witness = witness;
  }

  /** @returns false when everything is to be left as it is. */
  settle(owner: ForkOwner, finding: Finding): boolean {
    const { geometry, options, report } = this.#state;
    const { action, home, before, evidence, outcome, effect, canStay } = finding;
    const [fsBlock, blockCount] = before ?? home;
    const decided = (what: string): Decision => ({
      range: { ag: geometry.agOfFsBlock(fsBlock), agBlock: geometry.agBlockOfFsBlock(fsBlock), blockCount },
      claimants: this.#claimants(owner, finding, what === STAY ? 'keeps' : effect),
      evidence,
      action: what,
      outcome: what === STAY ? `inode ${owner.inode} is left as it is, as asked` : outcome,
    });
    const proposal = decided(action);
    const stays = canStay && options.decide?.(proposal, [action, STAY]) === STAY;
    report.decide(stays ? decided(STAY) : proposal);
    if (stays) this.#state.leaveFork(owner.inode, owner.kind === 'attributes');
    return !stays;
  }

  /** The fork, among those who claim the blocks that it had; in order of blocks. */
  #claimants({ inode, kind }: ForkOwner, { before, fileBlock }: Finding, outcome: string): DisputeClaimant[] {
    const own = { kind, inode, ...(fileBlock === undefined ? {} : { fileBlock }), outcome, ...this.#path(inode) };
    if (!before) return [own];
    const all = this.#witness.claimants(...before);
    const at = all.findIndex((each) => each.inode === inode && each.kind === kind && each.fileBlock === fileBlock);
    if (at < 0) return [own, ...all];
    return all.map((each, i) => (i === at ? own : each));
  }

  /** What became of a whole inode. @param action restore-inode, remake-inode, clear-inode. */
  inode(inode: number, action: string, evidence: readonly string[], outcome: string): void {
    const { geometry, report } = this.#state;
    const agBlock = geometry.agBlockOfAgInode(geometry.agInodeOfInode(inode));
    const range = { ag: geometry.agOfInode(inode), agBlock, blockCount: 1 };
    const claimants = [{ kind: 'inode', inode, outcome: INODE_OUTCOMES[action]! }];
    report.decide({ range, claimants, evidence, action, outcome });
  }

  /** A path that whoever is asked can judge by; otherwise paths are found when all is done. */
  #path(inode: number): { path?: string } {
    const { options, first } = this.#state;
    if (!options.decide || !first.observed) return {};
    const path = pathsOf(first.observed.context, first.observed.inodes, new Set([inode])).get(inode);
    return path === undefined ? {} : { path };
  }
}

const STAY = 'stay';
export const CLEAR_INODE = 'clear-inode';
export const REMAKE_INODE = 'remake-inode';
export const RESTORE_INODE = 'restore-inode';
const INODE_OUTCOMES: { readonly [action: string]: string } = {
  [CLEAR_INODE]: 'cleared',
  [REMAKE_INODE]: 'remade',
  [RESTORE_INODE]: 'restored',
};
