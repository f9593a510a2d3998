/** The arrows of docs/DESIGN.md, checked in the test run: tools -> lib -> formats, and inside lib only downward. */
const layers = ['errors|units', 'host|device', 'buffer', 'journal', 'btree', 'space', 'file', 'directory|xattr', 'volume', 'check', '(?:mkfs|populate)'];
const rules = [
  { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
  { name: 'formats-stand-alone', severity: 'error', from: { path: '^formats/' }, to: { path: '^(lib|tools|test|bench)/' } },
  { name: 'lib-not-tools', severity: 'error', from: { path: '^lib/' }, to: { path: '^(tools|test|bench)/' } },
  { name: 'tools-not-test', severity: 'error', from: { path: '^tools/', pathNot: '\\.test\\.ts$' }, to: { path: '^(test|bench)/' } },
  {
    name: 'node-only-at-the-edge', severity: 'error',
    from: { path: '^(lib|formats)/', pathNot: '^lib/device/file\\.ts|^lib/host/|\\.test\\.ts$' },
    to: { dependencyTypes: ['core'] },
  },
];
layers.forEach((from, i) => {
  const above = layers.slice(i + 1).join('|');
  if (above) rules.push({ name: `lib-downward-${from.replace(/\W+/g, '-')}`, severity: 'error',
    from: { path: `^lib/(${from})[/.]`, pathNot: '\\.test\\.ts$' }, to: { path: `^lib/(${above})[/.]` } });
});
module.exports = {
  forbidden: rules,
  options: { doNotFollow: { path: 'node_modules' }, tsPreCompilationDeps: true, tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { extensions: ['.ts', '.js', '.json'] } },
};
