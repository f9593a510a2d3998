/** Walking one tree for the checker: structural faults become problems, blocks become claims. */
import type { BtreeLayout } from '../../../formats/btree-blocks.ts';
import { type BtreeRoot, checkTree, TREE_TYPES, Tree, type TreeFault } from '../../btree/btree.ts';
import { internal } from '../../errors.ts';
import type { CheckContext } from '../context.ts';
import type { ProblemCode, ProblemPlace } from '../problems.ts';

/** What a walk has seen. */
export interface TreeSeen {
  /** Every block could be read: the records are all there are. */
  complete: boolean;
  blocks: number;
  records: number;
}

const readOnly = (): never => {
  throw internal('the checker changes nothing');
};

/** A short-form tree of an AG, to look at. */
export function agTree(
  context: CheckContext,
  ag: number,
  name: BtreeLayout['name'],
  root: number,
  height: number,
): Tree {
  const { geometry } = context;
  const holder: BtreeRoot = { pointer: () => root, height: () => height, set: readOnly };
  return new Tree(TREE_TYPES[name], geometry, holder, {
    owner: ag,
    daddr: (pointer) => geometry.agBlockToDaddr(ag, pointer),
    allocate: readOnly,
    free: readOnly,
  });
}

/** The extent tree whose root these fork bytes are, to look at. */
export function forkTree(context: CheckContext, inode: number, root: DataView): Tree {
  const { geometry } = context;
  return new Tree(
    TREE_TYPES.bmbt,
    geometry,
    { view: () => root, change: readOnly },
    {
      owner: inode,
      daddr: (pointer) => geometry.fsBlockToDaddr(pointer),
      allocate: readOnly,
      free: readOnly,
    },
  );
}

const CODES: { readonly [code: string]: ProblemCode } = {
  BTREE_ORDER: 'TREE_ORDER',
  BTREE_KEY: 'TREE_KEY',
  BTREE_HIGH_KEY: 'TREE_KEY',
  BTREE_SIBLING: 'TREE_SIBLING',
  BTREE_COUNT: 'TREE_UNDERFULL',
};

/**
 * @param place what the tree belongs to.
 * @param block told of every block. @param record told of every record, in place.
 */
export function runTree(
  context: CheckContext,
  tree: Tree,
  place: ProblemPlace,
  block: (pointer: number) => void,
  record: (view: DataView, offset: number) => void,
): TreeSeen {
  const { geometry, problems } = context;
  const structure = tree.type.layout.name;
  let complete = true;
  const onFault = (fault: TreeFault): void => {
    const code = CODES[fault.code] ?? 'TREE_BLOCK';
    if (code === 'TREE_BLOCK') complete = false;
    const where: ProblemPlace = { ...place, structure, field: fault.slot >= 0 ? `entry ${fault.slot}` : 'block' };
    if (fault.block >= 0) {
      where.block = tree.long ? geometry.agBlockOfFsBlock(fault.block) : fault.block;
      if (tree.long) where.ag = geometry.agOfFsBlock(fault.block);
    }
    problems.add(code, where, fault.expected, fault.found, { rule: fault.code });
  };
  const reader = context.reader.of('TREE_BLOCK', { ...place, structure });
  const counts = checkTree(reader, tree, onFault, { block, record });
  return { complete, blocks: counts.blocks, records: counts.records };
}
