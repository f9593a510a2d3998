/** Two trees of the host compared in everything that populate promises to keep. */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const { HostTree } = await import(join(root, 'dist', 'lib', 'host', 'tree.js'));

/** Differences shown of one comparison. */
const SHOWN = 10;

/** Compare two host directories; throws with the first differences. */
export function compare(expectedPath, foundPath) {
  const differences = [];
  const expected = new HostTree(expectedPath);
  const found = new HostTree(foundPath);
  const differ = (entry, what) => differences.push(`${entry.path.toString() || '/'}: ${what}`);
  let objects = 0;
  const pair = (a, b) => {
    objects++;
    const time = ({ mtime }) => `${mtime.seconds}.${mtime.nanoseconds}`;
    const xattrs = ({ xattrs }) => xattrs.map(({ name, value }) => `${hex(name)}=${hex(value)}`).join(' ');
    const fields = [
      ['mode', a.mode.toString(8), b.mode.toString(8)],
      ['owner', `${a.uid}:${a.gid}`, `${b.uid}:${b.gid}`],
      ['modification time', time(a), time(b)],
      ['attributes', xattrs(a), xattrs(b)],
    ];
    if (a.type === 'file') fields.push(['size', a.size, b.size], ['links', a.nlink, b.nlink]);
    if (a.type === 'symlink') fields.push(['target', hex(a.target), hex(b.target)]);
    if (a.type === 'character' || a.type === 'block') {
      fields.push(['device', `${a.rdevMajor}:${a.rdevMinor}`, `${b.rdevMajor}:${b.rdevMinor}`]);
    }
    for (const [name, one, other] of fields) if (one !== other) differ(a, `${name} ${one} became ${other}`);
    if (a.type === 'file' && b.type === 'file' && a.size === b.size && !sameContent(expected, a, found, b))
      differ(a, 'content');
    if (a.directory && b.directory) children(a, b);
  };
  const children = (a, b) => {
    const others = new Map(found.readDirectory(b).map((entry) => [hex(entry.name), entry]));
    for (const entry of expected.readDirectory(a)) {
      const other = others.get(hex(entry.name));
      others.delete(hex(entry.name));
      if (other) pair(entry, other);
      else differ(entry, 'is missing');
    }
    for (const entry of others.values()) differ(entry, 'is new');
  };
  try {
    pair(expected.root, found.root);
  } finally {
    expected.close();
    found.close();
  }
  if (differences.length > 0) {
    const more = differences.length > SHOWN ? [`... and ${differences.length - SHOWN} more`] : [];
    throw new Error([...differences.slice(0, SHOWN), ...more].join('\n'));
  }
  return `${objects} objects, all equal`;
}

const hex = (bytes) => Buffer.from(bytes).toString('hex');

const PIECE = 1 << 20;
const pieces = [Buffer.alloc(PIECE), Buffer.alloc(PIECE)];

function sameContent(treeA, a, treeB, b) {
  const files = [treeA.openFile(a), treeB.openFile(b)];
  try {
    for (let at = 0; at < a.size; ) {
      // Where both have a hole there is nothing to read.
      const data = Math.min(...files.map((file) => file.nextSegment(at)?.offset ?? a.size));
      if (data >= a.size) break;
      at = data;
      const length = Math.min(PIECE, a.size - at);
      const [one, other] = files.map((file, i) => {
        const piece = pieces[i].subarray(0, length);
        file.readInto(piece, at);
        return piece;
      });
      if (!one.equals(other)) return false;
      at += length;
    }
    return true;
  } finally {
    for (const file of files) file.close();
  }
}
