/**
 * An inode whose slot holds nothing of it any more, made again: its blocks from the register, its type from the entry that
 * names it or from what its blocks say they are. Owner, permissions and times are gone, and that is said.
 */
import { DATA_FORK_OFFSET, FORMAT, INODE_FLAG, InodeCore, MODE } from '../../../formats/inode.ts';
import { setU64 } from '../../../formats/struct.ts';
import { NONE } from '../../check/inode-table.ts';
import { readFork } from '../forks/read-fork.ts';
import { forkEnd, isPossible, Records } from '../forks/records.ts';
import { ForkExtents } from '../pending.ts';
import type { RepairState } from '../state.ts';
import { freeSlot, newCore } from './core.ts';
import { CLEAR_INODE, REMAKE_INODE } from './decisions.ts';
import type { Named } from './entries.ts';
import type { MendHelp } from './help.ts';
import { type Judged, judgeFork } from './judge.ts';
import { lastByte } from './last-byte.ts';
import { peek } from './peek.ts';
import { typeOfFtype } from './shape.ts';
import { mendSymlink } from './symlinks.ts';

const at = InodeCore.offsets;
/** Where the attr fork starts in inodes that kernels make. */
const DEFAULT_FORKOFF = 24;

/** What became of a slot, in words. */
export const FREED = 'made proper again';
export const CLEARED = 'cleared';
export const REMADE = 'made again';

export interface Remade {
  readonly slot: DataView;
  /** What was done, for the report. */
  readonly what: string;
  readonly forks: readonly { attr: boolean; judged: Judged }[];
}

/** What is known of an inode whose slot holds nothing of it. */
export interface Gone {
  readonly named: Named | undefined;
  /** The type that a special inode must have. */
  readonly special: number | undefined;
  /** The inode tree calls the slot free. */
  readonly free: boolean;
  /** The slot holds a copy of this inode. */
  readonly copyOf: number | undefined;
}

export function remake(state: RepairState, help: MendHelp, inode: number, of: Gone): Remade {
  const { geometry, report } = state;
  const slot = new DataView(new ArrayBuffer(geometry.inodeSize));
  const registered = fromRegister(state, help, inode, false);
  const data = registered.length > 0 ? registered : unregistered(state, help, inode, of);
  const registeredAttr = fromRegister(state, help, inode, true);
  const attr =
    registeredAttr.length > 0 || !mayHaveBlocks(state, help, inode, of)
      ? registeredAttr
      : help.search.attributes(inode);
  const type = of.special ?? typeFor(help, inode, of.named, data, attr);
  const name = of.named ? ` ("${of.named.name}" in inode ${of.named.directory})` : '';
  const evidence = evidenceOf(of, { registered, data, attr, registeredAttr: registeredAttr.length > 0 });
  const nothing = data.length === 0 && attr.length === 0;
  const isLost =
    type === undefined ||
    type === MODE.CHAR ||
    type === MODE.BLOCK ||
    (type === MODE.SYMLINK && data.length === 0) ||
    // An empty file is had at once; that it was empty only a whole register can say.
    (type === MODE.FILE && nothing && of.special === undefined && !help.witness.registerWhole) ||
    (of.free && nothing && of.special === undefined);
  if (isLost) {
    freeSlot(slot, geometry, inode);
    if (!of.free || of.named) {
      report.lose('inode', `inode ${inode}${name}: its slot holds nothing of it: cleared`, { inode });
      evidence.push('nothing else says what it held');
      help.decisions.inode(
        inode,
        CLEAR_INODE,
        evidence,
        `inode ${inode} is cleared; blocks that nobody claims are kept`,
      );
    }
    return { slot, what: FREED, forks: [] };
  }
  newCore(slot, geometry, inode, type | (type === MODE.DIR ? 0o755 : type === MODE.SYMLINK ? 0o777 : 0o600));
  if (of.special === MODE.FILE) slot.setUint16(at.mode, MODE.FILE);
  if (attr.length > 0) slot.setUint8(at.forkoff, DEFAULT_FORKOFF);
  const forks = [
    { attr: false, judged: asJudged(data) },
    { attr: true, judged: asJudged(attr) },
  ].filter((fork) => fork.judged.extents.length > 0);
  switch (type) {
    case MODE.FILE:
      setU64(slot, at.size, lastByte(help.reader, data));
      if (data.length === 0 && of.special === undefined && !help.witness.registerWhole) {
        report.lose('data', `inode ${inode}${name}: what it held is not known any more`, { inode });
      }
      if (of.special !== undefined) makeSpecial(state, slot, inode);
      break;
    case MODE.DIR:
      makeDirectory(state, slot, of.named?.directory ?? geometry.rootInode, data);
      break;
    case MODE.SYMLINK: {
      const made = mendSymlink(state, slot, inode, data);
      if (!made) {
        freeSlot(slot, geometry, inode);
        evidence.push('its target cannot be read whole');
        help.decisions.inode(inode, CLEAR_INODE, evidence, `inode ${inode} is cleared`);
        return { slot, what: CLEARED, forks: [] };
      }
      setU64(slot, at.size, made.size);
      break;
    }
    default:
      slot.setUint8(at.format, FORMAT.DEV);
  }
  let blocks = 0;
  for (const { judged } of forks) for (const count of judged.extents.blockCount) blocks += count;
  setU64(slot, at.nblocks, blocks);
  const held = blocks === 1 ? 'one block' : `${blocks} blocks`;
  help.decisions.inode(inode, REMAKE_INODE, evidence, `inode ${inode} is made again, with ${held}`);
  report.lose(
    'inode core',
    `inode ${inode}${name}: made again from what else is known of it: owner, permissions, times and exact size are gone`,
    { inode },
  );
  return { slot, what: REMADE, forks };
}

/** What speaks for the inode, in words. */
function evidenceOf(
  { named, free, copyOf }: Gone,
  {
    registered,
    data,
    attr,
    registeredAttr,
  }: { registered: ForkExtents; data: ForkExtents; attr: ForkExtents; registeredAttr: boolean },
): string[] {
  const said = [
    copyOf === undefined
      ? 'magic, number and uuid of the slot are wrong'
      : `the slot holds a copy of inode ${copyOf}, which is in its own place as well`,
  ];
  if (named) said.push(`entry "${named.name}" of directory inode ${named.directory} names it`);
  if (!free) said.push('the inode tree has it in use');
  if (registered.length > 0) said.push(`the reverse map names ${counted(registered)} of data as its own`);
  else if (data.length > 0) said.push(`blocks that nobody else claims say that they are its own: ${counted(data)}`);
  if (attr.length > 0) {
    said.push(
      `${counted(attr)} of attributes are its own by ${registeredAttr ? 'the reverse map' : 'what they say of themselves'}`,
    );
  }
  return said;
}

function counted({ blockCount }: ForkExtents): string {
  const blocks = blockCount.reduce((sum, count) => sum + count, 0);
  return blocks === 1 ? 'one block' : `${blocks} blocks`;
}

function fromRegister(state: RepairState, help: MendHelp, inode: number, attr: boolean): ForkExtents {
  const nothing = {
    records: new Records(),
    spare: new Records(),
    treeBlocks: [],
    foreign: [],
    sound: false,
    doubted: true,
    incomplete: true,
  };
  return judgeFork(state.geometry, nothing, help.witness, {
    inode,
    attr,
    regular: !attr,
    sizeBlocks: Number.POSITIVE_INFINITY,
    doubted: true,
    preallocated: true,
  }).extents;
}

/** Without a register: the blocks that say they are this directory's, or the extents in blocks of the file's tree. */
function unregistered(state: RepairState, help: MendHelp, inode: number, of: Gone): ForkExtents {
  const { search, reader, witness } = help;
  if (!mayHaveBlocks(state, help, inode, of)) return new ForkExtents();
  const directory = search.directory(inode);
  if (directory.length > 0 || of.special !== undefined) return directory;
  const symlink = search.symlink(inode);
  if (symlink.length > 0) return symlink;
  const { records } = readFork(reader, { ...NO_ROOT, inode }, search.ofTree(inode, false));
  const extents = new ForkExtents();
  const sorted = records.sorted();
  for (let i = 0; i < sorted.length; i++) {
    const [fileBlock, start, count] = [sorted.fileBlock[i]!, sorted.startBlock[i]!, sorted.blockCount[i]!];
    const last = extents.length - 1;
    const isBehind = last < 0 || extents.fileBlock[last]! + extents.blockCount[last]! <= fileBlock;
    // Nothing else speaks for the file: only what is surely in use, and nobody else's, can be its own.
    const isOwn = isPossible(state.geometry, fileBlock, start, count, forkEnd(state.geometry, false, true));
    if (!isOwn || !isBehind || witness.freeBlocks(start, count) !== 0 || witness.isClaimed(start, count)) continue;
    extents.push(fileBlock, start, count, sorted.unwritten[i]!);
  }
  return extents;
}

/** Is it worth looking for blocks? That nothing was here the inode tree knows, or the register. */
function mayHaveBlocks(state: RepairState, { witness }: MendHelp, inode: number, { free, special }: Gone): boolean {
  const isFree = free && state.first.observed!.inodes.indexOf(inode) !== NONE;
  return !witness.registerWhole && (!isFree || special !== undefined);
}

/** The fork of a file whose tree has lost its root. */
const NO_ROOT = {
  attr: false,
  regular: true,
  format: FORMAT.BTREE,
  sizeBlocks: Number.POSITIVE_INFINITY,
  count: 0,
  view: new DataView(new ArrayBuffer(20)),
};

function typeFor(
  help: MendHelp,
  inode: number,
  named: Named | undefined,
  data: ForkExtents,
  attr: ForkExtents,
): number | undefined {
  const kind = data.length > 0 ? peek(help.reader, data.startBlock[0]!, inode) : 'other';
  if (kind === 'directory' || kind === 'hash-node') return MODE.DIR;
  if (kind === 'symlink') return MODE.SYMLINK;
  if (named) return typeOfFtype(named.ftype);
  return data.length > 0 || attr.length > 0 ? MODE.FILE : undefined;
}

const asJudged = (extents: ForkExtents): Judged => ({
  extents,
  changed: true,
  restored: new Records(),
  dropped: new Records(),
  lost: [],
  uncertain: [],
});

function makeDirectory({ geometry }: RepairState, slot: DataView, parent: number, data: ForkExtents): void {
  if (data.length > 0) {
    const spaceEnd = 2 ** 35 / geometry.blockSize;
    let end = 1;
    for (let i = 0; i < data.length; i++) {
      if (data.fileBlock[i]! < spaceEnd) end = data.fileBlock[i]! + data.blockCount[i]!;
    }
    setU64(slot, at.size, Math.ceil(end / geometry.dirBlockBlocks) * geometry.dirBlockSize);
    return;
  }
  const isWide = parent >= 2 ** 32;
  slot.setUint8(at.format, FORMAT.LOCAL);
  slot.setUint8(DATA_FORK_OFFSET + 1, isWide ? 1 : 0);
  if (isWide) setU64(slot, DATA_FORK_OFFSET + 2, parent);
  else slot.setUint32(DATA_FORK_OFFSET + 2, parent);
  setU64(slot, at.size, isWide ? 10 : 6);
}

/** A realtime inode has no permissions and no size; the bitmap has a flag of its own. */
function makeSpecial({ geometry }: RepairState, slot: DataView, inode: number): void {
  setU64(slot, at.size, 0);
  if (inode === geometry.rootInode + 1) slot.setUint16(at.flags, INODE_FLAG.NEWRTBM);
}
