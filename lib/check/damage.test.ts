/**
 * One damage for every problem code: change one field of a sound image (CRC made right), and the checker must find
 * exactly that. Where the damage cannot be had without others following from it, those are listed too.
 */
import { describe, expect, it } from 'vitest';
import { Agf, Agi } from '../../formats/ag-headers.ts';
import { RMAP_UNWRITTEN } from '../../formats/btree-blocks.ts';
import { CADASTRE, XFS } from '../../formats/dialect.ts';
import { extentStartBlock, writeExtent } from '../../formats/extent.ts';
import { FORMAT, INODE_FLAG2, InodeCore, MODE } from '../../formats/inode.ts';
import { INCOMPAT } from '../../formats/superblock.ts';
import {
  damaged,
  edit,
  editHeader,
  editInode,
  editSuperblock,
  editTreeBlock,
  makeSpecimen,
  rootOf,
  type Specimen,
} from '../../test/support/specimen.ts';
import type { Device } from '../device/device.ts';
import { deviceError } from '../errors.ts';
import { type CheckOptions, type CheckResult, check } from './check.ts';
import { PROBLEMS, type ProblemCode, ProblemLog, TooManyProblems } from './problems.ts';

const ours = makeSpecimen(CADASTRE);
const xfs = makeSpecimen(XFS, { size: 64 << 20, features: { rmapbt: true, nrext64: true } });
const plain = makeSpecimen(XFS, { size: 64 << 20, features: { rmapbt: false, reflink: false } });
const tiny = makeSpecimen(XFS, { size: 64 << 20, blockSize: 1024, features: { rmapbt: true, nrext64: true } });

const D = InodeCore.size;
const logByte = ({ geometry }: Specimen): number => geometry.fsBlockToByte(geometry.logStart);
const bno = Agf.offsets.bnoRoot;
const cnt = Agf.offsets.cntRoot;

/** Change the root block of a tree that has one level. */
function inTree(
  s: Specimen,
  d: Device,
  ag: number,
  header: 1 | 2,
  field: number,
  change: (view: DataView) => void,
): void {
  editTreeBlock(s, d, ag, rootOf(s, d, ag, header, field), change);
}
const records = (view: DataView): number => view.getUint16(6);
const setRecords = (view: DataView, count: number): void => view.setUint16(6, count);
/** Insert `record` words before record i of a leaf whose records have `size` bytes. */
function insertRecord(view: DataView, i: number, size: number, words: number[]): void {
  const data = new Uint8Array(view.buffer);
  const at = 56 + i * size;
  data.copyWithin(at + size, at, 56 + records(view) * size);
  words.forEach((word, k) => {
    view.setUint32(at + 4 * k, word);
  });
  setRecords(view, records(view) + 1);
}
/** A free block of AG 1, with a free one behind it. */
function freeBlock(s: Specimen, d: Device): number {
  let block = 0;
  inTree(s, d, 1, 1, cnt, (view) => {
    block = view.getUint32(56 + 8 * (records(view) - 1)) + 3;
  });
  return block;
}
/** Where a record that starts at `block` belongs in a leaf. */
function indexFor(view: DataView, size: number, block: number): number {
  let i = 0;
  while (i < records(view) && view.getUint32(56 + size * i) < block) i++;
  return i;
}
/** First block of the data fork of an inode with an inline extent list. */
function firstBlock(s: Specimen, d: Device, path: string): number {
  let start = 0;
  editInode(s, d, path, (_core, view) => {
    start = extentStartBlock(view, D);
  });
  return start;
}
/** Change the first directory block of a directory. */
function inDirectory(s: Specimen, d: Device, path: string, change: (view: DataView) => void): void {
  edit(d, s.geometry.fsBlockToByte(firstBlock(s, d, path)), s.geometry.dirBlockSize, 4, change);
}
/** Byte of the first entry behind "." and ".." in a directory block, and of its type byte. */
const FIRST_ENTRY = 64 + 16 + 16;
const typeByte = (view: DataView): number => FIRST_ENTRY + 9 + view.getUint8(FIRST_ENTRY + 8);
const freeInode = (s: Specimen): number => s.geometry.rootInode + 60;
/** The AG and the AG block of a file's first block. */
function place(s: Specimen, d: Device, path: string): [number, number] {
  const start = firstBlock(s, d, path);
  return [s.geometry.agOfFsBlock(start), s.geometry.agBlockOfFsBlock(start)];
}
/** Index of the rmap record that starts at a block. */
function rmapIndex(view: DataView, block: number): number {
  for (let i = 0; i < records(view); i++) if (view.getUint32(56 + 24 * i) === block) return i;
  throw new Error(`no rmap record at ${block}`);
}
/** Take the last block of the AG's last free extent out of both free-space trees, and set the counters to match. */
function loseBlock(s: Specimen, d: Device, ag: number): void {
  let at = 0;
  let size = 0;
  inTree(s, d, ag, 1, bno, (view) => {
    at = 56 + 8 * (records(view) - 1);
    size = view.getUint32(at + 4);
    at = view.getUint32(at);
    view.setUint32(56 + 8 * (records(view) - 1) + 4, size - 1);
  });
  inTree(s, d, ag, 1, cnt, (view) => {
    for (let i = 0; i < records(view); i++)
      if (view.getUint32(56 + 8 * i) === at) view.setUint32(56 + 8 * i + 4, size - 1);
  });
  editHeader(s, d, ag, 1, (view) => {
    const agf = Agf.at(view);
    agf.freeblks -= 1;
    if (agf.longest === size) agf.longest -= 1;
  });
  editSuperblock(s, d, 0, (sb) => {
    sb.fdblocks -= 1;
  });
}

interface Case {
  code: ProblemCode;
  /** What else follows from the damage. */
  also?: ProblemCode[];
  on?: Specimen;
  options?: CheckOptions;
  damage(device: Device, s: Specimen): void;
  /** More to look at. */
  verify?(result: CheckResult, s: Specimen): void;
}

const cases: Case[] = [
  {
    code: 'UNSUPPORTED',
    damage: (d, s) =>
      editSuperblock(s, d, 0, (sb) => {
        sb.magicnum = 7;
      }),
  },
  {
    code: 'SUPERBLOCK_BAD',
    damage: (d, s) =>
      editSuperblock(s, d, 0, (sb) => {
        sb.blocklog = 5;
      }),
  },
  {
    code: 'SUPERBLOCK_FIELD',
    damage: (d, s) =>
      editSuperblock(s, d, 0, (sb) => {
        sb.sharedVn = 1;
      }),
  },
  {
    code: 'SECONDARY_BAD',
    damage: (d, s) =>
      editSuperblock(s, d, 1, (sb) => {
        sb.imaxPct = 77;
      }),
  },
  { code: 'LOG_DIRTY', damage: (d, s) => edit(d, logByte(s), 512, -1, (view) => view.setUint32(40, 2)) },
  {
    code: 'LOG_ZEROED',
    damage: (d, s) => d.zero(logByte(s), s.geometry.logBlocks * s.geometry.blockSize),
  },
  { code: 'LOG_BAD', damage: (d, s) => edit(d, logByte(s), 512, -1, (view) => view.setUint32(304, 0xdead)) },
  { code: 'LSN_AHEAD', damage: (d, s) => editHeader(s, d, 0, 1, (view) => view.setUint32(Agf.offsets.lsn, 99)) },
  {
    code: 'AGF_BAD',
    damage: (d, s) =>
      editHeader(s, d, 0, 1, (view) => {
        Agf.at(view).versionnum = 2;
      }),
  },
  {
    code: 'AGI_BAD',
    damage: (d, s) =>
      editHeader(s, d, 1, 2, (view) => {
        Agi.at(view).versionnum = 2;
      }),
  },
  {
    code: 'AGFL_BAD',
    damage: (d, s) => editHeader(s, d, 0, 3, (view) => view.setUint32(36 + 4 * flfirst(s, d), 0)),
  },
  {
    code: 'AG_COUNTER',
    damage: (d, s) =>
      editHeader(s, d, 1, 1, (view) => {
        Agf.at(view).freeblks -= 1;
      }),
  },
  {
    code: 'SUPERBLOCK_COUNTER',
    damage: (d, s) =>
      editSuperblock(s, d, 0, (sb) => {
        sb.ifree -= 1;
      }),
  },
  {
    code: 'TREE_BLOCK',
    damage: (d, s) => inTree(s, d, 0, 1, Agf.offsets.refcountRoot, (view) => view.setUint32(0, 1)),
  },
  {
    code: 'TREE_ORDER',
    also: ['TREE_RECORD', 'CHECKSUM_MISSING'],
    damage: (d, s) =>
      inTree(s, d, 0, 1, Agf.offsets.csumRoot, (view) => {
        const data = new Uint8Array(view.buffer);
        const first = data.slice(56, 120);
        data.copyWithin(56, 120, 184);
        data.set(first, 120);
      }),
  },
  {
    code: 'TREE_KEY',
    damage: (d, s) => editInode(s, d, '/frag', (_core, view) => view.setUint32(D + 8, 5)),
  },
  {
    code: 'TREE_SIBLING',
    damage: (d, s) => inTree(s, d, 0, 2, Agi.offsets.root, (view) => view.setUint32(12, 30)),
  },
  {
    code: 'TREE_UNDERFULL',
    also: ['RMAP_MISSING', 'TREE_KEY'],
    on: tiny,
    damage: (d, s) => {
      let child = 0;
      inTree(s, d, 0, 1, Agf.offsets.rmapRoot, (view) => {
        child = view.getUint32(56 + 22 * 40 + 4);
      });
      editTreeBlock(s, d, 0, child, (view) => setRecords(view, 3));
    },
  },
  {
    code: 'TREE_RECORD',
    also: ['RMAP_MISSING'],
    damage: (d, s) => {
      const [ag, block] = place(s, d, '/a');
      inTree(s, d, ag, 1, Agf.offsets.rmapRoot, (view) =>
        view.setUint32(56 + 24 * rmapIndex(view, block) + 16, 0x01000000),
      );
    },
  },
  {
    code: 'FREE_TREES_DIFFER',
    damage: (d, s) =>
      inTree(s, d, 1, 1, cnt, (view) => {
        const at = 56 + 8 * (records(view) - 1);
        view.setUint32(at, view.getUint32(at) + 1);
      }),
  },
  {
    code: 'FREE_NOT_MERGED',
    also: ['FREE_TREES_DIFFER', 'AG_COUNTER'],
    damage: (d, s) =>
      inTree(s, d, 1, 1, bno, (view) => {
        const i = records(view) - 1;
        const start = view.getUint32(56 + 8 * i);
        const count = view.getUint32(60 + 8 * i);
        insertRecord(view, i, 8, [start, 5]);
        view.setUint32(56 + 8 * (i + 1), start + 5);
        view.setUint32(60 + 8 * (i + 1), count - 5);
      }),
  },
  {
    code: 'INODE_RECORD',
    damage: (d, s) => inTree(s, d, 0, 2, Agi.offsets.root, (view) => view.setUint8(56 + 7, view.getUint8(56 + 7) - 1)),
  },
  {
    code: 'FREE_INODE_TREE',
    damage: (d, s) =>
      inTree(s, d, 0, 2, Agi.offsets.freeRoot, (view) =>
        view.setUint32(60 + 8, (view.getUint32(60 + 8) & ~(1 << 31)) | 1),
      ),
  },
  {
    code: 'INODE_STATE',
    also: ['ENTRY_DANGLING'],
    damage: (d, s) =>
      editInode(s, d, '/empty', (core) => {
        core.mode = 0;
      }),
  },
  {
    code: 'INODE_BAD',
    damage: (d, s) =>
      editInode(s, d, '/frag', (core) => {
        core.version = 2;
      }),
    verify: (result) => expect(result.problems[0]!.path).toBe('/frag'),
  },
  {
    code: 'INODE_BLOCKS',
    damage: (d, s) =>
      editInode(s, d, '/a', (core) => {
        core.nblocks += 1;
      }),
  },
  {
    code: 'INODE_EXTENTS',
    damage: (d, s) =>
      editInode(s, d, '/frag', (core) => {
        core.bigNextents += 1;
      }),
  },
  {
    code: 'INODE_SHARED_FLAG',
    damage: (d, s) =>
      editInode(s, d, '/clone', (core) => {
        core.flags2Lo &= ~INODE_FLAG2.REFLINK;
      }),
  },
  {
    code: 'EXTENT_BAD',
    damage: (d, s) => editInode(s, d, '/b', (_core, view) => writeExtent(view, D, 0, 2 ** 40, 3, false)),
  },
  { code: 'SYMLINK_BAD', damage: (d, s) => editInode(s, d, '/link', (_core, view) => view.setUint8(D, 0)) },
  {
    code: 'ATTRIBUTES_BAD',
    damage: (d, s) => editInode(s, d, '/small-attr', (core, view) => view.setUint8(D + 8 * core.forkoff + 4 + 3, 0)),
  },
  {
    code: 'SPECIAL_INODE',
    also: ['INODE_STATE'],
    damage: (d, s) => {
      const special = { ...s, inodes: { rbm: s.geometry.rootInode + 1 } };
      editInode(special, d, 'rbm', (core) => {
        core.mode = 0;
      });
    },
  },
  {
    code: 'DIRECTORY_BLOCK',
    damage: (d, s) => inDirectory(s, d, '/block', (view) => view.setUint8(typeByte(view), 99)),
  },
  {
    code: 'DIRECTORY_INDEX',
    damage: (d, s) => inDirectory(s, d, '/block', (view) => view.setUint32(view.byteLength - 16, 0xffffffff)),
  },
  {
    code: 'DIRECTORY_SIZE',
    damage: (d, s) =>
      editInode(s, d, '/leaf', (core) => {
        core.size += 4096;
      }),
  },
  {
    code: 'DIRECTORY_PARENT',
    damage: (d, s) => editInode(s, d, '/short', (_core, view) => view.setUint32(D + 2, s.inodes['/leaf']!)),
    verify: (result) => expect(result.problems[0]).toMatchObject({ path: '/short', expected: ours.inodes['/'] }),
  },
  {
    code: 'DIRECTORY_LINKED_TWICE',
    also: ['LINK_COUNT'],
    damage: (d, s) =>
      inDirectory(s, d, '/block', (view) => {
        view.setUint32(FIRST_ENTRY + 4, s.inodes['/short']!);
        view.setUint8(typeByte(view), 2);
      }),
  },
  {
    code: 'ENTRY_DANGLING',
    also: ['LINK_COUNT'],
    damage: (d, s) => inDirectory(s, d, '/block', (view) => view.setUint32(FIRST_ENTRY + 4, freeInode(s))),
  },
  {
    code: 'ENTRY_TYPE',
    damage: (d, s) => inDirectory(s, d, '/block', (view) => view.setUint8(typeByte(view), 2)),
  },
  {
    code: 'INODE_UNREACHABLE',
    also: ['INODE_STATE'],
    damage: (d, s) => {
      const special = { ...s, inodes: { free: freeInode(s) } };
      editInode(special, d, 'free', (core) => {
        core.mode = MODE.FIFO | 0o644;
        core.nlink = 1;
        core.format = FORMAT.DEV;
        core.aformat = FORMAT.EXTENTS;
      });
    },
  },
  {
    code: 'LINK_COUNT',
    damage: (d, s) =>
      editInode(s, d, '/a', (core) => {
        core.nlink = 2;
      }),
  },
  {
    code: 'PARENT_POINTERS',
    on: xfs,
    damage: (d, s) => {
      for (const ag of [0, 1])
        editSuperblock(s, d, ag, (sb) => {
          sb.featuresIncompat |= INCOMPAT.PARENT;
        });
    },
  },
  {
    code: 'UNLINKED_LIST',
    damage: (d, s) =>
      editHeader(s, d, 0, 2, (view) => view.setUint32(Agi.offsets.unlinked + 4 * (freeInode(s) % 64), freeInode(s))),
  },
  {
    code: 'UNLINKED_LEFTOVER',
    also: ['LINK_COUNT'],
    damage: (d, s) => {
      const inode = s.inodes['/empty']!;
      const agInode = s.geometry.agInodeOfInode(inode);
      editInode(s, d, '/empty', (core) => {
        core.nlink = 0;
      });
      editHeader(s, d, s.geometry.agOfInode(inode), 2, (view) =>
        view.setUint32(Agi.offsets.unlinked + 4 * (agInode % 64), agInode),
      );
    },
  },
  {
    code: 'BLOCK_MULTIPLY_CLAIMED',
    also: ['RMAP_EXTRA', 'CHECKSUM_EXTRA'],
    damage: (d, s) => {
      const start = firstBlock(s, d, '/a');
      editInode(s, d, '/empty', (core, view) => {
        core.nblocks = 2;
        core.bigNextents = 1;
        writeExtent(view, D, 7, start, 2, false);
      });
      const other = firstBlock(s, d, '/shared');
      editInode(s, d, '/b', (_core, view) => writeExtent(view, D, 0, other, 3, false));
    },
    verify: (result, s) => {
      const first = result.problems.find((each) => each.code === 'BLOCK_MULTIPLY_CLAIMED')!;
      expect(first.claimants).toEqual([
        { kind: 'data', inode: s.inodes['/a'], fileBlock: 0, blockCount: 2, registered: true, path: '/a' },
        { kind: 'data', inode: s.inodes['/empty'], fileBlock: 7, blockCount: 2, registered: false, path: '/empty' },
      ]);
    },
  },
  {
    code: 'BLOCK_CLAIMED_FREE',
    also: ['AG_COUNTER', 'SUPERBLOCK_COUNTER'],
    damage: (d, s) => {
      for (const field of [bno, cnt]) {
        inTree(s, d, 1, 1, field, (view) => {
          for (let i = 0; i < records(view); i++) {
            const at = 56 + 8 * i;
            if (i === records(view) - 1) {
              view.setUint32(at, view.getUint32(at) - 1);
              view.setUint32(at + 4, view.getUint32(at + 4) + 1);
            }
          }
        });
      }
    },
  },
  { code: 'BLOCK_LOST', damage: (d, s) => loseBlock(s, d, 1) },
  {
    code: 'RMAP_MISSING',
    damage: (d, s) => inTree(s, d, 1, 1, Agf.offsets.rmapRoot, (view) => setRecords(view, records(view) - 1)),
  },
  {
    code: 'RMAP_EXTRA',
    damage: (d, s) => {
      const block = freeBlock(s, d);
      inTree(s, d, 1, 1, Agf.offsets.rmapRoot, (view) => {
        insertRecord(view, indexFor(view, 24, block), 24, [block, 2, 0, s.inodes['/a']!, 0, 0]);
      });
    },
    verify: (result) => expect(result.problems[0]!.path).toBe('/a'),
  },
  {
    code: 'RMAP_MISMATCH',
    damage: (d, s) => {
      const [ag, block] = place(s, d, '/a');
      inTree(s, d, ag, 1, Agf.offsets.rmapRoot, (view) =>
        view.setUint32(56 + 24 * rmapIndex(view, block) + 16, RMAP_UNWRITTEN),
      );
    },
  },
  {
    code: 'RMAP_NOT_MERGED',
    damage: (d, s) => {
      const [ag, block] = place(s, d, '/b');
      inTree(s, d, ag, 1, Agf.offsets.rmapRoot, (view) => {
        const i = rmapIndex(view, block);
        view.setUint32(56 + 24 * i + 4, 1);
        insertRecord(view, i + 1, 24, [block + 1, 2, 0, s.inodes['/b']!, 0, 1]);
      });
    },
  },
  {
    code: 'REFCOUNT_WRONG',
    damage: (d, s) =>
      inTree(s, d, place(s, d, '/shared')[0], 1, Agf.offsets.refcountRoot, (view) => view.setUint32(56 + 8, 3)),
  },
  {
    code: 'REFCOUNT_NOT_MERGED',
    damage: (d, s) =>
      inTree(s, d, place(s, d, '/shared')[0], 1, Agf.offsets.refcountRoot, (view) => {
        const start = view.getUint32(56);
        view.setUint32(56 + 4, 1);
        insertRecord(view, 1, 12, [start + 1, 3, 2]);
      }),
  },
  {
    code: 'COW_LEFTOVER',
    also: ['BLOCK_CLAIMED_FREE', 'RMAP_MISSING'],
    damage: (d, s) => {
      const block = freeBlock(s, d);
      inTree(s, d, 1, 1, Agf.offsets.refcountRoot, (view) => {
        insertRecord(view, records(view), 12, [0x80000000 + block, 2, 1]);
      });
    },
  },
  {
    code: 'CHECKSUM_MISSING',
    damage: (d, s) => inTree(s, d, 0, 1, Agf.offsets.csumRoot, (view) => setRecords(view, records(view) - 1)),
  },
  {
    code: 'CHECKSUM_EXTRA',
    damage: (d, s) => {
      const block = freeBlock(s, d);
      inTree(s, d, 1, 1, Agf.offsets.csumRoot, (view) => {
        const crcs = Array.from({ length: 14 }, (_, i) => (i < 2 ? 1 : 0));
        insertRecord(view, indexFor(view, 64, block), 64, [block, 2, ...crcs]);
      });
    },
  },
  {
    code: 'DATA_CHECKSUM',
    options: { data: true },
    damage: (d, s) =>
      edit(d, s.geometry.fsBlockToByte(firstBlock(s, d, '/b') + 1), 16, -1, (view) => view.setUint8(3, 1)),
    verify: (result) => expect(result.problems[0]!.where).toMatchObject({ path: '/b', fileBlock: 1 }),
  },
];

function flfirst(s: Specimen, d: Device): number {
  const bytes = new Uint8Array(s.geometry.sectorSize);
  d.read(s.geometry.agHeaderDaddr(0, 1) * 512, bytes);
  return Agf.at(new DataView(bytes.buffer)).flfirst;
}

const codesOf = (result: CheckResult): string[] => [...new Set(result.problems.map((each) => each.code))].sort();

describe('a sound image', () => {
  it.each([
    ['ours', ours],
    ['xfs', xfs],
    ['xfs without register', plain],
    ['xfs with small blocks', tiny],
  ] as const)('%s: nothing is wrong with it', (_name, specimen) => {
    const result = check(specimen.device, { data: true });
    expect(result.problems).toEqual([]);
    expect(result.clean).toBe(true);
    const shared = specimen.geometry.features.reflink ? 2 : 0;
    expect(result.counts).toMatchObject({
      files: 10 + shared,
      directories: 5,
      symlinks: 2,
      others: 1,
      entries: 1845 + shared,
    });
    expect(result.counts.verifiedBlocks).toBe(specimen === ours ? 131 : 0);
  });
});

describe('damage of one field', () => {
  it.each(cases.map((each) => [each.code, each] as const))('%s', (code, one) => {
    const specimen = one.on ?? ours;
    const device = damaged(specimen);
    one.damage(device, specimen);
    const result = check(device, one.options ?? {});
    expect(codesOf(result)).toEqual([code, ...(one.also ?? [])].sort());
    for (const problem of result.problems) {
      expect(problem.message).not.toMatch(/\{|undefined/);
      expect(problem.fix).not.toBe('');
    }
    one.verify?.(result, specimen);
  });

  it('READ_ERROR: a device that cannot be read everywhere', () => {
    const broken = damaged(ours);
    const read = broken.read.bind(broken);
    const bad = ours.geometry.agBlockToByte(1, 0);
    broken.read = (offset, into) => {
      if (offset <= bad && offset + into.length > bad) throw deviceError('EIO', 'cannot read');
      read(offset, into);
    };
    const result = check(broken);
    expect(codesOf(result)).toEqual(['READ_ERROR']);
  });

  it('TOO_MANY_PROBLEMS: a run that finds no end is given up', () => {
    const log = new ProblemLog(10);
    const add = () => {
      for (let i = 0; i < 1e6; i++) log.add('BLOCK_LOST', { ag: 0, block: i });
    };
    expect(add).toThrow(TooManyProblems);
    log.giveUp();
    expect(log.problems).toHaveLength(10);
    expect(log.problems.at(-1)!.code).toBe('TOO_MANY_PROBLEMS');
  });

  it('every code has its case', () => {
    const elsewhere = ['READ_ERROR', 'TOO_MANY_PROBLEMS'];
    expect([...cases.map((each) => each.code as string), ...elsewhere].sort()).toEqual(Object.keys(PROBLEMS).sort());
  });
});
