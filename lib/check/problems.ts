/**
 * Problems as data: what was found, where, what it should be. The log of a run keeps the first `max` of them, counts all,
 * and ends a hopeless run.
 */
import type { Fault } from '../../formats/block-type.ts';
import { Damaged, INODE_DAMAGE } from './damaged.ts';
import { PROBLEMS, type ProblemCode, type Severity } from './problem-table.ts';

export { PROBLEMS, type ProblemCode } from './problem-table.ts';

/** Where: as much as is known. `block` counts in the AG when `ag` is there. */
export interface ProblemPlace {
  ag?: number;
  block?: number;
  /** With `block`: how many blocks. */
  blockCount?: number;
  inode?: number;
  path?: string;
  structure?: string;
  field?: string;
  fileBlock?: number;
}

export interface Problem {
  readonly code: ProblemCode;
  readonly severity: Severity;
  readonly where: ProblemPlace;
  /** Path of `where.inode`, where it has one: filled in at the end of a run. */
  path?: string;
  /** Which rule of a verifier was broken: BAD_CRC, BTREE_LOOP, DIR_BAD_BEST ... */
  readonly rule?: string;
  readonly expected: string | number;
  readonly found: string | number;
  readonly message: string;
  /** What repair would do. */
  readonly fix: string;
  /** BLOCK_MULTIPLY_CLAIMED: everyone who claims the range. */
  readonly claimants?: Claimant[];
}

/** One owner of a disputed range. */
export interface Claimant {
  readonly kind: string;
  readonly inode?: number;
  path?: string;
  /** First disputed block of the claimant's fork. */
  readonly fileBlock?: number;
  readonly blockCount: number;
  /** What the reverse map says: this claim is recorded, or not; undefined without a (readable) reverse map. */
  readonly registered?: boolean;
}

/** Thrown when so much is wrong that more findings say nothing new. */
export class TooManyProblems extends Error {}

/** So many problems end a run, however few of them are kept. */
const HOPELESS = 100_000;

export class ProblemLog {
  readonly problems: Problem[] = [];
  readonly max: number;
  /** All of them, also those not kept. */
  total = 0;
  /** Who has problems, also those not kept. */
  readonly damaged = new Damaged();
  readonly #hopeless: number;
  #muted = 0;

  /** @param hopeless so many problems end the run. */
  constructor(max: number, hopeless = HOPELESS) {
    this.max = max;
    this.#hopeless = hopeless;
  }

  /** Throws `TooManyProblems` beyond all hope. */
  add(
    code: ProblemCode,
    where: ProblemPlace,
    expected: string | number = '',
    found: string | number = '',
    more: { rule?: string; claimants?: Claimant[] } = {},
  ): void {
    if (this.#muted > 0) return;
    this.total++;
    if (this.total > this.#hopeless) throw new TooManyProblems();
    this.damaged.note(code, where);
    for (const { inode } of more.claimants ?? []) {
      if (inode !== undefined) this.damaged.inode(inode, INODE_DAMAGE.sharing);
    }
    if (this.problems.length >= this.max) return;
    const kind = PROBLEMS[code];
    const problem: Problem = {
      code,
      severity: kind.severity,
      where,
      ...(more.rule === undefined ? {} : { rule: more.rule }),
      expected,
      found,
      message: `${placeText(where)}${fill(kind.text, where, expected, found, more.rule)}`,
      fix: kind.fix,
      ...(more.claimants === undefined ? {} : { claimants: more.claimants }),
    };
    this.problems.push(problem);
  }

  /** Say, in place of the last one kept, that the run was ended. */
  giveUp(): void {
    this.problems.length = Math.min(this.problems.length, Math.max(0, this.max - 1));
    this.total--;
    const kind = PROBLEMS.TOO_MANY_PROBLEMS;
    const message = fill(kind.text, {}, '', this.total);
    this.problems.push({
      code: 'TOO_MANY_PROBLEMS',
      severity: kind.severity,
      where: {},
      expected: '',
      found: this.total,
      message,
      fix: kind.fix,
    });
  }

  /** Nothing is reported: what only serves to find faults can be left out. */
  get isMuted(): boolean {
    return this.#muted > 0;
  }

  /** A fault of a verifier as a problem of this code. */
  fault(code: ProblemCode, where: ProblemPlace, fault: Fault): void {
    this.add(code, { ...where, field: fault.field }, fault.expected, fault.found, { rule: fault.code });
  }

  /** Inside `mute`: report what this finds all the same. */
  unmute(action: () => void): void {
    const before = this.#muted;
    this.#muted = 0;
    try {
      action();
    } finally {
      this.#muted = before;
    }
  }

  /** Run something whose findings were already reported. */
  mute<T>(action: () => T): T {
    this.#muted++;
    try {
      return action();
    } finally {
      this.#muted--;
    }
  }
}

function placeText(where: ProblemPlace): string {
  const parts: string[] = [];
  if (where.ag !== undefined) parts.push(`AG ${where.ag}`);
  if (where.block !== undefined) {
    const count = where.blockCount ?? 1;
    parts.push(count > 1 ? `blocks ${where.block}-${where.block + count - 1}` : `block ${where.block}`);
  }
  if (where.inode !== undefined) parts.push(`inode ${where.inode}`);
  if (where.fileBlock !== undefined) parts.push(`file block ${where.fileBlock}`);
  return parts.length === 0 ? '' : `${parts.join(', ')}: `;
}

function fill(text: string, where: ProblemPlace, expected: string | number, found: string | number, rule = ''): string {
  const values: Record<string, string | number> = {
    expected,
    found,
    rule,
    field: where.field ?? 'it',
    structure: where.structure ?? 'it',
  };
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}
