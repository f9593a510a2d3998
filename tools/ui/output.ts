/**
 * Standard output: buffered text, raw bytes, JSON. Writes are synchronous, whole, and survive a full pipe (EAGAIN); a reader
 * that went away (`| head`) ends the command quietly: OutputClosed, which the runner knows.
 */
import { writeSync } from 'node:fs';
import { deviceError } from '../../lib/errors.ts';

/** Nobody reads our output any more. Not an error. */
export class OutputClosed extends Error {}

const STDOUT = 1;
const FLUSH_AT = 1 << 16;
const pause = new Int32Array(new SharedArrayBuffer(4));
let pending: string[] = [];
let pendingLength = 0;

/** All bytes to a descriptor. */
function writeWhole(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(fd, bytes, done, bytes.length - done);
    } catch (cause) {
      const { code } = cause as { code?: string };
      if (code === 'EAGAIN') Atomics.wait(pause, 0, 0, 1);
      else if (code === 'EPIPE') throw new OutputClosed();
      else throw deviceError(code ?? 'EIO', `cannot write the output: ${code}`, { cause });
    }
  }
}

/** One line of text. */
export function line(text = ''): void {
  pending.push(text, '\n');
  pendingLength += text.length + 1;
  if (pendingLength >= FLUSH_AT) flush();
}

/** Raw bytes, straight through. */
export function rawBytes(bytes: Uint8Array): void {
  if (pendingLength > 0) flush();
  writeWhole(STDOUT, bytes);
}

/** Write out what is buffered. */
export function flush(): void {
  const text = pending.join('');
  pending = [];
  pendingLength = 0;
  if (text.length > 0) writeWhole(STDOUT, Buffer.from(text));
}

/** One JSON value, readable. Big integers (64-bit words) become numbers where they fit, else text. */
export function json(value: unknown): void {
  line(JSON.stringify(value, plain, 2));
}

/** An array of any length, one item a line, without holding it in memory. */
export class JsonArray {
  #held: string | undefined;
  #opened = false;

  push(item: unknown): void {
    this.#print(',');
    this.#held = JSON.stringify(item, plain);
  }
  end(): void {
    if (this.#held === undefined) line('[]');
    else this.#print(']');
  }
  /** An item is printed when it is known what stands behind it. */
  #print(behind: string): void {
    if (this.#held === undefined) return;
    line(`${this.#opened ? ' ' : '['}${this.#held}${behind}`);
    this.#opened = true;
  }
}

function plain(_key: string, value: unknown): unknown {
  if (typeof value !== 'bigint') return value;
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : `0x${value.toString(16)}`;
}

/** A line on standard error: warnings and what was left out. Never fails. */
export function note(text: string): void {
  try {
    flush();
    writeWhole(2, Buffer.from(`${text}\n`));
  } catch (error) {
    if (error instanceof OutputClosed) throw error;
  }
}

/** Paint for terminals; plain text everywhere else, and where NO_COLOR asks for it. */
export const paint = {
  bold: (text: string, stream: NodeJS.WriteStream = process.stdout) => colour(text, 1, stream),
  red: (text: string, stream: NodeJS.WriteStream = process.stdout) => colour(text, 31, stream),
  yellow: (text: string, stream: NodeJS.WriteStream = process.stdout) => colour(text, 33, stream),
  green: (text: string, stream: NodeJS.WriteStream = process.stdout) => colour(text, 32, stream),
  blue: (text: string, stream: NodeJS.WriteStream = process.stdout) => colour(text, 34, stream),
  magenta: (text: string, stream: NodeJS.WriteStream = process.stdout) => colour(text, 35, stream),
  cyan: (text: string, stream: NodeJS.WriteStream = process.stdout) => colour(text, 36, stream),
  grey: (text: string, stream: NodeJS.WriteStream = process.stdout) => colour(text, 90, stream),
  dim: (text: string, stream: NodeJS.WriteStream = process.stdout) => colour(text, 2, stream),
};

/** True where `paint` paints. */
export function hasColour(stream: NodeJS.WriteStream = process.stdout): boolean {
  return stream.isTTY && !process.env.NO_COLOR;
}

function colour(text: string, code: number, stream: NodeJS.WriteStream): string {
  return hasColour(stream) ? `\x1b[${code}m${text}\x1b[0m` : text;
}
