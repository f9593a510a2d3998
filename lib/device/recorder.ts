/**
 * A device for crash tests: it notes every write and flush over a base image, and makes the images that a crash could leave.
 *
 * 1. At cut n the first n events have been asked for. What was written before the last flush among them is there; of the
 *    writes since, any subset, in any order, whole or torn into sectors: all decided by a seed, so a case can be repeated.
 * 2. The base is not changed and must not change; reads see everything written so far.
 */
import type { Device } from './device.ts';
import { OverlayDevice } from './overlay.ts';

/** One thing the device was asked to do. */
export type RecordedEvent =
  | { readonly kind: 'write'; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: 'flush' };

/** What of the unflushed writes reaches the image. */
export interface CrashChoice {
  /** all: as if written in order (a killed process); none; some: a seeded subset in a seeded order, partly torn. */
  readonly unflushed: 'all' | 'none' | 'some';
  readonly seed: number;
  /** Bytes that a device writes as one: torn writes lose whole pieces of this size. 0 = writes are never torn. */
  readonly sector: number;
  /** Only writes that begin in these bytes may be torn: a log whose reader trusts blocks in place to be whole. */
  readonly tearOnly?: { readonly start: number; readonly end: number } | undefined;
}

export class RecorderDevice implements Device {
  readonly readOnly = false;
  readonly events: RecordedEvent[] = [];
  readonly #base: Device;
  readonly #now: OverlayDevice;

  constructor(base: Device) {
    this.#base = base;
    this.#now = new OverlayDevice(base);
  }

  get size(): number {
    return this.#now.size;
  }

  read(offset: number, into: Uint8Array): void {
    this.#now.read(offset, into);
  }

  write(offset: number, from: Uint8Array): void {
    this.#now.write(offset, from);
    this.events.push({ kind: 'write', offset, bytes: from.slice() });
  }

  flush(): void {
    this.events.push({ kind: 'flush' });
  }

  zero(offset: number, length: number): void {
    this.write(offset, new Uint8Array(length));
  }

  resize(): void {
    throw new Error('a recorded image keeps its size');
  }

  close(): void {}

  /**
   * The image after a crash behind the first `cut` events, as an overlay of the base: cheap to make, changes stay in it.
   * @param flushed where a run of calls with growing cuts keeps what is durable; it saves applying everything again.
   */
  crashImage(cut: number, choice: CrashChoice, flushed?: FlushedImage): OverlayDevice {
    const durable = flushed ?? new FlushedImage(this.#base);
    const from = durable.advance(this.events, cut);
    const image = new OverlayDevice(durable.device);
    const pending = this.events.slice(from, cut).filter((event) => event.kind === 'write');
    if (choice.unflushed === 'none') return image;
    if (choice.unflushed === 'all') {
      for (const { offset, bytes } of pending) image.write(offset, bytes);
      return image;
    }
    const random = seededRandom(choice.seed);
    const order = pending.map((write) => ({ write, at: random() })).sort((a, b) => a.at - b.at);
    // How much survives differs from case to case: now almost all, now almost nothing.
    const share = random();
    const torn = random() * 0.5;
    for (const { write } of order) {
      const { offset, bytes } = write;
      const { sector, tearOnly } = choice;
      const mayTear = sector > 0 && (!tearOnly || (offset >= tearOnly.start && offset < tearOnly.end));
      if (mayTear && bytes.length > sector && random() < torn) {
        for (let at = 0; at < bytes.length; at += sector) {
          if (random() < share) image.write(offset + at, bytes.subarray(at, at + sector));
        }
      } else if (random() < share) image.write(offset, bytes);
    }
    return image;
  }
}

/** What is durable at a cut, brought forward from cut to cut. */
export class FlushedImage {
  readonly device: OverlayDevice;
  #applied = 0;

  constructor(base: Device) {
    this.device = new OverlayDevice(base);
  }

  /** Apply all writes before the last flush among the first `cut` events. @returns the event behind that flush. */
  advance(events: readonly RecordedEvent[], cut: number): number {
    let from = cut;
    while (from > 0 && events[from - 1]!.kind !== 'flush') from--;
    if (from < this.#applied) throw new Error('cuts must grow');
    for (; this.#applied < from; this.#applied++) {
      const event = events[this.#applied]!;
      if (event.kind === 'write') this.device.write(event.offset, event.bytes);
    }
    return from;
  }
}

/** Numbers in [0, 1) that follow from the seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let word = Math.imul(state ^ (state >>> 15), state | 1);
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32;
  };
}
