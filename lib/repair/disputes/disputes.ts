/**
 * Stage 2: claims that collide, judged on evidence.
 *
 *   suspects ──> homes ──> sweep by AG ──> verdicts ──> decisions in the report, edits of forks
 *
 * 1. AGs in which the first check found nothing about blocks, and in which nothing changed since, are not looked at.
 * 2. Nothing is taken from free space, and no fork is changed, before every dispute has its verdict.
 * 3. A collision never becomes silent sharing: whoever ends up with bytes that nothing says are his is named in a decision.
 */

import { pathsOf } from '../../check/paths.ts';
import type { Problem, ProblemCode } from '../../check/problems.ts';
import type { Loss } from '../report.ts';
import type { RepairState } from '../state.ts';
import { Edits } from './edits.ts';
import { Evidence } from './evidence.ts';
import { findMoves } from './homes.ts';
import { type Effect, Judge, type Rule, type Verdict } from './judge.ts';
import { Losses } from './lost.ts';
import type { Moves } from './moves.ts';
import { type Claimant, type Dispute, forEachDispute, suspectRows } from './sweep.ts';
import { decisionOf } from './words.ts';

/** Problems after which the blocks of an AG have to be looked at. */
const ABOUT_BLOCKS = new Set<ProblemCode>([
  'BLOCK_MULTIPLY_CLAIMED',
  'BLOCK_CLAIMED_FREE',
  'BLOCK_LOST',
  'RMAP_MISSING',
  'RMAP_EXTRA',
  'RMAP_MISMATCH',
  'REFCOUNT_WRONG',
]);

/** Files called suspect one by one. */
const MOST_SUSPECTS = 1000;
/** Disputes judged at a time, so that paths are looked up for many at once. */
const BATCH = 2000;

/** Settle every collision of claims: forks that change are pending afterwards. */
export function settleDisputes(state: RepairState): void {
  const { observed } = state.first;
  if (!observed) return;
  const ags = agsToLookAt(state);
  const dropped = lossesBefore(state);
  if (ags.length === 0 && dropped.length === 0) return;
  const evidence = new Evidence(state, observed);
  const suspects = evidence.claims.tables.map((_, ag) =>
    ags.includes(ag) ? suspectRows(evidence, ag) : new Set<number>(),
  );
  const anyoneGone = dropped.some(({ what }) => what !== 'extents');
  const moves = findMoves(evidence, suspects, anyoneGone);
  new Settlement(state, evidence, dropped).run(ags, moves);
}

/** Extents and whole inodes that stage 1 had to drop, where no register says which blocks were theirs. */
function lossesBefore({ report, first, geometry }: RepairState): Loss[] {
  if (geometry.features.rmapbt && first.observed!.trees.every(({ seen }) => seen.rmapbt?.complete)) return [];
  return report.losses.filter(({ what, inode, blockCount }) => {
    return (
      inode !== undefined &&
      (what === 'inode' || (what === 'data' && !blockCount) || (what === 'extents' && blockCount))
    );
  });
}

function agsToLookAt({ first, claims, geometry }: RepairState): number[] {
  const { observed, problems, problemCount } = first;
  const told = new Set<number>();
  for (const { code, where } of problems) if (ABOUT_BLOCKS.has(code) && where.ag !== undefined) told.add(where.ag);
  const ags: number[] = [];
  for (let ag = 0; ag < geometry.agCount; ag++) {
    const { seen } = observed!.trees[ag]!;
    // Without a witness the check could not tell sharing from collisions.
    const witness = seen.rmapbt?.complete || !geometry.features.reflink || seen.refcountbt?.complete;
    if (problems.length < problemCount || told.has(ag) || claims.changedAgs.has(ag) || !witness) ags.push(ag);
  }
  return ags;
}

/** Rules that lead to what somebody chose. Where files do not share, nobody goes home: then each stays where he can. */
const RULES: { readonly [choice: string]: Rule } = { share: 'share', copy: 'copy', owner: 'owner', stay: 'share' };

class Settlement {
  readonly #state: RepairState;
  readonly #evidence: Evidence;
  readonly #judge: Judge;
  readonly #rule: Rule;
  readonly #edits: Edits;
  readonly #losses = new Losses();
  readonly #paths: Map<number, string>;
  /** Files that now have bytes of which nothing says that they are theirs. */
  readonly #suspects = new Set<number>();
  /** Files on blocks that free space had. */
  readonly #astray = new Set<number>();

  /** @param dropped extents and inodes whose blocks somebody may be missing, too. */
  constructor(state: RepairState, evidence: Evidence, dropped: readonly Loss[]) {
    for (const { inode, fileBlock, blockCount } of dropped) {
      // Of a tree that is gone only the sum is known.
      if (blockCount) this.#losses.add(inode!, fileBlock === undefined ? 1 : blockCount, blockCount);
      else this.#losses.addInode(inode!);
    }
    this.#state = state;
    this.#evidence = evidence;
    this.#rule = state.options.conflicts ?? 'auto';
    this.#judge = new Judge(evidence, this.#rule);
    this.#edits = new Edits(state.geometry);
    this.#paths = knownPaths(state.first.problems);
  }

  run(ags: readonly number[], moves: Moves): void {
    const { report, options } = this.#state;
    let batch: Dispute[] = [];
    const settle = (): void => {
      this.#settle(batch);
      batch = [];
    };
    for (const ag of ags) {
      options.progress?.('disputes', ag, this.#state.geometry.agCount);
      this.#losses.addAstray(this.#evidence, ag, moves[ag]!, (inode) => {
        if (this.#astray.size < MOST_SUSPECTS) this.#astray.add(inode);
      });
      forEachDispute(this.#evidence, ag, moves[ag]!, (dispute) => {
        batch.push(dispute);
        if (batch.length === BATCH) settle();
      });
    }
    settle();
    this.#staleRefcounts();
    for (const inode of this.#astray) {
      report.did('disputes', 'the file has blocks that were recorded as free: they may not be the ones it had', {
        inode,
      });
    }
    for (const inode of this.#suspects) {
      report.did('disputes', 'parts of the file may be the bytes of another: compare it with a copy', { inode });
    }
    for (const range of this.#losses.fitting(this.#evidence)) this.#state.keep(range);
    if (!this.#edits.isEmpty) this.#edits.apply(this.#state, (inode, attr) => this.#evidence.extentsOf(inode, attr));
  }

  #settle(disputes: readonly Dispute[]): void {
    this.#findPaths(disputes.flatMap(({ claimants }) => claimants.map(({ inode }) => inode)));
    for (const dispute of disputes) {
      for (const verdict of this.#judge.judge(dispute)) this.#carryOut(this.#asked(verdict));
    }
  }

  #findPaths(inodes: readonly number[]): void {
    const { context, inodes: table } = this.#evidence.observed;
    const unknown = new Set(inodes.filter((inode) => inode >= 0 && !this.#paths.has(inode)));
    if (unknown.size === 0) return;
    for (const [inode, path] of pathsOf(context, table, unknown)) this.#paths.set(inode, path);
  }

  /** Let somebody choose among what can be done. */
  #asked(verdict: Verdict): Verdict {
    const { decide } = this.#state.options;
    const choices = [...new Set([verdict.action, ...verdict.choices])];
    if (!decide || verdict.choices.length === 0 || choices.length < 2) return verdict;
    const isAnswered = verdict.action === 'restore' && choices.includes('stay') && this.#isLeft(verdict);
    const chosen = isAnswered ? 'stay' : decide(decisionOf(this.#evidence, verdict, this.#paths), choices);
    if (chosen === verdict.action || !choices.includes(chosen)) return verdict;
    const rule = RULES[chosen] ?? 'auto';
    // Every block of the range had the same verdict, and has the same new one.
    return this.#judge.judge(verdict, rule)[0]!;
  }

  /** Stage 1 asked about this fork, told the answer, and left it alone: it is not asked and told again. */
  #isLeft({ claimants }: Verdict): boolean {
    const [only] = claimants;
    return claimants.length === 1 && this.#state.isLeft(only!.inode, only!.attr);
  }

  #carryOut(verdict: Verdict): void {
    const { report } = this.#state;
    if (verdict.action !== 'stay' || !this.#isLeft(verdict)) {
      report.decide(decisionOf(this.#evidence, verdict, this.#paths));
    }
    verdict.claimants.forEach((claimant, i) => {
      this.#apply(verdict, claimant, verdict.effects[i]!);
      this.#remember(verdict, i);
    });
  }

  #apply({ ag, agBlock, blockCount, action, claimants }: Verdict, claimant: Claimant, effect: Effect): void {
    const { inode, attr, fileBlock, home, homeUnwritten, homeProof, kind, unwritten, beyondEnd } = claimant;
    if (inode < 0) return;
    const here = this.#state.geometry.fsBlock(ag, agBlock);
    const edits = this.#edits;
    if (effect === 'restored') edits.map(inode, attr, fileBlock, blockCount, home, homeUnwritten);
    else if (effect === 'copied') edits.copy(inode, attr, fileBlock, blockCount, here);
    else if (effect === 'fresh') edits.renew(inode, attr, fileBlock, blockCount);
    else if (effect === 'rebuilt' && kind === 'extent-tree') edits.rewrite(inode, attr);
    else if (effect === 'hole' || effect === 'rebuilt') edits.hole(inode, attr, fileBlock, blockCount);
    if (effect === 'hole' && !unwritten && !beyondEnd) this.#lose('data', claimant, blockCount, action === 'owner');
    if (effect === 'rebuilt' && kind !== 'extent-tree') this.#lose(`block of the ${kind}`, claimant, blockCount);
    const { geometry } = this.#state;
    if (home >= 0 && effect !== 'restored' && homeProof !== 'refcount') {
      // Somebody wanted it otherwise: what is named as his is still not thrown away.
      const at = { ag: geometry.agOfFsBlock(home), agBlock: geometry.agBlockOfFsBlock(home), blockCount };
      this.#state.keep({ ...at, inode, fileBlock });
    }
    // A guess: what the fork pointed at before stays as well, if it is anything, and nobody else has it.
    if (effect === 'restored' && homeProof === 'length' && claimants.length === 1) {
      if (!this.#evidence.isZero(ag, agBlock, blockCount))
        this.#state.keep({ ag, agBlock, blockCount, inode, fileBlock });
    }
  }

  /** Who may be missing blocks of his own, and who may have those of another. */
  #remember({ ag, blockCount, claimants, effects, suspects }: Verdict, i: number): void {
    const { kind, inode, row, registered, beyondEnd } = claimants[i]!;
    const effect = effects[i]!;
    if (inode < 0) return;
    if (suspects[i] && this.#suspects.size < MOST_SUSPECTS) this.#suspects.add(inode);
    if (effect === 'restored' || registered) return;
    if (kind === 'extent-tree' || beyondEnd) return;
    // Whoever keeps blocks that only a tree of the AG wanted too, stands where free space should be.
    const stays = effect === 'shares' || (effect === 'keeps' && !claimants.some((each) => each.kind === 'ag-tree'));
    if (suspects[i] || !stays) this.#losses.add(inode, blockCount, this.#evidence.table(ag).count[row]!);
  }

  #lose(what: string, { inode, fileBlock, kind }: Claimant, blockCount: number, isGiven = false): void {
    const path = this.#paths.get(inode);
    const count = blockCount === 1 ? 'one block' : `${blockCount} blocks`;
    const whose = kind === 'data' ? 'the bytes of ' : '';
    const fate = isGiven ? 'went to the other owner, as asked' : 'were written over by another owner';
    const text = `${whose}${count} from file block ${fileBlock} on ${fate}`;
    this.#state.report.losses.push({
      what,
      text,
      inode,
      ...(path === undefined ? {} : { path }),
      fileBlock,
      blockCount,
    });
  }

  /** Sharing that everybody agrees on but the refcounts: they are rebuilt with the AG, and said so here. */
  #staleRefcounts(): void {
    const { report, first } = this.#state;
    for (const { code, where, expected, found } of first.problems) {
      if (code !== 'REFCOUNT_WRONG' || typeof expected !== 'number' || expected < 2) continue;
      const { ag, block, blockCount = 1 } = where;
      if (ag === undefined || block === undefined) continue;
      const settled = report.decisions.some(
        ({ range }) =>
          range.ag === ag && range.agBlock < block + blockCount && block < range.agBlock + range.blockCount,
      );
      if (settled) continue;
      const verdict = this.#legitimate(ag, block, blockCount);
      if (verdict.claimants.length < 2) continue;
      this.#findPaths(verdict.claimants.map(({ inode }) => inode));
      const decision = decisionOf(this.#evidence, verdict, this.#paths);
      report.decide({
        ...decision,
        outcome: `the refcount becomes ${expected} (it was ${found}); nothing else changes`,
      });
    }
  }

  #legitimate(ag: number, agBlock: number, blockCount: number): Verdict {
    const evidence = this.#evidence;
    const table = evidence.table(ag);
    const exact = evidence.exact(ag);
    const claimants: Claimant[] = [];
    evidence.overlapping(ag, agBlock, agBlock + 1, (row) => {
      if (table.isSpecial(row)) return;
      claimants.push({
        kind: evidence.kind(ag, row),
        row,
        inode: table.owner(row),
        attr: false,
        fileBlock: table.isForkData(row) ? table.fileBlock(row) + (agBlock - table.start[row]!) : 0,
        unwritten: false,
        registered: exact && exact[row] === 1,
        home: -1,
        homeUnwritten: false,
        homeProof: undefined,
        beyondEnd: false,
      });
    });
    const effects = claimants.map((): Effect => 'shares');
    const suspects = claimants.map(() => false);
    const action = 'correct-refcount';
    return { ag, agBlock, blockCount, claimants, effects, action, suspects, proof: undefined, choices: [] };
  }
}

/** What the check could still look up when the pass began. */
function knownPaths(problems: readonly Problem[]): Map<number, string> {
  const paths = new Map<number, string>();
  for (const { where, path, claimants } of problems) {
    if (where.inode !== undefined && path !== undefined) paths.set(where.inode, path);
    for (const each of claimants ?? []) {
      if (each.inode !== undefined && each.path !== undefined) paths.set(each.inode, each.path);
    }
  }
  return paths;
}
