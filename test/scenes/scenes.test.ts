/**
 * Every collision scene on every kind of image: the report is the promised one, every file holds what is promised byte for
 * byte, whoever does not have his own bytes any more is named, and the second run finds nothing to do. Then xfs_repair and the
 * kernel judge the xfs images: a sample of them, all with FULL=1.
 */
import { describe, expect, it } from 'vitest';
import { Volume } from '../../lib/volume/volume.ts';
import { copyToFile } from '../support/copy-device.ts';
import { compareTrees } from '../support/digest.ts';
import { digestVolume } from '../support/image-digest.ts';
import { digestImageByLoop, requireOracle, withTempDir, xfsRepairCheck } from '../support/oracle.ts';
import { judgeScene, play } from './judge.ts';
import { SCENES } from './scenes.ts';
import { RARE_VARIANTS, VARIANTS, type Variant } from './world.ts';

const FULL = process.env.FULL === '1';
/** Of the rare images by default: what depends on the size of blocks. */
const RARE = /^(three|.*directory-(block|middle|shifted)|.*-over-data|attribute-(value|tree)|one-attribute-fork)$/;
const named = (variants: readonly Variant[]) => variants.map((variant) => [variant.name, variant] as const);

describe.each(named([...VARIANTS, ...RARE_VARIANTS]))('%s', (_name, variant) => {
  const all = VARIANTS.includes(variant) || FULL;
  const scenes = SCENES.filter(({ needs, name }) => (!needs || needs(variant)) && (all || RARE.test(name)));
  it.each(scenes.map((scene) => [scene.name, scene] as const))('%s', (_scene, scene) => {
    judgeScene(variant, scene);
  });
});

const SAMPLE = ['three', 'attributes-over-data', 'intruder', 'unwritten-over-written'];
const RARE_SAMPLE = ['directory-over-data', 'value-over-data'];

describe.runIf(requireOracle('xfsprogs', 'loop'))('xfs_repair and the kernel agree', () => {
  it.each(named([...VARIANTS, ...RARE_VARIANTS].filter(({ dialect }) => dialect === 'xfs')))('%s', (_name, variant) => {
    const sample = VARIANTS.includes(variant) ? SAMPLE : RARE_SAMPLE;
    withTempDir((directory) => {
      for (const scene of SCENES) {
        if ((scene.needs && !scene.needs(variant)) || (!FULL && !sample.includes(scene.name))) continue;
        const { after } = play(variant, scene);
        const image = `${directory}/image`;
        copyToFile(after.device, image);
        const judged = xfsRepairCheck(image);
        expect(judged.ok, `${scene.name}: ${judged.output}`).toBe(true);
        const ours = digestVolume(Volume.open(after.device));
        expect(compareTrees(ours, digestImageByLoop(image)), scene.name).toBe('');
      }
    });
  });
});
