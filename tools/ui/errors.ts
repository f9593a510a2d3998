/** How an error is told: what, where (a path before any number), code, and what can be done about it. */
import { CadastreError, type Where } from '../../lib/errors.ts';

/** What helps, by code. */
const HINTS: Record<string, string> = {
  HOLDS_DATA: '--force overwrites it',
  EXISTS: '--force replaces it',
  IN_USE: 'unmount or detach it first',
  UNFINISHED: 'make the image again with mkfs',
  NOT_OURS: 'this tool reads XFS version 5 and the cadastre format',
  V4: 'mkfs.xfs has made version 5 since 2015; copy the files to a new image',
  NEEDSREPAIR: 'xfs_repair clears this mark',
  BAD_CRC: '`cadastre check` says what else is damaged',
  DATA_CHECKSUM: '`cadastre check --data` lists every damaged block',
  ESCAPED_PATH: 'bytes of a name that is not UTF-8 are written \\xNN',
  BAD_PATH: 'start the path with /; bytes that are not UTF-8 are written \\xNN',
  LOG_REPLAY: '--discard-log throws the log away, and what was only in it',
  NO_SUPERBLOCK: 'is it the right file, and its beginning? a partition inside a disk image must be cut out first',
  SHORT_IMAGE: 'the image was cut off: copy it again, whole',
};

/** Lines for a person, without the program's name. */
export function errorLines(error: unknown): string[] {
  if (!(error instanceof CadastreError)) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return [`internal error: ${text}`];
  }
  const { message, code, where, family } = error;
  const path = where.path !== undefined && !message.includes(where.path) ? `${where.path}: ` : '';
  const lines = [`${path}${message} [${code}]`];
  const place = placeText(where);
  if (family === 'corrupt' && place !== '') lines.push(`  where: ${place}`);
  const hint = HINTS[code] ?? (family === 'corrupt' ? '`cadastre check` says what else is damaged' : undefined);
  if (hint) lines.push(`  hint: ${hint}`);
  if (family === 'internal') lines.push(error.stack ?? '');
  return lines;
}

/** As JSON: the error's own shape. */
export function errorJson(error: unknown): Record<string, unknown> {
  if (error instanceof CadastreError) return error.toJSON();
  const message = error instanceof Error ? error.message : String(error);
  return { family: 'internal', code: 'INTERNAL', message, where: {} };
}

function placeText(where: Where): string {
  const parts: string[] = [];
  if (where.inode !== undefined) parts.push(`inode ${where.inode}`);
  if (where.fileBlock !== undefined) parts.push(`file block ${where.fileBlock}`);
  if (where.ag !== undefined) parts.push(`AG ${where.ag}`);
  if (where.block !== undefined) parts.push(`block ${where.block}`);
  if (where.daddr !== undefined) parts.push(`byte ${where.daddr * 512} of the image`);
  if (where.structure !== undefined) parts.push(where.structure);
  if (where.field !== undefined) parts.push(`field ${where.field}`);
  return parts.join(', ');
}
