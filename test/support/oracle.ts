/**
 * The oracles: real programs that judge our images, and how a test calls them.
 *
 * 1. A suite that needs one says so by requireOracle(). Missing: the suite is skipped and the reason recorded for the test
 *    run's summary; under CI=true it is a failure instead.
 * 2. Everything made here is unmade, also when the test throws: mounts, loop devices, scratch directories. Scratch names
 *    carry the process id, so that the next run sweeps up after one that was killed.
 * 3. Calls are synchronous. Only loop mounts need root; user-mode-linux runs as an ordinary user (as nobody under root).
 */
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, relative } from 'node:path';
import { digestScript, digestTree, parseDigest, type TreeEntry } from './digest.ts';
import { findProgram, program } from './tools.ts';

/** What can be required. xfsprogs: mkfs.xfs, xfs_repair, xfs_db, xfs_io. loop: root and XFS in the running kernel. */
export type OracleName = 'xfsprogs' | 'e2fsprogs' | 'loop' | 'uml' | 'python' | 'grub' | 'stress-ng';

const isRoot = process.getuid?.() === 0;
const programsOf: Record<OracleName, string[]> = {
  xfsprogs: ['mkfs.xfs', 'xfs_repair', 'xfs_db', 'xfs_io', 'xfs_admin'],
  e2fsprogs: ['mke2fs', 'e2fsck', 'debugfs'],
  loop: ['mount', 'umount', 'losetup'],
  uml: ['linux.uml', 'python3'],
  python: ['python3'],
  grub: ['grub-fstest'],
  'stress-ng': ['stress-ng'],
};

const reasons = new Map<OracleName, string | undefined>();

/** Why an oracle cannot be used here; undefined when it can. Asked once per process. */
export function whyMissing(name: OracleName): string | undefined {
  if (!reasons.has(name)) reasons.set(name, findReason(name));
  return reasons.get(name);
}

function findReason(name: OracleName): string | undefined {
  if (process.env.CADASTRE_WITHOUT?.split(',').includes(name)) return 'switched off by CADASTRE_WITHOUT';
  if (process.platform !== 'linux') return `needs Linux, this is ${process.platform}`;
  const missing = programsOf[name].filter((one) => !findProgram(one));
  if (missing.length > 0) return `${missing.join(', ')} not installed`;
  if (name === 'uml' && isRoot && !findProgram('setpriv'))
    return 'setpriv not installed (root gives up its rights first)';
  if (name !== 'loop') return undefined;
  if (!isRoot) return 'loop mounts need root';
  if (!existsSync('/dev/loop-control')) return 'no /dev/loop-control';
  if (!readFileSync('/proc/filesystems', 'utf8').includes('\txfs\n')) {
    spawnSync('modprobe', ['xfs'], { stdio: 'ignore' });
    if (!readFileSync('/proc/filesystems', 'utf8').includes('\txfs\n')) return 'the running kernel has no XFS';
  }
  return undefined;
}

/**
 * True when all the named oracles are there. Call it while a test file is collected:
 * `describe.runIf(requireOracle('xfsprogs', 'loop'))('...', ...)`. Records the answer for the summary of the test run;
 * throws under CI=true when one is missing.
 */
export function requireOracle(...names: OracleName[]): boolean {
  const suite = callingSuite();
  const log = process.env.CADASTRE_ORACLE_LOG;
  let missing: string | undefined;
  for (const name of names) {
    const reason = whyMissing(name);
    if (reason) missing = `${name}: ${reason}`;
    if (log) appendFileSync(log, `${JSON.stringify({ name, suite, reason })}\n`);
  }
  if (missing && process.env.CI === 'true') throw new Error(`oracle required under CI is missing: ${missing}`);
  return missing === undefined;
}

/** The test file that called requireOracle, as seen on the stack. */
function callingSuite(): string {
  const match = /([^\s(]*\.test\.ts)/.exec(new Error().stack ?? '');
  return match?.[1] ? relative(process.cwd(), match[1].replace(/^file:\/\//, '')) : 'unknown suite';
}

/** Runs `body` with a scratch directory that exists only as long as it does; also for an async body. */
export function withTempDir<T>(body: (directory: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), `cadastre-test-${process.pid}-`));
  return ensure(
    () => body(directory),
    () => rmSync(directory, { recursive: true, force: true }),
  );
}

/** Calls `after` when `body` is over, however it ended: at once, or when its promise settles. */
function ensure<T>(body: () => T, after: () => void): T {
  let result: T;
  try {
    result = body();
  } catch (error) {
    after();
    throw error;
  }
  if (result instanceof Promise) return result.finally(after) as T;
  after();
  return result;
}

/** Output of a program: standard output and error together, for what is shown to a person. */
export interface RunResult {
  status: number;
  stdout: string;
  output: string;
}

/** Runs a program of the host to its end. Does not throw for a bad exit status; does when it cannot be started. */
export function run(
  name: string,
  args: string[],
  options: { input?: string; env?: Record<string, string> } = {},
): RunResult {
  const result = spawnSync(program(name), args, {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    input: options.input ?? '',
    env: { ...process.env, LC_ALL: 'C', ...options.env },
  });
  if (result.error) throw result.error;
  const status = result.status ?? 128;
  return { status, stdout: result.stdout, output: result.stdout + result.stderr };
}

/** As run(), but a bad exit status throws, with the program's own words. */
export function mustRun(
  name: string,
  args: string[],
  options: { input?: string; env?: Record<string, string> } = {},
): string {
  const result = run(name, args, options);
  if (result.status !== 0) throw new Error(`${name} ${args.join(' ')}: status ${result.status}\n${result.output}`);
  return result.stdout;
}

/**
 * Makes an XFS image of `size` bytes with mkfs.xfs and its options (an existing file is replaced). Sizes under mkfs's
 * floor of 300 MiB work too: the environment is the one that its authors' own tests use to lift it.
 */
export function mkfsXfs(path: string, size: number, args: string[] = []): void {
  rmSync(path, { force: true });
  writeFileSync(path, '');
  truncateSync(path, size);
  const env = { TEST_DIR: '1', TEST_DEV: '1', QA_CHECK_FS: '1' };
  mustRun('mkfs.xfs', ['-q', '-f', ...args, path], { env });
}

/** Lines that xfs_repair -n prints for any clean image. Everything else is a complaint. */
const CLEAN_LINES = [
  /^Phase \d+ - /,
  /^ {8}- (zero log|scan filesystem freespace|found root inode chunk|scan \(but don't clear\)|process known inodes)/,
  /^ {8}- (agno = \d+|process newly discovered inodes|setting up duplicate extent list|check for inodes claiming)/,
  /^ {8}- (traversing filesystem|traversal finished|moving disconnected inodes)/,
  /^ {8}- reporting progress in intervals of/,
  /^ {8}- \d\d:\d\d:\d\d: /,
  /^No modify flag set, skipping (phase 5|filesystem flush and exiting\.)$/,
  /^(Cannot get host filesystem geometry\.|Repair may fail if there is a sector size mismatch between|the image and the host filesystem\.)$/,
];

/**
 * Judges an image with `xfs_repair -n`. `ok` only when the status is 0 and nothing but the usual progress was printed:
 * some complaints leave the status at 0. `output` is the complaints when not ok. (force_geometry: an image of one AG has
 * no second superblock to compare with, and would be refused for that.)
 */
export function xfsRepairCheck(path: string): { ok: boolean; output: string } {
  const { status, output } = run('xfs_repair', ['-n', '-o', 'force_geometry', path]);
  const complaints = output.split('\n').filter((line) => line !== '' && !CLEAN_LINES.some((clean) => clean.test(line)));
  if (status !== 0 && complaints.length === 0) complaints.push(`status ${status}`);
  return { ok: complaints.length === 0, output: complaints.join('\n') };
}

/** Runs xfs_db commands on an image and gives what they print. `write` allows changes (they get right CRCs with -d). */
export function xfsDb(path: string, commands: string[], options: { write?: boolean } = {}): string {
  const mode = options.write ? ['-x'] : ['-r'];
  return mustRun('xfs_db', [...mode, ...commands.flatMap((command) => ['-c', command]), path]);
}

/** How to mount. Default: read-only, which never changes the image and so refuses a dirty log; `write`: read and write. */
export interface MountOptions {
  write?: boolean;
  /** More mount options: 'norecovery', 'nouuid' ... */
  extra?: string[];
}

/** Mounts an image through a loop device for the time of `body`, and unmounts it whatever happens. Needs root. */
export function loopMount<T>(image: string, options: MountOptions, body: (directory: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), `cadastre-test-${process.pid}-mount-`));
  const at = join(directory, 'm');
  mkdirSync(at);
  const flags = ['loop', 'nouuid', 'noatime', options.write ? 'rw' : 'ro', ...(options.extra ?? [])].join(',');
  try {
    mustRun('mount', ['-t', 'xfs', '-o', flags, image, at]);
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
  return ensure(
    () => body(at),
    () => {
      unmount(at);
      // rmdir, not a recursive removal: if the unmount did not work, the image's files must stay.
      rmdirSync(at);
      rmdirSync(directory);
    },
  );
}

/** Unmounts; somebody may hold the mount for a moment (a scanner, a dying child), so it is tried a few times. */
function unmount(at: string): void {
  for (let attempt = 0; ; attempt++) {
    const result = run('umount', [at]);
    if (result.status === 0) return;
    if (attempt === 20) {
      // Out of sight at once, gone when the last user lets go.
      run('umount', ['-l', at]);
      throw new Error(`could not unmount ${at}: ${result.output}`);
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  }
}

/** What ran under user-mode-linux. */
export interface UmlResult {
  /** Exit status of the script; 128 when the kernel ended before it. */
  status: number;
  /** Standard output of the script. */
  stdout: string;
  /** Its standard error and the kernel's messages. */
  output: string;
}

/**
 * Runs a shell script under user-mode-linux (Linux 6.1, boots in about 2 s) as an ordinary user, with the images mounted
 * at $IMAGE0, $IMAGE1 ... (read-write unless `readOnly`; `noMount` leaves them as devices $DEVICE0 ...). The script sees the
 * host's files with nobody's rights and is root inside. $TOOLS holds copies of the `files` given, and is writable.
 * The images are handed to the user for that time. A script that takes longer than `seconds` is ended.
 * That kernel mounts no blocks over 4 KiB and knows neither exchange-range nor parent pointers.
 */
export function umlRun(
  images: string[],
  script: string,
  options: { readOnly?: boolean; noMount?: boolean; files?: string[]; seconds?: number } = {},
): UmlResult {
  return withTempDir((directory) => {
    const files = [];
    for (const file of options.files ?? []) {
      const copy = join(directory, basename(file));
      copyFileSync(file, copy);
      files.push(copy);
    }
    const init = join(directory, 'init.sh');
    writeFileSync(init, umlInit(directory, images.length, options));
    writeFileSync(join(directory, 'script.sh'), script);
    for (const file of [init, ...files, join(directory, 'script.sh')]) chmodSync(file, 0o755);
    const args = ['mem=512M', 'root=/dev/root', 'rootfstype=hostfs', 'rootflags=/', 'rw', `init=${init}`];
    const handedOver = images.map((image, i) => handOver(image, join(directory, `image${i}`)));
    args.push(...images.map((_, i) => `ubd${i}=${join(directory, `image${i}`)}`));
    args.push('con=null', 'con0=null,fd:1', `uml_dir=${directory}`, 'quiet');
    const user = isRoot ? ['--reuid=nobody', '--regid=nogroup', '--clear-groups'] : [];
    if (isRoot) chownSync(directory, nobody(), statSync(directory).gid);
    const [command, ...first] = isRoot ? [program('setpriv'), ...user, program('linux.uml')] : [program('linux.uml')];
    let result: ReturnType<typeof spawnSync>;
    try {
      result = spawnSync(command!, [...first, ...args], {
        encoding: 'utf8',
        maxBuffer: 1 << 28,
        stdio: ['ignore', 'pipe', 'pipe'],
        timeout: (options.seconds ?? 120) * 1000,
        killSignal: 'SIGKILL',
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', TMPDIR: directory, HOME: directory },
      });
    } finally {
      for (const giveBack of handedOver) giveBack();
    }
    const read = (name: string) =>
      existsSync(join(directory, name)) ? readFileSync(join(directory, name), 'latin1') : '';
    const status = Number.parseInt(read('status'), 10);
    const output = `${read('stderr')}${result.stdout}${result.stderr}${result.error ? `\n${result.error.message}` : ''}`;
    return { status: Number.isNaN(status) ? 128 : status, stdout: read('stdout'), output };
  });
}

function nobody(): number {
  return Number(mustRun('id', ['-u', 'nobody']));
}

/**
 * Makes an image usable for the other user, under a second name in his directory: its own folder may be closed to him.
 * Gives the function that hands it back. On another file system a second name is impossible: a sparse copy goes and returns.
 */
function handOver(image: string, name: string): () => void {
  const before = statSync(image);
  let copied = false;
  try {
    linkSync(image, name);
  } catch {
    mustRun('cp', ['--sparse=always', image, name]);
    copied = true;
  }
  if (isRoot) chownSync(name, nobody(), before.gid);
  return () => {
    if (isRoot) chownSync(name, before.uid, before.gid);
    if (copied) mustRun('cp', ['--sparse=always', '--no-preserve=all', name, image]);
    rmSync(name);
  };
}

/** Process 1 of the guest: mounts what it needs, runs the script, leaves its status on the host, switches itself off. */
function umlInit(directory: string, count: number, options: { readOnly?: boolean; noMount?: boolean }): string {
  const lines = ['#!/bin/sh', `exec >${directory}/stdout 2>${directory}/stderr`];
  lines.push('export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C', `export TOOLS=${directory}`);
  lines.push('mount -t proc proc /proc', 'mount -t sysfs sys /sys', 'mount -t tmpfs tmpfs /mnt', 'mkdir /mnt/dev');
  lines.push('mount -t devtmpfs dev /mnt/dev', 'failed=0');
  for (let i = 0; i < count; i++) {
    const device = `/mnt/dev/ubd${String.fromCharCode(0x61 + i)}`;
    lines.push(`export DEVICE${i}=${device} IMAGE${i}=/mnt/image${i}`, `mkdir /mnt/image${i}`);
    const flags = options.readOnly ? 'nouuid,noatime,ro' : 'nouuid,noatime';
    if (!options.noMount) lines.push(`mount -t xfs -o ${flags} ${device} /mnt/image${i} || failed=32`);
  }
  lines.push(`if [ $failed = 0 ]; then (cd /mnt && sh ${directory}/script.sh); failed=$?; fi`);
  // Unmounted by hand: a power-off would leave the logs dirty.
  for (let i = 0; i < count && !options.noMount; i++) {
    lines.push(`if mountpoint -q /mnt/image${i}; then umount /mnt/image${i} || failed=33; fi`);
  }
  lines.push('sync', `echo $failed >${directory}/status`, 'echo o >/proc/sysrq-trigger', 'sleep 60', '');
  return lines.join('\n');
}

/** The tree inside an image as the kernel shows it, by a loop mount. Read-only, so looking changes nothing. */
export function digestImageByLoop(image: string, options: { identity?: boolean } = {}): TreeEntry[] {
  return loopMount(image, {}, (directory) => digestTree(directory, options));
}

/** The same by user-mode-linux: for ordinary users, and a second kernel's opinion. */
export function digestImageByUml(image: string, options: { identity?: boolean } = {}): TreeEntry[] {
  const flag = options.identity ? '--identity' : '';
  const script = `python3 "$TOOLS/${basename(digestScript)}" "$IMAGE0" ${flag}`;
  const result = umlRun([image], script, { readOnly: true, files: [digestScript] });
  if (result.status !== 0) throw new Error(`digest under user-mode-linux failed (${result.status}): ${result.output}`);
  return parseDigest(result.stdout);
}
