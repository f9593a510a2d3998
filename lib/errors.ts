/**
 * Errors that are thrown: the operation cannot go on. Codes never change their meaning; tests match codes, not text.
 * What the checker finds is not thrown but reported as a Problem (lib/check).
 */

/** Where in the image: as much as is known. */
export interface Where {
  ag?: number;
  /** AG block, or fs block when `ag` is missing. */
  block?: number;
  /** 512-byte address. */
  daddr?: number;
  inode?: number;
  fileBlock?: number;
  path?: string;
  structure?: string;
  field?: string;
}

/** Families, which decide the exit status and how a program should react. */
export type ErrorFamily = 'corrupt' | 'no-space' | 'unsupported' | 'usage' | 'device' | 'file' | 'internal';

export class CadastreError extends Error {
  readonly family: ErrorFamily;
  /** Stable, upper case: BAD_CRC, NO_SPACE, ENOENT ... */
  readonly code: string;
  readonly where: Where;
  readonly expected: string | undefined;
  readonly found: string | undefined;

  constructor(
    family: ErrorFamily,
    code: string,
    message: string,
    details: { where?: Where; expected?: unknown; found?: unknown; cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'CadastreError';
    this.family = family;
    this.code = code;
    this.where = details.where ?? {};
    this.expected = details.expected === undefined ? undefined : String(details.expected);
    this.found = details.found === undefined ? undefined : String(details.found);
  }

  toJSON(): Record<string, unknown> {
    const { family, code, message, where, expected, found } = this;
    return { family, code, message, where, expected, found };
  }
}

type Details = { where?: Where; expected?: unknown; found?: unknown; cause?: unknown };

/** A structure on disk is not what it must be. */
export const corrupt = (code: string, message: string, details?: Details) =>
  new CadastreError('corrupt', code, message, details);
/** No room: blocks, inodes or log space. Code is always ENOSPC. */
export const noSpace = (message: string, details?: Details) =>
  new CadastreError('no-space', 'ENOSPC', message, details);
/** A feature or format this tool does not handle, refused by name before anything is written. */
export const unsupported = (code: string, message: string, details?: Details) =>
  new CadastreError('unsupported', code, message, details);
/** Wrong arguments or options. */
export const usage = (code: string, message: string, details?: Details) =>
  new CadastreError('usage', code, message, details);
/** The device below failed: host I/O error, short image, locked image. */
export const deviceError = (code: string, message: string, details?: Details) =>
  new CadastreError('device', code, message, details);
/** What a path operation says: POSIX names (ENOENT, EEXIST, ENOTDIR, EISDIR, ENOTEMPTY, ENAMETOOLONG, ELOOP, EINVAL...). */
export const fileError = (code: string, message: string, details?: Details) =>
  new CadastreError('file', code, message, details);
/** A bug in this code. */
export const internal = (message: string, details?: Details) =>
  new CadastreError('internal', 'INTERNAL', message, details);
