/** Numbers of the fs-shaped API: open flags, access modes, copy modes, as Linux and Node number them. */
export const OPEN = {
  RDONLY: 0,
  WRONLY: 1,
  RDWR: 2,
  ACCESS: 3,
  CREAT: 0o100,
  EXCL: 0o200,
  TRUNC: 0o1000,
  APPEND: 0o2000,
  DSYNC: 0o10000,
  DIRECTORY: 0o200000,
  NOFOLLOW: 0o400000,
  SYNC: 0o4010000,
  PATH: 0o10000000,
} as const;

export const ACCESS = { EXISTS: 0, EXECUTE: 1, WRITE: 2, READ: 4 } as const;

/** Modes of a file copy. */
export const COPY = { EXCLUSIVE: 1, CLONE: 2, CLONE_FORCE: 4 } as const;
