/** What is written out is the plan, but for the log and for LSNs; and only what the plan changed. */
import { describe, expect, it } from 'vitest';
import { CADASTRE, XFS } from '../../../formats/dialect.ts';
import type { Geometry } from '../../../formats/geometry.ts';
import { INODE_MAGIC, InodeCore, MODE } from '../../../formats/inode.ts';
import { makeSpecimen } from '../../../test/support/specimen.ts';
import { check } from '../../check/check.ts';
import { OverlayDevice } from '../../device/overlay.ts';
import { RecorderDevice } from '../../device/recorder.ts';
import { PAGE } from '../../device/sparse-map.ts';
import { kindOf } from '../../journal/recovery/block-kinds.ts';
import { writeAt } from '../../volume/content.ts';
import { Editor } from '../../volume/editor.ts';
import { create, rename, unlink } from '../../volume/names.ts';
import { PlanDevice } from '../plan-device.ts';
import { writeOut } from './write-out.ts';

const WORLDS = {
  cadastre: [CADASTRE, { size: 16 << 20 }],
  xfs: [XFS, {}],
  'xfs, directory blocks of four': [XFS, { blockSize: 1024, dirBlockSize: 4096, features: { rmapbt: true } }],
  'cadastre, a log for a fraction of it': [CADASTRE, { size: 16 << 20, logSize: 1 << 20, blockSize: 1024 }],
} as const;
const text = (name: string): Uint8Array => new TextEncoder().encode(name);

/** A block without LSNs and CRCs. */
function plain(bytes: Uint8Array, geometry: Geometry): Uint8Array {
  const sectors = bytes.length / 512;
  const out = bytes.slice();
  const view = new DataView(out.buffer);
  const { lsn, crc } = InodeCore.offsets;
  for (let slot = 0; slot < out.length; slot += geometry.inodeSize) {
    if (view.getUint16(slot) !== INODE_MAGIC) continue;
    out.fill(0, slot + lsn, slot + lsn + 8);
    out.fill(0, slot + crc, slot + crc + 4);
  }
  for (let sector = 0; sector < sectors; sector++) {
    const type = kindOf(new DataView(out.buffer, sector * 512), geometry)?.type;
    if (!type || type.lsnOffset < 0) continue;
    out.fill(0, sector * 512 + type.lsnOffset, sector * 512 + type.lsnOffset + 8);
    out.fill(0, sector * 512 + type.crcOffset, sector * 512 + type.crcOffset + 4);
  }
  return out;
}

describe.each(Object.entries(WORLDS))('write-out, %s', (_name, [dialect, options]) => {
  it('makes the device what the plan is', () => {
    const { device: base, geometry, inodes } = makeSpecimen(dialect, options);
    const device = new RecorderDevice(new OverlayDevice(base));
    const first = check(device);
    expect(first.problems).toEqual([]);
    const plan = new PlanDevice(device);
    const editor = Editor.open(plan);
    const root = geometry.rootInode;
    for (let i = 0; i < 90; i++) {
      const number = create(editor, root, text(`a new name of some length ${i}`), { mode: MODE.FILE | 0o644 });
      writeAt(editor, number, 0, new Uint8Array(3000 + i).fill(i));
    }
    unlink(editor, root, text('frag'));
    unlink(editor, root, text('attrs'));
    unlink(editor, root, text('long-link'));
    const leaf = inodes['/leaf']!;
    for (let i = 0; i < 300; i += 2)
      unlink(editor, leaf, text(`a name that takes some room ${String(i).padStart(5, '0')}`));
    rename(editor, root, text('a'), leaf, text('a in the leaf'));
    editor.close();
    // A copy of data that nobody has to a place that nobody has.
    const free = geometry.agBlockToByte(1, geometry.agLength(1) - 8);
    plan.copy(geometry.agBlockToByte(0, 0), free, 2 * geometry.blockSize);
    const last = check(plan);
    expect(last.problems).toEqual([]);
    writeOut(device, plan, geometry, first, last.observed!);

    expect(check(device, { data: true }).problems).toEqual([]);
    const log = { start: geometry.logStart, end: geometry.logStart + geometry.logBlocks };
    const here = new Uint8Array(geometry.blockSize);
    const there = new Uint8Array(geometry.blockSize);
    for (let block = 0; block < geometry.blocks; block++) {
      const fsBlock = geometry.fsBlock(Math.floor(block / geometry.agBlocks), block % geometry.agBlocks);
      if (fsBlock >= log.start && fsBlock < log.end) continue;
      device.read(block * geometry.blockSize, here);
      plan.read(block * geometry.blockSize, there);
      if (Buffer.compare(here, there) === 0) continue;
      expect(Buffer.compare(plain(here, geometry), plain(there, geometry)), `block ${block}`).toBe(0);
    }
    // Nothing was written that the plan left alone.
    const touched = new Set(plan.heldPages());
    for (const { to, length } of plan.copiedRuns()) {
      for (let at = to; at < to + length; at += PAGE) touched.add(at / PAGE);
    }
    const start = geometry.fsBlockToByte(geometry.logStart);
    for (const event of device.events) {
      if (event.kind !== 'write') continue;
      for (let at = event.offset; at < event.offset + event.bytes.length; at += 512) {
        const inLog = at >= start && at < start + geometry.logBlocks * geometry.blockSize;
        if (!inLog && !touched.has(Math.floor(at / PAGE))) throw new Error(`byte ${at} was written`);
      }
    }
  });
});
