/** The whole of a repair: what it promises whatever the damage is. */
import { describe, expect, it } from 'vitest';
import { CADASTRE, XFS } from '../../formats/dialect.ts';
import { Superblock } from '../../formats/superblock.ts';
import {
  damaged,
  editHeader,
  editSuperblock,
  inodeByte,
  makeSpecimen,
  type Specimen,
} from '../../test/support/specimen.ts';
import { UnreadableDevice } from '../../test/support/unreadable.ts';
import { check } from '../check/check.ts';
import { MemoryDevice } from '../device/memory.ts';
import { OverlayDevice } from '../device/overlay.ts';
import { RecorderDevice } from '../device/recorder.ts';
import { Fork } from '../file/fork.ts';
import { Volume } from '../volume/volume.ts';
import { repair } from './repair.ts';

const specimens = { cadastre: makeSpecimen(CADASTRE, { size: 16 << 20 }), xfs: makeSpecimen(XFS) };

/** File blocks and where they are. */
function extentsOf({ device, inodes }: Specimen, path: string): { fileBlock: number; byte: number; length: number }[] {
  const volume = Volume.open(device);
  const { geometry } = volume;
  const out: { fileBlock: number; byte: number; length: number }[] = [];
  new Fork(volume.inode(inodes[path]!), 'data').forEachExtent((fileBlock, startBlock, blockCount) => {
    out.push({ fileBlock, byte: geometry.fsBlockToByte(startBlock), length: blockCount * geometry.blockSize });
  });
  return out;
}

describe.each(Object.entries(specimens))('repair, %s', (_name, specimen) => {
  const { geometry } = specimen;

  it('leaves a sound image alone', () => {
    const device = new RecorderDevice(damaged(specimen));
    expect(repair(device)).toMatchObject({ clean: true, changed: false, passes: 0, problems: [], actions: [] });
    expect(device.events).toEqual([]);
  });

  it('says in a dry run what it then does', () => {
    const device = new RecorderDevice(damaged(specimen));
    editHeader(specimen, device, 1, 1, (view) => view.setUint32(52, 1));
    editSuperblock(specimen, device, 0, (sb) => {
      sb.fdblocks = 5;
    });
    device.events.length = 0;
    const dry = repair(device, { dryRun: true });
    expect(device.events).toEqual([]);
    expect(dry.changed).toBe(true);
    expect(repair(device)).toEqual(dry);
    expect(check(device).problems).toEqual([]);
  });

  it('refuses when there is no superblock anywhere', () => {
    const device = new MemoryDevice(32 << 20);
    expect(() => repair(device)).toThrow(expect.objectContaining({ code: 'NO_SUPERBLOCK' }));
    expect(() => repair(new MemoryDevice(100))).toThrow(expect.objectContaining({ code: 'NO_SUPERBLOCK' }));
    expect(() => repair(new MemoryDevice(0))).toThrow(expect.objectContaining({ code: 'NO_SUPERBLOCK' }));
  });

  it('stops when it is told to, with nothing written', () => {
    const device = new RecorderDevice(damaged(specimen));
    device.write(0, new Uint8Array(4096));
    device.events.length = 0;
    const signal = { aborted: false };
    const stop = (phase: string): void => {
      if (phase.startsWith('verify')) signal.aborted = true;
    };
    expect(() => repair(device, { signal, progress: stop })).toThrow();
    expect(device.events).toEqual([]);
  });

  it('names files whose data lay behind the end of an image that was cut short', () => {
    const last = extentsOf(specimen, '/frag2').at(-1)!;
    const device = new OverlayDevice(specimen.device);
    device.resize(last.byte);
    const { clean, losses } = repair(device);
    expect(clean).toBe(true);
    expect(device.size).toBe(specimen.device.size);
    expect(losses).toContainEqual(expect.objectContaining({ what: 'data', path: '/frag2', fileBlock: last.fileBlock }));
    expect(check(device).problems).toEqual([]);
    expect(repair(device).changed).toBe(false);
  });

  it.each([
    ['a directory block', () => extentsOf(specimen, '/node')[0]!.byte],
    ['AGF 1', () => geometry.agHeaderDaddr(1, 1) * 512],
    ['AGI 0', () => geometry.agHeaderDaddr(0, 2) * 512],
    ['inodes', () => inodeByte(specimen, specimen.inodes['/fifo']!)],
    ['the primary superblock', () => 0],
  ])('goes on where the device fails: %s', (_what, byteOf) => {
    const device = new UnreadableDevice(damaged(specimen), byteOf(), 512);
    const { problems, clean } = repair(device);
    expect(problems.map(({ code }) => code)).toContain('READ_ERROR');
    expect(clean).toBe(true);
    // What was written over can be read again; the directory's old block belongs to nobody now.
    expect(repair(device)).toMatchObject({ clean: true, changed: false });
  });

  it.each([
    ['agblocks', 4],
    ['dblocks', -1],
    ['logblocks', -1],
    ['inodesize', 512],
    ['dirblklog', 1],
    ['rootino', 64],
  ] as const)('outvotes a primary with another %s', (field, by) => {
    const device = damaged(specimen);
    editSuperblock(specimen, device, 0, (sb) => {
      sb[field] += by;
    });
    expect(repair(device).clean).toBe(true);
    const sector = new Uint8Array(512);
    device.read(0, sector);
    const right = new Uint8Array(512);
    specimen.device.read(0, right);
    expect(Superblock.at(new DataView(sector.buffer))[field]).toBe(Superblock.at(new DataView(right.buffer))[field]);
  });

  it('makes a new log when blocks are ahead of it', () => {
    const device = damaged(specimen);
    for (const ag of [0, 1]) {
      for (const sector of [1, 2, 3] as const) {
        const lsn = { 1: 208, 2: 320, 3: 24 }[sector];
        editHeader(specimen, device, ag, sector, (view) => view.setUint32(lsn, 900));
      }
    }
    const result = repair(device);
    expect(result.problems.map(({ code }) => code)).toContain('LSN_AHEAD');
    expect(result.clean).toBe(true);
    expect(check(device).problems).toEqual([]);
  });
});
