/** The callback forms. The work is done at once, the callback comes in a later turn of the event loop. */
import { badType, isArgumentError } from './errors.ts';
import { COMMON_CALLS } from './promise-calls.ts';
import type { SyncCalls } from './sync-calls.ts';

type Call = (...args: unknown[]) => unknown;

/** Calls besides the common ones whose callback gets (error, result). */
const MORE_CALLS = [
  'close',
  'fchmod',
  'fchown',
  'fdatasync',
  'fstat',
  'fsync',
  'ftruncate',
  'futimes',
  'open',
] as const;

/** Calls whose callback gets (error, count, buffers): what was given comes back. */
const COUNTING_CALLS = ['read', 'readv', 'write', 'writev'] as const;

/** All callback forms, as plain functions. */
export function callbackCalls(sync: SyncCalls): Record<string, Call> {
  const calls: Record<string, Call> = {};
  for (const name of [...COMMON_CALLS, ...MORE_CALLS]) {
    const call = sync[`${name}Sync`] as Call;
    calls[name] = (...args) => later(call, sync, args, (result) => (result === undefined ? [] : [result]));
  }
  for (const name of COUNTING_CALLS) {
    const call = sync[`${name}Sync`] as Call;
    calls[name] = (...args) => {
      // read(fd, callback) and read(fd, options, callback) bring their own buffer.
      if (name === 'read' && !ArrayBuffer.isView(args[1])) args.splice(1, 1, ...readArguments(args[1]));
      const buffer = args[1];
      later(call, sync, args, (count) => [count, buffer]);
    };
  }
  calls.exists = (path, callback) => {
    if (typeof callback !== 'function') throw badType('cb', 'of type function', callback);
    setImmediate(callback as Call, sync.existsSync(path));
  };
  return calls;
}

function readArguments(first: unknown): unknown[] {
  const isCallback = typeof first === 'function';
  const options = isCallback ? {} : ((first ?? {}) as Record<string, unknown>);
  const into = options.buffer ?? Buffer.alloc(16384);
  return isCallback ? [into, {}, first] : [into, options];
}

/** Call with what stands before the callback (the last function among the arguments). */
function later(call: Call, sync: SyncCalls, args: unknown[], results: (result: unknown) => unknown[]): void {
  let at = args.length - 1;
  while (at >= 0 && typeof args[at] !== 'function') at--;
  const callback = args[at] as Call | undefined;
  if (at < 0 || !callback) throw badType('cb', 'of type function', args.at(-1));
  let answer: unknown[];
  try {
    answer = [null, ...results(call.apply(sync, args.slice(0, at)))];
  } catch (error) {
    if (isArgumentError(error)) throw error;
    answer = [error];
  }
  setImmediate(callback, ...answer);
}
