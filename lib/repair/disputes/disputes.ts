/** Stage 2: claims that collide, judged on evidence. */
import type { RepairState } from '../state.ts';

export function settleDisputes(_state: RepairState): void {}
