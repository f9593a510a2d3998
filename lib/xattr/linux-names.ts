/**
 * Between the attributes of the format (namespace bit + bare name) and Linux's (prefixed name): `user.`, `trusted.`,
 * `security.`, and the two POSIX ACLs, which have other names and another encoding on disk.
 */
import { ATTR, aclFromLinux, aclToLinux } from '../../formats/attribute.ts';

const bytes = (text: string): Uint8Array => Uint8Array.from(text, (char) => char.charCodeAt(0));

const PREFIXES = [
  { flags: ATTR.USER, prefix: bytes('user.') },
  { flags: ATTR.ROOT, prefix: bytes('trusted.') },
  { flags: ATTR.SECURE, prefix: bytes('security.') },
] as const;
const ACLS = [
  { linux: bytes('system.posix_acl_access'), disk: bytes('SGI_ACL_FILE') },
  { linux: bytes('system.posix_acl_default'), disk: bytes('SGI_ACL_DEFAULT') },
] as const;

const equal = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, i) => byte === b[i]);
const startsWith = (name: Uint8Array, prefix: Uint8Array): boolean =>
  name.length > prefix.length && prefix.every((byte, i) => byte === name[i]);

/** The bare name and namespace bit of a Linux attribute name; undefined for one that this format cannot hold. */
export function fromLinuxName(linux: Uint8Array): { flags: number; name: Uint8Array; acl: boolean } | undefined {
  const acl = ACLS.find((known) => equal(known.linux, linux));
  if (acl) return { flags: ATTR.ROOT, name: acl.disk, acl: true };
  const known = PREFIXES.find(({ prefix }) => startsWith(linux, prefix));
  return known && { flags: known.flags, name: linux.subarray(known.prefix.length), acl: false };
}

/** The Linux name of an attribute; undefined for what Linux does not show (parent pointers). */
export function toLinuxName(flags: number, name: Uint8Array): Uint8Array | undefined {
  const acl = aclOf(flags, name);
  if (acl) return acl.linux;
  const known = PREFIXES.find((entry) => entry.flags === flags);
  return known && join(known.prefix, name);
}

/**
 * A Linux attribute as it is stored; undefined when the name has no namespace here or an ACL's value is not one.
 * An XFS host lists an ACL twice, as `system.posix_acl_*` and as `trusted.SGI_ACL_*`: both give the same attribute.
 */
export function fromLinux(
  linux: Uint8Array,
  value: Uint8Array,
): { flags: number; name: Uint8Array; value: Uint8Array } | undefined {
  const found = fromLinuxName(linux);
  if (!found) return undefined;
  const stored = found.acl ? aclFromLinux(value) : value;
  return stored && { flags: found.flags, name: found.name, value: stored };
}

/** A stored attribute as Linux shows it. An ACL whose value is damaged keeps its raw form under `trusted.`. */
export function toLinux(
  flags: number,
  name: Uint8Array,
  value: Uint8Array,
): { name: Uint8Array; value: Uint8Array } | undefined {
  const acl = aclOf(flags, name);
  if (acl) {
    const converted = aclToLinux(value);
    return converted ? { name: acl.linux, value: converted } : { name: join(PREFIXES[1].prefix, name), value };
  }
  const linux = toLinuxName(flags, name);
  return linux && { name: linux, value };
}

function aclOf(flags: number, name: Uint8Array) {
  return flags === ATTR.ROOT ? ACLS.find((known) => equal(known.disk, name)) : undefined;
}
function join(prefix: Uint8Array, name: Uint8Array): Uint8Array {
  const out = new Uint8Array(prefix.length + name.length);
  out.set(prefix);
  out.set(name, prefix.length);
  return out;
}
