/**
 * One inode: is there one, of which shape, what do its forks hold, and do its fields say so. An inode is only given up when
 * neither its slot nor the register nor a directory leaves anything to make one of.
 */
import { shortDirSize, verifyShortDir } from '../../../formats/directory.ts';
import {
  attrExtentCount,
  attrForkBytes,
  attrForkOffset,
  DATA_FORK_OFFSET,
  dataExtentCount,
  dataForkBytes,
  FORMAT,
  InodeCore,
  MODE,
  S_IFMT,
  setAttrExtentCount,
  setDataExtentCount,
} from '../../../formats/inode.ts';
import { inodeCoreFault, inodeCrcFault } from '../../../formats/inode-verify.ts';
import { getU64, NULL32, setU64 } from '../../../formats/struct.ts';
import { INODE_DAMAGE } from '../../check/damaged.ts';
import { CadastreError } from '../../errors.ts';
import { blankForkBytes } from '../forks/blank.ts';
import type { ForkExtents } from '../pending.ts';
import { readSlot, writeSlot } from '../slot.ts';
import type { RepairState } from '../state.ts';
import { freeSlot, identityScore, isUnused, mendFlags, mendIdentity } from './core.ts';
import { CLEAR_INODE } from './decisions.ts';
import type { Named } from './entries.ts';
import { type ForkOutcome, settleFork } from './fork-case.ts';
import { healBlocks, healSlot } from './heal.ts';
import type { MendHelp } from './help.ts';
import { lastByte } from './last-byte.ts';
import { CLEARED, FREED, REMADE, remake } from './remake.ts';
import { findShape, setShape } from './shape.ts';
import { specialOf } from './special.ts';
import { isRunning, mendSymlink, setRunning } from './symlinks.ts';

const at = InodeCore.offsets;

/** Bytes at the start of a data fork that two inodes have in common only when one is a copy: a record, a parent, a target. */
const TELLING_FORK = 16;
const DEFAULT_PERMISSIONS: { readonly [type: number]: number } = { [MODE.DIR]: 0o755, [MODE.SYMLINK]: 0o777 };

export class InodeMender {
  readonly #state: RepairState;
  readonly #help: MendHelp;
  /** Free slots that were damaged. */
  #freed = 0;

  constructor(state: RepairState, help: MendHelp) {
    this.#state = state;
    this.#help = help;
  }

  /** @param free the inode tree calls the slot free. */
  mend(inode: number, free: boolean): void {
    const { plan, geometry } = this.#state;
    let slot: DataView;
    try {
      slot = readSlot(plan, geometry, inode);
    } catch (error) {
      if (!(error instanceof CadastreError) || error.family !== 'device') throw error;
      // What cannot be read may be written: the place is given a sound content.
      slot = new DataView(new ArrayBuffer(geometry.inodeSize));
    }
    const before = new Uint8Array(slot.buffer.slice(0));
    let wrongCrc = inodeCrcFault(slot, 0, geometry) !== undefined;
    const healed = wrongCrc ? healSlot(slot, geometry, inode, this.#help.witness) : undefined;
    if (healed !== undefined) wrongCrc = false;
    const named = this.#help.entries.of(inode);
    const special = specialOf(this.#state, inode);
    const copyOf = this.#copied(slot, inode);
    if (identityScore(slot, geometry, inode) === 0 || copyOf !== undefined) {
      const made = remake(this.#state, this.#help, inode, { named, special, free, copyOf });
      this.#finish(inode, made.slot, before, [made.what], made.forks);
      return;
    }
    const fields = mendIdentity(slot, geometry, inode);
    if (healed !== undefined) fields.unshift(`what the CRC told (${healed})`);
    else if (wrongCrc) fields.unshift('CRC');
    if (!this.#isUsed(slot, inode, free, named, special !== undefined)) {
      if (!inodeCoreFault(slot, 0, geometry, inode) && slot.getUint16(at.mode) === 0 && isUnused(slot)) {
        this.#finish(inode, slot, before, fields, []);
        return;
      }
      freeSlot(slot, geometry, inode);
      this.#finish(inode, slot, before, [FREED], []);
      return;
    }
    const next = slot.getUint32(at.nextUnlinked);
    if (next !== NULL32 && !geometry.isAgInode(geometry.agOfInode(inode), next)) {
      slot.setUint32(at.nextUnlinked, NULL32);
      fields.push('nextUnlinked');
    }
    this.#shape(slot, inode, fields, wrongCrc, named, special);
    fields.push(...mendFlags(slot, geometry));
    if (wrongCrc) this.#doubt(slot, inode);
    const forks = this.#forks(slot, inode, fields, wrongCrc);
    this.#healBlocks(slot, inode, forks);
    if (!this.#contents(slot, inode, fields, forks)) {
      freeSlot(slot, geometry, inode);
      this.#clear(inode, 'it is a symlink, and its target cannot be read whole: half of one could lead anywhere');
      this.#finish(inode, slot, before, [CLEARED], []);
      return;
    }
    this.#makeValid(slot, inode, forks);
    this.#finish(inode, slot, before, fields, forks);
  }

  #clear(inode: number, why: string): void {
    this.#help.decisions.inode(inode, CLEAR_INODE, [why], `inode ${inode} is cleared`);
  }

  /** A wrong CRC that nothing explains: what has no other witness may not be what it was, and that is said. */
  #doubt(slot: DataView, inode: number): void {
    const isLocal = slot.getUint8(at.format) === FORMAT.LOCAL;
    const what = (slot.getUint16(at.mode) & S_IFMT) === MODE.SYMLINK ? 'its target' : 'its entries';
    this.#state.report.lose(
      'certainty',
      `inode ${inode}: the CRC is wrong and does not tell why: owner, permissions, times${isLocal ? ` and ${what}` : ''} may be damaged`,
      { inode },
    );
  }

  /** The inode whose content was written over this slot: it is where it belongs, too. */
  #copied(slot: DataView, inode: number): number | undefined {
    const { plan, geometry } = this.#state;
    const other = getU64(slot, at.ino);
    if (other === inode || !geometry.isInode(other)) return undefined;
    const own = readSlot(plan, geometry, other);
    if (getU64(own, at.ino) !== other) return undefined;
    // What stands behind the start of the fork may be anything, and the CRC with it.
    for (let i = 0; i < DATA_FORK_OFFSET + TELLING_FORK; i += 4) {
      if (i !== at.crc && own.getUint32(i) !== slot.getUint32(i)) return undefined;
    }
    return other;
  }

  #isUsed(slot: DataView, inode: number, free: boolean, named: Named | undefined, special: boolean): boolean {
    const mode = slot.getUint16(at.mode);
    if (special) return true;
    if (mode !== 0 && !free) return true;
    const { witness } = this.#help;
    const hasBlocks = witness.registered(inode, false) !== undefined || witness.registered(inode, true) !== undefined;
    // One of the two is wrong: something else must speak for the inode.
    if (isUnused(slot)) return hasBlocks;
    return named !== undefined || hasBlocks || (slot.getUint32(at.nlink) > 0 && getU64(slot, at.nblocks) > 0);
  }

  #shape(
    slot: DataView,
    inode: number,
    fields: string[],
    wrongCrc: boolean,
    named: Named | undefined,
    mustBe: number | undefined,
  ): void {
    const { witness, reader } = this.#help;
    const mode = slot.getUint16(at.mode);
    const was = [slot.getUint8(at.format), slot.getUint8(at.forkoff), slot.getUint8(at.aformat)];
    const shape = findShape(reader, slot, inode, {
      ftype: named?.ftype,
      wrongCrc,
      mustBe,
      hasData: (witness.registered(inode, false)?.rows.length ?? 0) > 0,
      hasAttr: (witness.registered(inode, true)?.rows.length ?? 0) > 0,
    });
    setShape(slot, shape);
    if (mode === 0) {
      slot.setUint16(at.mode, shape.type | (DEFAULT_PERMISSIONS[shape.type] ?? 0o644));
      fields.push('mode (permissions are not known any more)');
    } else if ((mode & S_IFMT) !== shape.type) fields.push('type');
    const is = [shape.format, shape.forkoff, shape.aformat];
    ['format', 'forkoff', 'aformat'].forEach((name, i) => {
      if (was[i] !== is[i]) fields.push(name);
    });
  }

  /** Read both forks; counts and block count follow. */
  #forks(slot: DataView, inode: number, fields: string[], wrongCrc: boolean): ForkOutcome[] {
    const out: ForkOutcome[] = [];
    const settle = (attr: boolean, others: number | undefined): number => {
      const fork = settleFork(slot, inode, attr, { ...this.#help, doubted: wrongCrc, others });
      if (fork) out.push(fork);
      else if (attr) setAttrExtentCount(slot, 0, 0);
      else setDataExtentCount(slot, 0, 0);
      return fork ? fork.blocks + fork.treeBlocks : 0;
    };
    const attrBlocks = settle(true, undefined);
    settle(false, attrBlocks);
    let blocks = 0;
    for (const fork of out) {
      blocks += fork.blocks + (fork.judged.changed ? 0 : fork.treeBlocks);
      const count = fork.attr ? attrExtentCount(slot, 0) : dataExtentCount(slot, 0);
      this.#tell(inode, fork);
      if (fork.judged.changed) {
        fields.push(`${fork.attr ? 'attribute' : 'data'} fork`);
        continue;
      }
      if (count === fork.records) continue;
      fields.push(fork.attr ? 'anextents' : 'nextents');
      if (fork.attr) setAttrExtentCount(slot, 0, fork.records);
      else setDataExtentCount(slot, 0, fork.records);
    }
    this.#missing(slot, inode, out);
    for (const fork of out) if (fork.judged.changed) blankForkBytes(slot, this.#state.geometry, fork.attr);
    if (getU64(slot, at.nblocks) !== blocks) fields.push('nblocks');
    setU64(slot, at.nblocks, blocks);
    return out;
  }

  /** Blocks that the inode counts and that nobody knows any more, where a tree has lost a part. */
  #missing(slot: DataView, inode: number, forks: readonly ForkOutcome[]): void {
    const broken = forks.find(({ incomplete }) => incomplete);
    const known = forks.reduce((sum, { blocks, treeBlocks }) => sum + blocks + treeBlocks, 0);
    const missing = getU64(slot, at.nblocks) - known;
    if (!broken || missing <= 0) return;
    const what = broken.attr ? 'attribute' : 'extents';
    const text = `${missing} blocks that the inode counts, those of the tree among them: a part of the tree is gone`;
    const name = broken.attr ? 'attribute fork' : 'data fork';
    this.#state.report.lose(what, `inode ${inode}: ${name}: ${text}`, { inode, blockCount: missing });
  }

  /** Blocks that describe themselves: where a CRC tells what changed, that is undone before anybody judges them. */
  #healBlocks(slot: DataView, inode: number, forks: readonly ForkOutcome[]): void {
    const damage = this.#state.first.damaged.inodes.get(inode) ?? 0;
    if ((damage & (INODE_DAMAGE.directory | INODE_DAMAGE.attributes | INODE_DAMAGE.symlink)) === 0) return;
    const type = slot.getUint16(at.mode) & S_IFMT;
    for (const { attr, judged } of forks) {
      if (attr) healBlocks(this.#state, inode, judged.extents, 'attributes');
      else if (type === MODE.DIR) healBlocks(this.#state, inode, judged.extents, 'directory');
      else if (type === MODE.SYMLINK) healBlocks(this.#state, inode, judged.extents, 'symlink');
    }
  }

  #tell(inode: number, { attr, judged }: ForkOutcome): void {
    const { report } = this.#state;
    const name = attr ? 'attribute fork' : 'data fork';
    for (const [fileBlock, blockCount] of judged.uncertain) {
      report.lose(
        'certainty',
        `inode ${inode}: ${name}: file blocks ${fileBlock}-${fileBlock + blockCount - 1} may belong to another place of the file`,
        { inode, fileBlock, blockCount },
      );
    }
    for (const [fileBlock, blockCount] of judged.lost) {
      report.lose(
        'extents',
        `inode ${inode}: ${name}: file blocks ${fileBlock}-${fileBlock + blockCount - 1}: nobody knows where they are`,
        { inode, fileBlock, blockCount },
      );
    }
  }

  /** Sizes and what only one type has. False: the inode cannot be kept; that was reported. */
  #contents(slot: DataView, inode: number, fields: string[], forks: readonly ForkOutcome[]): boolean {
    const { report } = this.#state;
    const dataFork = forks.find((fork) => !fork.attr)?.judged;
    const data = dataFork?.extents;
    const size = getU64(slot, at.size);
    let wanted = size;
    switch (slot.getUint16(at.mode) & S_IFMT) {
      case MODE.FILE:
        if (size > Number.MAX_SAFE_INTEGER) {
          // One bit too many is more likely than a new number.
          slot.setUint8(at.size, slot.getUint8(at.size) & 0x7f);
          const rest = getU64(slot, at.size);
          const end = lastByte(this.#help.reader, data);
          wanted = rest > Number.MAX_SAFE_INTEGER ? end : rest;
          if (wanted === end) {
            report.lose('size', `inode ${inode}: the size is not known any more: now the end of what it holds`, {
              inode,
            });
          }
        }
        break;
      case MODE.DIR:
        // An unlinked one may have been emptied.
        if (size > 0 || slot.getUint32(at.nlink) > 0) wanted = this.#directorySize(slot, data, size);
        break;
      case MODE.SYMLINK: {
        // On blocks that others claim, too: stage 2 may find its own.
        if (data && this.#isDisputed(inode, data)) break;
        const result = mendSymlink(this.#state, slot, inode, data);
        if (!result) return false;
        wanted = result.size;
        if (result.rewritten) fields.push('target blocks');
        if (dataFork && !isRunning(dataFork.extents)) {
          setRunning(dataFork.extents);
          if (!dataFork.changed) fields.push('data fork');
          dataFork.changed = true;
          blankForkBytes(slot, this.#state.geometry, false);
        }
        break;
      }
      default:
        wanted = 0;
    }
    if (wanted !== size) fields.push('size');
    setU64(slot, at.size, wanted);
    return true;
  }

  #isDisputed(inode: number, { length, startBlock, blockCount }: ForkExtents): boolean {
    const { witness } = this.#help;
    for (let i = 0; i < length; i++) {
      if (witness.isClaimedByOthers(startBlock[i]!, blockCount[i]!, inode, false)) return true;
    }
    return false;
  }

  #directorySize(slot: DataView, data: ForkExtents | undefined, size: number): number {
    const { geometry } = this.#state;
    const bytes = dataForkBytes(slot, 0, geometry.inodeSize);
    if (slot.getUint8(at.format) === FORMAT.LOCAL) {
      const fork = new DataView(slot.buffer, slot.byteOffset + DATA_FORK_OFFSET, bytes);
      // Size and number of entries may disagree: whoever mends names weighs them against the entries.
      if (size >= 6 && size <= bytes) return size;
      return bytes >= 6 && !verifyShortDir(fork, geometry) ? shortDirSize(fork) : Math.max(1, Math.min(size, bytes));
    }
    const spaceEnd = 2 ** 35 / geometry.blockSize;
    let last = 0;
    if (data) {
      for (let i = 0; i < data.length && data.fileBlock[i]! < spaceEnd; i++) {
        last = Math.min(spaceEnd, data.fileBlock[i]! + data.blockCount[i]!) - 1;
      }
    }
    return (Math.floor(last / geometry.dirBlockBlocks) + 1) * geometry.dirBlockSize;
  }

  /** The verifier has the last word: what it still does not accept costs a fork, and only then the inode. */
  #makeValid(slot: DataView, inode: number, forks: ForkOutcome[]): void {
    const { geometry, report } = this.#state;
    for (const attr of [true, false]) {
      const fault = inodeCoreFault(slot, 0, geometry, inode);
      if (!fault) return;
      if (attr && slot.getUint8(at.forkoff) === 0) continue;
      if (fault.field === 'attr.totsize') {
        // How long the list really is, whoever mends attributes finds by its entries.
        slot.setUint16(attrForkOffset(slot, 0), attrForkBytes(slot, 0, geometry.inodeSize));
        if (!inodeCoreFault(slot, 0, geometry, inode)) return;
      }
      report.lose(
        attr ? 'attribute' : 'extents',
        `inode ${inode}: its ${attr ? 'attribute' : 'data'} fork cannot be used (${fault.field} is ${fault.found})`,
        { inode },
      );
      blankForkBytes(slot, geometry, attr);
      const lost = forks.findIndex((fork) => fork.attr === attr);
      if (lost >= 0) forks.splice(lost, 1);
    }
    if (!inodeCoreFault(slot, 0, geometry, inode)) return;
    const { field, found } = inodeCoreFault(slot, 0, geometry, inode)!;
    report.lose('inode', `inode ${inode}: cannot be made valid: cleared`, { inode });
    this.#clear(inode, `it is not valid without its forks either: ${field} is ${found}`);
    freeSlot(slot, geometry, inode);
    forks.length = 0;
  }

  #tellSlot(inode: number, fields: readonly string[]): void {
    const { report } = this.#state;
    const [only] = fields;
    if (only === FREED) this.#freed++;
    else if (only === REMADE || only === CLEARED) report.did('inodes', `inode ${inode}: ${only}`, { inode });
    else report.did('inodes', `inode ${inode}: ${fields.length > 0 ? fields.join(', ') : 'CRC'} corrected`, { inode });
  }

  /** All inodes are done: say what was too much alike to be told one by one. */
  finish(): void {
    if (this.#freed > 0) this.#state.report.did('inodes', `${this.#freed} free inodes ${FREED}`);
  }

  /** Put the slot back when it differs, and hand over the forks that have to be written. */
  #finish(
    inode: number,
    slot: DataView,
    before: Uint8Array,
    fields: readonly string[],
    forks: readonly { attr: boolean; judged: { extents: ForkExtents; changed: boolean } }[],
  ): void {
    const state = this.#state;
    const bytes = new Uint8Array(slot.buffer, slot.byteOffset, before.length);
    const wrongCrc = inodeCrcFault(new DataView(before.buffer), 0, state.geometry) !== undefined;
    if (wrongCrc || !bytes.every((byte, i) => byte === before[i])) {
      writeSlot(state.plan, state.geometry, inode, slot);
      state.planChanged(inode);
      this.#tellSlot(inode, fields);
    }
    for (const { attr, judged } of forks) {
      if (judged.changed) state.setFork({ inode, attr, extents: judged.extents });
    }
  }
}
