/** The border between the forks moves while both hold something: whatever comes first, both stay what they are. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CADASTRE, XFS } from '../../formats/dialect.ts';
import { MODE } from '../../formats/inode.ts';
import { check } from '../check/check.ts';
import { MemoryDevice } from '../device/memory.ts';
import { finishImage, formatImage } from '../mkfs/format-image.ts';
import { planImage } from '../mkfs/geometry.ts';
import { writeAt } from '../volume/content.ts';
import { Editor } from '../volume/editor.ts';
import { listXattrs, removeXattr, setXattr } from '../volume/metadata.ts';
import { create, unlink } from '../volume/names.ts';
import { readSymlink } from './symlink.ts';

const encoder = new TextEncoder();
const bytes = (length: number, fill: number): Uint8Array => new Uint8Array(length).fill(fill);

function open(dialect: 'xfs' | 'cadastre', blockSize: number): { device: MemoryDevice; editor: Editor } {
  const plan = planImage({
    dialect: dialect === 'xfs' ? XFS : CADASTRE,
    size: 24 << 20,
    blockSize,
    uuid: bytes(16, 4),
    time: { seconds: 1, nanoseconds: 0 },
  });
  const device = new MemoryDevice(plan.size);
  formatImage(device, plan, true);
  finishImage(device, plan);
  return { device, editor: Editor.open(device) };
}

function finish(device: MemoryDevice, editor: Editor): void {
  editor.close();
  expect(check(device, { data: true }).problems).toEqual([]);
}

/** What is done to one object: set or remove an attribute, or let the data fork grow or shrink. */
const steps = fc.array(
  fc.oneof(
    fc.record({
      what: fc.constant('set' as const),
      name: fc.nat(5),
      length: fc.constantFrom(0, 8, 30, 70, 200, 900, 5000),
    }),
    fc.record({ what: fc.constant('remove' as const), name: fc.nat(5), length: fc.constant(0) }),
    fc.record({ what: fc.constant('grow' as const), name: fc.nat(40), length: fc.integer({ min: 1, max: 12 }) }),
    fc.record({ what: fc.constant('shrink' as const), name: fc.nat(40), length: fc.integer({ min: 1, max: 12 }) }),
  ),
  { minLength: 1, maxLength: 40 },
);

describe.each([
  { dialect: 'xfs' as const, blockSize: 4096 },
  { dialect: 'xfs' as const, blockSize: 1024 },
  { dialect: 'cadastre' as const, blockSize: 1024 },
])('$dialect, blocks of $blockSize', ({ dialect, blockSize }) => {
  it.each(['directory', 'file'])('attributes and content of a %s come and go', (kind) => {
    fc.assert(
      fc.property(steps, (list) => {
        const { device, editor } = open(dialect, blockSize);
        const { rootInode } = editor.volume.geometry;
        const isDirectory = kind === 'directory';
        const number = create(editor, rootInode, encoder.encode('it'), {
          mode: (isDirectory ? MODE.DIR : MODE.FILE) | 0o755,
        });
        const attributes = new Map<string, number>();
        const entries = new Set<string>();
        for (const { what, name, length } of list) {
          const attribute = `user.name-${name}`;
          if (what === 'set') {
            setXattr(editor, number, encoder.encode(attribute), bytes(length, name));
            attributes.set(attribute, length);
          } else if (what === 'remove') {
            if (attributes.delete(attribute)) removeXattr(editor, number, encoder.encode(attribute));
          } else if (!isDirectory)
            writeAt(editor, number, (name * 30 + length * 2) * blockSize, bytes(blockSize, name));
          else {
            for (let i = 0; i < length; i++) {
              const entry = `${'e'.repeat(5 * name)}${i}`;
              if (what === 'grow' && !entries.has(entry)) {
                create(editor, number, encoder.encode(entry), { mode: MODE.FIFO | 0o600 });
                entries.add(entry);
              } else if (what === 'shrink' && entries.delete(entry)) unlink(editor, number, encoder.encode(entry));
            }
          }
        }
        const inode = editor.volume.inode(number);
        expect(
          new Map(listXattrs(inode).map((each) => [Buffer.from(each.name).toString(), each.value.length])),
        ).toEqual(attributes);
        if (isDirectory) expect(editor.volume.entries(inode).length).toBe(entries.size);
        finish(device, editor);
      }),
      { numRuns: 12 },
    );
  });

  it('a symlink that fills the inode makes room for attributes', () => {
    const { device, editor } = open(dialect, blockSize);
    const { rootInode } = editor.volume.geometry;
    for (const length of [1, 250, 300, 330, 336, 337, 1000]) {
      const target = bytes(length, 0x74);
      const number = create(editor, rootInode, encoder.encode(`l${length}`), { mode: MODE.SYMLINK | 0o777, target });
      setXattr(editor, number, encoder.encode('trusted.a'), bytes(40, 1));
      setXattr(editor, number, encoder.encode('trusted.b'), bytes(400, 2));
      expect(readSymlink(editor.volume.inode(number))).toEqual(target);
      removeXattr(editor, number, encoder.encode('trusted.a'));
      removeXattr(editor, number, encoder.encode('trusted.b'));
      expect(readSymlink(editor.volume.inode(number))).toEqual(target);
    }
    finish(device, editor);
  });
});

it('a small directory keeps room for a tree root, however much its attributes would like', () => {
  const { device, editor } = open('xfs', 1024);
  const { rootInode } = editor.volume.geometry;
  const number = create(editor, rootInode, encoder.encode('d'), { mode: MODE.DIR | 0o755 });
  for (let i = 0; i < 6; i++) setXattr(editor, number, encoder.encode(`user.a${i}`), bytes(47, i));
  expect(editor.volume.inode(number).core.forkoff * 8).toBeGreaterThanOrEqual(56);
  const other = create(editor, rootInode, encoder.encode('f'), { mode: MODE.FILE | 0o644 });
  // Blocks of two growing things alternate: the directory's extents do not join.
  for (let i = 0; i < 400; i++) {
    create(editor, number, encoder.encode(`${i}${'n'.repeat(100)}`), { mode: MODE.FIFO | 0o600 });
    writeAt(editor, other, i * 1024, bytes(1024, i));
  }
  expect(editor.volume.entries(editor.volume.inode(number)).length).toBe(400);
  finish(device, editor);
});
