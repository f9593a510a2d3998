/** Clone, copy-on-write, unshare and dedupe against a naive model; after each step the checker compares every count. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { emptyImage } from '../../test/support/empty-image.ts';
import { SharingEditor, SharingModel, sharingOp } from '../../test/support/sharing-model.ts';
import { check } from '../check/check.ts';
import { Editor } from '../volume/editor.ts';

const RUNS = Number(process.env.CLONE_RUNS ?? 4);

const WORLDS = {
  'xfs 4k': { dialect: 'xfs' },
  'xfs 1k, rmapbt': { dialect: 'xfs', blockSize: 1024, features: { rmapbt: true } },
  'cadastre 4k': { dialect: 'cadastre' },
  'cadastre 1k': { dialect: 'cadastre', blockSize: 1024 },
} as const;

describe.each(Object.entries(WORLDS))('sharing, %s', (_name, options) => {
  it('random scripts give the model content and sharing, and every count is right', () => {
    fc.assert(
      fc.property(fc.array(sharingOp, { minLength: 4, maxLength: 24 }), (script) => {
        const device = emptyImage({ ...options, size: 16 << 20 });
        let editor = Editor.open(device);
        const model = new SharingModel(editor.volume.geometry.blockSize);
        for (const op of script) {
          let image = new SharingEditor(editor);
          const expected = model.apply(op);
          if (expected === false) continue;
          expect(image.apply(op, model)).toBe(expected);
          editor.close();
          const { problems } = check(device, { data: true });
          expect(problems).toEqual([]);
          editor = Editor.open(device);
          image = new SharingEditor(editor);
          for (const [index, file] of model.files.entries()) {
            const content = image.content(index);
            expect(content?.length).toBe(file?.content.length);
            expect(content === undefined || Buffer.compare(content, file!.content) === 0).toBe(true);
          }
          if (op.op === 'dedupe') {
            model.adopt(image.places());
            expect(image.dedupe(op.min)).toMatchObject({ runs: 0, savedBytes: 0 });
          } else expect(model.sharingOf(image.places())).toEqual(model.sharing());
        }
      }),
      { numRuns: RUNS },
    );
  });
});
