/** A device on which some bytes cannot be read until they are written over. */
import type { Device } from '../../lib/device/device.ts';
import { OverlayDevice } from '../../lib/device/overlay.ts';
import { deviceError } from '../../lib/errors.ts';

export class UnreadableDevice extends OverlayDevice {
  readonly #from: number;
  readonly #to: number;
  /** Writing over a bad sector makes it good. */
  #healed = false;

  constructor(below: Device, from: number, length: number) {
    super(below);
    this.#from = from;
    this.#to = from + length;
  }
  override read(offset: number, into: Uint8Array): void {
    if (!this.#healed && offset < this.#to && offset + into.length > this.#from) throw deviceError('EIO', 'bad sector');
    super.read(offset, into);
  }
  override write(offset: number, from: Uint8Array): void {
    if (offset <= this.#from && offset + from.length >= this.#to) this.#healed = true;
    super.write(offset, from);
  }
}
