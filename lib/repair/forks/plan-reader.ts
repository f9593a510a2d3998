/** Blocks of the plan for tree code: what is wrong with a block only in its CRC is counted, and the block used. */
import { type BlockType, checkBlock } from '../../../formats/block-type.ts';
import { BASIC_BLOCK, type Geometry } from '../../../formats/geometry.ts';
import { Buffer, type Segment } from '../../buffer/buffer.ts';
import type { BlockReader } from '../../buffer/transaction.ts';
import type { Device } from '../../device/device.ts';
import { CadastreError, corrupt } from '../../errors.ts';
import { turnBack } from '../bit-rot.ts';

export class PlanReader implements BlockReader {
  readonly geometry: Geometry;
  readonly plan: Device;
  /** Blocks used in spite of a wrong CRC; those of them that were put right first. */
  wrongCrcs = 0;
  healed = 0;

  constructor(plan: Device, geometry: Geometry) {
    this.plan = plan;
    this.geometry = geometry;
  }

  get(daddr: number, length: number, type: BlockType): Buffer {
    return this.getSegments([{ daddr, length }], type);
  }

  /** Throws `corrupt` when the block is not what it should be, and what the device throws. */
  getSegments(segments: readonly Segment[], type: BlockType): Buffer {
    let length = 0;
    for (const segment of segments) length += segment.length;
    const buffer = new Buffer(segments, length, type);
    let at = 0;
    for (const segment of segments) {
      this.plan.read(segment.daddr * BASIC_BLOCK, buffer.data.subarray(at, at + segment.length));
      at += segment.length;
    }
    let fault = checkBlock(type, buffer.data, buffer.view, this.geometry, buffer.daddr);
    if (fault?.code === 'BAD_CRC') {
      this.wrongCrcs++;
      this.#turnBack(buffer);
      fault = type.verify(buffer.view, this.geometry, buffer.daddr);
    }
    if (fault) throw corrupt(fault.code, `${type.name}: ${fault.field} is ${fault.found}, expected ${fault.expected}`);
    return buffer;
  }

  /** Undo what made the CRC wrong where the CRC tells what that was; counted in `healed`. */
  #turnBack({ type, data, view, daddr }: Buffer): void {
    const isGood = (): boolean => type.verify(view, this.geometry, daddr) === undefined;
    if (turnBack(data, type.crcOffset, isGood) !== undefined) this.healed++;
  }

  /** One fs block as it is, not verified; undefined when the device cannot read it. */
  raw(fsBlock: number): DataView | undefined {
    const bytes = new Uint8Array(this.geometry.blockSize);
    try {
      this.plan.read(this.geometry.fsBlockToByte(fsBlock), bytes);
    } catch (error) {
      if (!(error instanceof CadastreError) || error.family !== 'device') throw error;
      return undefined;
    }
    return new DataView(bytes.buffer);
  }
}
