"""Makes a tree that holds every file type, name form, xattr form, time and mode that a host can have.

Usage: rich-tree.py ROOT [--block BYTES] [--entries N]
Deterministic. Needs root and a host file system that takes all of it (XFS does). Prints the number of objects made.
"""
import argparse
import os
import random
import socket
import stat
import struct

rng = random.Random(20240229)


def path(*parts):
    return b'/'.join((ROOT,) + parts)


def put(name, data=b'', mode=0o644):
    target = path(name)
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(fd, data) if data else None
    os.close(fd)
    os.chmod(target, mode)
    return target


def folder(name, mode=0o755):
    os.mkdir(path(name))
    os.chmod(path(name), mode)
    return name


def names():
    folder(b'names')
    every = bytes(b for b in range(1, 256) if b != 0x2f)
    put(b'names/' + every[:127], b'low')
    put(b'names/' + every[127:], b'high')
    put(b'names/' + b'\xff' * 255, b'long, not UTF-8')
    put(b'names/' + 'ä'.encode() * 127, b'long UTF-8')
    for text in (b' ', b'\n', b'new\nline', b'tab\t', b'-n', b'\\x41', b'...', b'..a', b'a' * 255, b'\xc3', b'*', b'con.'):
        put(b'names/' + text, text)


def types():
    folder(b'types')
    os.mkfifo(path(b'types/fifo'), 0o620)
    with socket.socket(socket.AF_UNIX) as bound:
        old = os.getcwd()
        os.chdir(path(b'types'))
        bound.bind('socket')
        os.chdir(old)
    for kind, letter in ((stat.S_IFCHR, b'c'), (stat.S_IFBLK, b'b')):
        for major, minor in ((0, 0), (1, 3), (5, 300), (259, 65535), (511, 262143)):
            os.mknod(path(b'types/%s-%d-%d' % (letter, major, minor)), kind | 0o640, os.makedev(major, minor))
    first = put(b'types/linked', b'one inode, many names')
    for i in range(40):
        os.link(first, path(b'types/link-%d' % i))
    os.link(path(b'types/fifo'), path(b'types/fifo-2'))
    for mode in (0o4755, 0o2755, 0o6711, 0o1644, 0o000, 0o7777):
        put(b'types/mode-%o' % mode, b'', mode)
    folder(b'types/sticky', 0o1777)
    folder(b'types/setgid', 0o2770)
    for number in (0, 1, 65534, 65535, 65536, 2 ** 31, 2 ** 32 - 2):
        os.chown(put(b'types/owner-%d' % number), number, 2 ** 32 - 2 - number)


def symlinks():
    folder(b'symlinks')
    for length in [*range(1, 16), *range(150, 172), *range(325, 345), 500, 800, 967, 968, 969, 1000, 1022, 1023]:
        # Parts of at most 200 bytes: a target is only a text, but a readable one.
        target = b'/'.join(b'%03d' % i + b'x' * 197 for i in range(6))[:length]
        os.symlink(target, path(b'symlinks/%d' % length))
    os.symlink(b'\xff\xfe\n', path(b'symlinks/bytes'))
    os.symlink(b'loop', path(b'symlinks/loop'))
    os.link(path(b'symlinks/1023'), path(b'symlinks/1023-again'), follow_symlinks=False)
    for length in (10, 160, 300, 1023):
        target = b'symlinks/with-xattr-%d' % length
        os.symlink(b't' * length, path(target))
        os.setxattr(path(target), 'trusted.of.link', b'v' * 40, follow_symlinks=False)
        os.setxattr(path(target), 'security.label', rng.randbytes(60), follow_symlinks=False)


def files():
    folder(b'files')
    for size in (0, 1, 100, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 10 * BLOCK, 10 * BLOCK + 7, 3_000_000):
        put(b'files/size-%d' % size, rng.randbytes(size))
    sparse = {
        b'all-hole': (1 << 20, []),
        b'huge-hole': (1 << 40, [((1 << 40) - 5, b'tail')]),
        b'hole-first': (300_000, [(262_144, rng.randbytes(30_000))]),
        b'hole-last': (10 << 20, [(0, rng.randbytes(100_000))]),
        b'unaligned': (5_000_001, [(123_457, rng.randbytes(3)), (2_000_003, rng.randbytes(77_777)), (4_999_999, b'xy')]),
        b'many': (8 << 20, [(i * 32768, rng.randbytes(4096)) for i in range(256)]),
    }
    for name, (size, pieces) in sparse.items():
        fd = os.open(put(b'files/' + name), os.O_WRONLY)
        os.ftruncate(fd, size)
        for at, data in pieces:
            os.pwrite(fd, data, at)
        os.close(fd)
    fd = os.open(put(b'files/preallocated', b'start'), os.O_WRONLY)
    os.posix_fallocate(fd, 0, 200_000)
    os.close(fd)


def acl(*entries):
    return struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *entry) for entry in entries)


NOBODY = 0xFFFFFFFF
SIMPLE = acl((1, 6, NOBODY), (2, 7, 1000), (4, 4, NOBODY), (0x10, 7, NOBODY), (0x20, 0, NOBODY))
WIDE = acl((1, 7, NOBODY), *[(2, i % 8, 1000 + i) for i in range(18)], (4, 5, NOBODY), (8, 3, 77), (8, 1, 2 ** 32 - 2),
           (0x10, 7, NOBODY), (0x20, 1, NOBODY))


def xattrs():
    folder(b'xattrs')
    for length in (0, 1, 60, 254, 255, 256, 300, 3000, 3068, 3072, 4040, 4096, 20_000, 65_535, 65_536):
        os.setxattr(put(b'xattrs/value-%d' % length, b'data'), 'user.v', rng.randbytes(length))
    many = put(b'xattrs/hundreds', rng.randbytes(5000))
    for i in range(700):
        os.setxattr(many, 'user.attribute-%d' % i, rng.randbytes(i % 90))
    long = put(b'xattrs/long-names')
    for i in range(60):
        os.setxattr(long, b'user.' + b'%02d' % i + b'n' * 248, rng.randbytes(100))
    mixed = put(b'xattrs/mixed', b'#!', 0o755)
    os.setxattr(mixed, 'user.mime', b'text/plain')
    os.setxattr(mixed, 'trusted.mime', b'another name space, same name')
    os.setxattr(mixed, 'user.\xff\udcfe'.encode('utf-8', 'surrogateescape'), b'name of bytes')
    os.setxattr(mixed, 'user.big', rng.randbytes(30_000))
    os.setxattr(mixed, 'user.big-2', rng.randbytes(9_000))
    os.setxattr(put(b'xattrs/capability', b'ELF', 0o755), 'security.capability',
                struct.pack('<IIIII', 0x02000001, 0x2000, 0, 0, 0))
    os.setxattr(put(b'xattrs/selinux'), 'security.selinux', b'system_u:object_r:etc_t:s0\0')
    for i in range(80):
        target = put(b'xattrs/edge-%d' % i, b'x' * (i * 50))
        os.setxattr(target, 'user.a', rng.randbytes(40 + i * 4))
    os.setxattr(put(b'xattrs/acl', b'secret'), 'system.posix_acl_access', SIMPLE)
    os.setxattr(put(b'xattrs/acl-wide', b'secret'), 'system.posix_acl_access', WIDE)
    folder(b'xattrs/acl-folder')
    os.setxattr(path(b'xattrs/acl-folder'), 'system.posix_acl_access', WIDE)
    os.setxattr(path(b'xattrs/acl-folder'), 'system.posix_acl_default', SIMPLE)
    put(b'xattrs/acl-folder/inherits', b'child')
    for name in (b'types/fifo', b'types/c-1-3', b'types/socket'):
        os.setxattr(path(name), 'trusted.t', b'of a special file')
    os.setxattr(path(b'types/b-5-300'), 'trusted.big', rng.randbytes(10_000))
    for i in range(400):
        os.setxattr(path(b'xattrs'), 'trusted.on-a-directory-%d' % i, rng.randbytes(50))


def directories():
    folder(b'directories')
    for count in (1, 2, 5, 8, 30, 60, 150, 600, ENTRIES):
        folder(b'directories/short-%d' % count)
        for i in range(count):
            os.close(os.open(path(b'directories/short-%d/%d' % (count, i)), os.O_CREAT | os.O_WRONLY, 0o644))
    count = ENTRIES // 2
    folder(b'directories/long')
    source = put(b'directories/long-source', b'the same for all')
    for i in range(count):
        os.link(source, path(b'directories/long/%06d' % i + b'-' * (40 + i * 7 % 209)))
    folder(b'directories/empty')
    deep = b'directories/deep'
    folder(deep)
    for level in range(150):
        deep += b'/%d' % level
        folder(deep)
    put(deep + b'/bottom', b'down here')
    for i in range(300):
        folder(b'directories/sub-%d' % i)


def times():
    folder(b'times')
    for name, ns in {
        b'before-1970': -86_400_000_000_001, b'first': 1, b'minus-one': -1, b'1901': -(2 ** 31) * 10 ** 9,
        b'after-2038': (2 ** 31 + 5) * 10 ** 9 + 999_999_999, b'2286': 10 ** 10 * 10 ** 9 + 7,
    }.items():
        os.utime(put(b'times/' + name), ns=(ns, ns))
    os.symlink(b'x', path(b'times/of-a-link'))
    os.utime(path(b'times/of-a-link'), ns=(5, 1_234_567_890_123_456_789), follow_symlinks=False)
    os.utime(path(b'types/fifo'), ns=(5, 1_111_111_111_111_111_111))
    os.utime(path(b'directories/empty'), ns=(7, 999_999_999_999_999_999))
    os.utime(path(b'names'), ns=(-7, -77))


def main():
    global ROOT, BLOCK, ENTRIES
    options = argparse.ArgumentParser()
    options.add_argument('root')
    options.add_argument('--block', type=int, default=4096)
    options.add_argument('--entries', type=int, default=6000)
    chosen = options.parse_args()
    ROOT, BLOCK, ENTRIES = os.fsencode(chosen.root), chosen.block, chosen.entries
    os.umask(0o022)
    for make in (names, types, symlinks, files, xattrs, directories, times):
        make()
    os.chown(path(b'types'), 12, 34)
    os.chmod(ROOT, 0o1751)
    os.chown(ROOT, 77, 88)
    os.setxattr(ROOT, 'user.of-the-root', b'yes')
    os.utime(ROOT, ns=(1_500_000_000_000_000_001, 1_600_000_000_000_000_002))
    print(sum(len(folders) + len(others) for _, folders, others in os.walk(ROOT)))


main()
