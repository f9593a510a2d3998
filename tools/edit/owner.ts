/** Owners of the command line: numbers, for an image knows no names. */
import { usage } from '../../lib/errors.ts';
import { parseNumber } from '../ui/sizes.ts';

const MAX_ID = 0xfffffffe;

/** `U`, `U:G`, `U:` or `:G`. Throws usage BAD_OWNER, BAD_NUMBER. */
export function parseOwner(text: string): { uid: number | undefined; gid: number | undefined } {
  const match = /^([^:]*)(?::([^:]*))?$/.exec(text);
  if (!match || (match[1] === '' && !match[2])) {
    throw usage('BAD_OWNER', `${text} is no owner`, { expected: 'numbers: U, U:G or :G', found: text });
  }
  const id = (part: string | undefined) => (part ? parseNumber(part, 'owner', 0, MAX_ID) : undefined);
  return { uid: id(match[1]), gid: id(match[2]) };
}

/** `U:G`, both. */
export function parseWholeOwner(text: string): { uid: number; gid: number } {
  const { uid, gid } = parseOwner(text);
  if (uid === undefined || gid === undefined) {
    throw usage('BAD_OWNER', `--owner: ${text} is not UID:GID`, { expected: 'two numbers', found: text });
  }
  return { uid, gid };
}
