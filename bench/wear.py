"""Wear out the mounted file system in the current directory: fill, delete, rewrite, until free space and files are in pieces.

usage: wear.py SEED ROUNDS FULL [share]
SEED and ROUNDS say how; at the end FULL percent are in use. With `share` files are also cloned, in whole and in part, and
written to afterwards, so that blocks are shared in different orders.
"""
import ctypes
import fcntl
import os
import random
import struct
import sys

FICLONERANGE = 0x4020940D
PUNCH = 3
BLOCK = 4096
PIECE = 1 << 20

libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]

seed, rounds, full = (int(word) for word in sys.argv[1:4])
sharing = 'share' in sys.argv[4:]
rng = random.Random(seed)
noise = rng.randbytes(PIECE)
files = {}
made = 0


def used():
    space = os.statvfs('.')
    return 100 - 100 * space.f_bavail / space.f_blocks


def write(path, size):
    with open(path, 'wb', buffering=0) as out:
        for at in range(0, size, PIECE):
            out.write(noise[:min(PIECE, size - at)])
    files[path] = size


def new_path():
    global made
    made += 1
    directory = 'd%d' % (made % 24)
    os.makedirs(directory, exist_ok=True)
    return '%s/f%d' % (directory, made)


def remove(count):
    for path in rng.sample(sorted(files), count):
        os.unlink(path)
        del files[path]


def rewrite(count):
    """Parts of large files go, and come back in another order, wherever there is room."""
    large = [path for path in sorted(files) if files[path] >= PIECE]
    parts = []
    for path in rng.sample(large, min(count, len(large))):
        out = os.open(path, os.O_RDWR)
        at = 0
        while at < files[path]:
            length = min(BLOCK * rng.randint(1, 4), files[path] - at)
            if rng.random() < 0.5:
                libc.fallocate(out, PUNCH, at, length)
                parts.append((path, at, length))
            at += length
        os.close(out)
    rng.shuffle(parts)
    for path, at, length in parts:
        out = os.open(path, os.O_RDWR)
        os.pwrite(out, noise[:length], at)
        os.close(out)


def clone_range(source, at, length, target, to):
    src = os.open(source, os.O_RDONLY)
    dst = os.open(target, os.O_RDWR | os.O_CREAT)
    fcntl.ioctl(dst, FICLONERANGE, struct.pack('=qQQQ', src, at, length, to))
    os.close(src)
    os.close(dst)


def share():
    for _ in range(120):
        source = rng.choice(sorted(files))
        if files[source] < 16 * BLOCK:
            continue
        blocks = files[source] // BLOCK
        path = new_path()
        first = rng.randrange(blocks // 2)
        count = rng.randint(4, blocks - first)
        clone_range(source, first * BLOCK, count * BLOCK, path, rng.choice([0, 0, 64]) * BLOCK)
        files[path] = os.stat(path).st_size
        out = os.open(path, os.O_RDWR)
        for _ in range(min(40, count // 4)):
            os.pwrite(out, noise[:BLOCK * rng.randint(1, 4)], rng.randrange(files[path] // BLOCK) * BLOCK)
        os.fsync(out)
        os.close(out)
        files[path] = os.stat(path).st_size


for turn in range(rounds):
    while used() < 93:
        write(new_path(), BLOCK * int(2 ** rng.uniform(0, 8)))
    os.sync()
    remove(len(files) * 55 // 100)
    os.sync()
    # Large files where only gaps are left.
    while used() < 80:
        write(new_path(), PIECE * rng.randint(1, 24))
    rewrite(400)
    if sharing:
        share()
    os.sync()
while used() > full:
    remove(max(1, len(files) // 200))
os.sync()
