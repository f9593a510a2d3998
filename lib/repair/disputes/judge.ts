/**
 * The verdict over one disputed range: who keeps the blocks, and what becomes of the others. The table is docs/COLLISIONS.md;
 * in short, strongest first:
 *
 * 1. What cannot move (headers of an AG, the log) and what provably describes itself as somebody's metadata keeps its blocks:
 *    the others' bytes are not there any more.
 * 2. Who has a home elsewhere goes home. (Found before: homes.ts.)
 * 3. Among files, those whom the register names keep the blocks, together; the others get the same bytes for themselves.
 * 4. Where the register says nothing: who shares by the refcounts keeps; else nobody is preferred. All keep the bytes, shared
 *    where the image can share, else as copies.
 *
 * Nobody loses bytes that are there and could be his; what is behind the end of a file is not his.
 */
import type { Evidence } from './evidence.ts';
import { type ClaimKind, cannotMove } from './kinds.ts';
import { LostMetadata } from './lost.ts';
import type { Claimant, Dispute } from './sweep.ts';

/**
 * - `keeps`, `shares`: the blocks stay in the fork. `restored`: the fork points at its own blocks again.
 * - `copied`: the fork gets new blocks with the same bytes. `fresh`: new unwritten blocks. `hole`: nothing.
 * - `rebuilt`: metadata that is made anew from what can be read of it; its claim on the blocks is dropped.
 */
export type Effect = 'keeps' | 'shares' | 'restored' | 'copied' | 'fresh' | 'hole' | 'rebuilt';

/** How data is to be divided: the policies, and `auto`. */
export type Rule = 'auto' | 'share' | 'copy' | 'owner';

export interface Verdict {
  readonly ag: number;
  readonly agBlock: number;
  readonly blockCount: number;
  readonly claimants: readonly Claimant[];
  /** By claimant. */
  readonly effects: readonly Effect[];
  readonly action: string;
  /** By claimant: it ends up with bytes of which nothing says that they are its own. */
  readonly suspects: readonly boolean[];
  /** What proves whose metadata is there, in words. */
  readonly proof: string | undefined;
  /** Other actions that could be taken instead. */
  readonly choices: readonly string[];
}

const METADATA = new Set<ClaimKind>(['directory', 'symlink', 'attributes', 'extent-tree', 'inodes', 'ag-tree']);

export class Judge {
  readonly #evidence: Evidence;
  readonly #rule: Rule;
  readonly #lost: LostMetadata;

  constructor(evidence: Evidence, rule: Rule) {
    this.#evidence = evidence;
    this.#rule = rule;
    this.#lost = new LostMetadata(evidence);
  }

  /** The verdicts over a dispute, which may differ from block to block where metadata is concerned. */
  judge(dispute: Dispute, rule = this.#rule): Verdict[] {
    const { ag, agBlock, blockCount, claimants } = dispute;
    const verdicts: Verdict[] = [];
    for (let from = 0; from < blockCount; ) {
      const prover = this.#prover(dispute, from);
      let to = from + 1;
      if (claimants.some(({ kind }) => METADATA.has(kind)) && !claimants.some(({ kind }) => cannotMove(kind))) {
        while (to < blockCount && this.#prover(dispute, to)?.claimant === prover?.claimant) to++;
      } else to = blockCount;
      const here = claimants.map((each, i) => this.#found(skipped(each, from), i === prover?.claimant, to - from));
      const part = { ag, agBlock: agBlock + from, blockCount: to - from, claimants: here };
      verdicts.push(this.#verdict(part, prover?.claimant ?? -1, prover?.proof, rule));
      from = to;
    }
    return verdicts;
  }

  /** Number of the claimant whose metadata a block is. */
  #prover({ ag, agBlock, claimants }: Dispute, skip: number): { claimant: number; proof: string } | undefined {
    const fixed = claimants.findIndex(({ kind }) => cannotMove(kind));
    if (fixed >= 0) return { claimant: fixed, proof: claimants[fixed]!.kind === 'log' ? 'the log' : 'AG headers' };
    const found: { claimant: number; proof: string }[] = [];
    claimants.forEach(({ kind, inode, fileBlock }, claimant) => {
      if (kind === 'data') return;
      const place = { ag, agBlock: agBlock + skip };
      const proof = this.#evidence.self.proves({ kind, inode, fileBlock: fileBlock + skip, ...place });
      if (proof !== undefined) found.push({ claimant, proof });
    });
    // One inode may claim its own block twice: then the register knows where it belongs, or else the first place holds.
    return found.find(({ claimant }) => claimants[claimant]!.registered) ?? found[0];
  }

  /** A claimant of metadata that is not here: its own may be lying about, and says so itself. */
  #found(claimant: Claimant, isHere: boolean, blockCount: number): Claimant {
    const { kind, inode, fileBlock, home } = claimant;
    if (isHere || home >= 0 || !(kind === 'directory' || kind === 'attributes' || kind === 'symlink')) return claimant;
    const found = this.#lost.find(kind, inode, fileBlock, blockCount);
    return found < 0 ? claimant : { ...claimant, home: found, homeProof: 'self' };
  }

  #verdict(range: Dispute, prover: number, proof: string | undefined, rule: Rule): Verdict {
    const { claimants } = range;
    const effects: Effect[] = claimants.map(() => 'keeps');
    const isGoing = (i: number): boolean =>
      i !== prover && claimants[i]!.home >= 0 && (rule === 'auto' || rule === 'owner' || claimants[i]!.kind !== 'data');
    const rest: number[] = [];
    claimants.forEach((_, i) => {
      if (isGoing(i)) effects[i] = 'restored';
      else rest.push(i);
    });
    // By its length alone nothing is proven to be somebody's own.
    const suspects = claimants.map(({ homeProof }, i) => effects[i] === 'restored' && homeProof === 'length');
    const done = (action: string, choices: readonly string[] = []): Verdict => ({
      ...range,
      effects,
      action,
      suspects,
      proof,
      choices,
    });
    if (rest.length <= 1) {
      if (claimants[rest[0] ?? -1]?.kind === 'ag-tree') effects[rest[0]!] = 'rebuilt';
      return done(effects.includes('restored') ? 'restore' : 'stay', this.#choices(claimants));
    }
    if (prover >= 0) {
      for (const i of rest) effects[i] = i === prover ? 'keeps' : claimants[i]!.kind === 'data' ? 'hole' : 'rebuilt';
      if (claimants[prover]!.kind === 'ag-tree') effects[prover] = 'rebuilt';
      return done(rest.some((i) => claimants[i]!.kind === 'data') ? 'metadata-keeps' : 'self-description');
    }
    const data = rest.filter((i) => claimants[i]!.kind === 'data');
    const chunk = rest.find((i) => claimants[i]!.kind === 'inodes');
    const others = rest.filter((i) => METADATA.has(claimants[i]!.kind) && i !== chunk);
    for (const i of others) effects[i] = this.#withoutProof(claimants[i]!);
    if (chunk !== undefined) {
      // The slots were cleared: what stood there were a file's bytes, and they go where they can stay.
      for (const i of data) {
        effects[i] = apart(claimants[i]!);
        suspects[i] = effects[i] === 'copied' && claimants[i]!.registered !== true;
      }
      return done('copy');
    }
    if (data.length === 0) {
      const forks = others.filter((i) => claimants[i]!.kind !== 'ag-tree');
      const kept = forks.length === 1 ? forks[0] : forks.find((i) => claimants[i]!.registered);
      if (kept !== undefined) effects[kept] = 'keeps';
      return done('self-description');
    }
    if (data.length === 1) {
      effects[data[0]!] = 'keeps';
      return done('data-keeps');
    }
    const isLegitimate = rest.length < claimants.length && rest.length === data.length && this.#share(claimants, data);
    if (isLegitimate) {
      for (const i of data) effects[i] = 'shares';
      return done('restore', this.#choices(claimants));
    }
    const action = this.#divide(range, data, effects, suspects, rule);
    return done(action, this.#choices(claimants));
  }

  /** Do these share the blocks by right? */
  #share(claimants: readonly Claimant[], who: readonly number[]): boolean {
    return this.#evidence.geometry.features.reflink && who.every((i) => claimants[i]!.registered === true);
  }

  /** Metadata whose block holds something else. */
  #withoutProof({ kind, fileBlock }: Claimant): Effect {
    // A later part of a directory block has no header: the part before it can still be read when the block is whole.
    const { dirBlockBlocks } = this.#evidence.geometry;
    return kind === 'directory' && fileBlock % dirBlockBlocks !== 0 ? 'copied' : 'rebuilt';
  }

  #choices(claimants: readonly Claimant[]): string[] {
    const data = claimants.filter(({ kind }) => kind === 'data');
    const choices: string[] = [];
    if (claimants.some(({ home }) => home >= 0)) choices.push('restore');
    if (data.length < 2 || data.length < claimants.length) {
      if (data.some(({ home }) => home >= 0)) choices.push('stay');
      return choices;
    }
    if (this.#evidence.geometry.features.reflink && data.every(({ unwritten }) => !unwritten)) choices.push('share');
    choices.push('copy', 'owner');
    return choices;
  }

  /** Divide a range among files; the action that was taken. */
  #divide(range: Dispute, data: readonly number[], effects: Effect[], suspects: boolean[], rule: Rule): string {
    const { claimants } = range;
    const isDead = (i: number): boolean => claimants[i]!.beyondEnd && claimants[i]!.registered !== true;
    let live = data.filter((i) => !isDead(i));
    if (live.length === 0) live = [this.#best(claimants, data)];
    for (const i of data) if (!live.includes(i)) effects[i] = 'hole';
    if (live.length === 1) {
      effects[live[0]!] = 'keeps';
      return 'end-of-file';
    }
    const { reflink } = this.#evidence.geometry.features;
    const owners = this.#owners(range, live);
    for (const i of live) suspects[i] = !claimants[i]!.unwritten && !owners.includes(i);
    if (rule === 'copy' || (rule === 'share' && !reflink)) {
      const keeper = this.#best(claimants, live);
      for (const i of live) effects[i] = i === keeper ? 'keeps' : apart(claimants[i]!);
      return 'copy';
    }
    if (rule === 'share') return this.#together(claimants, live, effects);
    if (rule === 'owner') {
      const some = owners.length > 0 ? owners : [this.#best(claimants, live)];
      this.#together(claimants, some, effects);
      for (const i of live) if (!some.includes(i)) effects[i] = 'hole';
      for (const i of live) suspects[i] &&= some.includes(i);
      return 'owner';
    }
    if (owners.length === 0 || owners.length === live.length) return this.#together(claimants, live, effects);
    this.#together(claimants, owners, effects);
    for (const i of live) if (!owners.includes(i)) effects[i] = apart(claimants[i]!);
    return 'copy';
  }

  /** Those whom the register names; without one, those who share by the refcounts and by their own word. */
  #owners({ ag, agBlock, claimants }: Dispute, live: readonly number[]): number[] {
    const registered = live.filter((i) => claimants[i]!.registered === true);
    if (registered.length > 0 || live.every((i) => claimants[i]!.registered === false)) return registered;
    const recorded = this.#evidence.refcount(ag, agBlock) ?? 1;
    const sharing = live.filter((i) => this.#evidence.facts(claimants[i]!.inode).reflink);
    return recorded >= 2 && sharing.length > 0 && sharing.length <= recorded ? sharing : [];
  }

  /** All of these keep the bytes, shared if that can be; unwritten blocks have none, and cannot be shared. */
  #together(claimants: readonly Claimant[], who: readonly number[], effects: Effect[]): string {
    const written = who.filter((i) => !claimants[i]!.unwritten);
    const keeper = this.#best(claimants, written.length > 0 ? written : who);
    const share = written.length > 1 && this.#evidence.geometry.features.reflink;
    for (const i of who) {
      if (share && !claimants[i]!.unwritten) effects[i] = 'shares';
      else effects[i] = i === keeper ? 'keeps' : apart(claimants[i]!);
    }
    return share ? 'share' : 'copy';
  }

  /** Who keeps the blocks themselves when only one can: named by the register, with bytes to lose, last to be changed. */
  #best(claimants: readonly Claimant[], who: readonly number[]): number {
    const rank = (i: number): number => {
      const { registered, unwritten, beyondEnd } = claimants[i]!;
      return (registered ? 4 : 0) + (beyondEnd ? 0 : 2) + (unwritten ? 0 : 1);
    };
    const changed = (i: number): number => this.#evidence.facts(claimants[i]!.inode).changed;
    return who.reduce((a, b) => (rank(b) > rank(a) || (rank(b) === rank(a) && changed(b) > changed(a)) ? b : a));
  }
}

/** What a file gets that cannot stay. */
const apart = ({ unwritten, beyondEnd, registered }: Claimant): Effect =>
  beyondEnd && registered !== true ? 'hole' : unwritten ? 'fresh' : 'copied';

function skipped(claimant: Claimant, blocks: number): Claimant {
  const { kind, fileBlock, home } = claimant;
  const isFork = kind === 'data' || kind === 'directory' || kind === 'symlink' || kind === 'attributes';
  return {
    ...claimant,
    fileBlock: isFork ? fileBlock + blocks : fileBlock,
    home: home < 0 ? home : home + blocks,
  };
}
