/**
 * POSIX ACLs as changes of modes and new objects need them. On disk they are attributes of the root namespace
 * (formats/attribute.ts); an object's mode and its access ACL say the same: owner, mask (or group) and other.
 */
import { AclEntry, ATTR } from '../../formats/attribute.ts';
import { MODE, S_IFMT } from '../../formats/inode.ts';
import { corrupt, fileError } from '../errors.ts';
import type { Inode } from '../file/inode.ts';
import { readFork } from '../file/inode-fork-blocks.ts';
import { getAttribute } from '../xattr/read.ts';

const name = (text: string): Uint8Array => new TextEncoder().encode(text);
/** Attribute names, in the namespace ATTR.ROOT. */
export const ACL_ACCESS = name('SGI_ACL_FILE');
export const ACL_DEFAULT = name('SGI_ACL_DEFAULT');

/** True for the (bare) name of either ACL. */
export function isAclName(flags: number, name: Uint8Array): boolean {
  return flags === ATTR.ROOT && (equal(name, ACL_ACCESS) || equal(name, ACL_DEFAULT));
}

const equal = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, i) => byte === b[i]);

/** Tags of entries, in the order in which they must stand. */
const TAG = { OWNER: 1, USER: 2, GROUP_OWNER: 4, GROUP: 8, MASK: 16, OTHER: 32 } as const;
const HEADER = 4;

const entry = AclEntry.view();

/** Where the entries that mirror the mode are in a value; named entries besides them: more than a mode can say. */
interface Outline {
  readonly view: DataView;
  readonly owner: number;
  readonly group: number;
  readonly mask: number | undefined;
  readonly other: number;
  readonly hasNamed: boolean;
}

/** Undefined when the entries are not those of an ACL: each needed one once, in order, named ones in order with a mask. */
function outlineOf(value: Uint8Array): Outline | undefined {
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  if (value.length < HEADER || value.length !== HEADER + view.getUint32(0) * AclEntry.size) return undefined;
  const places = new Map<number, number>();
  let last = 0;
  for (let at = HEADER; at < value.length; at += AclEntry.size) {
    const { tag, perm } = entry.at(view, at);
    const isNamed = tag === TAG.USER || tag === TAG.GROUP;
    const isKnown = isNamed || Object.values(TAG).some((each) => each === tag);
    if (!isKnown || perm > 7 || tag < last || (tag === last && !isNamed)) return undefined;
    places.set(tag, at);
    last = tag;
  }
  const [owner, group, other] = [places.get(TAG.OWNER), places.get(TAG.GROUP_OWNER), places.get(TAG.OTHER)];
  const mask = places.get(TAG.MASK);
  const hasNamed = places.has(TAG.USER) || places.has(TAG.GROUP);
  if (owner === undefined || group === undefined || other === undefined || (hasNamed && mask === undefined)) {
    return undefined;
  }
  return { view, owner, group, mask, other, hasNamed };
}

/** An ACL of an inode as it is stored: a copy. Undefined when there is none. */
function aclOf(inode: Inode, attribute: Uint8Array): Uint8Array | undefined {
  if (inode.core.forkoff === 0) return undefined;
  return getAttribute(readFork(inode, 'attr'), ATTR.ROOT, attribute)?.slice();
}

/** What an object that is made in a directory gets. */
export interface InheritedAcl {
  /** Type, set-id and permission bits. */
  readonly mode: number;
  /** Undefined when the mode says it all. */
  readonly access: Uint8Array | undefined;
  /** Directories hand the default on. */
  readonly default: Uint8Array | undefined;
}

/**
 * The directory's default ACL, cut down to the mode that is asked for. Undefined for symlinks, and when the directory has
 * none: only then a umask counts. Throws `corrupt` ACL_BAD.
 */
export function inheritedAcl(directory: Inode, mode: number): InheritedAcl | undefined {
  const type = mode & S_IFMT;
  if (type === MODE.SYMLINK) return undefined;
  const handedDown = aclOf(directory, ACL_DEFAULT);
  if (!handedDown) return undefined;
  const access = handedDown.slice();
  const outline = outlineOf(access);
  if (!outline) {
    throw corrupt('ACL_BAD', `inode ${directory.number}: its default ACL is none`, {
      where: { inode: directory.number },
    });
  }
  const { view, owner, group, mask, other } = outline;
  /** Neither the mode nor the ACL allows more than both do. */
  const both = (at: number, shift: number): number => {
    const allowed = entry.at(view, at).perm & (mode >> shift) & 7;
    entry.perm = allowed;
    return allowed << shift;
  };
  const permissions = both(owner, 6) | both(mask ?? group, 3) | both(other, 0);
  return {
    mode: (mode & ~0o777) | permissions,
    access: mask === undefined ? undefined : access,
    default: type === MODE.DIR ? handedDown : undefined,
  };
}

/** The access ACL of an inode that gets this mode; undefined when it has none. */
export function aclWithMode(inode: Inode, mode: number): Uint8Array | undefined {
  const acl = aclOf(inode, ACL_ACCESS);
  const outline = acl && outlineOf(acl);
  if (!outline) return undefined;
  const { view, owner, group, mask, other } = outline;
  entry.at(view, owner).perm = (mode >> 6) & 7;
  entry.at(view, mask ?? group).perm = (mode >> 3) & 7;
  entry.at(view, other).perm = mode & 7;
  return acl;
}

/**
 * What setting an access ACL makes of a mode; `needed`: the ACL says more than that mode. Throws EINVAL when the value is no
 * ACL.
 */
export function modeWithAcl(value: Uint8Array, mode: number): { mode: number; needed: boolean } {
  const outline = outlineOf(value);
  if (!outline) throw fileError('EINVAL', 'not a valid ACL');
  const { view, owner, group, mask, other } = outline;
  const perm = (at: number): number => entry.at(view, at).perm;
  const permissions = (perm(owner) << 6) | (perm(mask ?? group) << 3) | perm(other);
  return { mode: (mode & ~0o777) | permissions, needed: mask !== undefined };
}

/** Throws EINVAL when the value is no ACL, EACCES when the inode is no directory. */
export function assertDefaultAcl(value: Uint8Array, inode: Inode): void {
  if (!inode.isDirectory) throw fileError('EACCES', 'only directories have a default ACL');
  if (!outlineOf(value)) throw fileError('EINVAL', 'not a valid ACL');
}
