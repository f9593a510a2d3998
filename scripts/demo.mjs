/**
 * `npm run demo`: an image of each dialect out of a real directory, read back and compared byte for byte and field for
 * field, checked clean; and, where the machine allows, judged by xfs_repair and mounted by a Linux kernel.
 *
 * Says what was skipped and why; ends with a status other than 0 on any difference. Leaves nothing behind.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { tsImport } from 'tsx/esm/api';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const cli = join(root, 'dist', 'tools', 'cadastre.js');
const { HostTree } = await import(join(root, 'dist', 'lib', 'host', 'tree.js'));
const oracle = await tsImport(join(root, 'test', 'support', 'oracle.ts'), import.meta.url);
const digest = await tsImport(join(root, 'test', 'support', 'digest.ts'), import.meta.url);

const scratch = mkdtempSync(join(tmpdir(), `cadastre-test-${process.pid}-demo-`));
/** Differences shown of one comparison. */
const SHOWN = 10;
let failures = 0;
const skipped = [];

const seconds = (start) => `${((performance.now() - start) / 1000).toFixed(1)} s`;
const say = (text) => console.log(text);

/** One step of the story: runs `work`, prints its result and how long it took. A thrown error is a failure. */
function step(title, work) {
  const start = performance.now();
  try {
    const result = work();
    say(`  ${title.padEnd(44)} ${String(result ?? 'ok').padEnd(72)} ${seconds(start)}`);
  } catch (error) {
    failures++;
    say(`  ${title.padEnd(44)} FAILED after ${seconds(start)}`);
    say(String(error instanceof Error ? error.message : error).replace(/^/gm, '      '));
  }
}

function skip(what, why) {
  skipped.push(`${what}: ${why}`);
}

/** Run our command; throws with its own words when the status is not 0. */
function cadastre(...args) {
  const run = spawnSync(process.execPath, [cli, ...args], { encoding: 'utf8', maxBuffer: 1 << 28 });
  if (run.status !== 0) throw new Error(`cadastre ${args.join(' ')}: status ${run.status}\n${run.stderr}${run.stdout}`);
  return run.stdout.trim();
}

/** Everything populate promises to keep, compared between two host directories. */
function compare(expectedPath, foundPath) {
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

/**
 * A copy of the project's own packages (its sources and documents where there are none): a tool that runs meanwhile may
 * write into the original. With a few things in it that packages do not have.
 */
function makeSource() {
  const copy = join(scratch, 'source');
  mkdirSync(copy);
  const packages = join(root, 'node_modules');
  const [from, names] = existsSync(packages)
    ? [packages, readdirSync(packages).filter((name) => !name.startsWith('.') || name === '.bin')]
    : [root, ['docs', 'lib']];
  for (const name of names) {
    cpSync(join(from, name), join(copy, name), { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
  }
  const odd = join(copy, 'odd things');
  mkdirSync(odd);
  const notText = Buffer.concat([Buffer.from(`${odd}/not text `), Buffer.from([0xff, 0xfe])]);
  writeFileSync(notText, 'a name that is not UTF-8');
  linkSync(notText, join(odd, 'the same file'));
  writeFileSync(join(odd, 'mostly a hole'), 'start');
  truncateSync(join(odd, 'mostly a hole'), 2 ** 32);
  chmodSync(join(odd, 'mostly a hole'), 0o4711);
  symlinkSync('a long way '.repeat(60), join(odd, 'a long symlink'));
  spawnSync('mkfifo', [join(odd, 'fifo')]);
  spawnSync('setfattr', ['-n', 'user.demo', '-v', 'kept', join(odd, 'the same file')]);
  return [copy, from];
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

try {
  const [source, original] = makeSource();
  const start = performance.now();
  say(`cadastre demo: images out of ${original}, and a few odd things`);
  for (const format of ['cadastre', 'xfs']) {
    const image = join(scratch, `${format}.img`);
    const out = join(scratch, `${format}-out`);
    say(`\n${format}`);
    step('make an image, as small as the source allows', () => {
      const made = cadastre('mkfs', image, '--size', 'auto', '--format', format, '--from', source);
      return made.split('\n')[1]?.replace(/ in [\d.]+ \w+$/, '');
    });
    if (!existsSync(image)) continue;
    step('check it, with every checksum there is', () => {
      const { clean } = JSON.parse(cadastre('check', image, '--data', '--json'));
      return clean ? `clean, ${Math.round(statSync(image).size / 2 ** 20)} MiB` : 'not clean';
    });
    step('read it back and compare', () => {
      cadastre('get', '-r', '--quiet', image, '/', out);
      const result = compare(source, out);
      rmSync(out, { recursive: true, force: true });
      return result;
    });
    step('make it again: the same bytes?', () => {
      const twins = ['one', 'two'].map((name) => join(scratch, `${format}-${name}.img`));
      const from = join(root, 'docs');
      for (const twin of twins)
        cadastre('mkfs', twin, '--size', 'auto', '--format', format, '--from', from, '--reproducible');
      const same = spawnSync('cmp', twins, { encoding: 'utf8' });
      if (same.error) return 'not compared: no cmp';
      if (same.status !== 0) throw new Error(same.stdout + same.stderr);
      return `identical (${basename(from)})`;
    });
    if (format !== 'xfs') continue;
    const missing = oracle.whyMissing('xfsprogs');
    if (missing) skip('xfs_repair', missing);
    else {
      step('xfs_repair -n says', () => {
        const { ok, output } = oracle.xfsRepairCheck(image);
        if (!ok) throw new Error(output);
        return 'nothing to complain about';
      });
    }
    judgeByKernel(image, source);
  }
  say('');
  for (const line of skipped) say(`skipped: ${line}`);
  say(failures === 0 ? `all well, in ${seconds(start)}` : `${failures} steps FAILED, in ${seconds(start)}`);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
process.exitCode = failures === 0 ? 0 : 1;
