/** The plan of a repair: an overlay that also copies ranges, and can tell what it changed. */
import { OverlayDevice } from '../device/overlay.ts';

const CHUNK = 1 << 20;

export class PlanDevice extends OverlayDevice {
  /** Bytes `from .. from + length` also at `to`. */
  copy(from: number, to: number, length: number): void {
    const bytes = new Uint8Array(Math.min(CHUNK, length));
    for (let done = 0; done < length; done += CHUNK) {
      const piece = bytes.subarray(0, Math.min(CHUNK, length - done));
      this.read(from + done, piece);
      this.write(to + done, piece);
    }
  }
}
