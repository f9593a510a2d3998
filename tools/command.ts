/**
 * What a command is, and how one is run: arguments are parsed, the command's module is loaded only then, errors become
 * text (or JSON) and the documented exit status.
 */
import { Command, CommanderError, Option } from 'commander';
import { CadastreError } from '../lib/errors.ts';
import { errorJson, errorLines } from './ui/errors.ts';
import { flush, note, OutputClosed, paint } from './ui/output.ts';

/** A module of tools/commands. */
export interface CommandModule {
  /** Add arguments, options and the action to a command that has its name and summary. */
  define(command: Command): void;
}

/** An entry of the command table. */
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  /** Exit statuses other than 0: check and repair have fsck's. */
  readonly status: { readonly failed: number; readonly usage: number };
  readonly load: () => Promise<CommandModule>;
}

/** Option every command that prints has. */
export const jsonOption = (): Option => new Option('--json', 'print JSON');

/** Run one command; gives the exit status. */
export async function runCommand(entry: CommandEntry, args: readonly string[]): Promise<number> {
  const asJson = args.includes('--json');
  const fail = (error: unknown): number => {
    const isUsage = error instanceof CadastreError && error.family === 'usage';
    tell(entry.name, error, asJson);
    return isUsage ? entry.status.usage : entry.status.failed;
  };
  try {
    const command = configure(new Command(`cadastre ${entry.name}`).description(entry.summary));
    (await entry.load()).define(command);
    await command.parseAsync([...args], { from: 'user' });
    flush();
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof OutputClosed) return Number(process.exitCode ?? 0);
    if (error instanceof CommanderError) {
      try {
        flush();
      } catch {
        // The reader of the help text went away.
      }
      return error.exitCode === 0 ? 0 : entry.status.usage;
    }
    try {
      flush();
    } catch (second) {
      if (!(second instanceof OutputClosed)) return fail(second);
    }
    return fail(error);
  }
}

/** Errors are thrown, not exits. */
function configure(command: Command): Command {
  return command
    .exitOverride()
    .showHelpAfterError(`(${command.name()} --help lists arguments and options)`)
    .configureOutput({
      outputError: (text, write) => write(`${command.name()}: ${text.replace(/^error: /, '')}`),
    })
    .configureHelp({ helpWidth: Math.min(process.stdout.columns ?? 100, 100) });
}

function tell(name: string, error: unknown, asJson: boolean): void {
  try {
    if (asJson) note(JSON.stringify({ error: errorJson(error) }));
    else {
      const [first, ...rest] = errorLines(error);
      note([`${paint.red(`cadastre ${name}`, process.stderr)}: ${first}`, ...rest].join('\n'));
    }
  } catch {
    // Nobody reads standard error either.
  }
}
