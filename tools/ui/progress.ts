/** A line of progress on the terminal for anything over a second, with the time that is left. Silent where nobody looks. */
import { showSeconds } from './sizes.ts';

const FIRST_MS = 1000;
const EVERY_MS = 200;

export class Progress {
  readonly #active: boolean;
  readonly #started = performance.now();
  #next = this.#started + FIRST_MS;
  #shown = false;

  /** @param quiet never show anything. */
  constructor(quiet = false) {
    this.#active = !quiet && process.stderr.isTTY === true;
  }

  /** @param share 0..1 of the work that is done; undefined when nobody knows. */
  update(share: number | undefined, text: string | (() => string)): void {
    if (!this.#active) return;
    const now = performance.now();
    if (now < this.#next) return;
    this.#next = now + EVERY_MS;
    const elapsed = (now - this.#started) / 1000;
    const left = share && share > 0.01 && share < 1 ? `, ${showSeconds((elapsed * (1 - share)) / share)} left` : '';
    const percent = share === undefined ? '' : `${String(Math.floor(share * 100)).padStart(3)}%  `;
    const whole = `${percent}${typeof text === 'string' ? text : text()}${left}`;
    process.stderr.write(`\r\x1b[K${whole.slice(0, (process.stderr.columns ?? 80) - 1)}`);
    this.#shown = true;
  }

  /** Remove the line. */
  end(): void {
    if (this.#shown) process.stderr.write('\r\x1b[K');
    this.#shown = false;
  }

  get seconds(): number {
    return (performance.now() - this.#started) / 1000;
  }
}
