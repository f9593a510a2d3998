/** The shape of a B+tree: blocks and records by level. Goes on past blocks that cannot be read, and says which. */

import type { Tree } from '../btree/btree.ts';
import { rootRoom } from '../btree/tree.ts';
import type { BlockReader } from '../buffer/transaction.ts';
import { CadastreError } from '../errors.ts';
import { listsOf, type Row } from './lists.ts';

export interface LevelShape {
  readonly level: number;
  blocks: number;
  records: number;
  /** Share of the room that is taken, 0..1. */
  fill: number;
}

export interface TreeShape {
  readonly height: number;
  /** AG block of the root; undefined when it is inside an inode. */
  readonly root: number | undefined;
  /** From the root down. */
  readonly levels: readonly LevelShape[];
  readonly errors: readonly CadastreError[];
}

/** Most errors kept: a badly damaged tree has as many as blocks. */
const MAX_ERRORS = 100;

/** Walk a whole tree. @param visit told of the records of every leaf, in order. Throws `corrupt` for a bad height. */
export function treeShape(reader: BlockReader, tree: Tree, visit?: (rows: readonly Row[]) => void): TreeShape {
  const top = tree.topLevel();
  const levels = Array.from(
    { length: top + 1 },
    (_, i): LevelShape => ({ level: top - i, blocks: 0, records: 0, fill: 0 }),
  );
  const errors: CadastreError[] = [];
  const seen = new Set<number>();
  const count = (level: number, records: number): void => {
    const shape = levels[top - level]!;
    shape.blocks++;
    shape.records += records;
  };
  const block = (pointer: number, level: number): void => {
    try {
      if (seen.has(pointer)) throw tree.corrupt('BTREE_LOOP', 'number of parents', pointer, 1, 'more');
      seen.add(pointer);
      const { view } = tree.readBlock(reader, pointer, level);
      const records = view.getUint16(6);
      count(level, records);
      if (level === 0) {
        if (visit) visit(listsOf(tree.type.blockType, view, tree.geometry, 0)[0]!.rows);
        return;
      }
      for (let i = 0; i < records; i++)
        block(tree.readPointer(view, tree.pointersAt + i * tree.pointerSize), level - 1);
    } catch (error) {
      if (!(error instanceof CadastreError)) throw error;
      if (errors.length < MAX_ERRORS) errors.push(error);
    }
  };
  const root = tree.blockRoot?.pointer();
  if (root !== undefined) block(root, top);
  else {
    const view = tree.inodeRoot!.view();
    const children = view.getUint16(2);
    const room = rootRoom(view);
    count(top, children);
    for (let i = 0; i < children; i++) block(tree.readPointer(view, 4 + 8 * room + 8 * i), top - 1);
  }
  for (const shape of levels) {
    const inInode = root === undefined && shape.level === top;
    const room = inInode ? rootRoom(tree.inodeRoot!.view()) : tree.max(shape.level);
    shape.fill = shape.blocks === 0 ? 0 : shape.records / (shape.blocks * room);
  }
  return { height: top + 1, root, levels, errors };
}
