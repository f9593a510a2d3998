"""Digest of a directory tree, the same on the host, on a loop mount and under user-mode-linux (see digest.ts for the shape).

Usage: digest.py ROOT [--identity]
Prints one JSON object a line, sorted by the bytes of the path. --identity adds what only two views of one and the same
file system share: inode number, blocks, atime, ctime. Needs nothing but Python's standard library.
"""
import hashlib
import json
import os
import stat
import struct
import sys

SPARSE_ABOVE = 64 << 20  # larger files: only blocks that are not all zeroes count (digest.ts has the same number)
SPARSE_BLOCK = 4096
LONG_VALUE = 256  # longer xattr values are given as a hash
TYPES = {
    stat.S_IFREG: 'file', stat.S_IFDIR: 'directory', stat.S_IFLNK: 'symlink', stat.S_IFCHR: 'char',
    stat.S_IFBLK: 'block', stat.S_IFIFO: 'fifo', stat.S_IFSOCK: 'socket',
}
ESCAPED = [chr(b) if 0x21 <= b <= 0x7E and b != 0x25 else '%%%02x' % b for b in range(256)]
ZEROES = bytes(SPARSE_BLOCK)


def escape(name):
    return ''.join([ESCAPED[b] for b in name])


def seconds(ns):
    return '%d.%09d' % (ns // 1000000000, ns % 1000000000)


def whole_digest(fd):
    digest = hashlib.sha256()
    while True:
        piece = os.read(fd, 1 << 20)
        if not piece:
            return digest.hexdigest()
        digest.update(piece)


def sparse_digest(fd, size):
    digest = hashlib.sha256(struct.pack('>Q', size))
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            break
        end = os.lseek(fd, start, os.SEEK_HOLE)
        at = start - start % SPARSE_BLOCK
        while at < end:
            piece = os.pread(fd, SPARSE_BLOCK, at)
            piece += ZEROES[len(piece):]
            if piece != ZEROES:
                digest.update(struct.pack('>Q', at))
                digest.update(piece)
            at += SPARSE_BLOCK
    return 'sparse:' + digest.hexdigest()


def content(path, size):
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        return sparse_digest(fd, size) if size > SPARSE_ABOVE else whole_digest(fd)
    finally:
        os.close(fd)


def xattrs(path):
    found = {}
    for name in os.listxattr(path, follow_symlinks=False):
        value = os.getxattr(path, name, follow_symlinks=False)
        text = value.hex()
        if len(value) > LONG_VALUE:
            text = 'sha256:%s:%d' % (hashlib.sha256(value).hexdigest(), len(value))
        found[escape(os.fsencode(name))] = text
    return dict(sorted(found.items()))


def entry(path, shown, identity):
    info = os.lstat(path)
    kind = TYPES[stat.S_IFMT(info.st_mode)]
    result = {
        'path': shown, 'type': kind, 'mode': stat.S_IMODE(info.st_mode), 'uid': info.st_uid, 'gid': info.st_gid,
        'nlink': info.st_nlink, 'size': info.st_size, 'mtime': seconds(info.st_mtime_ns),
    }
    if kind in ('char', 'block'):
        result['rdev'] = '%d:%d' % (os.major(info.st_rdev), os.minor(info.st_rdev))
    if kind == 'symlink':
        result['target'] = escape(os.readlink(path))
    if kind == 'file':
        result['sha256'] = content(path, info.st_size)
    found = xattrs(path)
    if found:
        result['xattrs'] = found
    if identity:
        result.update(inode=info.st_ino, blocks=info.st_blocks, atime=seconds(info.st_atime_ns),
                      ctime=seconds(info.st_ctime_ns))
    return result, kind


def main():
    identity = '--identity' in sys.argv
    root = os.fsencode(sys.argv[1])
    lines = []
    # Directories by descriptor-free absolute paths; the stack keeps the shown path beside the real one.
    stack = [(root, b'')]
    while stack:
        path, shown = stack.pop()
        result, kind = entry(path, escape(shown) or '/', identity)
        lines.append((shown, json.dumps(result, separators=(',', ':'))))
        if kind == 'directory':
            for name in os.listdir(path):
                stack.append((path + b'/' + name, shown + b'/' + name))
    lines.sort()
    out = sys.stdout
    for _, line in lines:
        out.write(line)
        out.write('\n')


main()
