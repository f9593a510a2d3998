/** Recovery without any outside program: images that our own journal left dirty, hand-made intents, hostile logs. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CADASTRE, type Dialect, XFS } from '../../formats/dialect.ts';
import { INODE_FLAG2 } from '../../formats/inode.ts';
import { LOG_BB, LogRecordHeader, sealLogRecord } from '../../formats/log.ts';
import {
  AttriItem,
  BUI_TYPE,
  CUI_TYPE,
  CuiExtent,
  EfiExtent,
  IntentHeader,
  LOG_ITEM,
  MapExtent,
  RUI_TYPE,
  XMI_FLAG,
  XmiItem,
} from '../../formats/log-items.ts';
import { check } from '../check/check.ts';
import type { Device } from '../device/device.ts';
import { MemoryDevice } from '../device/memory.ts';
import { OverlayDevice } from '../device/overlay.ts';
import { CadastreError } from '../errors.ts';
import { Fork } from '../file/fork.ts';
import { readFork } from '../file/inode-fork-blocks.ts';
import { readLogState } from '../journal/log-reader.ts';
import { LogShape } from '../journal/position.ts';
import { forEachCheckpoint } from '../journal/recovery/checkpoints.ts';
import { planMake, writeImage } from '../mkfs/make.ts';
import { inodeOwner, specialOwner } from '../space/owner.ts';
import { writeAt } from '../volume/content.ts';
import { Editor } from '../volume/editor.ts';
import { create, createUnnamed, unlink } from '../volume/names.ts';
import { openSuperblock } from '../volume/open.ts';
import { Volume } from '../volume/volume.ts';
import { getAttribute } from '../xattr/read.ts';
import { discardLog, type RecoveryReport, recover } from './recover.ts';

const TIME = { seconds: 1_700_000_000, nanoseconds: 1 };
const MIB = 2 ** 20;
const name = (text: string): Uint8Array => new TextEncoder().encode(text);
const made = new Map<string, Device>();

function emptyImage(dialect: Dialect): OverlayDevice {
  let base = made.get(dialect.name);
  if (!base) {
    const features = dialect === XFS ? { rmapbt: true, reflink: true } : {};
    const uuid = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
    const plan = planMake({ dialect, size: 64 * MIB, uuid, time: TIME, features });
    base = new MemoryDevice(plan.image.size);
    writeImage(base, plan, true, { time: TIME, reproducible: true, generation: 1 });
    made.set(dialect.name, base);
  }
  return new OverlayDevice(base);
}

const edit = (device: Device): Editor => Editor.open(device, { now: () => TIME, generation: () => 9 });
const root = (editor: Editor): number => editor.volume.geometry.rootInode;
const content = (seed: number, length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 0xff);

function makeFile(editor: Editor, file: string, bytes: Uint8Array): number {
  const number = create(editor, root(editor), name(file), { mode: 0o100644 });
  writeAt(editor, number, 0, bytes);
  return number;
}

function recoverDevice(device: Device): RecoveryReport {
  return recover(device, openSuperblock(device).geometry);
}

/** The image is whole, its log clean, and a second recovery finds nothing to do. */
function expectWhole(device: Device): void {
  const { problems } = check(device, { data: true });
  expect(problems.map(({ code, where, found }) => ({ code, where, found }))).toEqual([]);
  expect(recoverDevice(device).clean).toBe(true);
}

function readFile(device: Device, file: string): Uint8Array {
  const volume = Volume.open(device);
  const inode = volume.resolve(`/${file}`);
  const bytes = new Uint8Array(inode.size);
  volume.fileReader(inode).read(0, bytes);
  return bytes;
}

describe.each([XFS, CADASTRE])('recovery, $name', (dialect) => {
  it('replays what was durable, frees what had no name, and leaves a clean log', () => {
    const device = emptyImage(dialect);
    const editor = edit(device);
    makeFile(editor, 'kept', content(1, 30_000));
    for (let i = 0; i < 300; i++) create(editor, root(editor), name(`entry-${i}`), { mode: 0o100600 });
    makeFile(editor, 'gone', content(2, 9000));
    unlink(editor, root(editor), name('gone'));
    const nameless = editor.transact((tx) => createUnnamed(editor, tx, root(editor), { mode: 0o100600 }));
    writeAt(editor, nameless, 0, content(3, 50_000));
    editor.sync();
    create(editor, root(editor), name('too-late'), { mode: 0o100600 });
    // Here the power fails: what is not in the log is lost, and nothing is in its place.
    const report = recoverDevice(device);
    expect(report).toMatchObject({ clean: false, unlinkedInodes: 1, intents: {} });
    expect(report.checkpoints).toBeGreaterThan(0);
    expectWhole(device);
    expect(readFile(device, 'kept')).toEqual(content(1, 30_000));
    const volume = Volume.open(device);
    expect(volume.entries(volume.root).length).toBe(301);
  });

  it('leaves a clean image alone', () => {
    const device = emptyImage(dialect);
    expect(recoverDevice(device)).toMatchObject({ clean: true, checkpoints: 0 });
    expect(device.changedBytes).toBe(0);
  });

  it('throws a log away on request, and says what was in it', () => {
    const device = emptyImage(dialect);
    const editor = edit(device);
    makeFile(editor, 'lost', content(1, 5000));
    editor.sync();
    const { geometry } = openSuperblock(device);
    const before = readLogState(device, geometry);
    const report = discardLog(device, geometry);
    expect(report.clean).toBe(false);
    expect(report.lost?.items.INODE).toBeGreaterThan(0);
    expect(report.cycle).toBeGreaterThan(before.head.cycle);
    expect(readLogState(device, geometry)).toMatchObject({ clean: true, head: { cycle: report.cycle } });
    // The new log can be written.
    const again = edit(device);
    create(again, root(again), name('new'), { mode: 0o100644 });
    again.close();
    expect(Volume.open(device).resolve('/new').isFile).toBe(true);
  });
});

/** Regions of intents, as a kernel writes them. */
let nextId = 1;
function intent(
  type: number,
  pieces: number,
  size: number,
  fill: (view: DataView, at: number, i: number) => void,
): Uint8Array {
  const bytes = new Uint8Array(IntentHeader.size + pieces * size);
  const view = new DataView(bytes.buffer);
  const header = IntentHeader.at(view);
  header.type = type;
  header.regions = 1;
  header.count = pieces;
  header.idLo = nextId++;
  for (let i = 0; i < pieces; i++) fill(view, IntentHeader.size + i * size, i);
  return bytes;
}
const efi = (startBlock: number, blockCount: number): Uint8Array =>
  intent(LOG_ITEM.EFI, 1, EfiExtent.size, (view, at) => {
    Object.assign(EfiExtent.at(view, at), { startBlock, blockCount });
  });
const cui = (kind: number, startBlock: number, blockCount: number): Uint8Array =>
  intent(LOG_ITEM.CUI, 1, CuiExtent.size, (view, at) => {
    Object.assign(CuiExtent.at(view, at), { startBlock, blockCount, flags: kind });
  });
function map(
  type: number,
  kind: number,
  owner: { hi: number; lo: number },
  place: number,
  start: number,
  count: number,
) {
  return intent(type, 1, MapExtent.size, (view, at) => {
    const extent = MapExtent.at(view, at);
    extent.ownerHi = owner.hi;
    extent.ownerLo = owner.lo;
    extent.startBlock = start;
    extent.startOffset = place;
    extent.blockCount = count;
    extent.flags = kind;
  });
}

/** Fill an image, log intents, crash, recover. */
function withIntents(work: (editor: Editor) => void): { device: OverlayDevice; report: RecoveryReport } {
  const device = emptyImage(XFS);
  const editor = edit(device);
  work(editor);
  editor.sync();
  const report = recoverDevice(device);
  expectWhole(device);
  return { device, report };
}

describe('unfinished intents', () => {
  it('EFI: blocks to free are freed, whoever the register says owns them', () => {
    const { report } = withIntents((editor) =>
      editor.transact((tx) => {
        const plain = editor.space.allocate(tx, { min: 5, max: 5 })!;
        const owned = editor.space.allocate(tx, {
          min: 3,
          max: 3,
          owner: inodeOwner(root(editor)),
          place: { bmbt: true },
        })!;
        tx.addItem(efi(plain.fsBlock, 5));
        tx.addItem(efi(owned.fsBlock, 3));
      }),
    );
    expect(report.intents).toEqual({ EFI: 2 });
  });

  it('BUI: an extent enters a file, another one leaves', () => {
    const { device, report } = withIntents((editor) => {
      const a = makeFile(editor, 'a', content(1, 8192));
      const b = makeFile(editor, 'b', content(2, 4096));
      editor.transact((tx) => {
        const got = editor.space.allocate(tx, { min: 2, max: 2 })!;
        editor.data.write(editor.volume.geometry.fsBlockToByte(got.fsBlock), content(3, 8192));
        tx.addItem(map(LOG_ITEM.BUI, BUI_TYPE.MAP, inodeOwner(b), 4, got.fsBlock, 2));
        const cursor = new Fork(editor.inode(tx, a), 'data').cursor();
        cursor.seekFirst();
        tx.addItem(map(LOG_ITEM.BUI, BUI_TYPE.UNMAP, inodeOwner(a), 1, cursor.startBlock + 1, 1));
        tx.addItem(efi(cursor.startBlock + 1, 1));
        const inode = editor.inode(tx, b);
        inode.change(tx);
        inode.core.size = 6 * 4096;
      });
    });
    expect(report.intents).toEqual({ BUI: 2, EFI: 1 });
    expect(readFile(device, 'a').subarray(4096)).toEqual(new Uint8Array(4096));
    expect(readFile(device, 'b').subarray(4 * 4096)).toEqual(content(3, 8192));
  });

  it('CUI and RUI: sharing, unsharing, staging; what nobody holds is free', () => {
    const { device, report } = withIntents((editor) => {
      const a = makeFile(editor, 'a', content(1, 4096 * 4));
      const b = makeFile(editor, 'b', content(2, 4096));
      editor.transact((tx) => {
        const { space } = editor;
        for (const number of [a, b]) {
          const inode = editor.inode(tx, number);
          inode.change(tx);
          inode.core.flags2Lo |= INODE_FLAG2.REFLINK;
        }
        const fork = new Fork(editor.inode(tx, a), 'data');
        const cursor = fork.cursor();
        cursor.seekFirst();
        const shared = cursor.startBlock;
        tx.addItem(cui(CUI_TYPE.INCREASE, shared, 2));
        tx.addItem(map(LOG_ITEM.BUI, BUI_TYPE.MAP, inodeOwner(b), 1, shared, 2));
        // The last two blocks of a leave it: mapping gone, register and refcount still to follow.
        fork.unmap(tx, space, 2, 4, () => {});
        tx.addItem(map(LOG_ITEM.RUI, RUI_TYPE.UNMAP, inodeOwner(a), 2, shared + 2, 2));
        tx.addItem(cui(CUI_TYPE.DECREASE, shared + 2, 2));
        const staging = space.allocate(tx, { min: 7, max: 7 })!;
        tx.addItem(cui(CUI_TYPE.ALLOC_COW, staging.fsBlock, 7));
        tx.addItem(map(LOG_ITEM.RUI, RUI_TYPE.ALLOC, specialOwner(0xfffffff7), 0, staging.fsBlock, 7));
      });
    });
    expect(report.intents).toEqual({ CUI: 3, RUI: 2, BUI: 1 });
    expect(report.stagingBlocks).toBe(7);
    expect(readFile(device, 'a').subarray(0, 8192)).toEqual(content(1, 8192));
  });

  it('a long refcount change goes in steps', () => {
    withIntents((editor) => {
      const blocks = 1500;
      editor.transact((tx) => {
        const got = editor.space.allocate(tx, { min: blocks, max: blocks })!;
        tx.addItem(cui(CUI_TYPE.DECREASE, got.fsBlock, blocks));
      });
    });
  });

  it('ATTRI: an attribute is set, another one removed', () => {
    const { device } = withIntents((editor) => {
      const a = makeFile(editor, 'a', content(1, 100));
      editor.transact((tx) => {
        const head = new Uint8Array(AttriItem.size);
        const item = AttriItem.at(new DataView(head.buffer));
        Object.assign(item, {
          type: LOG_ITEM.ATTRI,
          regions: 3,
          ino: a,
          op: 1,
          nameLength: 5,
          valueLength: 3,
          filter: 0,
        });
        item.idLo = nextId++;
        tx.addItem(head, name('title\0\0\0'), name('new\0'));
      });
    });
    const volume = Volume.open(device);
    const found = getAttribute(readFork(volume.resolve('/a'), 'attr'), 0, name('title'));
    expect(found && new TextDecoder().decode(found)).toBe('new');
  });

  it('XMI: two files exchange what they map, and their sizes', () => {
    const { device, report } = withIntents((editor) => {
      const a = makeFile(editor, 'a', content(1, 200_000));
      const b = makeFile(editor, 'b', new Uint8Array(0));
      for (let i = 0; i < 80; i++) writeAt(editor, b, i * 8192, content(i, 4096));
      editor.transact((tx) => {
        const bytes = new Uint8Array(XmiItem.size);
        const item = XmiItem.at(new DataView(bytes.buffer));
        Object.assign(item, { type: LOG_ITEM.XMI, regions: 1, inode1: a, inode2: b, gen1: 9, gen2: 9 });
        item.gen1 = editor.inode(tx, a).core.gen;
        item.gen2 = editor.inode(tx, b).core.gen;
        Object.assign(item, { blockCount: 200, size1: editor.inode(tx, b).size, size2: 200_000 });
        item.flagsLo = XMI_FLAG.SET_SIZES;
        item.idLo = nextId++;
        tx.addItem(bytes);
      });
    });
    expect(report.intents).toEqual({ XMI: 1 });
    expect(readFile(device, 'b')).toEqual(content(1, 200_000));
    expect(readFile(device, 'a').subarray(79 * 8192)).toEqual(content(79, 4096));
  });

  it.each([
    ['outside the image', efi(2 ** 40, 5)],
    ['in the AG headers', efi(0, 1)],
    ['empty', efi(500, 0)],
    ['twice free', efi(4000, 10)],
    ['a mapping of no inode', map(LOG_ITEM.BUI, BUI_TYPE.MAP, { hi: 77, lo: 5 }, 0, 900, 1)],
    ['an unknown kind', cui(99, 900, 1)],
  ])('refuses intents that cannot be: %s', (_what, region) => {
    const device = emptyImage(XFS);
    const editor = edit(device);
    editor.transact((tx) => {
      tx.addItem(region);
      editor.touch(tx, editor.inode(tx, root(editor)), false);
    });
    editor.sync();
    expect(() => recoverDevice(device)).toThrow(CadastreError);
  });
});

/** A device that ends the test when something is written outside the image. */
class Bounded extends OverlayDevice {
  override write(offset: number, from: Uint8Array): void {
    if (!(offset >= 0 && offset + from.length <= this.size)) throw new Error(`write at ${offset}+${from.length}`);
    super.write(offset, from);
  }
}

describe('hostile logs', () => {
  const dirty = (): OverlayDevice => {
    const device = emptyImage(XFS);
    const editor = edit(device);
    for (let i = 0; i < 40; i++) makeFile(editor, `file-${i}`, content(i, 3000));
    editor.sync();
    for (let i = 0; i < 40; i += 2) unlink(editor, root(editor), name(`file-${i}`));
    const last = makeFile(editor, 'large', content(5, 100_000));
    editor.transact((tx) => {
      const got = editor.space.allocate(tx, { min: 4, max: 4 })!;
      tx.addItem(efi(got.fsBlock, 4), map(LOG_ITEM.BUI, BUI_TYPE.MAP, inodeOwner(last), 99, got.fsBlock, 1));
    });
    editor.sync();
    return device;
  };
  const base = dirty();
  const { geometry } = openSuperblock(base);
  const shape = new LogShape(geometry);
  const state = readLogState(base, geometry);

  /** Recovery of a damaged copy either works or says what is wrong. */
  const expectCalm = (device: Device): void => {
    try {
      recoverDevice(device);
    } catch (error) {
      if (!(error instanceof CadastreError) || error.family === 'internal') throw error;
    }
  };

  it('random damage anywhere in the log', () => {
    const length = shape.distance(state.tail, state.head) * LOG_BB;
    const damage = fc.array(fc.tuple(fc.nat(length + 4096), fc.nat(255)), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(damage, (changes) => {
        const device = new Bounded(base);
        for (const [at, value] of changes) {
          device.write(shape.start + state.tail.block * LOG_BB + at, Uint8Array.of(value));
        }
        expectCalm(device);
      }),
      { numRuns: 60 },
    );
  });

  it('lies with a right CRC', () => {
    // Positions of all records of the log, to be damaged and sealed again.
    const records: { at: number; bytes: number }[] = [];
    for (let block = state.tail.block; block < state.head.block; ) {
      const head = new Uint8Array(LOG_BB);
      base.read(shape.start + block * LOG_BB, head);
      const header = LogRecordHeader.at(new DataView(head.buffer));
      const bytes = LOG_BB + header.len;
      records.push({ at: shape.start + block * LOG_BB, bytes });
      block += bytes / LOG_BB;
    }
    const size = fc.constantFrom(1, 2, 4, 8);
    const value = fc.constantFrom(0, 1, 0x7f, 0x80, 0xff, 0x10);
    const change = fc.record({ record: fc.nat(), at: fc.nat(), size, value });
    const counts = { fine: 0, refused: 0 };
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const device = new Bounded(base);
        for (const each of changes) {
          const { at, bytes } = records[each.record % records.length]!;
          const record = new Uint8Array(bytes);
          device.read(at, record);
          // Mostly the start of the body, where op headers and format structures are; the header's own fields rarely.
          const place = each.at % 5 === 0 ? each.at % bytes : LOG_BB + (each.at % Math.min(bytes - LOG_BB, 700));
          record.fill(each.value, place, Math.min(bytes, place + each.size));
          if (place >= LOG_BB) sealLogRecord(record);
          device.write(at, record);
        }
        try {
          recoverDevice(device);
          counts.fine++;
        } catch (error) {
          counts.refused++;
          if (!(error instanceof CadastreError) || error.family === 'internal') throw error;
        }
      }),
      { numRuns: 150 },
    );
    expect(counts.refused).toBeGreaterThan(10);
  });

  it('unknown items are refused by name, nothing is written', () => {
    const device = new OverlayDevice(base);
    const types: number[] = [];
    forEachCheckpoint(device, geometry, state, ({ items }) => types.push(...items.map((item) => item.type)));
    const record = new Uint8Array(LOG_BB * 64);
    const at = shape.start + state.tail.block * LOG_BB;
    device.read(at, record);
    const { len } = LogRecordHeader.at(new DataView(record.buffer));
    const whole = new Uint8Array(LOG_BB + len);
    device.read(at, whole);
    // Start op, transaction header op and header: the first item's type follows the next op header.
    const place = LOG_BB + 12 + 12 + 16 + 12;
    const view = new DataView(whole.buffer);
    expect(types).toContain(view.getUint16(place, true));
    view.setUint16(place, 0x1299, true);
    sealLogRecord(whole);
    const bad = new OverlayDevice(device);
    device.write(at, whole);
    expect(() => recoverDevice(bad)).toThrow(expect.objectContaining({ code: 'LOG_ITEM', family: 'unsupported' }));
    expect(bad.changedBytes).toBe(0);
  });

  it('a log of another byte order is refused', () => {
    const device = new OverlayDevice(base);
    for (let block = state.tail.block; block < state.head.block; ) {
      const at = shape.start + block * LOG_BB;
      const head = new Uint8Array(LOG_BB);
      device.read(at, head);
      const whole = new Uint8Array(LOG_BB + LogRecordHeader.at(new DataView(head.buffer)).len);
      device.read(at, whole);
      LogRecordHeader.at(new DataView(whole.buffer)).fmt = 2;
      sealLogRecord(whole);
      device.write(at, whole);
      block += whole.length / LOG_BB;
    }
    expect(() => recoverDevice(device)).toThrow(expect.objectContaining({ code: 'LOG_BYTE_ORDER' }));
  });
});
