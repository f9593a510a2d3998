/**
 * Joins the compiled command into few files, with chunks for what commands share: loading forty small modules costs more
 * than all the work of an empty mkfs. The library (dist/lib, dist/formats) stays as tsc made it.
 */
import { rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const tools = join(dirname(fileURLToPath(import.meta.url)), '..', 'dist', 'tools');
rmSync(join(tools, 'chunks'), { recursive: true, force: true });
await build({
  entryPoints: [join(tools, 'cadastre.js')],
  bundle: true,
  splitting: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  outdir: tools,
  chunkNames: 'chunks/[name]-[hash]',
  external: ['koffi'],
  allowOverwrite: true,
  minifyWhitespace: true,
  logLevel: 'warning',
  // CommonJS packages in the bundle call `require`.
  banner: {
    js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);",
  },
});
