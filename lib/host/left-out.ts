/**
 * What a walk or an extraction could not carry over, so that nothing is dropped in silence.
 * Invariants: counts are exact; the list of single items is bounded, so a hostile tree cannot fill memory with it.
 */
import { showBytes } from './names.ts';

/** Most single items kept; `counts` goes on past it. */
export const LEFT_OUT_ITEMS = 1000;

/** One thing left out: where (relative to the root, as shown to a person) and what. */
export interface LeftOutItem {
  path: string;
  what: string;
}

export class LeftOut {
  /** The first LEFT_OUT_ITEMS items, in the order in which they came. */
  readonly items: LeftOutItem[] = [];
  /** Kind → how many; the kind is what the item says before its first colon. */
  readonly counts = new Map<string, number>();
  total = 0;

  /** `kind` is a short stable phrase (`owner`, `xattr trusted`), `detail` says the rest (an errno name, an attribute). */
  add(path: Uint8Array, kind: string, detail: string): void {
    this.total++;
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    if (this.items.length < LEFT_OUT_ITEMS) this.items.push({ path: showBytes(path), what: `${kind}: ${detail}` });
  }

  /** One line per kind with its count, and an example. Empty when nothing was left out. */
  summary(): string[] {
    return [...this.counts].map(([kind, count]) => {
      const example = this.items.find((item) => item.what.startsWith(`${kind}: `));
      if (!example) return `${kind} (${count} times)`;
      const where = example.path === '' ? '' : `${example.path}: `;
      return count === 1 ? where + example.what : `${where}${example.what} (and ${count - 1} more)`;
    });
  }

  toJSON(): { total: number; counts: Record<string, number>; items: LeftOutItem[] } {
    return { total: this.total, counts: Object.fromEntries(this.counts), items: this.items };
  }
}
