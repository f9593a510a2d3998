/** docs/CHECKS.md out of the problem table: one source for what the checker says and what the document says it says. */
import { PROBLEMS, type ProblemKind } from './problem-table.ts';

const HEAD = `# Problems the checker reports

Generated from \`lib/check/problem-table.ts\`; do not edit. \`UPDATE_DOCS=1 npx vitest run lib/check/document.test.ts\` writes it.

Every problem has a stable \`code\`, a \`severity\`, a place (\`where\`: AG, block, inode, path, field, file block, as far as
they are known), \`expected\` and \`found\`, a message and the fix that repair applies. Problems that come from the verifier
of a block or from a structural check also have its finer code in \`rule\` (\`BAD_CRC\`, \`BTREE_LOOP\`, \`DIR_BAD_BEST\` ...).
An **error** loses data, misleads a reader or makes the kernel refuse; a **warning** is wrong but harmless. An image is
clean when it has neither.

What depends on something that cannot be read is not guessed at: one unreadable inode is one problem, and what the
reverse map says of its blocks is taken as it stands.

| code | severity | message | fix |
|---|---|---|---|
`;

/** The whole text. */
export function checksDocument(): string {
  const rows = Object.entries<ProblemKind>(PROBLEMS).map(
    ([code, { severity, text, fix }]) => `| ${code} | ${severity} | ${text.replaceAll('|', '\\|')} | ${fix} |`,
  );
  return `${HEAD}${rows.join('\n')}\n`;
}
