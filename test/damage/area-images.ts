/** Image files for the long runs: one with many files, and some that mkfs.xfs and the kernel made. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ageImage } from '../support/age.ts';
import { makeMatrixImage, matrixEntry } from '../support/feature-matrix.ts';
import { makeImage } from '../support/make-image.ts';
import { withTempDir } from '../support/oracle.ts';

const MIB = 1 << 20;
const PER_DIRECTORY = 200;

/** An image of the xfs dialect, all features, with this many files of 0.1 to 8 KB; each says which one it is. */
export function areaImage(path: string, files: number): void {
  withTempDir((source) => {
    for (let i = 0; i < files; i++) {
      const directory = join(source, `directory ${Math.floor(i / PER_DIRECTORY)}`);
      if (i % PER_DIRECTORY === 0) mkdirSync(directory);
      writeFileSync(join(directory, `file ${i}`), `file ${i}, `.repeat(8 + ((i * 7919) % 600)));
    }
    const size = Math.max(64, Math.ceil(files / 80)) * MIB;
    makeImage(path, { source, size, agCount: 4, features: { rmapbt: true, reflink: true, nrext64: true } });
  });
}

/** Images that a kernel has aged. Needs root. @param only one of them. */
export function kernelImages(directory: string, only: string | undefined): { name: string; path: string }[] {
  const names = ['default', 'all-features', 'block-1k'].filter((name) => (only ?? name) === name);
  return names.map((name) => {
    const path = join(directory, `${name}.img`);
    const entry = matrixEntry(name);
    makeMatrixImage(entry, path);
    ageImage(path, { profile: 'forms', dirBlockSize: entry.dirBlockSize });
    return { name, path };
  });
}
