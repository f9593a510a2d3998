/** An image out of a directory: read back, made again, judged by xfs_repair and a kernel. */
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { tsImport } from 'tsx/esm/api';
import { compare } from './compare.mjs';
import { ask, cadastre, root, skip, step } from './story.mjs';

const oracle = await tsImport(join(root, 'test', 'support', 'oracle.ts'), import.meta.url);
const digest = await tsImport(join(root, 'test', 'support', 'digest.ts'), import.meta.url);

/** @returns path of the image, undefined when it could not be made. */
export function makeAndJudge(format, source, scratch) {
  const image = join(scratch, `${format}.img`);
  const out = join(scratch, `${format}-out`);
  step('make an image, as small as the source allows', () => {
    const made = cadastre(['mkfs', image, '--size', 'auto', '--format', format, '--from', source]);
    return made.split('\n')[1]?.replace(/ in [\d.]+ \w+$/, '');
  });
  if (!existsSync(image)) return undefined;
  step('check it, with every checksum there is', () => {
    const { clean } = ask(['check', image, '--data']);
    return clean ? `clean, ${Math.round(statSync(image).size / 2 ** 20)} MiB` : 'not clean';
  });
  step('read it back and compare', () => {
    cadastre(['get', '-r', '--quiet', image, '/', out]);
    const result = compare(source, out);
    rmSync(out, { recursive: true, force: true });
    return result;
  });
  step('make it again: the same bytes?', () => {
    const twins = ['one', 'two'].map((name) => join(scratch, `${format}-${name}.img`));
    const from = join(root, 'docs');
    for (const twin of twins)
      cadastre(['mkfs', twin, '--size', 'auto', '--format', format, '--from', from, '--reproducible']);
    const same = spawnSync('cmp', twins, { encoding: 'utf8' });
    if (same.error) return 'not compared: no cmp';
    if (same.status !== 0) throw new Error(same.stdout + same.stderr);
    return `identical (${basename(from)})`;
  });
  if (format !== 'xfs') return image;
  judgeByRepair(image);
  judgeByKernel(image, source);
  return image;
}

/** xfs_repair must have nothing to say. */
export function judgeByRepair(image) {
  const missing = oracle.whyMissing('xfsprogs');
  if (missing) {
    skip('xfs_repair', missing);
    return;
  }
  step('xfs_repair -n says', () => {
    const { ok, output } = oracle.xfsRepairCheck(image);
    if (!ok) throw new Error(output);
    return 'nothing to complain about';
  });
}

/** A real kernel reads what we wrote: through a loop device as root, else in user-mode-linux. */
function judgeByKernel(image, source) {
  const loop = oracle.whyMissing('loop');
  if (!loop) {
    step('the Linux kernel mounts it and sees', () =>
      oracle.loopMount(image, {}, (mounted) => compare(source, mounted)),
    );
    return;
  }
  const uml = oracle.whyMissing('uml');
  if (uml) {
    skip('mount by the kernel', `${loop}; user-mode-linux: ${uml}`);
    return;
  }
  step('a Linux kernel (user-mode-linux) mounts it and sees', () => {
    const found = oracle.digestImageByUml(image);
    const text = digest.compareTrees(digest.digestTree(source), found, {
      ignore: ['directory.size', 'directory.nlink'],
    });
    if (text !== '') throw new Error(text);
    return `${found.length} objects, all equal`;
  });
}
