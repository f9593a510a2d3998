/** Stage 5: attributes, symlinks, directories, links, lost+found. */
import type { RepairState } from '../state.ts';

export function mendNames(_state: RepairState): void {}
