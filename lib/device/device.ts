/** An image as bytes. Everything above sees only this; devices stack (overlay, undo, recorder ...). */
export interface Device {
  /** Bytes. Reads and writes beyond it are errors (code SHORT_DEVICE). */
  readonly size: number;
  readonly readOnly: boolean;
  /** Fill `into` from byte `offset` on; always whole, or throws a `device` error. */
  read(offset: number, into: Uint8Array): void;
  /** Write all of `from` at byte `offset`, or throw. Durable only after `flush`. */
  write(offset: number, from: Uint8Array): void;
  /** Make all earlier writes durable. */
  flush(): void;
  /** The range may be dropped and then reads as zeroes (a hole in a sparse file). */
  zero(offset: number, length: number): void;
  /** Change the size; new bytes read as zeroes. */
  resize(size: number): void;
  close(): void;
  /**
   * The next bytes in [from, to) that may be other than zero, found without reading: [start, end), an empty range at `to` when
   * there are none. A device that cannot tell has no such method, or calls everything data.
   */
  dataIn?(from: number, to: number): readonly [start: number, end: number];
}
