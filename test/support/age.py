"""Fills and ages a mounted file system, deterministically by seed: the same seed makes the same names, bytes and sequence.

Usage: age.py ROOT [--seed N] [--profile forms|random] [--ops N] [--dir-block BYTES] [--budget BYTES]
  forms   every directory, fork, attribute and symlink form once or more, then deletions that leave stale entries
  random  N operations (default 20000) over a growing and shrinking tree
Prints a JSON object: operations done, operations the file system does not have (by name), refusals by errno name.
Ends with status 1 on anything that means damage (EIO, EUCLEAN ...) and on any error that was not expected.
Only Python's standard library is used. Linux only.
"""
import argparse
import ctypes
import errno
import fcntl
import json
import os
import random
import stat
import struct
import sys

FICLONE = 0x40049409
FICLONERANGE = 0x4020940D
FIDEDUPERANGE = 0xC0189436
FSSETXATTR = 0x401C5820
EXCHANGE_RANGE = 0x40285881
KEEP_SIZE, PUNCH, COLLAPSE, ZERO, INSERT, UNSHARE = 0x01, 0x02, 0x08, 0x10, 0x20, 0x40
NO_FEATURE = (errno.EOPNOTSUPP, errno.ENOTTY)
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


class Ager:
    """The primitives; each counts itself and turns 'the file system has no such thing' into a count."""

    def __init__(self, root, seed):
        self.root = root
        self.rng = random.Random(seed)
        self.block = os.statvfs(root).f_bsize
        self.done = {}
        self.absent = {}
        self.refused = {}

    def count(self, table, name):
        table[name] = table.get(name, 0) + 1

    def attempt(self, name, call, *args, tolerate=()):
        """True when the call worked; False when the feature is absent, the disk is full or the error is tolerated."""
        try:
            call(*args)
        except OSError as error:
            if error.errno in NO_FEATURE:
                self.count(self.absent, name)
            elif error.errno in NO_ROOM or error.errno in tolerate:
                self.count(self.refused, name + ' ' + errno.errorcode.get(error.errno, str(error.errno)))
            else:
                raise
            return False
        self.count(self.done, name)
        return True

    def path(self, *names):
        return b'/'.join((self.root,) + names)

    def write(self, path, size, offset=0):
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            data = self.rng.randbytes(size)
            while data:
                put = os.pwrite(fd, data, offset)
                data = data[put:]
                offset += put
        finally:
            os.close(fd)

    def touch(self, path, mode=0o644):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, mode))

    def with_file(self, path, call):
        fd = os.open(path, os.O_RDWR)
        try:
            return call(fd)
        finally:
            os.close(fd)

    def fallocate(self, path, mode, offset, length):
        def call(fd):
            if libc.fallocate(fd, mode, offset, length) != 0:
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code))
        self.with_file(path, call)

    def clone(self, source, target, source_offset=0, length=0, target_offset=0):
        fd = os.open(source, os.O_RDONLY)
        try:
            out = os.open(target, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.ioctl(out, FICLONERANGE, struct.pack('=qQQQ', fd, source_offset, length, target_offset))
            finally:
                os.close(out)
        finally:
            os.close(fd)

    def dedupe(self, source, source_offset, length, target, target_offset):
        def call(fd):
            out = os.open(target, os.O_RDWR)
            try:
                request = bytearray(struct.pack('=QQHHI qQQiI', source_offset, length, 1, 0, 0, out, target_offset, 0, 0, 0))
                fcntl.ioctl(fd, FIDEDUPERANGE, request)
                status = struct.unpack_from('=i', request, 24 + 24)[0]
                if status < 0:
                    raise OSError(-status, os.strerror(-status))
            finally:
                os.close(out)
        self.with_file(source, call)

    def exchange(self, one, two, offset, length, flags=0):
        def call(fd):
            other = os.open(one, os.O_RDWR)
            try:
                fcntl.ioctl(fd, EXCHANGE_RANGE, struct.pack('=iIQQQQ', other, 0, offset, offset, length, flags))
            finally:
                os.close(other)
        self.with_file(two, call)

    def file_flags(self, path, xflags, extent_size=0, project=0):
        fd = os.open(path, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, FSSETXATTR, struct.pack('=IIIII8x', xflags, extent_size, 0, project, 0))
        finally:
            os.close(fd)

    def summary(self):
        return {'done': dict(sorted(self.done.items())), 'absent': dict(sorted(self.absent.items())),
                'refused': dict(sorted(self.refused.items()))}


def long_name(number, length=200):
    head = b'%06d-' % number
    return head + bytes([0x61 + (number + i) % 26 for i in range(length - len(head))])


def acl(*entries):
    """A POSIX ACL as the xattr system.posix_acl_* takes it: (tag, permissions, id)."""
    return struct.pack('<I', 2) + b''.join(struct.pack('<HHI', tag, perm, who) for tag, perm, who in entries)


USER_OBJ, USER, GROUP_OBJ, MASK, OTHER, NOBODY = 1, 2, 4, 0x10, 0x20, 0xFFFFFFFF


def directories(a, dir_block):
    base = a.path(b'dirs')
    os.mkdir(base)
    os.mkdir(base + b'/empty')

    def fill(name, count, make):
        directory = base + b'/' + name
        os.mkdir(directory)
        for i in range(count):
            a.touch(directory + b'/' + make(i))
        a.count(a.done, 'directory ' + name.decode())
        return directory

    short = fill(b'short', 3, lambda i: b'f%d' % i)
    fill(b'block', 30, lambda i: b'entry-%03d' % i)
    # A leaf directory: more data than one block, hash entries still in one.
    leaf = fill(b'leaf', dir_block // 20, lambda i: b'leaf-entry-%05d' % i)
    # A node directory: more entries than one hash block of 8 bytes each can hold.
    node = fill(b'node', dir_block // 8 + 200, lambda i: b'%x-node' % (i * 2654435761 % 2**32))
    # Two directories growing in turn, so that neither gets its blocks in one piece: forks become trees.
    pair = [base + b'/long-a', base + b'/long-b']
    for directory in pair:
        os.mkdir(directory)
    long_names = (80 if dir_block <= 4096 else 30) * dir_block // 220
    for i in range(long_names):
        for directory in pair:
            a.touch(directory + b'/' + long_name(i))
    # All names with the same hash input length and many equal prefixes, and subdirectories, moved about.
    nested = base + b'/nested'
    os.mkdir(nested)
    deep = nested
    for i in range(40):
        deep += b'/d%d' % i
        os.mkdir(deep)
    os.rename(nested + b'/d0/d1/d2', nested + b'/moved')
    # Deletions that leave stale entries, free space inside blocks, empty blocks, and forms to go back to.
    for i in range(0, long_names, 3):
        os.unlink(pair[0] + b'/' + long_name(i))
    for name in sorted(os.listdir(node))[100:400:2]:
        os.unlink(node + b'/' + name)
    for name in sorted(os.listdir(leaf))[::4]:
        os.unlink(leaf + b'/' + name)
    shrunk = fill(b'shrunk', dir_block // 16, lambda i: b'shrunk-%05d' % i)
    for name in sorted(os.listdir(shrunk))[3:]:
        os.unlink(shrunk + b'/' + name)
    emptied = fill(b'emptied', dir_block // 16, lambda i: b'emptied-%05d' % i)
    for name in os.listdir(emptied):
        os.unlink(emptied + b'/' + name)
    os.rename(short + b'/f1', short + b'/renamed')


def odd_names(a):
    base = a.path(b'odd names')
    os.mkdir(base)
    names = [b' ', b'new\nline', b'tab\tand space', b'\xff\xfe not utf-8', b'\x01\x02\x7f', b'-rf', b'*', b'%41', b'"quoted"',
             b'back\\slash', b'x' * 255, b'\xc3\xa4\xc3\xb6\xc3\xbc', b'\xf0\x9f\x97\xba', b'...', b'.hidden', b'a:b', b'\xed\xa0\x80']
    for name in names:
        a.write(base + b'/' + name, 10)
    a.count(a.done, 'odd names')


def attributes(a):
    base = a.path(b'attributes')
    os.mkdir(base)

    def fresh(name, folder=False):
        path = base + b'/' + name
        os.mkdir(path) if folder else a.write(path, 100)
        return path

    for size in (0, 1, 60, 300, 3000, 60000, 65536):
        path = fresh(b'value-%d' % size)
        a.attempt('xattr %d' % size, os.setxattr, path, b'user.value', a.rng.randbytes(size))
    path = fresh(b'namespaces')
    os.setxattr(path, b'user.name', b'user value')
    # trusted and security are root's; an ordinary user ages without them.
    a.attempt('xattr trusted', os.setxattr, path, b'trusted.name', b'trusted value', tolerate=(errno.EPERM,))
    a.attempt('xattr security', os.setxattr, path, b'security.cadastre', b'security value', tolerate=(errno.EPERM,))
    a.attempt('acl access', os.setxattr, path, b'system.posix_acl_access',
              acl((USER_OBJ, 6, NOBODY), (USER, 4, 1000), (GROUP_OBJ, 4, NOBODY), (MASK, 4, NOBODY), (OTHER, 0, NOBODY)))
    folder = fresh(b'folder', folder=True)
    a.attempt('acl default', os.setxattr, folder, b'system.posix_acl_default',
              acl((USER_OBJ, 7, NOBODY), (USER, 5, 1001), (GROUP_OBJ, 5, NOBODY), (MASK, 5, NOBODY), (OTHER, 0, NOBODY)))
    a.touch(folder + b'/inherits')
    os.mkdir(folder + b'/inherits-too')
    for i in range(3):
        os.setxattr(folder, b'user.folder-%d' % i, a.rng.randbytes(40))
    a.touch(fresh(b'long-name'))
    os.setxattr(base + b'/long-name', b'user.' + b'n' * 250, b'v')
    os.setxattr(base + b'/long-name', b'user.\xff\n odd', b'v')
    # One block of attributes; then many blocks with a node on top.
    few = fresh(b'leaf')
    for i in range(12):
        os.setxattr(few, b'user.leaf-%02d' % i, a.rng.randbytes(40 + i))
    many = fresh(b'node')
    for i in range(700):
        os.setxattr(many, b'user.node-attribute-%04d' % i, a.rng.randbytes(i % 200))
    for i in range(0, 700, 3):
        os.removexattr(many, b'user.node-attribute-%04d' % i)
    for i in range(1, 700, 30):
        os.setxattr(many, b'user.node-attribute-%04d' % i, a.rng.randbytes(250))
    # Two files whose attribute forks grow in turn: forks in many extents, then as trees; values remote and local mixed.
    pair = [fresh(b'tree-a'), fresh(b'tree-b')]
    value = max(3 * a.block // 2, 3000)
    for i in range(40):
        for path in pair:
            a.attempt('xattr tree', os.setxattr, path, b'user.tree-%02d' % i, a.rng.randbytes(min(value, 65536)))
    for i in range(0, 40, 5):
        os.removexattr(pair[0], b'user.tree-%02d' % i)
    gone = fresh(b'all-removed')
    for i in range(40):
        os.setxattr(gone, b'user.gone-%02d' % i, a.rng.randbytes(80))
    for i in range(40):
        os.removexattr(gone, b'user.gone-%02d' % i)
    os.symlink(b'target', base + b'/link')
    a.attempt('xattr symlink', lambda: os.setxattr(base + b'/link', b'trusted.link', b'on a symlink', follow_symlinks=False),
              tolerate=(errno.EPERM,))


def files(a):
    base = a.path(b'files')
    os.mkdir(base)
    block = a.block
    a.touch(base + b'/empty')
    for size in (1, 511, 512, block - 1, block, block + 1, 3 * block + 7, 200000):
        a.write(base + b'/size-%d' % size, size)
    # Every second block punched: one extent a block, so that the fork becomes a tree (two levels with small blocks).
    blocks = 3000 if block <= 1024 else 1200 if block <= 4096 else 200
    path = base + b'/fragmented'
    a.write(path, blocks * block)
    for i in range(0, blocks, 2):
        a.fallocate(path, PUNCH | KEEP_SIZE, i * block, block)
    a.count(a.done, 'punch')
    path = base + b'/nine-extents'
    for i in range(9):
        a.write(path, block, i * 3 * block)
    path = base + b'/unwritten'
    a.touch(path)
    a.attempt('fallocate', a.fallocate, path, 0, 0, 40 * block)
    a.write(path, 5 * block // 2, 3 * block)
    a.write(path, 100, 30 * block + 17)
    path = base + b'/beyond-eof'
    a.write(path, 100)
    a.attempt('fallocate keep size', a.fallocate, path, KEEP_SIZE, 0, 20 * block)
    path = base + b'/hole-only'
    a.touch(path)
    os.truncate(path, 1000 * block + 1)
    path = base + b'/hole-first'
    a.write(path, 100, 1 << 30)
    path = base + b'/far'
    a.write(path, 100, (1 << 43) + 12345)
    path = base + b'/truncated'
    a.write(path, 10 * block)
    os.truncate(path, 4 * block + 100)
    for name, mode, size in ((b'zeroed', ZERO, 30), (b'collapsed', COLLAPSE, 30), (b'inserted', INSERT, 30)):
        path = base + b'/' + name
        a.write(path, size * block)
        a.attempt('fallocate ' + name.decode(), a.fallocate, path, mode, 4 * block, 5 * block)
        a.attempt('fallocate ' + name.decode(), a.fallocate, path, mode, 12 * block, 3 * block)
    sharing(a, base)
    a.touch(base + b'/extent-size')
    a.attempt('extent size', a.file_flags, base + b'/extent-size', 0x800, 16 * block)
    a.write(base + b'/extent-size', block)
    a.write(base + b'/flags', 10)
    a.attempt('inode flags', a.file_flags, base + b'/flags', 0x80 | 0x40)
    os.mkdir(base + b'/project')
    a.attempt('project', a.file_flags, base + b'/project', 0x200, 0, 4242)
    a.write(base + b'/project/inherits', 10)
    # Deleted to leave free inodes and holes in the middle of chunks.
    many = base + b'/many'
    os.mkdir(many)
    for i in range(600):
        a.write(many + b'/%d' % i, 1 + i % 700)
    for i in range(600):
        if i % 7 in (1, 2, 5) or 128 <= i < 330:
            os.unlink(many + b'/%d' % i)


def sharing(a, base):
    block = a.block
    source = base + b'/shared-source'
    a.write(source, 64 * block)
    if not a.attempt('reflink', a.clone, source, base + b'/clone-whole'):
        os.unlink(base + b'/clone-whole')
        return
    for i in range(20):
        a.attempt('reflink range', a.clone, source, base + b'/clone-%d' % i, (i % 9) * block, (3 + i) * block, i % 4 * block)
    # Copies written to again: private extents inside shared ones.
    a.write(base + b'/clone-whole', 3 * block // 2, 10 * block)
    a.write(source, block, 33 * block)
    self_clone = base + b'/clone-self'
    a.write(self_clone, 16 * block)
    a.attempt('reflink self', a.clone, self_clone, self_clone, 0, 4 * block, 8 * block)
    one, two = base + b'/dedupe-one', base + b'/dedupe-two'
    data = a.rng.randbytes(20 * block)
    for path in (one, two):
        with open(path, 'wb') as file:
            file.write(data)
    a.attempt('dedupe', a.dedupe, one, 2 * block, 10 * block, two, 2 * block)
    a.attempt('unshare', a.fallocate, two, UNSHARE, 4 * block, 2 * block)
    # The same blocks mapped many times, in a pattern: refcounts of many heights.
    woven = base + b'/woven'
    for i in range(120):
        a.attempt('reflink woven', a.clone, source, woven, (i * 7 % 60) * block, block, 2 * i * block)
    a.attempt('exchange', a.exchange, base + b'/clone-whole', base + b'/clone-0', 0, block)
    os.unlink(base + b'/clone-3')
    os.truncate(base + b'/clone-5', 2 * block)


def others(a):
    base = a.path(b'others')
    os.mkdir(base)
    a.write(base + b'/linked', 1000)
    for i in range(5):
        os.link(base + b'/linked', base + b'/link-%d' % i)
    os.mkdir(base + b'/elsewhere')
    os.link(base + b'/linked', base + b'/elsewhere/linked')
    os.unlink(base + b'/link-2')
    for length in (1, 30, 150, 300, 340, 500, 1000, 1023):
        os.symlink((b'/target' * 200)[:length], base + b'/symlink-%d' % length)
    os.symlink(b'\xff not utf-8 \n', base + b'/symlink-odd')
    for name, kind, device in ((b'char', stat.S_IFCHR, (1, 3)), (b'block', stat.S_IFBLK, (259, 70000)),
                               (b'char-big', stat.S_IFCHR, (511, 262143))):
        a.attempt('device', os.mknod, base + b'/' + name, 0o640 | kind, os.makedev(*device), tolerate=(errno.EPERM,))
    os.mkfifo(base + b'/fifo', 0o600)
    os.mknod(base + b'/socket', 0o755 | stat.S_IFSOCK)
    for mode in (0o000, 0o4755, 0o2755, 0o1777, 0o7777):
        a.write(base + b'/mode-%04o' % mode, 5)
        os.chmod(base + b'/mode-%04o' % mode, mode)
    os.mkdir(base + b'/sticky')
    os.chmod(base + b'/sticky', 0o3775)
    a.write(base + b'/owned', 5)
    a.attempt('chown', os.chown, base + b'/owned', 123456, 4000000000, tolerate=(errno.EPERM,))
    for name, when in ((b'epoch', 0), (b'before', -1500000000), (b'old', -86400 * 365 * 60 * 10**9 + 1), (b'nanoseconds', 1234567890123456789),
                       (b'after-2038', 4102444800 * 10**9 + 999999999), (b'end', 16299260424 * 10**9)):
        a.write(base + b'/time-' + name, 5)
        os.utime(base + b'/time-' + name, ns=(when, when))
    a.count(a.done, 'others')


def forms(a, dir_block):
    directories(a, dir_block)
    odd_names(a)
    attributes(a)
    files(a)
    others(a)


class RandomLoad:
    """Random operations; the tree is known only by name lists, so that nothing has to be looked up before an operation."""

    def __init__(self, ager, budget):
        self.a = ager
        self.rng = ager.rng
        self.budget = budget
        self.base = ager.path(b'random')
        os.mkdir(self.base)
        self.folders = [self.base]
        self.files = []
        self.others = []
        self.number = 0
        self.chunk = max(ager.block, 4096)

    def name(self):
        self.number += 1
        folder = self.rng.choice(self.folders)
        kind = self.rng.random()
        if kind < 0.6:
            return folder + b'/f%d' % self.number
        if kind < 0.9:
            return folder + b'/' + long_name(self.number, self.rng.randrange(10, 120))
        return folder + b'/' + long_name(self.number, 255)

    def file(self):
        return self.rng.choice(self.files)

    def place(self, limit=64):
        return self.rng.randrange(limit) * self.chunk

    def length(self, limit=12):
        return self.rng.randrange(1, limit) * self.chunk

    def create(self):
        path = self.name()
        self.a.write(path, self.rng.choice((0, 10, 700, 5000, 30000, 100000)))
        self.files.append(path)

    def overwrite(self):
        self.a.write(self.file(), self.rng.randrange(1, 20000), self.rng.randrange(64 * self.chunk))

    def truncate(self):
        os.truncate(self.file(), self.rng.randrange(64 * self.chunk))

    def remove(self):
        index = self.rng.randrange(len(self.files))
        os.unlink(self.files[index])
        self.files[index] = self.files[-1]
        self.files.pop()

    def remove_other(self):
        if self.others:
            os.unlink(self.others.pop(self.rng.randrange(len(self.others))))

    def folder(self):
        path = self.name()
        os.mkdir(path)
        if len(self.folders) < 60:
            self.folders.append(path)
        else:
            os.rmdir(path)

    def link(self):
        path = self.name()
        os.link(self.file(), path)
        self.files.append(path)

    def symlink(self):
        path = self.name()
        os.symlink(b's' * self.rng.choice((5, 60, 400, 1000)), path)
        self.others.append(path)

    def special(self):
        path = self.name()
        os.mkfifo(path)
        self.others.append(path)

    def rename(self):
        index = self.rng.randrange(len(self.files))
        path = self.name()
        os.rename(self.files[index], path)
        self.files[index] = path

    def replace(self):
        """Rename over an existing file."""
        if len(self.files) < 2:
            return
        source = self.files.pop(self.rng.randrange(len(self.files)))
        target = self.file()
        os.rename(source, target)
        if os.path.lexists(source):  # two names of one file: rename does nothing
            self.files.append(source)

    def clone(self):
        source, path = self.file(), self.name()
        try:
            self.a.clone(source, path)
        finally:
            if os.path.lexists(path):
                self.files.append(path)

    def clone_range(self):
        self.a.clone(self.file(), self.file(), self.place(), self.length(), self.place())

    def dedupe(self):
        source, target = self.file(), self.file()
        where = self.place(16)
        length = self.length(4)
        with open(source, 'rb') as file:
            file.seek(where)
            data = file.read(length)
        if len(data) < length:
            return
        fd = os.open(target, os.O_RDWR)
        os.pwrite(fd, data, where)
        os.close(fd)
        self.a.dedupe(source, where, length, target, where)

    def allocate(self, mode):
        return lambda: self.a.fallocate(self.file(), mode, self.place(), self.length())

    def exchange(self):
        one, two = self.file(), self.file()
        self.a.exchange(one, two, 0, 0, 1)

    def set_attribute(self):
        size = self.rng.choice((0, 5, 60, 60, 300, 300, 3000, 20000))
        os.setxattr(self.attribute_file(), b'user.a%d' % self.rng.randrange(60), self.rng.randbytes(size))

    def remove_attribute(self):
        os.removexattr(self.attribute_file(), b'user.a%d' % self.rng.randrange(60))

    def attribute_file(self):
        """Mostly one of a few files, so that theirs grow into blocks and trees."""
        return self.files[self.rng.randrange(min(8, len(self.files)))] if self.rng.random() < 0.8 else self.file()

    def change_mode(self):
        path = self.file()
        os.chmod(path, self.rng.randrange(0o10000))
        self.a.attempt('chown', os.chown, path, self.rng.randrange(70000), self.rng.randrange(70000), tolerate=(errno.EPERM,))
        if os.geteuid() != 0:
            os.chmod(path, 0o644)

    def relieve(self):
        """Deletes a third of all files: the file system is full, or the budget is used up."""
        self.rng.shuffle(self.files)
        for _ in range(len(self.files) // 3):
            os.unlink(self.files.pop())

    def run(self, count):
        operations = [
            (self.create, 14), (self.overwrite, 14), (self.truncate, 4), (self.remove, 6), (self.remove_other, 3), (self.folder, 2),
            (self.link, 3), (self.symlink, 3), (self.special, 1), (self.rename, 5), (self.replace, 2), (self.clone, 5),
            (self.clone_range, 7), (self.dedupe, 3), (self.allocate(0), 3), (self.allocate(KEEP_SIZE), 2),
            (self.allocate(PUNCH | KEEP_SIZE), 6), (self.allocate(ZERO), 3), (self.allocate(COLLAPSE), 2), (self.allocate(INSERT), 2),
            (self.allocate(UNSHARE), 1), (self.exchange, 2), (self.set_attribute, 8), (self.remove_attribute, 3), (self.change_mode, 2),
        ]
        names = ['create', 'overwrite', 'truncate', 'remove', 'remove other', 'folder', 'link', 'symlink', 'special', 'rename', 'replace',
                 'clone', 'clone range', 'dedupe', 'allocate', 'allocate keep size', 'punch', 'zero', 'collapse', 'insert', 'unshare',
                 'exchange', 'set attribute', 'remove attribute', 'change mode']
        weights = [weight for _, weight in operations]
        tolerate = (errno.EINVAL, errno.ENODATA, errno.EFBIG, errno.EBADE, errno.ETXTBSY, errno.EMLINK)
        for i in range(count):
            if not self.files:
                self.create()
            index = self.rng.choices(range(len(operations)), weights)[0]
            self.a.attempt(names[index], operations[index][0], tolerate=tolerate)
            if i % 200 == 0:
                space = os.statvfs(self.base)
                used = (space.f_blocks - space.f_bfree) * space.f_frsize
                if used > self.budget or space.f_bavail * 10 < space.f_blocks:
                    self.relieve()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('root')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--profile', choices=('forms', 'random'), default='forms')
    parser.add_argument('--ops', type=int, default=20000)
    parser.add_argument('--dir-block', type=int, default=4096)
    parser.add_argument('--budget', type=int, default=160 << 20)
    options = parser.parse_args()
    os.umask(0o022)
    ager = Ager(os.fsencode(options.root), options.seed)
    try:
        if options.profile == 'forms':
            forms(ager, options.dir_block)
        else:
            RandomLoad(ager, options.budget).run(options.ops)
    finally:
        print(json.dumps(ager.summary()))
        sys.stdout.flush()


main()
