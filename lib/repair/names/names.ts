/**
 * Stage 5: everything about names. The AG trees are right by now, every inode in use has a core and forks that can be
 * walked; here what is in directories and attributes is made right, and everybody gets a name.
 *
 *   special inodes, attributes, damaged directories -> census of all entries -> one tree -> entries and inodes
 *   without a partner brought together -> lost+found -> link counts, "..", parent pointers
 *
 * Only what the check named is looked at; the census is taken only when somebody's names may be wrong.
 */
import { FTYPE, ftypeOfMode, INODE_FLAG2, MODE, S_IFMT } from '../../../formats/inode.ts';
import { Carry } from '../../check/carry.ts';
import { AG_DAMAGE, INODE_DAMAGE } from '../../check/damaged.ts';
import { type InodeTable, NONE, STATE } from '../../check/inode-table.ts';
import { Fork } from '../../file/fork.ts';
import type { Inode } from '../../file/inode.ts';
import { showPath } from '../../volume/path.ts';
import { changedBlocks } from '../plan-device.ts';
import type { RepairState } from '../state.ts';
import { mendAttributes } from './attributes.ts';
import { Census, type NamelessEntry } from './census.ts';
import { directoryFault, type MendedDirectories, mendDirectories } from './directories.ts';
import { pointEntry } from './entries.ts';
import { readInodes } from './inode-pass.ts';
import { keepRanges } from './kept.ts';
import { mendLinks } from './links.ts';
import { LostFound } from './lost-found.ts';
import { mendParentPointers } from './parent-pointers.ts';
import { dropNameless, parentPointers, reconnect } from './reconnect.ts';
import { mendSpecialInodes } from './special.ts';
import { breakRings, settleSeconds } from './tree.ts';
import { attempt, Workshop } from './workshop.ts';

/** Actions of one kind that are told one by one. */
const MOST_TOLD = 50;
/** Damage after which entries and inodes may not fit each other. */
const NAME_DAMAGE = INODE_DAMAGE.core | INODE_DAMAGE.directory | INODE_DAMAGE.links;
/** Damage after which there may be inodes that the check has not seen. */
const UNSEEN_INODES = AG_DAMAGE.inodes | AG_DAMAGE.headers | AG_DAMAGE.unreadable;

export function mendNames(state: RepairState): void {
  const { first } = state;
  const suspects = new Set([...first.damaged.inodes.keys(), ...(state.changed ?? [])]);
  const anyone =
    state.changed === undefined || [...first.damaged.ags.values()].some((bits) => (bits & UNSEEN_INODES) !== 0);
  if (suspects.size === 0 && !anyone && state.kept.length === 0) return;
  const shop = new Workshop(state);
  if (mendSpecialInodes(shop)) new NameStage(shop, suspects, anyone).run();
  shop.close();
}

class NameStage {
  readonly #shop: Workshop;
  readonly #suspects: ReadonlySet<number>;
  /** Any directory may be damaged. */
  readonly #anyone: boolean;

  constructor(shop: Workshop, suspects: ReadonlySet<number>, anyone: boolean) {
    this.#shop = shop;
    this.#suspects = suspects;
    this.#anyone = anyone;
  }

  run(): void {
    const shop = this.#shop;
    this.#shareFlags();
    for (const number of this.#suspects) mendAttributes(shop, number);
    if (!this.#concernsNames()) return;
    shop.toPlan();
    const { plan, first, seen } = shop.state;
    // Directories that are written anew from here on are none of those it knows: something speaks against them.
    const carry = Carry.of({ result: first, changed: changedBlocks(plan, shop.geometry), seen });
    const table = readInodes(shop, carry);
    const looked = this.#doubtful(table);
    let mended = mendDirectories(shop, table, looked);
    let census = new Census(table);
    census.run(shop, carry);
    if (!census.complete && looked) {
      // Somebody nobody suspected: look at all.
      const more = mendDirectories(shop, table, undefined);
      mended = {
        nameless: [...mended.nameless, ...more.nameless],
        lostNames: new Map([...mended.lostNames, ...more.lostNames]),
      };
      census = new Census(table);
      table.counted.fill(0);
      table.parent.fill(NONE);
      census.run(shop, carry);
    }
    this.#settle(census, mended);
  }

  /** Directories to look at: those that the check found fault with or has not seen, and changed ones; undefined: all. */
  #doubtful(table: InodeTable): ReadonlySet<number> | undefined {
    const { changed, first } = this.#shop.state;
    const before = first.observed?.inodes;
    if (!this.#anyone) return this.#suspects;
    if (changed === undefined || !before) return undefined;
    const doubtful = new Set(this.#suspects);
    for (let index = 0; index < table.length; index++) {
      if ((table.state[index]! & STATE.used) === 0 || (table.mode[index]! & S_IFMT) !== MODE.DIR) continue;
      const number = table.numberOf(index);
      const then = before.indexOf(number);
      const bits = then === NONE ? 0 : before.state[then]!;
      const wasSound = (bits & (STATE.used | STATE.partial)) === STATE.used;
      if (!wasSound || (before.mode[then]! & S_IFMT) !== MODE.DIR) doubtful.add(number);
    }
    return doubtful;
  }

  /** May anybody's names be wrong? Lost data of a file, or blocks of an AG, are no reason to read all directories. */
  #concernsNames(): boolean {
    const shop = this.#shop;
    const { damaged, observed } = shop.state.first;
    if (this.#anyone || shop.state.kept.length > 0) return true;
    for (const bits of damaged.inodes.values()) if ((bits & NAME_DAMAGE) !== 0) return true;
    const before = observed?.inodes;
    for (const number of this.#suspects) {
      const inode = shop.tryInode(number);
      const index = before?.indexOf(number) ?? NONE;
      // Cleared by stage 1, or of another type than it was.
      if (!inode || index === NONE || ((inode.mode ^ before!.mode[index]!) & S_IFMT) !== 0) return true;
      if (inode.isDirectory && directoryFault(inode) !== undefined) return true;
    }
    return false;
  }

  /** Files that share blocks say so. */
  #shareFlags(): void {
    const shop = this.#shop;
    const { damaged } = shop.state.first;
    if (!shop.geometry.features.reflink) return;
    for (const number of this.#suspects) {
      if (((damaged.inodes.get(number) ?? 0) & INODE_DAMAGE.sharing) === 0 && !shop.state.changed?.has(number))
        continue;
      const inode = shop.tryInode(number);
      if (!inode?.isFile || inode.isReflink || !sharesBlocks(shop, inode)) continue;
      inode.change(shop.tx);
      inode.core.flags2Lo |= INODE_FLAG2.REFLINK;
      shop.report.did('inodes', 'the file shares blocks: its reflink flag is set', { inode: number });
      shop.settle();
    }
  }

  #settle(census: Census, mended: MendedDirectories): void {
    const shop = this.#shop;
    const { table } = census;
    const seconds = settleSeconds(shop, census);
    const names = new Map(mended.lostNames);
    for (const [inode, name] of breakRings(shop, census)) names.set(inode, name);
    const nameless: NamelessEntry[] = [...mended.nameless, ...census.nameless, ...census.mistaken, ...seconds];
    const orphans = census.complete ? this.#orphans(census) : new Set<number>();
    const short = census.complete ? this.#short(census) : new Set<number>();
    const anyLost = orphans.size + short.size > 0;
    this.#mistaken(census, new Set([...orphans, ...short]), nameless);
    if (nameless.length > 0 || shop.geometry.features.parent) {
      reconnect(shop, census, { orphans, short, nameless });
    }
    dropNameless(shop, census, nameless);
    this.#types(census);
    const lostFound = new LostFound(shop, census);
    for (const index of orphans) {
      const number = table.numberOf(index);
      lostFound.add(index, names.get(number) ?? this.#pointedName(number));
    }
    keepRanges(shop, lostFound);
    if (census.complete) mendLinks(shop, census, lostFound.placed, anyLost);
    lostFound.finish();
    if (shop.geometry.features.parent && census.complete) {
      mendParentPointers(shop, census, new Set([...this.#suspects, ...census.touched]));
    }
  }

  /** The name that an inode's first parent pointer says it had. */
  #pointedName(number: number): Uint8Array | undefined {
    const shop = this.#shop;
    return shop.geometry.features.parent ? parentPointers(shop, number)[0]?.name : undefined;
  }

  /** Indexes of inodes in use that no entry names; deleted ones that only wait to be freed are freed. */
  #orphans(census: Census): Set<number> {
    const shop = this.#shop;
    const { table } = census;
    const { state, nlink, parent } = table;
    const root = table.indexOf(shop.geometry.rootInode);
    const orphans = new Set<number>();
    let freed = 0;
    for (let index = 0; index < state.length; index++) {
      const bits = state[index]!;
      if ((bits & STATE.used) === 0 || (bits & STATE.special) !== 0) continue;
      if (index === root || parent[index] !== NONE) continue;
      const number = table.numberOf(index);
      if (nlink[index] !== 0 || !this.#wasUnlinked(number)) {
        orphans.add(index);
        continue;
      }
      shop.freeInode(number);
      state[index]! &= ~STATE.used;
      freed++;
    }
    if (freed > 0) shop.report.did('links', `${freed} deleted inodes that were still waiting for it were freed`);
    return orphans;
  }

  /** Indexes of files that have more links than entries. */
  #short({ table }: Census): Set<number> {
    const { state, mode, nlink, counted } = table;
    const short = new Set<number>();
    for (let index = 0; index < state.length; index++) {
      if ((state[index]! & (STATE.used | STATE.special)) !== STATE.used || (mode[index]! & S_IFMT) === MODE.DIR)
        continue;
      if (counted[index]! > 0 && counted[index]! < nlink[index]!) short.add(index);
    }
    return short;
  }

  /** It was on an unlinked list when this pass began. */
  #wasUnlinked(number: number): boolean {
    const inodes = this.#shop.state.first.observed?.inodes;
    const index = inodes?.indexOf(number) ?? NONE;
    return index !== NONE && (inodes!.state[index]! & STATE.unlinked) !== 0;
  }

  /** Entries of a type that their inode has not, while it has all its other names and somebody of that type has none. */
  #mistaken(census: Census, wanting: ReadonlySet<number>, nameless: NamelessEntry[]): void {
    const { table } = census;
    const types = new Set([...wanting].map((index) => ftypeOfMode(table.mode[index]!)));
    for (const { directory, name, ftype, inode } of census.wrongTypes) {
      const target = table.indexOf(inode);
      const isSpare = !census.isDirectory(target) && table.counted[target]! > table.nlink[target]!;
      if (isSpare && types.has(ftype)) nameless.push({ directory, name, ftype, inode, stands: true, mistaken: true });
    }
  }

  /** Entries that still name an inode of another type than they say. */
  #types(census: Census): void {
    const shop = this.#shop;
    const { table } = census;
    let mended = 0;
    for (const { directory, name, inode } of census.wrongTypes) {
      const index = table.indexOf(inode);
      const there = shop.lookUp(directory, name);
      if (there?.inode !== inode || (table.state[index]! & STATE.used) === 0) continue;
      const type = ftypeOfMode(table.mode[index]!);
      if (there.ftype === type || type === FTYPE.UNKNOWN) continue;
      pointEntry(shop, directory, name, inode, type);
      if (++mended > MOST_TOLD) continue;
      shop.report.did('directories', `entry "${showPath(name)}" of inode ${inode}: type corrected`, {
        inode: directory,
      });
    }
    if (mended > MOST_TOLD) shop.report.did('directories', `${mended - MOST_TOLD} more types of entries corrected`);
  }
}

function sharesBlocks(shop: Workshop, inode: Inode): boolean {
  let shared = false;
  attempt(() =>
    new Fork(inode, 'data').forEachExtent((_fileBlock, startBlock, blockCount) => {
      shared = shop.space.firstShared(shop.tx, startBlock, blockCount) !== undefined;
      return shared;
    }),
  );
  return shared;
}
