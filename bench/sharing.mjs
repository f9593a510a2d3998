/**
 * Makes and changes images for the measurements of sharing, through the library as `npm run build` left it.
 *
 *   fragmented IMAGE EXTENTS      /file in so many extents of one block each
 *   overwrite IMAGE PATH COUNT    so many writes of 4 KiB at random block boundaries, durable at the end
 */
import { MODE } from '../dist/formats/inode.js';
import { FileDevice } from '../dist/lib/device/file.js';
import { punchHole } from '../dist/lib/file/truncate.js';
import { FileWriter } from '../dist/lib/file/write.js';
import { Batch } from '../dist/lib/volume/batch.js';
import { writeAt } from '../dist/lib/volume/content.js';
import { Editor } from '../dist/lib/volume/editor.js';
import { create } from '../dist/lib/volume/names.js';

const BLOCK = 4096;
const [verb, image, ...rest] = process.argv.slice(2);
const editor = Editor.open(new FileDevice(image, 'rw'));

function fragmented(extents) {
  const number = create(editor, editor.volume.geometry.rootInode, Buffer.from('file'), { mode: MODE.FILE | 0o644 });
  const perPiece = 512;
  const piece = new Uint8Array(2 * perPiece * BLOCK).fill(1);
  for (let done = 0; done < extents; done += perPiece) {
    const start = done * 2 * BLOCK;
    writeAt(editor, number, start, piece);
    for (let i = 0; i < perPiece; i += 64) {
      editor.transact((tx) => {
        for (let j = i; j < i + 64; j++) {
          const inode = editor.inode(tx, number);
          punchHole(tx, editor.space, editor.data, inode, start + (2 * j + 1) * BLOCK, BLOCK);
        }
      });
    }
  }
}

function overwrite(path, count) {
  const inode = editor.volume.resolve(path);
  const blocks = Math.floor(inode.size / BLOCK);
  const bytes = new Uint8Array(BLOCK).fill(2);
  const batch = new Batch(editor);
  let random = 1;
  for (let i = 0; i < count; i++) {
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
    const offset = (random % blocks) * BLOCK;
    batch.add({
      run: (tx) => {
        const file = editor.inode(tx, inode.number);
        new FileWriter(tx, file, editor.data, editor.space).write(offset, bytes);
        editor.touch(tx, file, true);
      },
      failed: (error) => {
        throw error;
      },
    });
  }
  batch.flush();
}

if (verb === 'fragmented') fragmented(Number(rest[0]));
else overwrite(rest[0], Number(rest[1]));
editor.close();
