/** Clones: a whole tree again without taking space, changed on one side only. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ask, cadastre, mebibytes, same, step } from './story.mjs';

/** @param image holds a tree; it gets a clone of it. */
export function shareAndChange(image, scratch) {
  // The directory that holds most.
  const tops = ask(['ls', image, '/']).filter(({ type }) => type === 'directory');
  const sizes = ask(['du', image, '-s', ...tops.map(({ name }) => `/${name}`)]);
  const tree = sizes.sort((a, b) => b.bytes - a.bytes)[0].path;
  const cloned = (path) => `/clone${path.slice(tree.length)}`;
  let file;
  step(`clone ${tree}`, () => {
    const before = ask(['df', image]);
    const made = ask(['clone', '-r', image, tree, '/clone']);
    const taken = before.free - ask(['df', image]).free;
    return `${made.files} files (${mebibytes(made.bytes)}) again for ${mebibytes(taken)} of metadata`;
  });
  step('change one file of the clone', () => {
    const files = ask(['ls', image, tree, '-R']).filter(({ type, size }) => type === 'file' && size > 20_000);
    file = files.sort((a, b) => a.size - b.size)[0].path;
    const original = cadastre(['cat', image, file]);
    const changed = join(scratch, 'changed');
    writeFileSync(changed, 'changed\n');
    cadastre(['put', image, changed, cloned(file)]);
    same(cadastre(['cat', image, file]), original, `the original of ${file}`);
    same(cadastre(['cat', image, cloned(file)]), 'changed', `its clone`);
    return `${file}: the original is as it was`;
  });
  step('who owns the blocks of a file that both have', () => {
    const other = ask(['ls', image, tree, '-R']).find((each) => {
      return each.type === 'file' && each.size > 8192 && each.path !== file;
    }).path;
    const owners = new Set(ask(['owners', image, '--path', other]).map(({ path }) => path));
    if (!owners.has(cloned(other))) throw new Error(`${other} is not shared: ${[...owners].join(', ')}`);
    return [...owners].sort().join(' and ');
  });
  step('check it again', () => {
    same(ask(['check', image, '--data']).clean, true, 'clean');
    return 'clean';
  });
}
