/** Damage on purpose, and repair: two files on the same blocks, a wiped superblock, an inode chunk nobody lists. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { judgeByRepair } from './images.mjs';
import { ask, cadastre, root, same, step } from './story.mjs';

const digest = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** @param format of the image that is made, damaged and mended. */
export function damageAndMend(format, scratch) {
  const image = join(scratch, `mend-${format}.img`);
  const source = join(root, 'docs');
  const files = ['/FORMAT.md', '/DESIGN.md'];
  const register = format === 'xfs' ? ['--rmapbt', '--reflink'] : [];
  cadastre(['mkfs', image, '--size', '64m', '--format', format, ...register, '--from', source, '--quiet']);

  const intact = () => {
    for (const path of files) {
      same(digest(cadastre(['cat', image, path])), digest(readFileSync(join(source, path), 'utf8').trim()), path);
    }
  };
  const mend = (title, scene, words, tell) => {
    step(title, () => {
      cadastre(['damage', image, '--scene', scene, ...words]);
      const { problemCount } = ask(['check', image], [4, 8]);
      return `check finds ${problemCount} problem${problemCount === 1 ? '' : 's'}`;
    });
    step('repair: what it decides', () => {
      const result = ask(['repair', image], [1]);
      same(result.clean, true, 'clean');
      intact();
      const again = ask(['repair', image], [0]);
      same(again.changed, false, 'a second run changes the image');
      return tell(result);
    });
  };

  mend('two files on the same blocks', 'cross-link', [...files].reverse(), ({ decisions }) => {
    const { action, claimants } = decisions[0];
    return `${action}: ${claimants.map(({ path, outcome }) => `${path} ${outcome}`).join(', ')}; every byte is right`;
  });
  mend('an extent tree and its file, lost', 'lost-fork', [files[0]], ({ actions }) => {
    return `${actions.length} changes; the file is whole again`;
  });
  mend('the first superblock wiped', 'wipe-superblock', [], ({ actions }) => actions[0].text);
  if (format === 'xfs') judgeByRepair(image);
}
