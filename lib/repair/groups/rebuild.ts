/** Stage 4: AG headers and trees from the claims. */
import type { RepairState } from '../state.ts';

export function rebuildGroups(_state: RepairState): void {}
