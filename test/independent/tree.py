"""Makes the tree that reader.test.ts puts into images: every file type, and directories of every form.

Usage: tree.py ROOT BLOCK DIRBLOCK MANY   (block sizes of the image, entries of the largest directory: node form)
Deterministic but for what the host refuses: device nodes and owners need root, trusted attributes too.
"""
import os
import random
import socket
import sys

root, block, directory_block, many = os.fsencode(sys.argv[1]), *[int(each) for each in sys.argv[2:]]
rng = random.Random(7)
is_root = os.geteuid() == 0


def at(*parts):
    return b'/'.join((root,) + parts)


def put(name, data=b''):
    with open(at(name), 'wb') as file:
        file.write(data)
    return at(name)


for size in (0, 1, 511, block - 1, block, block + 1, 3 * block + 5, 1_000_000):
    put(b'size-%d' % size, rng.randbytes(size))
# Holes that a host block of 4096 bytes can have: every second piece of data.
piece = max(block, 4096)
with open(at(b'sparse'), 'wb') as file:
    for i in range(40 if block > 4096 else 1500):
        file.seek(2 * i * piece)
        file.write(rng.randbytes(piece))
with open(at(b'hole'), 'wb') as file:
    file.truncate(20 * block + 3)
put(b'fragmented', rng.randbytes((200 if block > 4096 else 400) * block))
put(b'original', rng.randbytes(30 * block + 100))
put(b'clone')
put(b'attributed', b'data')
os.link(at(b'original'), at(b'original again'))
os.link(at(b'original'), at(b'\xff\xfe not UTF-8 \n'))
for length in (1, 20, 191, 192, 193, 335, 336, 337, 848, 849, 967, 968, 1023):
    os.symlink((b'/abc' * 256)[:length], at(b'link-%d' % length))
os.mkfifo(at(b'fifo'))
with socket.socket(socket.AF_UNIX) as bound:
    os.chdir(root)
    bound.bind('socket')
if is_root:
    os.mknod(at(b'char'), 0o020600, os.makedev(5, 300))
    os.mknod(at(b'block'), 0o060640, os.makedev(259, 70000))
    os.chown(at(b'size-1'), 12345, 2 ** 32 - 2)
os.chmod(at(b'size-0'), 0o6751)

# None to three entries stay in the inode, then come the block form and the leaf form.
for count in (0, 1, 3, directory_block // 80, directory_block // 16, many):
    folder = at(b'dir-%d' % count)
    os.mkdir(folder, 0o751)
    inner = folder + b'/sub'
    if count > 0:
        os.mkdir(inner)
    # Many names of few inodes: the directory is what counts.
    for i in range(count):
        name = folder + b'/%d-' % i + b'n' * rng.randrange(1, 60)
        if i % 4000 == 0:
            first = name
            open(name, 'wb').close()
        else:
            os.link(first, name)


def attribute(path, name, value):
    try:
        os.setxattr(path, name, value, follow_symlinks=False)
    except OSError:
        pass  # the digest of the host says what there is


attribute(at(b'size-1'), 'user.short', b'value')
attribute(at(b'size-1'), 'user.empty', b'')
attribute(at(b'size-511'), 'user.' + 'n' * 250, rng.randbytes(400))
attribute(at(b'dir-3'), 'user.of-a-directory', rng.randbytes(900))
attribute(at(b'link-20'), 'trusted.of-a-link', b'v')
attribute(at(b'link-337'), 'security.label', rng.randbytes(50))
attribute(at(b'char'), 'trusted.of-a-device', b'v' * 30)
attribute(at(b'size-0'), 'system.posix_acl_access', bytes.fromhex(
    '02000000' '01000600ffffffff' '02000700e8030000' '04000400ffffffff' '10000700ffffffff' '20000000ffffffff'))
for path, time in ((b'size-0', 0), (b'size-1', -1_500_000_001), (b'fifo', 5_000_000_000_123_456_789), (b'dir-1', 999)):
    os.utime(at(path), ns=(time, time))
