/** The tree of an image in the shape of the model's states. */
import { MODE } from '../../formats/inode.ts';
import type { Inode } from '../../lib/file/inode.ts';
import { readSymlink } from '../../lib/file/symlink.ts';
import { listXattrs } from '../../lib/volume/metadata.ts';
import type { Volume } from '../../lib/volume/volume.ts';
import { everyObject } from '../support/every-object.ts';
import { describeObject, type Entry, hashOf, type State, valueText } from './model.ts';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

/** Everything in a volume, read through its cache: also while it is being edited. */
export function stateOf(volume: Volume): State {
  const state = new Map<string, Entry>();
  everyObject(volume, '/', (path, inode) => {
    state.set(text(path), entryOf(volume, inode));
  });
  return state;
}

function entryOf(volume: Volume, inode: Inode): Entry {
  const mode = inode.mode & 0o7777;
  const { nlink } = inode.core;
  const id = inode.number;
  const xattrs = new Map(listXattrs(inode).map(({ name, value }) => [text(name), valueText(value)]));
  if (inode.type === MODE.DIR)
    return { id, text: describeObject('d', mode, nlink, 0, '', xattrs), content: undefined, hash: '' };
  if (inode.type === MODE.SYMLINK) {
    const target = text(readSymlink(inode));
    return { id, text: describeObject('l', mode, nlink, 0, target, xattrs), content: undefined, hash: '' };
  }
  const content = new Uint8Array(inode.size);
  volume.fileReader(inode).read(0, content);
  return {
    id,
    text: describeObject('f', mode, nlink, inode.size, '', xattrs),
    content,
    hash: hashOf(content),
  };
}
