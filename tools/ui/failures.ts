/** Failures that do not end a command with several objects: each is told, and the exit status says so at the end. */
import { CadastreError } from '../../lib/errors.ts';
import { errorJson, errorLines } from './errors.ts';
import { note, paint } from './output.ts';

/** Run one of several pieces of work. A bug, a full or a closed output still ends everything. */
export function attempt(command: string, asJson: boolean | undefined, work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof CadastreError) || error.family === 'internal') throw error;
    failed(command, asJson, error);
  }
}

export function failed(command: string, asJson: boolean | undefined, error: CadastreError): void {
  process.exitCode = error.family === 'usage' ? 2 : 1;
  if (asJson) note(JSON.stringify({ error: errorJson(error) }));
  else note(`${paint.red(`cadastre ${command}`, process.stderr)}: ${errorLines(error).join('\n')}`);
}
