/**
 * Recognises what already lives on a target, so that mkfs refuses to overwrite it: our own images, and everything that
 * formats/foreign.ts knows. Invariant: one bounded read; nothing found says nothing about data without a signature.
 */
import fs from 'node:fs';
import { FOREIGN_PROBE_BYTES, foreignContent } from '../../formats/foreign.ts';
import { CADASTRE_MAGIC, XFS_MAGIC } from '../../formats/superblock.ts';
import { deviceError } from '../errors.ts';

/**
 * Name of the file system or partition table at `path` (a file or a block device), or undefined when none is recognised or
 * the path does not exist. Throws a device error when it cannot be read.
 */
export function holdsFileSystem(path: string): string | undefined {
  let bytes: Buffer;
  try {
    const fd = fs.openSync(path, fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK ?? 0));
    try {
      bytes = readStart(fd);
    } finally {
      fs.closeSync(fd);
    }
  } catch (error) {
    const code = (error as { code?: string }).code ?? 'EIO';
    if (code === 'ENOENT') return undefined;
    throw deviceError(code, `cannot read ${path}: ${code}`, { cause: error });
  }
  return recognise(bytes);
}

function readStart(fd: number): Buffer {
  const bytes = Buffer.alloc(FOREIGN_PROBE_BYTES);
  let done = 0;
  for (let length: number; done < FOREIGN_PROBE_BYTES; done += length) {
    length = fs.readSync(fd, bytes, done, FOREIGN_PROBE_BYTES - done, done);
    if (length === 0) break;
  }
  return bytes.subarray(0, done);
}

/** The same for the first bytes of a target (FOREIGN_PROBE_BYTES suffice; fewer find fewer). */
export function recognise(bytes: Uint8Array): string | undefined {
  const magic = bytes.length >= 4 ? new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0) : 0;
  if (magic === XFS_MAGIC) return 'XFS file system';
  if (magic === CADASTRE_MAGIC) return 'Cadastre file system';
  return foreignContent(bytes);
}
