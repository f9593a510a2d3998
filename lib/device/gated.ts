/** File data on its way into an image: every write first passes a gate (the journal makes freed blocks safe to reuse). */
import type { Device } from './device.ts';

export class GatedDevice implements Device {
  readonly #below: Device;
  readonly #beforeWrite: (offset: number, length: number) => void;

  constructor(below: Device, beforeWrite: (offset: number, length: number) => void) {
    this.#below = below;
    this.#beforeWrite = beforeWrite;
  }

  get size(): number {
    return this.#below.size;
  }
  get readOnly(): boolean {
    return this.#below.readOnly;
  }
  read(offset: number, into: Uint8Array): void {
    this.#below.read(offset, into);
  }
  write(offset: number, from: Uint8Array): void {
    this.#beforeWrite(offset, from.length);
    this.#below.write(offset, from);
  }
  flush(): void {
    this.#below.flush();
  }
  zero(offset: number, length: number): void {
    this.#beforeWrite(offset, length);
    this.#below.zero(offset, length);
  }
  resize(size: number): void {
    this.#below.resize(size);
  }
  close(): void {
    this.#below.close();
  }
}
