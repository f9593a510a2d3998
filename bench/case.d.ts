/**
 * What a measurement is: data, one file of them in bench/cases/, run by bench/run.mjs.
 */

/** Places that commands are made from. */
export interface Context {
  /** Node's executable. */
  node: string;
  /** The compiled command line program; `needs: ['cli']` skips a side while it does not exist. */
  cli: string;
  /** A scratch directory of this case, deleted after it. */
  scratch: string;
  /** What `prepare` returned. */
  input: unknown;
}

/** One competitor of a case. */
export interface Side {
  name: string;
  /** Program and arguments; or null when it cannot run here. */
  command: (context: Context) => string[] | null;
  /** Undoes the last run (deletes its output), before each run and outside the measured time. */
  reset?: (context: Context) => void;
  /** What its last run has left behind, in words: printed below its row. */
  report?: (context: Context) => string[];
  /** Programs that must exist ('cli' is ours); else the side is skipped and named. */
  needs?: string[];
  /** Exit statuses that count as success; default 0. */
  statuses?: number[];
}

/** One row of the table: ours against its peers, run in turns. */
export interface Case {
  name: string;
  /** The mark in words. */
  goal?: string;
  /** Highest ratio of our median to the first peer's that is still fine; a higher one makes the run fail with --strict. */
  limit?: number;
  /** Makes what the runs need (a tree, an image) once. */
  prepare?: (context: Context) => unknown;
  ours: Side;
  peers: Side[];
  /** Rounds; default from the command line. */
  rounds?: number;
}
