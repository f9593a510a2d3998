/**
 * Copying one file as a job: inside an image, from the host into it, out of it to the host. A copy that can share blocks
 * is done when it is returned.
 */
import { INODE_FLAG } from '../../formats/inode.ts';
import { cloneFile, copyAttributes, copyMetadata, describeObject } from '../clone/clone-file.ts';
import { assertReflink } from '../clone/share.ts';
import { CadastreError, fileError } from '../errors.ts';
import type { Inode } from '../file/inode.ts';
import type { HostDirectory } from '../host/calls.ts';
import type { HostEntry, HostTree } from '../host/tree.ts';
import type { HostMetadata, HostWriter } from '../host/writer.ts';
import { describeAsHost, hasOwnAcl } from '../volume/as-host.ts';
import type { Editor } from '../volume/editor.ts';
import { listXattrs } from '../volume/metadata.ts';
import { showPath } from '../volume/path.ts';
import type { Volume } from '../volume/volume.ts';
import { copyContent, HostFileWriter, HostReader, ImageReader, ImageWriter } from './content.ts';
import type { Job, JobRunner } from './job.ts';

export interface CopyFlags {
  /** Share blocks: where it can be (default), or the copy fails, or not at all. */
  reflink?: 'auto' | 'always' | 'never';
  /** Fail when the name is taken (EEXIST); else a file that has it is replaced when the copy is whole. */
  exclusive?: boolean;
}

/**
 * Copy a regular file inside an image, metadata and attributes with it.
 * @returns a job; its errors: NO_REFLINK, EEXIST, EISDIR, EINVAL (onto itself), ENOSPC, `corrupt`.
 */
export function copyFile(
  runner: JobRunner,
  editor: Editor,
  source: number,
  directory: number,
  name: Uint8Array,
  flags: CopyFlags = {},
): Job {
  try {
    const inode = editor.volume.inode(source);
    const { size } = inode;
    assertTarget(editor, source, directory, name, flags.exclusive === true);
    if (flags.reflink === 'always') assertReflink(editor);
    if (flags.reflink !== 'never' && canShare(editor, inode)) {
      cloneFile(editor, source, directory, name, flags.exclusive !== true);
      return runner.start(size, undefined);
    }
    const what = describeObject(inode);
    return runner.start(
      size,
      copyContent(() => ({
        reader: new ImageReader(editor.volume, source, editor),
        writer: () =>
          new ImageWriter(editor, {
            directory,
            name,
            what,
            dress: (number) => copyAttributes(editor, source, number),
            complete: (tx, number) => {
              assertTarget(editor, source, directory, name, flags.exclusive === true);
              copyMetadata(editor, tx, source, number);
            },
          }),
      })),
    );
  } catch (error) {
    return failedJob(runner, error);
  }
}

/** Copy a regular file of the host into an image. Errors as `copyFile`, and the host's. */
export function copyIn(
  runner: JobRunner,
  editor: Editor,
  tree: HostTree,
  entry: HostEntry,
  directory: number,
  name: Uint8Array,
  flags: Pick<CopyFlags, 'exclusive'> = {},
): Job {
  try {
    assertTarget(editor, undefined, directory, name, flags.exclusive === true);
    const { mode, uid, gid, atime, mtime } = entry;
    return runner.start(
      entry.size,
      copyContent(() => ({
        reader: new HostReader(tree.openFile(entry)),
        writer: () =>
          new ImageWriter(editor, {
            directory,
            name,
            what: { mode, uid, gid, atime, mtime, inheritAcl: !hasOwnAcl(entry) },
            complete: (tx, number) => {
              assertTarget(editor, undefined, directory, name, flags.exclusive === true);
              describeAsHost(editor, tx, editor.inode(tx, number), tree, entry, { isNew: true });
            },
          }),
      })),
    );
  } catch (error) {
    return failedJob(runner, error);
  }
}

/** Copy a regular file of an image to the host. Throws nothing; the job's errors are the host's and `corrupt`. */
export function copyOut(
  runner: JobRunner,
  volume: Volume,
  source: number,
  writer: HostWriter,
  directory: HostDirectory,
  name: Uint8Array,
): Job {
  try {
    const inode = volume.inode(source);
    const { mode, core, size } = inode;
    const metadata: HostMetadata = {
      mode,
      uid: core.uid,
      gid: core.gid,
      atime: inode.time('atime'),
      mtime: inode.time('mtime'),
      xattrs: listXattrs(inode),
    };
    return runner.start(
      size,
      copyContent(() => ({
        reader: new ImageReader(volume, source),
        writer: () => new HostFileWriter(writer.createFile(directory, name), metadata),
      })),
    );
  } catch (error) {
    return failedJob(runner, error);
  }
}

function canShare(editor: Editor, inode: Inode): boolean {
  return editor.volume.geometry.features.reflink && (inode.core.flags & INODE_FLAG.REALTIME) === 0;
}

/** Throws ENOTDIR, EEXIST, EISDIR, EINVAL. */
function assertTarget(
  editor: Editor,
  source: number | undefined,
  directory: number,
  name: Uint8Array,
  exclusive: boolean,
): void {
  const { volume } = editor;
  const parent = volume.inode(directory);
  parent.assertDirectory();
  const old = volume.child(parent, name);
  if (old === undefined) return;
  const details = { where: { path: showPath(name) } };
  if (exclusive) throw fileError('EEXIST', `${showPath(name)} exists`, details);
  if (volume.inode(old).isDirectory) throw fileError('EISDIR', `${showPath(name)} is a directory`, details);
  if (old === source) throw fileError('EINVAL', `${showPath(name)} is the source itself`, details);
}

function failedJob(runner: JobRunner, error: unknown): Job {
  if (!(error instanceof CadastreError) || error.family === 'internal') throw error;
  return runner.failed(error);
}
