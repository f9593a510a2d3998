/**
 * Errors as Node's fs throws them: code, errno, syscall, path, dest, and its wording. What the image itself says (damage, an
 * unknown feature) becomes EIO or ENOTSUP with the CadastreError as cause, so nothing is lost on the way.
 */
import { inspect } from 'node:util';
import { CadastreError } from '../../errors.ts';

/** Linux error numbers and the words Node uses for them. */
const ERRORS: Readonly<Record<string, readonly [number: number, words: string]>> = {
  EPERM: [1, 'operation not permitted'],
  ENOENT: [2, 'no such file or directory'],
  EIO: [5, 'i/o error'],
  ENXIO: [6, 'no such device or address'],
  E2BIG: [7, 'argument list too long'],
  EBADF: [9, 'bad file descriptor'],
  EACCES: [13, 'permission denied'],
  EBUSY: [16, 'resource busy or locked'],
  EEXIST: [17, 'file already exists'],
  ENOTDIR: [20, 'not a directory'],
  EISDIR: [21, 'illegal operation on a directory'],
  EINVAL: [22, 'invalid argument'],
  EMFILE: [24, 'too many open files'],
  EFBIG: [27, 'file too large'],
  ENOSPC: [28, 'no space left on device'],
  EROFS: [30, 'read-only file system'],
  EMLINK: [31, 'too many links'],
  ERANGE: [34, 'result too large'],
  ENAMETOOLONG: [36, 'name too long'],
  ENOSYS: [38, 'function not implemented'],
  ENOTEMPTY: [39, 'directory not empty'],
  ELOOP: [40, 'too many symbolic links encountered'],
  ENODATA: [61, 'no data available'],
  ENOTSUP: [95, 'operation not supported on socket'],
};

/** An error of a call, in the shape of Node's own. */
export interface FsError extends Error {
  code: string;
  errno: number;
  syscall: string;
  path?: string;
  dest?: string;
}

/** Make one. @param code a key of the table above. */
export function fsError(code: string, syscall: string, path?: string, dest?: string, cause?: unknown): FsError {
  const [number, words] = ERRORS[code] ?? ERRORS.EIO!;
  const what = `${path === undefined ? '' : ` '${path}'`}${dest === undefined ? '' : ` -> '${dest}'`}`;
  const error = new Error(`${code}: ${words}, ${syscall}${what}`, cause === undefined ? undefined : { cause });
  return Object.assign(error, {
    errno: -number,
    code,
    syscall,
    ...(path === undefined ? {} : { path }),
    ...(dest === undefined ? {} : { dest }),
  });
}

/** Run a call of the image; what it throws becomes Node's error for that call. Bugs (`internal`) pass as they are. */
export function asNode<T>(syscall: string, path: string | undefined, dest: string | undefined, call: () => T): T {
  try {
    return call();
  } catch (error) {
    if (!(error instanceof CadastreError) || error.family === 'internal') throw error;
    const isPlain = error.family === 'file' || error.family === 'no-space';
    throw fsError(nodeCode(error), syscall, path, dest, isPlain ? undefined : error);
  }
}

function nodeCode(error: CadastreError): string {
  if (error.code === 'EOPNOTSUPP' || error.family === 'unsupported') return 'ENOTSUP';
  if (error.family === 'usage') return 'EINVAL';
  return Object.hasOwn(ERRORS, error.code) ? error.code : 'EIO';
}

/** Errors that Node makes itself, not the system: rm of a directory, cp onto itself. */
export function fsSystemError(
  code: string,
  message: string,
  info: { code: string; message: string; syscall: string; path: string },
): FsError {
  const errno = ERRORS[info.code]?.[0] ?? 0;
  const text = `${message}: ${info.syscall} returned ${info.code} (${info.message}) ${info.path}`;
  const { syscall, path } = info;
  const error = Object.assign(new Error(text), { code, info: { ...info, errno }, errno, syscall, path });
  error.name = 'SystemError';
  return error;
}

/** True for an error that says how a call was written, not what happened: callback forms throw those at once. */
export function isArgumentError(error: unknown): boolean {
  return String((error as { code?: unknown } | null)?.code).startsWith('ERR_INVALID_ARG') || isRange(error);
}

const isRange = (error: unknown): boolean => (error as { code?: unknown } | null)?.code === 'ERR_OUT_OF_RANGE';

/** `ERR_INVALID_ARG_TYPE`. */
export function badType(name: string, expected: string, found: unknown): TypeError {
  const got =
    found === undefined || found === null
      ? String(found)
      : typeof found === 'object'
        ? `an instance of ${found.constructor?.name ?? 'Object'}`
        : `type ${typeof found} (${inspect(found)})`;
  const error = new TypeError(`The "${name}" argument must be ${expected}. Received ${got}`);
  return Object.assign(error, { code: 'ERR_INVALID_ARG_TYPE' });
}

/** `ERR_INVALID_ARG_VALUE`. */
export function badValue(name: string, why: string, found: unknown): TypeError {
  const error = new TypeError(`The argument '${name}' ${why}. Received ${inspect(found)}`);
  return Object.assign(error, { code: 'ERR_INVALID_ARG_VALUE' });
}

/** `ERR_OUT_OF_RANGE`. */
export function outOfRange(name: string, range: string, found: unknown): RangeError {
  const error = new RangeError(
    `The value of "${name}" is out of range. It must be ${range}. Received ${String(found)}`,
  );
  return Object.assign(error, { code: 'ERR_OUT_OF_RANGE' });
}

/** There is nothing to watch: nobody else changes an image that is open here. */
export function refuseWatch(syscall: string, path: string): never {
  throw fsError('ENOSYS', syscall, path);
}
