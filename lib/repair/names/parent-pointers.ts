/** Parent pointers mirror the entries that name an inode; where they do not, they are written as the entries are. */
import { ATTR, encodeParent } from '../../../formats/attribute.ts';
import { forEachEntry } from '../../directory/directory.ts';
import { readFork } from '../../file/inode-fork-blocks.ts';
import { removeInodeAttribute, setInodeAttribute } from '../../volume/attributes.ts';
import type { Census } from './census.ts';
import { parentPointers, sameBytes } from './reconnect.ts';
import type { Workshop } from './workshop.ts';

interface Pointer {
  readonly inode: number;
  readonly generation: number;
  readonly name: Uint8Array;
}

/** @param wanted inodes whose pointers may be wrong. */
export function mendParentPointers(shop: Workshop, census: Census, wanted: ReadonlySet<number>): void {
  const { table } = census;
  const expected = new Map<number, Pointer[]>();
  for (const number of wanted) expected.set(number, []);
  for (let index = 0; index < table.length; index++) {
    if (!census.isDirectory(index)) continue;
    const directory = table.numberOf(index);
    const inode = shop.tryInode(directory);
    if (!inode || inode.size === 0) continue;
    const generation = inode.core.gen;
    forEachEntry(readFork(inode, 'data'), (number, _ftype, bytes, start, end) => {
      expected.get(number)?.push({ inode: directory, generation, name: bytes.slice(start, end) });
    });
    shop.settle();
  }
  for (const [number, pointers] of expected) mendOne(shop, number, pointers);
}

function mendOne(shop: Workshop, number: number, expected: readonly Pointer[]): void {
  const { tx, space } = shop;
  const found = parentPointers(shop, number);
  const has = (list: readonly Pointer[], wanted: Pointer): boolean =>
    list.some(
      ({ inode, generation, name }) =>
        inode === wanted.inode && generation === wanted.generation && sameBytes(name, wanted.name),
    );
  const wrong = found.filter((pointer) => !has(expected, pointer));
  const missing = expected.filter((pointer) => !has(found, pointer));
  if ((wrong.length === 0 && missing.length === 0) || !shop.tryInode(number)) return;
  for (const { inode, generation, name } of wrong) {
    const value = encodeParent(inode, generation);
    removeInodeAttribute(tx, space, shop.inode(number), ATTR.PARENT, name, value);
  }
  for (const { inode, generation, name } of missing) {
    setInodeAttribute(tx, space, shop.inode(number), ATTR.PARENT, name, encodeParent(inode, generation));
  }
  shop.settle();
  shop.report.did('attributes', 'parent pointers written as the entries are', { inode: number });
}
