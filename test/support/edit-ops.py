#!/usr/bin/env python3
"""Carries out a list of file operations on a mounted directory: one JSON object a line on standard input; prints one line
for each, 'ok' or the name of the error. The same operations are done by edit-ops.ts on an image. Names and paths are
latin-1 text that stands for bytes."""
import errno
import json
import os
import shutil
import stat
import sys

TABLE = bytes((7 * i) & 255 for i in range(256))


def pattern(seed, length):
    """Content that follows from a seed: byte i is (seed + 7 i) mod 256."""
    unit = bytes((seed + b) & 255 for b in TABLE)
    return (unit * (length // 256 + 1))[:length]


def run(root, op):
    kind = op['op']
    at = lambda name: root + op[name].encode('latin-1')
    path = at('path')
    if kind == 'mkdir':
        os.mkdir(path, 0o755)
        os.chmod(path, stat.S_IMODE(os.lstat(path).st_mode) & 0o6000 | op['mode'])
    elif kind == 'put':
        spare = os.path.join(os.path.dirname(path), b'.spare')
        fd = os.open(spare, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        try:
            os.write(fd, pattern(op['seed'], op['length']))
            os.fchmod(fd, op['mode'])
            os.rename(spare, path)
        except OSError:
            os.unlink(spare)
            raise
        finally:
            os.close(fd)
    elif kind == 'write':
        mode = os.lstat(path).st_mode
        if not stat.S_ISREG(mode):  # opening a fifo waits, and a device node may stand for a real device
            wrong = errno.EISDIR if stat.S_ISDIR(mode) else errno.ELOOP if stat.S_ISLNK(mode) else errno.EINVAL
            raise OSError(wrong, 'not a file')
        fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
        try:
            os.pwrite(fd, pattern(op['seed'], op['length']), op['offset'])
        finally:
            os.close(fd)
    elif kind == 'truncate':
        os.truncate(path, op['size'])
    elif kind == 'unlink':
        os.unlink(path)
    elif kind == 'rmdir':
        os.rmdir(path)
    elif kind == 'rename':
        os.rename(path, at('to'))
    elif kind == 'link':
        os.link(path, at('to'), follow_symlinks=False)
    elif kind == 'symlink':
        os.symlink(op['target'].encode('latin-1'), path)
    elif kind == 'mknod':
        os.mknod(path, op['mode'], os.makedev(op['major'], op['minor']))
    elif kind == 'chmod':
        os.chmod(path, op['mode'])
    elif kind == 'chown':
        os.chown(path, op['uid'], op['gid'], follow_symlinks=False)
    elif kind == 'utimes':
        os.utime(path, ns=(op['atime'] * 1000, op['mtime'] * 1000), follow_symlinks=False)
    elif kind == 'setxattr':
        os.setxattr(path, op['name'], pattern(op['seed'], op['length']), follow_symlinks=False)
    elif kind == 'removexattr':
        os.removexattr(path, op['name'], follow_symlinks=False)
    elif kind == 'many':
        for i in range(op['count']):
            name = b'%s/%05d%s' % (path, i, b'n' * op['pad'])
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    elif kind == 'thin':
        for i in range(0, op['count'], op['step']):
            os.unlink(b'%s/%05d%s' % (path, i, b'n' * op['pad']))
    elif kind == 'rmtree':
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    else:
        raise ValueError(kind)


def main():
    root = os.fsencode(sys.argv[1])
    os.umask(0)
    for line in sys.stdin:
        try:
            run(root, json.loads(line))
            print('ok')
        except OSError as error:
            print(errno.errorcode.get(error.errno, str(error.errno)))


main()
