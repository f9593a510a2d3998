/** Node's own ReadStream and WriteStream over the image's callback calls: start, end, flags and errors are theirs. */
import nodeFs from 'node:fs';
import { optionsOf } from './arguments.ts';

/** A handle of the promises API, as far as a stream needs it. */
interface Handle {
  readonly fd: number;
  close(): Promise<void>;
}

type Callback = (error: Error | null) => void;
type Call = (...args: never[]) => unknown;

/** The callback forms that Node's streams call. */
export interface StreamCalls {
  readonly open: Call;
  readonly close: Call;
  readonly read: Call;
  readonly write: Call;
  readonly writev: Call;
  readonly fsync: Call;
}

export class Streams {
  readonly #calls: StreamCalls;

  constructor(calls: StreamCalls) {
    this.#calls = calls;
  }

  createReadStream(path: unknown, options?: unknown): nodeFs.ReadStream {
    return nodeFs.createReadStream(path as nodeFs.PathLike, this.#withImage(options) as never);
  }

  createWriteStream(path: unknown, options?: unknown): nodeFs.WriteStream {
    return nodeFs.createWriteStream(path as nodeFs.PathLike, this.#withImage(options) as never);
  }

  /** The options with this image in place of the host's files; a handle becomes its descriptor. */
  #withImage(options: unknown): Record<string, unknown> {
    const given = optionsOf(options);
    const { fd } = given;
    if (typeof fd !== 'object' || fd === null) return { ...given, fs: this.#calls };
    const handle = fd as Handle;
    const close = (_fd: number, done: Callback): void => {
      handle.close().then(
        () => done(null),
        (error: Error) => done(error),
      );
    };
    return { ...given, fd: handle.fd, fs: { ...this.#calls, close } };
  }
}
