/** Node's own start-up: what every command pays before it does anything, the mark for all small commands. */

/** @type {import('../case.d.ts').Case[]} */
export const cases = [
  {
    name: 'start-up',
    goal: 'what Node itself costs; the command may add little',
    ours: { name: 'cadastre --version', command: (c) => [c.node, c.cli, '--version'], needs: ['cli'] },
    peers: [
      { name: 'node -e 0', command: (c) => [c.node, '-e', '0'] },
      { name: '/bin/true', command: () => ['true'] },
    ],
  },
];
