/** What the independent reader found, in the shape of test/support/digest.ts, so that it can be compared with a host tree. */
import { contentDigest, escapeBytes, type TreeEntry, timeDigest, xattrDigest } from '../support/digest.ts';
import type { Attribute } from './files.ts';
import type { FileInfo, ReadImage } from './reader.ts';

/** FORMAT.md 10.1: the name Linux shows, and the value, which differs for ACLs. */
function toLinux({ flags, name, value }: Attribute): { name: Uint8Array; value: Uint8Array } {
  const bare = Buffer.from(name).toString('latin1');
  const space = flags & 0xe;
  const acl: Record<string, string> = {
    SGI_ACL_FILE: 'system.posix_acl_access',
    SGI_ACL_DEFAULT: 'system.posix_acl_default',
  };
  if (space === 2 && acl[bare]) return { name: Buffer.from(acl[bare]), value: toLinuxAcl(value) };
  const prefix = { 0: 'user.', 2: 'trusted.', 4: 'security.' }[space];
  return { name: Buffer.from(prefix + bare, 'latin1'), value };
}

function toLinuxAcl(value: Uint8Array): Uint8Array {
  const from = Buffer.from(value);
  const count = from.readUInt32BE(0);
  const into = Buffer.alloc(4 + 8 * count);
  into.writeUInt32LE(2, 0);
  for (let i = 0; i < count; i++) {
    into.writeUInt16LE(from.readUInt32BE(4 + 12 * i), 4 + 8 * i);
    into.writeUInt16LE(from.readUInt16BE(4 + 12 * i + 8), 4 + 8 * i + 2);
    into.writeUInt32LE(from.readUInt32BE(4 + 12 * i + 4), 4 + 8 * i + 4);
  }
  return into;
}

/** Digest of all content, holes included. */
function sha256(info: FileInfo, blockSize: number): string {
  if (info.sha256) return info.sha256;
  const nextData = (offset: number): number => {
    const extent = info.written.find((each) => (each.fileBlock + each.count) * blockSize > offset);
    return extent ? Math.max(offset, extent.fileBlock * blockSize) : info.size;
  };
  const read = (offset: number, into: Uint8Array): void => {
    for (let at = 0; at < into.length; ) {
      const inBlock = (offset + at) % blockSize;
      const piece = info.block((offset + at - inBlock) / blockSize).subarray(inBlock, inBlock + into.length - at);
      into.set(piece, at);
      at += piece.length;
    }
  };
  return contentDigest(info.size, read, nextData);
}

/** The tree, in the order of digestTree. */
export function asDigest({ tree, blockSize }: ReadImage): TreeEntry[] {
  return [...tree]
    .sort(([a], [b]) => Buffer.compare(Buffer.from(a, 'latin1'), Buffer.from(b, 'latin1')))
    .map(([path, info]) => {
      const second = 1_000_000_000n;
      const nanoseconds = ((info.mtime % second) + second) % second;
      const entry: TreeEntry = {
        path: escapeBytes(Buffer.from(path, 'latin1')) || '/',
        type: info.type as TreeEntry['type'],
        mode: info.mode,
        uid: info.uid,
        gid: info.gid,
        nlink: info.nlink,
        size: info.size,
        mtime: timeDigest(Number((info.mtime - nanoseconds) / second), Number(nanoseconds)),
      };
      if (info.type === 'char' || info.type === 'block') entry.rdev = `${info.device.major}:${info.device.minor}`;
      if (info.target) entry.target = escapeBytes(info.target);
      if (info.type === 'file') entry.sha256 = sha256(info, blockSize);
      const xattrs = info.attributes.map(toLinux).sort((a, b) => Buffer.compare(a.name, b.name));
      if (xattrs.length > 0) {
        entry.xattrs = Object.fromEntries(xattrs.map((each) => [escapeBytes(each.name), xattrDigest(each.value)]));
      }
      return entry;
    });
}

/** Without what a mounted XFS shows to root a second time: ACLs in their raw form under `trusted.`. */
export function withoutRawAcls(entries: TreeEntry[]): TreeEntry[] {
  return entries.map((entry) => {
    if (!entry.xattrs) return entry;
    const kept = Object.entries(entry.xattrs).filter(([name]) => !name.startsWith('trusted.SGI_ACL_'));
    const { xattrs: _, ...rest } = entry;
    return kept.length > 0 ? { ...rest, xattrs: Object.fromEntries(kept) } : rest;
  });
}
