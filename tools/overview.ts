/** What is said when no command is named, or an unknown one: the list of commands, the version, help on one of them. */
import { readFileSync } from 'node:fs';
import { COMMANDS } from './commands/table.ts';
import { flush, line, note, OutputClosed } from './ui/output.ts';

/** Gives the exit status. */
export async function overview(name: string | undefined, rest: readonly string[]): Promise<number> {
  const asked = COMMANDS.find((each) => each.name === rest[0]);
  if (name === 'help' && asked) return (await import('./command.ts')).runCommand(asked, ['--help']);
  try {
    if (name === '--version' || name === '-V') {
      line(version());
    } else if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
      help();
    } else {
      const similar = COMMANDS.map((each) => ({ name: each.name, distance: distance(each.name, name) }))
        .filter((each) => each.distance <= 2)
        .sort((a, b) => a.distance - b.distance)[0];
      const kind = name.startsWith('-') ? 'option' : 'command';
      note(`cadastre: no ${kind} is called ${name}${similar ? `; did you mean ${similar.name}?` : ''}`);
      note('(cadastre --help lists the commands)');
      return 2;
    }
    flush();
  } catch (error) {
    if (!(error instanceof OutputClosed)) throw error;
  }
  return name === undefined ? 2 : 0;
}

function help(): void {
  line('Usage: cadastre COMMAND IMAGE [arguments] [options]');
  line();
  line('Make, read and check disk images in place: the cadastre format and XFS version 5.');
  line();
  const width = Math.max(...COMMANDS.map((each) => each.name.length));
  for (const { name, summary } of COMMANDS) line(`  ${name.padEnd(width)}  ${summary}`);
  line();
  line('`cadastre help COMMAND` explains one. Sizes: 4096, 64k, 1.5g. Paths inside an image start with /.');
}

/** From package.json, which lies above the sources, the compiled tools and their chunks. */
function version(): string {
  for (const place of ['../package.json', '../../package.json', '../../../package.json']) {
    try {
      const text = readFileSync(new URL(place, import.meta.url), 'utf8');
      return String((JSON.parse(text) as { version: unknown }).version);
    } catch {
      // One level up, then.
    }
  }
  return 'unknown';
}

/** Edits that turn one word into the other. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}
