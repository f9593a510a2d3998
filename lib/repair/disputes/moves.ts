/** Claims that go home, as whoever finds homes hands them to whoever judges. */

/**
 * What names a home: the register; the refcounts, or the length of lost blocks (unregistered.ts); what the blocks there say of
 * themselves (lost.ts).
 */
export type HomeProof = 'register' | 'refcount' | 'length' | 'self';

/** A part of a claim that goes home. */
export interface Move {
  readonly ag: number;
  readonly row: number;
  readonly agBlock: number;
  readonly blockCount: number;
  /** fs block. */
  readonly home: number;
  readonly proof: HomeProof;
  /** Its blocks hold nothing yet. */
  readonly unwritten: boolean;
}

/** By AG, by row: moves in ascending order of blocks. */
export type Moves = readonly ReadonlyMap<number, readonly Move[]>[];
