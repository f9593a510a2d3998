/** Stage 3: forks that have to be written anew get their form and their tree blocks. */
import type { RepairState } from '../state.ts';

export function writeForks(_state: RepairState): void {}
