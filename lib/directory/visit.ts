/** Walking over entries without garbage: the callback gets numbers and the bytes in place. */
import { DIR_FREE_TAG, dirEntrySize, readShortInode, shortDirInodeSize } from '../../formats/directory.ts';
import { shortBytes, shortCount } from './short-form.ts';

/**
 * An entry: its name is bytes[nameStart..nameEnd), valid during the call only. `cookie` (byte offset / 8) grows with
 * every entry. Return false to stop.
 */
export type EntryVisitor = (
  inode: number,
  ftype: number,
  bytes: Uint8Array,
  nameStart: number,
  nameEnd: number,
  cookie: number,
) => boolean | void;

/** Visit a verified short form. */
export function visitShort(view: DataView, visit: EntryVisitor): void {
  const width = shortDirInodeSize(view);
  const data = shortBytes(view);
  let place = 2 + width;
  for (let left = shortCount(view); left > 0; left--) {
    const end = place + 3 + data[place]!;
    const inode = readShortInode(view, end + 1, width);
    if (visit(inode, data[end]!, data, place + 3, end, view.getUint16(place + 1) / 8) === false) return;
    place = end + 1 + width;
  }
}

/** Visit a verified data block, "." and ".." left out; false when the visitor stopped. */
export function visitData(view: DataView, data: Uint8Array, end: number, cookie: number, visit: EntryVisitor): boolean {
  for (let place = 64; place < end; ) {
    if (view.getUint16(place) === DIR_FREE_TAG) {
      place += view.getUint16(place + 2);
      continue;
    }
    const length = data[place + 8]!;
    const start = place + 9;
    const dots = data[start] === 0x2e && (length === 1 || (length === 2 && data[start + 1] === 0x2e));
    if (!dots) {
      const inode = view.getUint32(place) * 2 ** 32 + view.getUint32(place + 4);
      if (visit(inode, data[start + length]!, data, start, start + length, cookie + place / 8) === false) return false;
    }
    place += dirEntrySize(length);
  }
  return true;
}
