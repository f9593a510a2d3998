/** Verdicts in words: the evidence, strongest first, and where every claimant's bytes are now. */

import type { Geometry } from '../../../formats/geometry.ts';
import { describeRow } from '../../check/describe.ts';
import type { Decision, DisputeClaimant } from '../report.ts';
import type { Evidence } from './evidence.ts';
import type { Effect, Verdict } from './judge.ts';
import { type ClaimKind, cannotMove } from './kinds.ts';
import type { HomeProof } from './moves.ts';
import type { Claimant } from './sweep.ts';

/** Claimants that are named; the rest is counted. */
const MOST_NAMED = 16;

const NAMES: { readonly [K in ClaimKind]?: string } = {
  inodes: 'the inode chunk',
  'ag-tree': 'the trees and the free list of the AG',
  'ag-headers': 'the headers of the AG',
  log: 'the log',
};

const OUTCOMES: { readonly [E in Effect]: string } = {
  keeps: 'keeps the blocks',
  shares: 'shares the blocks',
  restored: 'goes back to its own blocks',
  copied: 'gets a copy of the bytes',
  fresh: 'gets new unwritten blocks',
  hole: 'gets a hole',
  rebuilt: 'is rebuilt without the blocks',
};

/** The decision that a verdict is. @param paths of inodes, where known. */
export function decisionOf(evidence: Evidence, verdict: Verdict, paths: ReadonlyMap<number, string>): Decision {
  const { ag, agBlock, blockCount, claimants, effects } = verdict;
  return {
    range: { ag, agBlock, blockCount },
    claimants: claimants.slice(0, MOST_NAMED).map((each, i) => shown(each, effects[i]!, paths)),
    evidence: evidenceOf(evidence, verdict),
    action: verdict.action,
    outcome: outcomeOf(evidence, verdict),
  };
}

function shown(claimant: Claimant, effect: Effect, paths: ReadonlyMap<number, string>): DisputeClaimant {
  const { kind, inode, fileBlock, registered } = claimant;
  const path = paths.get(inode);
  return {
    kind,
    ...(inode < 0 ? {} : { inode }),
    ...(path === undefined ? {} : { path }),
    ...(inode < 0 || kind === 'extent-tree' ? {} : { fileBlock }),
    ...(registered === undefined ? {} : { registered }),
    outcome: effect,
  };
}

const nameOf = ({ kind, inode }: Claimant): string => NAMES[kind] ?? `inode ${inode}`;

/** "inode 5, inode 6 and inode 7"; a fork that is named twice is one. */
function listed(claimants: readonly Claimant[]): string {
  const names = [...new Set(claimants.map(nameOf))];
  const more = names.length - MOST_NAMED;
  const some = more > 0 ? [...names.slice(0, MOST_NAMED), `${more} more`] : names;
  return some.length === 1 ? some[0]! : `${some.slice(0, -1).join(', ')} and ${some.at(-1)}`;
}

const blocks = (from: number, count: number): string =>
  count === 1 ? `block ${from}` : `blocks ${from}-${from + count - 1}`;

/** "AG 0 blocks 7-9". */
export function rangeWords(geometry: Geometry, fsBlock: number, count: number): string {
  return `AG ${geometry.agOfFsBlock(fsBlock)} ${blocks(geometry.agBlockOfFsBlock(fsBlock), count)}`;
}

function evidenceOf(evidence: Evidence, verdict: Verdict): string[] {
  const { claimants, proof } = verdict;
  const said: string[] = [];
  const fixed = claimants.find(({ kind }) => cannotMove(kind));
  if (fixed) said.push(`${nameOf(fixed)} can be nowhere else`);
  else if (proof !== undefined) said.push(`the content describes itself as ${proof}`);
  else {
    const metadata = claimants.filter(({ kind }) => kind !== 'data');
    if (metadata.length > 0) said.push(`the content is not that of ${listed(metadata)}`);
  }
  homes(evidence, verdict, said);
  register(evidence, verdict, said);
  refcounts(evidence, verdict, said);
  if (
    claimants.length === 1 &&
    evidence.freeBlocksIn(verdict.ag, verdict.agBlock, verdict.blockCount) === verdict.blockCount
  ) {
    said.push('free space has the blocks');
  }
  const dead = claimants.filter(({ beyondEnd }) => beyondEnd);
  if (dead.length > 0) said.push(`the blocks lie behind the end of the file for ${listed(dead)}`);
  const unwritten = claimants.filter((each) => each.unwritten);
  if (unwritten.length > 0) said.push(`the blocks are unwritten for ${listed(unwritten)}`);
  times(evidence, verdict, said);
  return said;
}

function homes(evidence: Evidence, { claimants, blockCount }: Verdict, said: string[]): void {
  for (const claimant of claimants) {
    const { home, homeProof, fileBlock } = claimant;
    if (home < 0) continue;
    const { geometry } = evidence;
    const isFree = evidence.freeBlocksIn(geometry.agOfFsBlock(home), geometry.agBlockOfFsBlock(home), blockCount);
    const also = isFree === 0 ? ', and free space does not have them' : '';
    const place =
      blockCount === 1 ? `file block ${fileBlock}` : `file blocks ${fileBlock}-${fileBlock + blockCount - 1}`;
    const where = rangeWords(evidence.geometry, home, blockCount);
    if (homeProof !== 'register') {
      said.push(`${where}${UNREGISTERED[homeProof ?? 'self'](nameOf(claimant))}`);
      continue;
    }
    said.push(
      `the reverse map names ${where} as the home of ${nameOf(claimant)}, ${place}; nobody is in the way${also}`,
    );
    const sums = evidence.checksums(home, blockCount);
    if (sums.known > 0) said.push(`${sums.match} of ${sums.known} blocks looked at there match their checksums`);
  }
}

/** What is known of a home that no register names. */
const UNREGISTERED: { readonly [P in Exclude<HomeProof, 'register'>]: (name: string) => string } = {
  self: (name) => `, which nobody claims and free space does not have, describe themselves as ${name}’s`,
  refcount: (name) =>
    ` have fewer claims than their refcount says; of the claims in a wrong place just that of ${name} is as long`,
  length: (name) =>
    `, which nobody claims and free space does not have, are as long as the claim of ${name}; nothing else of that length is missing or lost`,
};

function register(evidence: Evidence, { ag, agBlock, blockCount, claimants }: Verdict, said: string[]): void {
  if (!evidence.geometry.features.rmapbt) {
    said.push('the image has no reverse map: nothing records whose the blocks are');
    return;
  }
  const asked = claimants.filter(({ kind, registered }) => kind !== 'ag-tree' && registered !== undefined);
  if (asked.length === 0) {
    if (claimants.some(({ home }) => home < 0)) said.push('the reverse map of the AG cannot be read');
    return;
  }
  const named = asked.filter(({ registered }) => registered);
  const others = asked.filter(({ registered }) => !registered);
  if (named.length > 0) said.push(`the reverse map records the blocks for ${listed(named)}`);
  if (others.length === 0) return;
  const places = others.map((each) => `${nameOf(each)}${each.kind === 'data' ? `, file block ${each.fileBlock}` : ''}`);
  const owner = named.length === 0 ? evidence.register.ownerOf(ag, agBlock, blockCount) : undefined;
  const instead = owner ? ` but as ${describeRow(owner.table, owner.row)}` : '';
  said.push(`the reverse map does not record them for ${places.slice(0, MOST_NAMED).join('; ')}${instead}`);
}

function refcounts(evidence: Evidence, { ag, agBlock, claimants }: Verdict, said: string[]): void {
  const data = claimants.filter(({ kind }) => kind === 'data');
  const recorded = data.length > 1 ? evidence.refcount(ag, agBlock) : undefined;
  if (recorded === undefined) return;
  said.push(`the refcount is ${recorded}, ${data.length} claims were counted`);
  const sharing = data.filter(({ inode }) => evidence.facts(inode).reflink);
  if (sharing.length > 0) said.push(`${listed(sharing)} ${sharing.length === 1 ? 'is' : 'are'} known to share blocks`);
}

/** Who changed last: what the bytes most likely are, where nothing better is known. */
function times(evidence: Evidence, { claimants }: Verdict, said: string[]): void {
  if (claimants.some(({ home, registered, kind }) => home >= 0 || registered || kind !== 'data')) return;
  const facts = claimants.map(({ inode }) => evidence.facts(inode));
  const last = facts.reduce((best, each, i) => (each.changed > facts[best]!.changed ? i : best), 0);
  if (!facts.some((each) => each.changed < facts[last]!.changed)) return;
  const when = new Date(facts[last]!.changed * 1000);
  const text = Number.isNaN(when.getTime()) ? '' : ` (${when.toISOString()})`;
  said.push(`${nameOf(claimants[last]!)} was changed last${text}, so the bytes are most likely its own`);
}

function outcomeOf(evidence: Evidence, { claimants, effects, suspects, blockCount }: Verdict): string {
  const parts = claimants.slice(0, MOST_NAMED).map((claimant, i) => {
    const effect = effects[i]!;
    if (claimant.kind === 'ag-tree') return `${nameOf(claimant)} are rebuilt elsewhere`;
    if (effect === 'restored') {
      const what = suspects[i] ? 'is given' : `${OUTCOMES.restored},`;
      const guess = suspects[i] ? ' (suspect: only their length speaks for them)' : '';
      return `${nameOf(claimant)} ${what} ${rangeWords(evidence.geometry, claimant.home, blockCount)}${guess}`;
    }
    const place = claimant.kind === 'data' ? ` at file block ${claimant.fileBlock}` : '';
    const suspect = suspects[i] ? ' (suspect: they may be another file’s bytes)' : '';
    return `${nameOf(claimant)} ${OUTCOMES[effect]}${place}${suspect}`;
  });
  if (claimants.length > MOST_NAMED) parts.push(`${claimants.length - MOST_NAMED} more likewise`);
  return parts.join('; ');
}
