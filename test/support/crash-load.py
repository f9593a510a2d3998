"""Load for crash tests: several processes that keep an XFS file system in the middle of deferred work, until the time is up.

Usage: crash-load.py ROOT SECONDS [SEED]
Extents are shared, punched, collapsed and freed piece by piece, directories and attributes grow and shrink, files lose
their names while they are open, and one process forces the log all the time, so that chains of transactions are cut
between their steps. Errors that a full, shut down or featureless file system gives end a step, not the load.
"""
import ctypes
import fcntl
import os
import random
import struct
import sys
import time

FICLONERANGE = 0x4020940D
EXCHANGE_RANGE = 0x40285881
TO_EOF, WRITTEN_ONLY = 1, 16
KEEP_SIZE, PUNCH, COLLAPSE, INSERT = 0x01, 0x02, 0x08, 0x20
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


def clone(source, at, length, target, to):
    fcntl.ioctl(target, FICLONERANGE, struct.pack('=qQQQ', source, at, length, to))


def allocate(fd, mode, at, length):
    if libc.fallocate(fd, mode, at, length) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def sharing(rng, base, block):
    """A file woven from pieces of another one, overwritten here and there, then cut and removed."""
    source = os.open(base + '/source', os.O_RDWR | os.O_CREAT, 0o644)
    os.pwrite(source, rng.randbytes(block) * 256, 0)
    os.fsync(source)
    name = base + '/woven-%d' % rng.randrange(4)
    target = os.open(name, os.O_RDWR | os.O_CREAT, 0o644)
    for i in range(200):
        clone(source, rng.randrange(250) * block, block * rng.randrange(1, 5), target, 2 * i * block)
    for _ in range(20):
        os.pwrite(target, rng.randbytes(block), rng.randrange(400) * block)
    os.ftruncate(target, rng.randrange(200) * block)
    os.close(target)
    os.close(source)
    if rng.random() < 0.7:
        os.unlink(name)


def holes(rng, base, block):
    """A file with an extent a block, shifted as a whole, then freed."""
    name = base + '/holes-%d' % rng.randrange(4)
    fd = os.open(name, os.O_RDWR | os.O_CREAT, 0o644)
    os.pwrite(fd, rng.randbytes(block) * 300, 0)
    for i in range(0, 300, 2):
        allocate(fd, PUNCH | KEEP_SIZE, i * block, block)
    allocate(fd, COLLAPSE, 10 * block, 5 * block)
    allocate(fd, INSERT, 20 * block, 3 * block)
    os.ftruncate(fd, rng.randrange(250) * block)
    os.close(fd)
    if rng.random() < 0.8:
        os.unlink(name)


def exchange(rng, base, block):
    """Two files of many extents each that swap their content, sizes and all."""
    pair = [os.open(base + '/exchanged-%d' % i, os.O_RDWR | os.O_CREAT, 0o644) for i in range(2)]
    for fd in pair:
        os.ftruncate(fd, 0)
        for i in range(rng.randrange(20, 120)):
            os.pwrite(fd, rng.randbytes(block), (2 * i + rng.randrange(2)) * block)
    if rng.random() < 0.5:
        request = struct.pack('=iIQQQQ', pair[0], 0, 0, 0, 0, TO_EOF)
    else:
        request = struct.pack('=iIQQQQ', pair[0], 0, 0, 0, 20 * block, rng.choice((0, WRITTEN_ONLY)))
    try:
        fcntl.ioctl(pair[1], EXCHANGE_RANGE, request)
    finally:
        for fd in pair:
            os.close(fd)


def attributes(rng, base, block):
    name = base + '/attributes-%d' % rng.randrange(6)
    os.close(os.open(name, os.O_RDWR | os.O_CREAT, 0o644))
    for _ in range(30):
        key = 'user.name-%d' % rng.randrange(80)
        if rng.random() < 0.7:
            os.setxattr(name, key, rng.randbytes(rng.choice((10, 100, 900, 9000))))
        else:
            try:
                os.removexattr(name, key)
            except OSError:
                pass


def names(rng, base, block):
    folder = base + '/names-%d' % rng.randrange(3)
    os.makedirs(folder, exist_ok=True)
    for _ in range(60):
        path = folder + '/' + 'n' * rng.randrange(1, 80) + str(rng.randrange(400))
        try:
            if rng.random() < 0.6:
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
            elif rng.random() < 0.5:
                os.rename(path, folder + '/renamed-%d' % rng.randrange(50))
            else:
                os.unlink(path)
        except FileNotFoundError:
            pass


def nameless(rng, base, block, held=[]):
    """Files that are open without a name: they wait in the unlinked lists."""
    path = base + '/nameless'
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    os.pwrite(fd, rng.randbytes(3 * block), rng.randrange(20) * block)
    os.unlink(path)
    held.append(fd)
    if len(held) > 20:
        os.close(held.pop(rng.randrange(len(held))))


def force(rng, base, block):
    fd = os.open(base + '/forced', os.O_RDWR | os.O_CREAT, 0o644)
    os.pwrite(fd, b'x', rng.randrange(100))
    os.fsync(fd)
    os.close(fd)


def main():
    root, seconds = sys.argv[1], float(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    block = os.statvfs(root).f_bsize
    end = time.monotonic() + seconds
    children = []
    for i, work in enumerate((sharing, holes, sharing, exchange, holes, attributes, names, nameless, force)):
        child = os.fork()
        if child == 0:
            rng = random.Random(seed * 100 + i)
            base = '%s/load-%d' % (root, i)
            try:
                os.makedirs(base, exist_ok=True)
            except OSError:
                os._exit(0)
            while time.monotonic() < end:
                try:
                    work(rng, base, block)
                except OSError:
                    if not os.path.isdir(base):
                        break
                    time.sleep(0.001)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


main()
