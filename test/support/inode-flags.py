#!/usr/bin/env python3
"""Sets and prints what FS_IOC_FSGETXATTR says of files and directories below a mounted directory: extended flags, extent
size hint, project, copy-on-write hint. With arguments `PATH FLAGS [EXTSIZE COWEXTSIZE PROJECT]` it sets them instead."""
import fcntl
import os
import stat
import struct
import sys

GET, SET = 0x801C581F, 0x401C5820
FORM = '=IIIII8s'


def get(path):
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        return struct.unpack(FORM, fcntl.ioctl(fd, GET, bytes(28)))
    finally:
        os.close(fd)


def put(path, flags, extsize=0, cowextsize=0, project=0):
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, SET, struct.pack(FORM, flags, extsize, 0, project, cowextsize, bytes(8)))
    finally:
        os.close(fd)


def main():
    if len(sys.argv) > 2:
        put(sys.argv[1], *(int(each, 0) for each in sys.argv[2:]))
        return
    for folder, folders, files in sorted(os.walk(sys.argv[1])):
        for name in sorted([''] + files):
            path = os.path.join(folder, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
                flags, extsize, _, project, cowextsize, _ = get(path)
                # FS_XFLAG_HASATTR and the like say what is there, not what was set.
                print(os.path.relpath(path, sys.argv[1]), hex(flags & 0x7FFFFFFF), extsize, project, cowextsize)


main()
