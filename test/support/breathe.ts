/**
 * Loaded before every test file: lets the event loop turn between tests. Most of our tests are synchronous, and a worker
 * whose loop stands still for a minute (its messages unanswered) makes vitest fail the run. One test alone must still
 * stay under that minute: split long loops into it.each.
 */
import { setImmediate } from 'node:timers/promises';
import { afterEach } from 'vitest';

afterEach(async () => {
  await setImmediate();
});
