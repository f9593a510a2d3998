import { readFileSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { checksDocument } from './document.ts';

it('docs/CHECKS.md is what the problem table says', () => {
  const path = new URL('../../docs/CHECKS.md', import.meta.url);
  if (process.env.UPDATE_DOCS) writeFileSync(path, checksDocument());
  expect(readFileSync(path, 'utf8')).toBe(checksDocument());
});
