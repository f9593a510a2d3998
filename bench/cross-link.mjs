/**
 * Files that claim one another's blocks, for the measurement of repair, through the library as `npm run build` left it.
 *
 *   cross IMAGE         every other file of the image points at the first extent of the next one, with a right CRC
 *   differ IMAGE TREE   how many files of TREE the image has with other bytes, or not at all
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { damage } from '../dist/lib/damage/damage.js';
import { FileDevice } from '../dist/lib/device/file.js';
import { OverlayDevice } from '../dist/lib/device/overlay.js';
import { Volume } from '../dist/lib/volume/volume.js';

const [verb, image, tree] = process.argv.slice(2);
const device = new FileDevice(image, verb === 'cross' ? 'rw' : 'r');
const volume = Volume.open(device);
const { geometry } = volume;

/** Inode numbers of files that have extents in their inode, directory by directory. */
function* files(directory) {
  for (const { inode: number } of volume.entries(volume.inode(directory))) {
    const inode = volume.inode(number);
    if (inode.isDirectory) yield* files(number);
    else if (inode.core.nextents > 0 || inode.core.bigNextents > 0) yield number;
  }
}

function cross() {
  const field = 'extents[0].startBlock';
  const place = (inode) => ({ kind: 'inode', inode });
  const all = [...files(geometry.rootInode)];
  for (let i = 0; i + 1 < all.length; i += 2) {
    const spec = { place: place(all[i + 1]), field, verb: 'zero', crc: 'keep' };
    const { before } = damage(new OverlayDevice(device), geometry, spec);
    damage(device, geometry, { place: place(all[i]), field, verb: 'value', value: before, crc: 'fix' });
  }
  device.flush();
  console.log(`${all.length >> 1} files point at the blocks of another`);
}

function differ() {
  let count = 0;
  for (const entry of readdirSync(tree, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath ?? entry.path, entry.name);
    const expected = readFileSync(path);
    try {
      const inode = volume.resolve(path.slice(tree.length));
      const found = Buffer.alloc(inode.size);
      volume.fileReader(inode).read(0, found);
      if (!found.equals(expected)) count++;
    } catch {
      count++;
    }
  }
  console.log(count);
}

if (verb === 'cross') cross();
else differ();
device.close();
