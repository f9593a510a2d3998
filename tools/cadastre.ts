#!/usr/bin/env node
/** The command: `cadastre COMMAND IMAGE ...`. Finds the command's entry and runs it; nothing else is loaded for it. */
import { COMMANDS } from './commands/table.ts';

const [name, ...rest] = process.argv.slice(2);
const entry = COMMANDS.find((each) => each.name === name);
if (entry) {
  const { runCommand } = await import('./command.ts');
  process.exitCode = await runCommand(entry, rest);
} else {
  const { overview } = await import('./overview.ts');
  process.exitCode = await overview(name, rest);
}
