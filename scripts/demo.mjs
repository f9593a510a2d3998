/**
 * `npm run demo`: what the tools are for, on real input, each part told step by step.
 *
 *   images    an image of each dialect out of a real directory, read back and compared byte for byte, judged by xfs_repair and a kernel
 *   share     the tree cloned without taking space, one side changed
 *   mend      damage on purpose, repaired
 *   layout    files in many pieces put in order, sharing kept
 *
 * Says what was skipped and why; ends with a status other than 0 on any difference. Leaves nothing behind.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { judgeByRepair, makeAndJudge } from './demo/images.mjs';
import { tearAndMend } from './demo/layout.mjs';
import { damageAndMend } from './demo/mend.mjs';
import { shareAndChange } from './demo/share.mjs';
import { makeSource } from './demo/source.mjs';
import { outcome, root, say, seconds } from './demo/story.mjs';

const scratch = mkdtempSync(join(tmpdir(), `cadastre-test-${process.pid}-demo-`));
const start = performance.now();
try {
  const [source, original] = makeSource(root, scratch);
  say(`cadastre demo: images out of ${original}, and a few odd things`);
  for (const format of ['cadastre', 'xfs']) {
    say(`\n${format}: an image out of a directory`);
    const image = makeAndJudge(format, source, scratch);
    if (!image) continue;
    say(`\n${format}: clones`);
    shareAndChange(image, scratch);
    if (format === 'xfs') judgeByRepair(image);
    rmSync(image, { force: true });
    say(`\n${format}: damage and repair`);
    damageAndMend(format, scratch);
    say(`\n${format}: layout`);
    tearAndMend(format, scratch);
  }
  say('');
  for (const line of outcome.skipped) say(`skipped: ${line}`);
  const { failures } = outcome;
  say(failures === 0 ? `all well, in ${seconds(start)}` : `${failures} steps FAILED, in ${seconds(start)}`);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
process.exitCode = outcome.failures === 0 ? 0 : 1;
