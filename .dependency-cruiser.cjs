/**
 * The arrows of docs/DESIGN.md, checked in the test run: tools -> lib -> formats, and inside lib only downward.
 * `layers` lists lib from the bottom up; folders side by side in one layer may import each other. A folder of lib that
 * is not listed is an operation (mkfs, populate, repair ...): it stands on top, and no layer may import it. lib/fs/node is
 * Node's fs in shape, so it needs Node's own modules (streams, URLs, Buffers); lib/fs itself does not.
 */
const layers = ['errors|units', 'host|device', 'buffer', 'journal', 'btree', 'space', 'file', 'directory|xattr', 'volume', 'check'];
const test = '\\.test\\.ts$';
const rules = [
  { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
  { name: 'resolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
  { name: 'formats-stand-alone', severity: 'error', from: { path: '^formats/', pathNot: test }, to: { path: '^(lib|tools|test|bench)/' } },
  { name: 'lib-not-tools', severity: 'error', from: { path: '^lib/', pathNot: test }, to: { path: '^(tools|test|bench)/' } },
  { name: 'tools-not-test', severity: 'error', from: { path: '^tools/', pathNot: test }, to: { path: '^(test|bench)/' } },
  {
    name: 'node-only-at-the-edge', severity: 'error',
    from: { path: '^(lib|formats)/', pathNot: `^lib/device/file\\.ts|^lib/host/|^lib/fs/node/|${test}` },
    to: { dependencyTypes: ['core'] },
  },
];
layers.forEach((from, i) => {
  const reachable = layers.slice(0, i + 1).join('|');
  rules.push({
    name: `lib-downward-${from.replace(/\W+/g, '-')}`, severity: 'error',
    from: { path: `^lib/(${from})[/.]`, pathNot: test },
    to: { path: '^lib/', pathNot: `^lib/(${reachable})[/.]` },
  });
});
module.exports = {
  forbidden: rules,
  options: { doNotFollow: { path: 'node_modules' }, tsPreCompilationDeps: true, tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { extensions: ['.ts', '.js', '.json'] } },
};
