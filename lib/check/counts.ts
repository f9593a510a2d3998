/** What a run counts on its way. */
export class Counts {
  /** Inodes in use, and what they are; `others` are devices, fifos and sockets. */
  inodes = 0;
  files = 0;
  directories = 0;
  symlinks = 0;
  others = 0;
  /** Entries of all directories but "." and "..". */
  entries = 0;
  attributes = 0;
  /** Extents of all forks. */
  extents = 0;
  /** Blocks of the image, and those that are free (free trees, free lists and their spare tree blocks). */
  blocks = 0;
  freeBlocks = 0;
  /** Sum of the sizes of regular files. */
  bytes = 0;
  /** Data blocks whose checksum was verified. */
  verifiedBlocks = 0;
}
