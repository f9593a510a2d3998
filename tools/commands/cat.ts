/** `cat IMAGE PATH...`: the bytes of files, straight to standard output. */
import type { Command } from 'commander';
import { fileError } from '../../lib/errors.ts';
import { attempt } from '../ui/failures.ts';
import { withVolume } from '../ui/image.ts';
import { rawBytes } from '../ui/output.ts';

/** Small enough to stay in the processor cache between read and write. */
const PIECE = 1 << 18;

export function define(command: Command): void {
  command
    .argument('<image>')
    .argument('<paths...>', 'regular files')
    .action((image: string, paths: string[]) =>
      withVolume(image, (volume) => {
        const piece = new Uint8Array(PIECE);
        for (const path of paths) {
          attempt('cat', false, () => {
            const inode = volume.resolve(path);
            if (inode.isDirectory) throw fileError('EISDIR', `${path} is a directory`, { where: { path } });
            if (!inode.isFile) throw fileError('EINVAL', `${path} is not a regular file`, { where: { path } });
            const reader = volume.fileReader(inode);
            for (let at = 0; at < inode.size; ) {
              const length = reader.read(at, piece);
              rawBytes(length === PIECE ? piece : piece.subarray(0, length));
              at += length;
            }
          });
        }
      }),
    );
}
