/** Chooses who makes the host's calls: the C library where it can be reached, else Node alone. */
import type { HostCalls } from './calls.ts';
import { loadCLibrary, NativeCalls } from './native.ts';
import { PlainCalls } from './plain.ts';

export interface HostOptions {
  /** False: do not use the C library even where it is there. */
  native?: boolean;
}

export function hostCalls(options: HostOptions): HostCalls {
  if (options.native === false) return new PlainCalls('switched off');
  const library = loadCLibrary();
  return typeof library === 'string' ? new PlainCalls(library) : new NativeCalls(library);
}
