/** Permission bits as chmod takes them: octal, or symbolic (`u+x,go=rX`). */
import { usage } from '../../lib/errors.ts';

/** A shell's usual umask: for what is made without a mode, and for symbolic modes without `ugoa`. */
export const UMASK = 0o022;
const WHO: Record<string, number> = { u: 0o4700, g: 0o2070, o: 0o1007, a: 0o7777 };
const CLASS_SHIFT: Record<string, number> = { u: 6, g: 3, o: 0 };

/** What a mode makes of the bits an object has. */
export type ModeChange = (mode: number, isDirectory: boolean) => number;

/** Throws usage BAD_MODE. */
export function parseMode(text: string): ModeChange {
  if (/^0?[0-7]{1,4}$/.test(text)) {
    const bits = Number.parseInt(text, 8);
    // As GNU chmod: fewer than five digits leave a directory's set-id bits alone.
    return (mode, isDirectory) => bits | (isDirectory && text.length < 5 ? mode & 0o6000 : 0);
  }
  const clauses = text.split(',').map((clause) => parseClause(clause, text));
  return (mode, isDirectory) => clauses.reduce((bits, clause) => clause(bits, isDirectory), mode & 0o7777);
}

function parseClause(clause: string, text: string): ModeChange {
  const match = /^([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)$/.exec(clause);
  if (!match) {
    throw usage('BAD_MODE', `${text} is not a mode`, { expected: 'octal, or symbolic like u+x,go=rX', found: text });
  }
  const who = match[1]!;
  const mask = who === '' ? 0o7777 & ~UMASK : [...who].reduce((bits, letter) => bits | WHO[letter]!, 0);
  const actions = [...match[2]!.matchAll(/([-+=])([rwxXstugo]*)/g)];
  return (mode, isDirectory) =>
    actions.reduce((bits, [, operator, letters]) => {
      const wanted = bitsOf(letters!, bits, isDirectory) & mask;
      if (operator === '+') return bits | wanted;
      if (operator === '-') return bits & ~wanted;
      const affected = (who === '' ? 0o7777 : mask) & (isDirectory ? 0o1777 : 0o7777);
      return (bits & ~affected) | wanted;
    }, mode);
}

/** The bits that letters stand for, in all classes. */
function bitsOf(letters: string, mode: number, isDirectory: boolean): number {
  let bits = 0;
  for (const letter of letters) {
    const shift = CLASS_SHIFT[letter];
    if (shift !== undefined) bits |= ((mode >> shift) & 7) * 0o111;
    else if (letter === 'r') bits |= 0o444;
    else if (letter === 'w') bits |= 0o222;
    else if (letter === 'x' || (letter === 'X' && (isDirectory || (mode & 0o111) !== 0))) bits |= 0o111;
    else if (letter === 's') bits |= 0o6000;
    else if (letter === 't') bits |= 0o1000;
  }
  return bits;
}

/** Permissions of a directory that is made with `--mode`. */
export function directoryMode(text: string): number {
  return parseMode(text)(0o777, true);
}
