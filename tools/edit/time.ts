/** Points in time of the command line. Without a zone they are UTC: an image knows no place. */
import type { Time } from '../../formats/time.ts';
import { usage } from '../../lib/errors.ts';

/**
 * `2024-01-31T12:00:00.123456789Z`, `2024-01-31 12:00:00 +02:00`, `2024-01-31`, `@1700000000.5`, `now`.
 * Throws usage BAD_TIME.
 */
export function parseTime(text: string): Time {
  if (text === 'now') return timeNow();
  const since = /^@(-?\d+)(?:\.(\d{1,9}))?$/.exec(text);
  if (since) {
    const whole = Number(since[1]);
    const nanoseconds = fraction(since[2]);
    const isNegative = since[1]!.startsWith('-') && nanoseconds > 0;
    return isNegative ? { seconds: whole - 1, nanoseconds: 1e9 - nanoseconds } : { seconds: whole, nanoseconds };
  }
  const match =
    /^(\d{4,6})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s*(Z|[-+]\d\d:?\d\d)?)?$/i.exec(
      text.trim(),
    );
  if (!match) throw badTime(text);
  const [, year, month, day, hours = '00', minutes = '00', seconds = '00', digits, zone] = match;
  return timeOf(text, [year!, month!, day!, hours, minutes, seconds], fraction(digits), zone);
}

/** touch's stamp: `[[CC]YY]MMDDhhmm[.ss]`. Throws usage BAD_TIME. */
export function parseStamp(text: string): Time {
  const match = /^(\d\d)?(\d\d)?(\d\d)(\d\d)(\d\d)(\d\d)(?:\.(\d\d))?$/.exec(text);
  if (!match) throw badTime(text);
  const [, a, b, month, day, hours, minutes, seconds = '00'] = match;
  let year = String(new Date().getUTCFullYear());
  if (a !== undefined && b !== undefined) year = a + b;
  else if (a !== undefined) year = `${Number(a) < 69 ? 20 : 19}${a}`;
  return timeOf(text, [year, month!, day!, hours!, minutes!, seconds], 0, undefined);
}

export function timeNow(): Time {
  const milliseconds = Date.now();
  const seconds = Math.floor(milliseconds / 1000);
  return { seconds, nanoseconds: (milliseconds - seconds * 1000) * 1e6 };
}

function timeOf(text: string, parts: readonly string[], nanoseconds: number, zone: string | undefined): Time {
  const [year, month, day, hours, minutes, seconds] = parts.map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hours, minutes, seconds);
  const isReal =
    date.getUTCMonth() === month - 1 && date.getUTCDate() === day && hours < 24 && minutes < 60 && seconds < 61;
  if (!isReal || Number.isNaN(date.getTime())) throw badTime(text);
  let offset = 0;
  if (zone && !/^z$/i.test(zone)) {
    const digits = zone.replace(':', '');
    offset = (Number(digits.slice(1, 3)) * 60 + Number(digits.slice(3))) * (digits[0] === '-' ? -60 : 60);
  }
  return { seconds: date.getTime() / 1000 - offset, nanoseconds };
}

const fraction = (digits: string | undefined): number => (digits ? Number(digits.padEnd(9, '0')) : 0);

function badTime(text: string): Error {
  return usage('BAD_TIME', `${text} is not a time`, { expected: 'ISO 8601, @SECONDS or now', found: text });
}
