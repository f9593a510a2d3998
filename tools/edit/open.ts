/**
 * Opening an image to change it. In this order, nothing written before the last step:
 *
 *   1 locked against other runs of this tool, and refused when a mount or another process uses it
 *   2 the undo file started, or (dry run) an overlay laid over the image: the same code runs on it
 *   3 what cannot be edited refused by name
 *   4 a dirty log replayed, and that said
 */
import { closeSync, existsSync, openSync, rmSync, statSync } from 'node:fs';
import { type Command, Option } from 'commander';
import type { Device } from '../../lib/device/device.ts';
import { FileDevice } from '../../lib/device/file.ts';
import { OverlayDevice } from '../../lib/device/overlay.ts';
import { UndoDevice } from '../../lib/device/undo.ts';
import { CadastreError, deviceError, unsupported, usage } from '../../lib/errors.ts';
import { assertNotInUse, lockImage } from '../../lib/host/lock.ts';
import { fileHoles } from '../../lib/host/native.ts';
import { readLogState } from '../../lib/journal/log-reader.ts';
import { Editor } from '../../lib/volume/editor.ts';
import { openSuperblock } from '../../lib/volume/open.ts';
import { watchedRanges } from '../../lib/volume/undo-watch.ts';
import { jsonOption } from '../command.ts';
import { json, line, note } from '../ui/output.ts';
import { showSize } from '../ui/sizes.ts';

/** What every editing command takes. */
export interface EditOptions {
  dryRun?: boolean;
  undo?: string;
  json?: boolean;
}

/** Add what every editing command takes. */
export function editOptions(command: Command): Command {
  return command
    .addOption(new Option('--dry-run', 'do everything but write: say how much would change').conflicts('undo'))
    .option('--undo <file>', 'keep the old bytes in a new file: `cadastre undo` puts them back')
    .addOption(jsonOption());
}

/** An image open for writing, one way or another. */
export class EditableImage {
  readonly path: string;
  readonly device: Device;
  readonly #overlay: OverlayDevice | undefined;
  readonly #undo: UndoDevice | undefined;
  readonly #undoPath: string | undefined;
  #holder: number;

  /** Throws IN_USE, NOT_AN_IMAGE, the host's own errors; usage EXISTS when the undo file is there already. */
  constructor(path: string, options: EditOptions) {
    this.path = path;
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat && !stat.isFile() && !stat.isBlockDevice()) {
      throw deviceError('NOT_AN_IMAGE', `${path} is neither a file nor a block device`, { where: { path } });
    }
    this.#holder = openHost(path, 'r');
    try {
      if (!options.dryRun) lockImage(this.#holder, path);
      assertNotInUse(path);
      const file = new FileDevice(path, options.dryRun ? 'r' : 'rw', fileHoles);
      this.#overlay = options.dryRun ? new OverlayDevice(file) : undefined;
      this.#undo = options.undo === undefined ? undefined : startUndo(file, options.undo);
      this.#undoPath = options.undo;
      this.device = this.#overlay ?? this.#undo ?? file;
    } catch (error) {
      closeSync(this.#holder);
      throw error;
    }
  }

  /** Bytes of the image that a dry run would have changed; undefined when it was none. */
  get wouldChange(): number | undefined {
    return this.#overlay?.changedBytes;
  }

  /** Close after success: the undo file gets its end. */
  close(): void {
    this.#closing(() => this.device.close());
  }

  /** Close as it is: what is not written yet never will be, and the undo file says so. */
  abandon(): void {
    this.#closing(() => (this.#undo ? this.#undo.abandon() : this.device.close()));
  }

  /** After a failure: an undo file with nothing in it would only be in the way of the next try. */
  dropEmptyUndo(): void {
    if (this.#undo?.isEmpty && this.#undoPath !== undefined) rmSync(this.#undoPath, { force: true });
  }

  #closing(work: () => void): void {
    if (this.#holder < 0) return;
    const holder = this.#holder;
    this.#holder = -1;
    try {
      work();
    } finally {
      closeSync(holder);
    }
  }
}

/** Stack undo on an image. @param isNew made just now. Throws usage EXISTS. */
export function startUndo(image: Device, path: string, isNew = false): UndoDevice {
  if (existsSync(path)) {
    throw usage('EXISTS', `${path} exists: an undo file is a new file`, { where: { path } });
  }
  closeSync(openHost(path, 'wx'));
  return new UndoDevice(image, new FileDevice(path, 'rw'), watchedRanges, isNew);
}

function openHost(path: string, flags: string): number {
  try {
    return openSync(path, flags, 0o600);
  } catch (cause) {
    const { code } = cause as { code?: string };
    throw deviceError(code ?? 'EIO', `cannot open ${path}: ${code}`, { where: { path }, cause });
  }
}

/**
 * Refuse what cannot be edited, and replay a dirty log.
 * @returns true when it was replayed. Throws `unsupported` READ_ONLY, and what `openSuperblock` and `recover` throw.
 */
export async function replayForEdit(device: Device, path: string, dryRun: boolean | undefined): Promise<boolean> {
  const { geometry, readOnlyReason } = openSuperblock(device);
  if (readOnlyReason) throw unsupported('READ_ONLY', `the image can only be read: ${readOnlyReason}`);
  if (readLogState(device, geometry).clean) return false;
  const { recover } = await import('../../lib/recovery/recover.ts');
  recover(device, geometry);
  note(`${path}: its log was dirty and ${dryRun ? 'would have been' : 'has been'} replayed`);
  return true;
}

/** What a command did, for people and for programs. */
export interface EditReport {
  /** A line for a person; nothing is printed without. */
  text?: string;
  data?: Record<string, unknown>;
}

/**
 * Open the image, do the work in an editor, close it, report. An error of the work leaves what was done before it, properly
 * closed; an error of the device or of this program leaves a log to replay.
 */
export async function edit(
  path: string,
  options: EditOptions,
  work: (editor: Editor) => EditReport | undefined | void | Promise<EditReport | undefined>,
): Promise<void> {
  const image = new EditableImage(path, options);
  let editor: Editor | undefined;
  let report: EditReport | undefined;
  let replayed = false;
  try {
    replayed = await replayForEdit(image.device, path, options.dryRun);
    editor = Editor.open(image.device);
    report = (await work(editor)) ?? undefined;
    editor.close();
  } catch (error) {
    image.dropEmptyUndo();
    const isOrderly = error instanceof CadastreError && !['device', 'internal'].includes(error.family);
    if (editor && isOrderly) editor.close();
    else image.abandon();
    throw error;
  } finally {
    image.close();
  }
  tell(path, options, image.wouldChange, replayed, report);
}

function tell(
  path: string,
  options: EditOptions,
  wouldChange: number | undefined,
  replayed: boolean,
  report: EditReport | undefined,
): void {
  if (options.json) {
    json({
      image: path,
      ...report?.data,
      ...(replayed ? { replayed } : {}),
      ...(wouldChange === undefined ? {} : { dryRun: true, changedBytes: wouldChange }),
    });
    return;
  }
  if (report?.text) line(report.text);
  if (wouldChange !== undefined)
    line(`dry run: ${showSize(wouldChange)} of the image would change; nothing was written`);
}
