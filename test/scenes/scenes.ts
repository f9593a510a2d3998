/**
 * The collision scenes: what is broken, and what repair then promises: which decisions it reports, what every file holds
 * afterwards, and whose lost bytes lie in lost+found. Whatever is not named keeps every byte.
 */
import { Agf, Agfl } from '../../formats/ag-headers.ts';
import { findRecord } from '../../lib/damage/enumerate.ts';
import type { PlacedExtent } from '../../lib/damage/fork-map.ts';
import { staleRefcount } from '../../lib/damage/scenes/registers.ts';
import { Stage } from '../../lib/damage/scenes/stage.ts';
import { readBytes } from '../../lib/inspect/dump.ts';
import type { Variant, World } from './world.ts';

export interface Promised {
  /** "action claimant=outcome ...", claimants as path and file block, in order of blocks. */
  readonly decisions?: readonly string[];
  /** Instead of the list: all that there are have this action. */
  readonly all?: string;
  /** Files that do not keep all their bytes: see `blocksOf`. */
  readonly files?: Readonly<Record<string, string>>;
  /** Blocks whose bytes are in lost+found. */
  readonly kept?: readonly string[];
}

export interface Scene {
  readonly name: string;
  readonly what: string;
  readonly needs?: (variant: Variant) => boolean;
  readonly damage: (hand: Hand) => void;
  readonly promise: (variant: Variant) => Promised;
}

/** Ways to damage the world, in its own terms. */
export class Hand {
  readonly stage: Stage;

  constructor(world: World) {
    this.stage = new Stage(world.device, world.geometry, 'scene', {});
  }

  inode(path: string): number {
    return this.stage.inode(path).number;
  }
  extent(path: string, number = 0): PlacedExtent {
    return this.stage.file(path).map.extents[number]!;
  }
  attributes(path: string, number = 0): PlacedExtent {
    return this.stage.fork(this.inode(path), 'attr').extents[number]!;
  }
  treeBlock(path: string, fork: 'data' | 'attr' = 'data'): number {
    return this.stage.fork(this.inode(path), fork).treeBlocks[0]!.fsBlock;
  }
  start(path: string, number = 0): number {
    return this.extent(path, number).startBlock;
  }
  /** An extent now lies somewhere else. */
  aim(extent: PlacedExtent, fsBlock: number): void {
    this.stage.aim(extent, fsBlock);
  }
  /** The first extent of a file now lies on another file. */
  link(claimant: string, owner: string, skip = 0): void {
    this.aim(this.extent(claimant), this.start(owner) + skip);
  }
  longer(path: string, blocks: number): void {
    const { place, field, blockCount } = this.extent(path);
    this.stage.set(place, `${field}.blockCount`, blockCount + blocks);
    const size = (blockCount + blocks) * this.stage.geometry.blockSize;
    this.stage.set({ kind: 'inode', inode: this.inode(path) }, 'size', size);
  }
  /** The register forgets where the first extent of a file is. */
  forget(path: string): void {
    const { device, geometry } = this.stage;
    const inode = this.inode(path);
    for (let ag = 0; ag < geometry.agCount; ag++) {
      const record = findRecord(device, geometry, 'rmapbt', ag, (view, at) => view.getUint32(at + 12) === inode);
      if (record) this.stage.removeRecord(record);
    }
  }
  /** The first active block of the free list of AG 0. */
  freeListBlock(): number {
    return this.#header(3).getUint32(Agfl.size + 4 * Agf.at(this.#header(1)).flfirst);
  }
  freeSpaceRoot(): number {
    return Agf.at(this.#header(1)).bnoRoot;
  }
  #header(sector: number): DataView {
    const { geometry, device } = this.stage;
    return readBytes(device, sector * geometry.sectorSize, geometry.sectorSize);
  }
}

const hasLargeDirectoryBlocks = ({ options }: Variant): boolean =>
  (options?.dirBlockSize ?? 0) > (options?.blockSize ?? 4096);
const register = (variant: Variant): boolean => variant.register;
const reflink = (variant: Variant): boolean => variant.reflink;

/** With a register nothing is lost; without one, files that collide share where the image can, or get copies. */
function byKind(variant: Variant, kinds: { register?: Promised; reflink: Promised; bare: Promised }): Promised {
  return variant.register ? (kinds.register ?? {}) : variant.reflink ? kinds.reflink : kinds.bare;
}

const nothingLost =
  (...decisions: string[]): (() => Promised) =>
  () => ({ decisions });
export const SCENES: readonly Scene[] = [
  {
    name: 'whole',
    what: '/a lies on the start of /b',
    damage: (hand) => hand.link('/a', '/b'),
    promise: (variant) => {
      const without = { files: { '/a': 'b.0 b.1 b.2 b.3' }, kept: ['a.0', 'a.1', 'a.2', 'a.3'] };
      return byKind(variant, {
        register: { decisions: ['restore /a.0=restored /b.0=keeps'] },
        reflink: { ...without, decisions: ['share /a.0=shares /b.0=shares'] },
        bare: { ...without, decisions: ['copy /a.0=keeps /b.0=copied'] },
      });
    },
  },
  {
    name: 'part',
    what: '/a lies on the end of /b and the start of /c',
    damage: (hand) => hand.link('/a', '/b', 4),
    promise: (variant) => {
      const without = { files: { '/a': 'b.4 b.5 c.0 c.1' }, kept: ['a.0', 'a.1', 'a.2', 'a.3'] };
      return byKind(variant, {
        register: { decisions: ['restore /b.4=keeps /a.0=restored', 'restore /a.2=restored /c.0=keeps'] },
        reflink: { ...without, decisions: ['share /b.4=shares /a.0=shares', 'share /a.2=shares /c.0=shares'] },
        bare: { ...without, decisions: ['copy /b.4=keeps /a.0=copied', 'copy /a.2=keeps /c.0=copied'] },
      });
    },
  },
  {
    name: 'offset',
    what: '/a lies inside /b',
    damage: (hand) => hand.link('/a', '/b', 1),
    promise: (variant) => {
      const without = { files: { '/a': 'b.1 b.2 b.3 b.4' }, kept: ['a.0', 'a.1', 'a.2', 'a.3'] };
      return byKind(variant, {
        register: { decisions: ['restore /b.1=keeps /a.0=restored'] },
        reflink: { ...without, decisions: ['share /b.1=shares /a.0=shares'] },
        bare: { ...without, decisions: ['copy /b.1=keeps /a.0=copied'] },
      });
    },
  },
  {
    name: 'three',
    what: '/a and /c lie on /b',
    damage: (hand) => {
      hand.link('/a', '/b');
      hand.link('/c', '/b', 2);
    },
    promise: (variant) => {
      const without = {
        files: { '/a': 'b.0 b.1 b.2 b.3', '/c': 'b.2 b.3 b.4 b.5' },
        kept: ['a.0', 'a.1', 'a.2', 'a.3', 'c.0', 'c.1', 'c.2', 'c.3'],
      };
      return byKind(variant, {
        register: {
          decisions: [
            'restore /a.0=restored /b.0=keeps',
            'restore /a.2=restored /b.2=keeps /c.0=restored',
            'restore /b.4=keeps /c.2=restored',
          ],
        },
        reflink: {
          ...without,
          decisions: [
            'share /a.0=shares /b.0=shares',
            'share /a.2=shares /b.2=shares /c.0=shares',
            'share /b.4=shares /c.2=shares',
          ],
        },
        bare: {
          ...without,
          decisions: [
            'copy /a.0=keeps /b.0=copied',
            'copy /a.2=keeps /b.2=copied /c.0=copied',
            'copy /b.4=keeps /c.2=copied',
          ],
        },
      });
    },
  },
  {
    name: 'chain',
    what: '/c lies on /b, and /a where /c was: the home of /c is taken by somebody who has to go home himself',
    damage: (hand) => {
      const home = hand.start('/c');
      hand.link('/c', '/b');
      hand.aim(hand.extent('/a'), home);
    },
    promise: (variant) => {
      const without = {
        files: { '/a': 'c.0 c.1 c.2 c.3', '/c': 'b.0 b.1 b.2 b.3' },
        kept: ['a.0', 'a.1', 'a.2', 'a.3'],
      };
      return byKind(variant, {
        register: { decisions: ['restore /a.0=restored', 'restore /b.0=keeps /c.0=restored'] },
        reflink: { ...without, decisions: ['share /b.0=shares /c.0=shares'] },
        bare: { ...without, decisions: ['copy /b.0=keeps /c.0=copied'] },
      });
    },
  },
  {
    name: 'no-home',
    what: '/a lies on /b, and the register has lost the home of /a',
    needs: register,
    damage: (hand) => {
      hand.link('/a', '/b');
      hand.forget('/a');
    },
    promise: () => ({ decisions: ['copy /a.0=copied /b.0=keeps'], files: { '/a': 'b.0 b.1 b.2 b.3' } }),
  },
  {
    name: 'too-long',
    what: '/a has two blocks more, which are the next owner’s',
    damage: (hand) => hand.longer('/a', 2),
    promise: (variant) => ({
      files: { '/a': '. . . . 0 0' },
      decisions: variant.register ? [] : ['correct-extent /a.0=restored /b.0=keeps'],
    }),
  },
  {
    name: 'free-space',
    what: '/a lies on free space',
    damage: (hand) => hand.aim(hand.extent('/a'), hand.stage.geometry.agLength(0) - 200),
    promise: nothingLost('restore /a.0=restored'),
  },
  {
    name: 'directory-block',
    what: '/e lies on a block of the directory /tree',
    damage: (hand) => hand.link('/e', '/tree'),
    promise: nothingLost('restore /tree.0=keeps /e.0=restored'),
  },
  {
    name: 'extent-tree',
    what: '/e lies on the extent tree of /frag',
    damage: (hand) => hand.aim(hand.extent('/e'), hand.treeBlock('/frag')),
    promise: nothingLost('restore /frag=keeps /e.0=restored'),
  },
  {
    name: 'attribute-leaf',
    what: '/e lies on the attributes of /named',
    damage: (hand) => hand.aim(hand.extent('/e'), hand.attributes('/named').startBlock),
    promise: nothingLost('restore /named.0=keeps /e.0=restored'),
  },
  {
    name: 'symlink',
    what: '/e lies on the target of /link',
    damage: (hand) => hand.link('/e', '/link'),
    promise: nothingLost('restore /link.0=keeps /e.0=restored'),
  },
  {
    name: 'inode-chunk',
    what: '/e lies on inodes',
    damage: (hand) => {
      const { rootInode, inodesPerBlock } = hand.stage.geometry;
      hand.aim(hand.extent('/e'), rootInode / inodesPerBlock);
    },
    promise: nothingLost('restore /e.0=restored inodes=keeps'),
  },
  {
    name: 'ag-header',
    what: '/e lies on the headers of AG 1',
    damage: (hand) => hand.aim(hand.extent('/e'), hand.stage.geometry.fsBlock(1, 0)),
    promise: nothingLost('restore /e.0=restored'),
  },
  {
    name: 'log',
    what: '/d lies on the log',
    damage: (hand) => hand.aim(hand.extent('/d'), hand.stage.geometry.logStart + 100),
    promise: nothingLost('restore log=keeps /d.0=restored'),
  },
  {
    name: 'free-list',
    what: '/e lies on the free list of its AG',
    damage: (hand) => hand.aim(hand.extent('/e'), hand.freeListBlock()),
    promise: nothingLost('restore /e.0=restored ag-tree=rebuilt'),
  },
  {
    name: 'ag-tree',
    what: '/e lies on the free-space tree',
    damage: (hand) => hand.aim(hand.extent('/e'), hand.freeSpaceRoot()),
    promise: nothingLost('restore /e.0=restored ag-tree=rebuilt'),
  },
  {
    name: 'past-end',
    what: 'half of /d lies behind the end of AG 0',
    damage: (hand) => hand.aim(hand.extent('/d'), hand.stage.geometry.agLength(0) - 1),
    promise: nothingLost('restore /d.0=restored'),
  },
  {
    name: 'one-file',
    what: 'two extents of /two on the same blocks',
    damage: (hand) => hand.aim(hand.extent('/two', 1), hand.start('/two')),
    promise: (variant) => {
      const without = { files: { '/two': '. . 0 0 0 0 0 0 0 0 two.0 two.1' }, kept: ['two.10', 'two.11'] };
      return byKind(variant, {
        register: { decisions: ['restore /two.0=keeps /two.10=restored'] },
        reflink: { ...without, decisions: ['share /two.0=shares /two.10=shares'] },
        bare: { ...without, decisions: ['copy /two.0=keeps /two.10=copied'] },
      });
    },
  },
  {
    name: 'attributes-over-data',
    what: 'the attributes of /named lie on /b',
    damage: (hand) => hand.aim(hand.attributes('/named'), hand.start('/b')),
    promise: nothingLost('restore /b.0=keeps /named.0=restored'),
  },
  {
    name: 'directory-over-data',
    what: 'the block of /dir lies on /b',
    damage: (hand) => hand.link('/dir', '/b'),
    promise: nothingLost('restore /b.0=keeps /dir.0=restored'),
  },
  {
    name: 'symlink-over-data',
    what: 'the target of /link lies on /b',
    damage: (hand) => hand.link('/link', '/b'),
    promise: nothingLost('restore /b.0=keeps /link.0=restored'),
  },
  {
    name: 'two-directories',
    what: '/dir lies on the block of /dir2',
    damage: (hand) => hand.link('/dir', '/dir2'),
    promise: nothingLost('restore /dir.0=restored /dir2.0=keeps'),
  },
  {
    name: 'two-extent-trees',
    what: 'the extent tree of /frag is that of /frag2',
    damage: (hand) => {
      hand.stage.set({ kind: 'inode', inode: hand.inode('/frag') }, 'pointers[0]', hand.treeBlock('/frag2'));
    },
    promise: nothingLost('self-description /frag=rebuilt /frag2=keeps'),
  },
  {
    name: 'unwritten-over-written',
    what: 'the unwritten /pre lies on /b',
    damage: (hand) => hand.link('/pre', '/b'),
    promise: (variant) => {
      const without = { decisions: ['copy /b.0=keeps /pre.0=fresh'] };
      return byKind(variant, {
        register: { decisions: ['restore /b.0=keeps /pre.0=restored'] },
        reflink: without,
        bare: without,
      });
    },
  },
  {
    name: 'written-over-unwritten',
    what: '/a lies on the unwritten /pre',
    damage: (hand) => hand.link('/a', '/pre'),
    promise: (variant) => {
      const without = {
        decisions: ['copy /a.0=keeps /pre.0=fresh'],
        files: { '/a': '0 0 0 0' },
        kept: ['a.0', 'a.1', 'a.2', 'a.3'],
      };
      return byKind(variant, {
        register: { decisions: ['restore /a.0=restored /pre.0=keeps'] },
        reflink: without,
        bare: without,
      });
    },
  },
  {
    name: 'stale-refcount',
    what: 'blocks that are shared by right are counted once too often',
    needs: reflink,
    damage: (hand) => {
      staleRefcount(hand.stage);
    },
    promise: nothingLost('correct-refcount /clone.0=shares /shared.0=shares'),
  },
  {
    name: 'intruder',
    what: '/a lies on what /shared and /clone share by right',
    needs: reflink,
    damage: (hand) => hand.link('/a', '/shared'),
    promise: (variant) =>
      variant.register
        ? { decisions: ['restore /a.0=restored /shared.0=shares /clone.0=shares'] }
        : {
            decisions: ['copy /a.0=copied /shared.0=shares /clone.0=shares'],
            files: { '/a': 'shared.0 shared.1 shared.2 shared.3' },
            kept: ['a.0', 'a.1', 'a.2', 'a.3'],
          },
  },
  {
    name: 'intruder-no-home',
    what: 'the same, and the register has lost the home of /a',
    needs: (variant) => variant.reflink && variant.register,
    damage: (hand) => {
      hand.link('/a', '/shared');
      hand.forget('/a');
    },
    promise: () => ({
      decisions: ['copy /a.0=copied /shared.0=shares /clone.0=shares'],
      files: { '/a': 'shared.0 shared.1 shared.2 shared.3' },
    }),
  },
  {
    name: 'clone-astray',
    what: '/clone, whose own blocks are shared with /shared, lies on /b',
    needs: reflink,
    damage: (hand) => hand.link('/clone', '/b'),
    promise: nothingLost('restore /b.0=keeps /clone.0=restored'),
  },
  {
    name: 'clone-on-free-space',
    what: '/clone, whose own blocks are shared with /shared, lies on free space',
    needs: reflink,
    damage: (hand) => hand.aim(hand.extent('/clone'), hand.stage.geometry.agLength(0) - 200),
    promise: nothingLost('restore /clone.0=restored'),
  },

  {
    name: 'directory-middle',
    what: '/e lies in the middle of a directory block of /tree',
    needs: hasLargeDirectoryBlocks,
    damage: (hand) => hand.link('/e', '/tree', 1),
    promise: nothingLost('restore /tree.1=keeps /e.0=restored'),
  },
  {
    name: 'directory-shifted',
    what: 'the block of /dir begins one block too late',
    needs: hasLargeDirectoryBlocks,
    damage: (hand) => hand.aim(hand.extent('/dir'), hand.start('/dir') + 1),
    promise: (variant) => ({
      decisions: variant.register
        ? ['restore /dir.1=keeps /dir.0=restored /tree.0=keeps']
        : ['correct-extent /dir.0=restored /tree.0=keeps'],
    }),
  },
  {
    name: 'attribute-value',
    what: '/e lies on a value of an attribute of /remote',
    damage: (hand) => hand.aim(hand.extent('/e'), hand.attributes('/remote').startBlock + 2),
    promise: nothingLost('restore /remote.2=keeps /e.0=restored'),
  },
  {
    name: 'value-over-data',
    what: 'the attributes of /remote, values and all, lie on /b',
    damage: (hand) => hand.aim(hand.attributes('/remote'), hand.start('/b')),
    promise: () => ({ all: 'restore' }),
  },
  {
    name: 'attribute-tree',
    what: '/e lies on the extent tree of the attributes of /many',
    damage: (hand) => hand.aim(hand.extent('/e'), hand.treeBlock('/many', 'attr')),
    promise: nothingLost('restore /many=keeps /e.0=restored'),
  },
  {
    name: 'two-attribute-trees',
    what: 'the extent tree of the attributes of /many is that of /many2',
    damage: (hand) => {
      const place = { kind: 'inode', inode: hand.inode('/many') } as const;
      hand.stage.set(place, 'attr.pointers[0]', hand.treeBlock('/many2', 'attr'));
    },
    promise: nothingLost('self-description /many=rebuilt /many2=keeps'),
  },
  {
    name: 'one-attribute-fork',
    what: 'two extents of the attributes of /many on the same blocks',
    damage: (hand) => hand.aim(hand.attributes('/many', 3), hand.attributes('/many', 2).startBlock),
    promise: () => ({ all: 'restore' }),
  },
  {
    name: 'attributes-over-own-data',
    what: 'the attributes of /named lie on its own data',
    damage: (hand) => hand.aim(hand.attributes('/named'), hand.start('/named')),
    promise: nothingLost('restore /named.0=keeps /named.0=restored'),
  },
];
