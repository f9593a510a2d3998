/**
 * Long work that somebody may watch and end: a generator that does a piece between two yields, and a runner that steps
 * several of them in turn. Everything is synchronous; who wants the event loop in between calls `step` himself.
 *
 * 1. A job that is not finished when it is cancelled leaves nothing behind: its generator's `finally` sees to that.
 * 2. An error ends the job it came from, no other, and names the file that failed.
 */
import { CadastreError, fileError, internal } from '../errors.ts';

/** Yields the bytes done since the last time. */
export type JobSteps = Generator<number, void, undefined>;

export interface JobStatus {
  readonly state: 'running' | 'done' | 'failed' | 'cancelled';
  readonly bytesDone: number;
  /** Undefined while it is not known: of a tree, until all of it was seen. */
  readonly bytesTotal: number | undefined;
  /** Of a job that failed: a CadastreError with the file's path in `where`, whatever else was thrown. */
  readonly error: unknown;
}

/** What a job is about. */
export interface JobSubject {
  /** Undefined: not known before its end. */
  readonly bytes: number | undefined;
  /** Path of the file that errors name, where they name none. */
  readonly path?: string | undefined;
  /** Called once when it is over, however it ended. */
  readonly ended?: (() => void) | undefined;
}

export class Job {
  readonly #runner: JobRunner;
  #steps: JobSteps | undefined;
  #state: JobStatus['state'] = 'running';
  #bytesDone = 0;
  #bytesTotal: number | undefined;
  readonly #path: string | undefined;
  readonly #ended: (() => void) | undefined;
  #error: unknown;

  /** @param steps undefined: it is done already. */
  constructor(runner: JobRunner, { bytes, path, ended }: JobSubject, steps: JobSteps | undefined) {
    this.#runner = runner;
    this.#bytesTotal = bytes;
    this.#path = path;
    this.#steps = steps;
    this.#ended = ended;
    if (steps) return;
    this.#done();
    ended?.();
  }

  status(): JobStatus {
    return {
      state: this.#state,
      bytesDone: this.#bytesDone,
      bytesTotal: this.#bytesTotal,
      error: this.#error,
    };
  }

  get isRunning(): boolean {
    return this.#state === 'running';
  }

  /** Run until this job is over, and others with it. Throws what it failed with, ECANCELED when it was cancelled. */
  wait(): void {
    while (this.isRunning) if (!this.#runner.step()) throw internal('a job that nobody runs');
    if (this.#state === 'failed') throw this.#error;
    if (this.#state === 'cancelled') throw fileError('ECANCELED', 'the job was cancelled');
  }

  /** End it: what it made so far goes. Nothing happens when it is over. */
  cancel(): void {
    if (!this.isRunning) return;
    this.#state = 'cancelled';
    this.#end(() => this.#steps?.return());
  }

  /** Do the next piece. For the runner. */
  advance(): void {
    if (!this.isRunning) return;
    this.#end(() => {
      const next = this.#steps!.next();
      if (next.done) this.#done();
      else this.#bytesDone += next.value;
    });
  }

  #done(): void {
    this.#state = 'done';
    // Holes are done without a step.
    this.#bytesTotal ??= this.#bytesDone;
    this.#bytesDone = this.#bytesTotal;
  }

  #end(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#state = 'failed';
      this.#error = this.#named(error);
    }
    if (this.isRunning) return;
    this.#steps = undefined;
    this.#ended?.();
  }

  #named(error: unknown): unknown {
    const isNamed = !(error instanceof CadastreError) || error.family === 'internal' || error.where.path !== undefined;
    if (isNamed || this.#path === undefined) return error;
    const { family, code, message, where, expected, found } = error;
    return new CadastreError(family, code, message, {
      where: { ...where, path: this.#path },
      expected,
      found,
      cause: error,
    });
  }
}

export class JobRunner {
  readonly #most: number;
  readonly #active: Job[] = [];
  readonly #waiting: Job[] = [];
  #turn = 0;

  /** @param most jobs that are stepped in turn; the others wait for one of them to end. */
  constructor(most = 4) {
    this.#most = Math.max(1, most);
  }

  /** Jobs that are not over. */
  get pending(): number {
    return this.#active.length + this.#waiting.length;
  }

  /** Start a job. @param steps undefined: it is done already. */
  start(subject: JobSubject, steps: JobSteps | undefined): Job {
    const job = new Job(this, subject, steps);
    if (job.isRunning) this.#waiting.push(job);
    return job;
  }

  /** A job that failed before it could begin. Throws what is no CadastreError, or an internal one. */
  refused(error: unknown, path?: string): Job {
    if (!(error instanceof CadastreError) || error.family === 'internal') throw error;
    const job = new Job(this, { bytes: 0, path }, failing(error));
    job.advance();
    return job;
  }

  /** One piece of the job whose turn it is. @returns false when there is none. */
  step(): boolean {
    while (this.#active.length < this.#most && this.#waiting.length > 0) this.#active.push(this.#waiting.shift()!);
    if (this.#active.length === 0) return false;
    this.#turn %= this.#active.length;
    const job = this.#active[this.#turn]!;
    job.advance();
    if (job.isRunning) this.#turn++;
    else this.#active.splice(this.#turn, 1);
    return true;
  }

  /** Run everything to its end. */
  run(): void {
    while (this.step()) {
      // each step is a piece of some job
    }
  }

  /** End everything that is not over. */
  cancel(): void {
    for (const job of [...this.#active, ...this.#waiting]) job.cancel();
    this.#active.length = 0;
    this.#waiting.length = 0;
  }
}

// biome-ignore lint/correctness/useYield: it ends before its first piece
function* failing(error: CadastreError): JobSteps {
  throw error;
}
