/**
 * Copying one file as a job: inside an image, from the host into it, out of it to the host. A copy that can share blocks
 * is done when it is returned.
 */
import { INODE_FLAG } from '../../formats/inode.ts';
import { cloneFile, copyAttributes, copyMetadata, describeObject } from '../clone/clone-file.ts';
import { type CloneRange, cloneRange } from '../clone/clone-range.ts';
import { assertReflink } from '../clone/share.ts';
import { CadastreError, fileError } from '../errors.ts';
import type { Inode } from '../file/inode.ts';
import type { HostEntry, HostTree } from '../host/tree.ts';
import { describeAsHost, hasOwnAcl } from '../volume/as-host.ts';
import {
  copyContent,
  HostFileWriter,
  HostReader,
  type HostTarget,
  ImageReader,
  ImageWriter,
} from '../volume/copy-content.ts';
import type { Editor } from '../volume/editor.ts';
import { hostMetadata } from '../volume/get.ts';
import { showPath } from '../volume/path.ts';
import type { Volume } from '../volume/volume.ts';
import { type CopyRange, checkCopyRange, copyBytes } from './copy-range.ts';
import type { Job, JobRunner } from './job.ts';

export interface CopyFlags {
  /** Share blocks: where it can be (default), or the copy fails, or not at all. */
  reflink?: 'auto' | 'always' | 'never';
  /** Fail when the name is taken (EEXIST); else a file that has it is replaced when the copy is whole. */
  exclusive?: boolean;
  /**
   * Not the whole file: a part of it over a part of a file that exists (ENOENT), or of the same one. Nothing of the target but these
   * bytes changes. Ended in the middle, it leaves new bytes before some point and old ones behind it.
   */
  range?: CopyRange;
  /** Path of the file that errors name. */
  path?: string;
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
    const { gen } = inode.core;
    assertRegular(inode);
    if (flags.range) return copyPart(runner, editor, inode, directory, name, flags, flags.range);
    assertTarget(editor, source, directory, name, flags.exclusive === true);
    if (flags.reflink === 'always') assertReflink(editor);
    if (flags.reflink !== 'never' && canShare(editor, inode)) {
      cloneFile(editor, source, directory, name, flags.exclusive !== true);
      return runner.start({ bytes: size, path: flags.path }, undefined);
    }
    const what = describeObject(inode);
    return runner.start(
      { bytes: size, path: flags.path },
      copyContent(() => ({
        reader: new ImageReader(editor.volume, stillThere(editor.volume, source, gen), editor),
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
    return runner.refused(error, flags.path);
  }
}

function copyPart(
  runner: JobRunner,
  editor: Editor,
  source: Inode,
  directory: number,
  name: Uint8Array,
  flags: CopyFlags,
  range: CopyRange,
): Job {
  if (flags.exclusive) throw fileError('EINVAL', 'a range goes into a file that exists: it cannot be exclusive');
  const parent = editor.volume.inode(directory);
  parent.assertDirectory();
  const target = editor.volume.child(parent, name);
  if (target === undefined) throw fileError('ENOENT', `no such file: ${showPath(name)}`);
  assertRegular(editor.volume.inode(target));
  const { from, to, count } = checkCopyRange(editor, source.number, target, range);
  const shared: CloneRange = { sourceOffset: from, targetOffset: to, length: count };
  if (flags.reflink === 'always') assertReflink(editor);
  const subject = { bytes: count, path: flags.path };
  if (flags.reflink !== 'never' && canShare(editor, source) && count > 0) {
    try {
      cloneRange(editor, source.number, target, shared);
      return runner.start(subject, undefined);
    } catch (error) {
      // Not on block boundaries: then it is copied, where that is allowed.
      const mayCopy = flags.reflink !== 'always' && error instanceof CadastreError && error.code === 'EINVAL';
      if (!mayCopy) throw error;
    }
  }
  return runner.start(subject, copyBytes(editor, source.number, target, { ...range, length: count }));
}

/**
 * Copy a regular file of the host into an image. Errors as `copyFile`, and the host's.
 * @param flags `ended`: called when the tree is needed no more.
 */
export function copyIn(
  runner: JobRunner,
  editor: Editor,
  tree: HostTree,
  entry: HostEntry,
  directory: number,
  name: Uint8Array,
  flags: Pick<CopyFlags, 'exclusive' | 'path'> & { ended?: () => void } = {},
): Job {
  try {
    assertTarget(editor, undefined, directory, name, flags.exclusive === true);
    const { mode, uid, gid, atime, mtime } = entry;
    return runner.start(
      { bytes: entry.size, path: flags.path, ended: flags.ended },
      copyContent(() => ({
        reader: new HostReader(tree.openFile(entry), editor.volume.geometry.blockSize),
        writer: () =>
          new ImageWriter(editor, {
            directory,
            name,
            what: { mode, uid, gid, atime, mtime, inheritAcl: !hasOwnAcl(entry) },
            complete: (tx, number) => {
              assertTarget(editor, undefined, directory, name, flags.exclusive === true);
              const inode = editor.inode(tx, number);
              describeAsHost(editor, tx, inode, tree, entry, { isNew: true });
              inode.setTime('ctime', editor.now());
            },
          }),
      })),
    );
  } catch (error) {
    flags.ended?.();
    return runner.refused(error, flags.path);
  }
}

/**
 * Copy a regular file of an image to the host. Throws nothing; the job's errors are the host's and `corrupt`.
 * @param editor of the volume, where it may be changed meanwhile. @param create makes the host's file.
 */
export function copyOut(
  runner: JobRunner,
  volume: Volume,
  editor: Editor | undefined,
  source: number,
  create: () => HostTarget,
  flags: Pick<CopyFlags, 'path'> = {},
): Job {
  try {
    const inode = volume.inode(source);
    const { gen } = inode.core;
    assertRegular(inode);
    const metadata = hostMetadata(inode);
    return runner.start(
      { bytes: inode.size, path: flags.path },
      copyContent(() => ({
        reader: new ImageReader(volume, stillThere(volume, source, gen), editor),
        writer: () => new HostFileWriter(create(), metadata),
      })),
    );
  } catch (error) {
    return runner.refused(error, flags.path);
  }
}

/** Throws EISDIR, EINVAL. */
function assertRegular(inode: Inode): void {
  const details = { where: { inode: inode.number } };
  if (inode.isDirectory) throw fileError('EISDIR', 'a directory is copied as a tree', details);
  if (!inode.isFile) throw fileError('EINVAL', 'it is not a regular file', details);
}

/** The file a job was started with, now that its turn has come. Throws ENOENT when it has gone, whoever has its number. */
function stillThere(volume: Volume, number: number, generation: number): Inode {
  if (volume.space.inodeState(volume.cache, number) === 'allocated') {
    const inode = volume.inode(number);
    if (inode.core.gen === generation) return inode;
  }
  throw fileError('ENOENT', 'the source was removed before its copy began', { where: { inode: number } });
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
