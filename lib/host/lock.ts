/**
 * Who on this host uses an image right now: mounts, loop devices, processes that hold it open for writing. Linux only (what
 * /proc and /sys say); elsewhere nothing is found. Invariant: only says what it saw; what it may not read is passed over.
 * Device and inode numbers decide, never path names, which change under renames and namespaces.
 */
import fs from 'node:fs';
import { deviceError } from '../errors.ts';
import { showBytes } from './names.ts';
import { lockFile } from './native.ts';

/** One user of an image. */
export interface ImageUser {
  kind: 'mount' | 'loop' | 'process';
  /** For a person: the mount point, the loop device, or process id and name. */
  text: string;
  /** The user may write to the image. */
  writes: boolean;
}

const readText = (path: string): string | undefined => {
  try {
    return fs.readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
};

const listNames = (path: string): string[] => {
  try {
    return fs.readdirSync(path);
  } catch {
    return [];
  }
};

/** Undefined when it is not there or may not be asked. */
const statOf = (path: string): fs.BigIntStats | undefined => {
  try {
    return fs.statSync(path, { bigint: true });
  } catch {
    return undefined;
  }
};

/** All users of an image file or block device other than this process. Empty when the path does not exist. */
export function imageUsers(path: string): ImageUser[] {
  if (process.platform !== 'linux') return [];
  const target = statOf(path);
  if (!target || !(target.isFile() || target.isBlockDevice())) return [];
  const users: ImageUser[] = [];
  // Device numbers (`major:minor`) under which a mount of the image would be listed.
  const devices = new Map<string, boolean>();
  if (target.isBlockDevice()) devices.set(deviceText(target.rdev), true);
  else for (const [device, writes] of loopDevices(path, target, users)) devices.set(device, writes);
  if (devices.size > 0) addMounts(devices, users);
  addProcesses(target, users);
  return users;
}

/**
 * Throws a device error IN_USE when writing to the image would pull it from under somebody: it is mounted (read-only too:
 * that kernel would see its blocks change), attached read-write to a loop device, or open for writing in another process.
 */
export function assertNotInUse(path: string): void {
  const user = imageUsers(path).find(({ kind, writes }) => kind === 'mount' || writes);
  if (user)
    throw deviceError('IN_USE', `${showBytes(Buffer.from(path))} is in use: ${user.text}`, { found: user.text });
  if (!statOf(path)?.isBlockDevice() || process.platform !== 'linux') return;
  // The kernel knows users that no list shows (other namespaces, RAID, device mapper): it refuses an exclusive open.
  try {
    fs.closeSync(fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_EXCL));
  } catch (error) {
    if ((error as { code?: string }).code === 'EBUSY')
      throw deviceError('IN_USE', `${path} is in use: the kernel holds the device`, { found: 'EBUSY' });
  }
}

/**
 * Take the advisory lock on an image opened for writing, so that two of these tools never edit it at once; it goes with the
 * descriptor. Throws IN_USE when another process holds it. False when this host cannot lock.
 */
export function lockImage(fd: number, path: string): boolean {
  const taken = lockFile(fd);
  if (taken === false) throw deviceError('IN_USE', `${showBytes(Buffer.from(path))} is locked by another process`);
  return taken === true;
}

function loopDevices(path: string, target: fs.BigIntStats, users: ImageUser[]): Map<string, boolean> {
  const devices = new Map<string, boolean>();
  for (const name of listNames('/sys/block')) {
    if (!name.startsWith('loop')) continue;
    const backing = readText(`/sys/block/${name}/loop/backing_file`)?.replace(/\n$/, '');
    if (backing === undefined) continue;
    const file = statOf(backing);
    const same = file ? file.dev === target.dev && file.ino === target.ino : backing === path;
    if (!same) continue;
    const writes = readText(`/sys/block/${name}/ro`)?.trim() !== '1';
    users.push({ kind: 'loop', text: `attached ${writes ? 'read-write' : 'read-only'} to /dev/${name}`, writes });
    // Partitions on the loop device are mounted under numbers of their own.
    for (const part of ['', ...listNames(`/sys/block/${name}`).filter((entry) => entry.startsWith(`${name}p`))]) {
      const number = readText(`/sys/block/${name}/${part}${part ? '/' : ''}dev`)?.trim();
      if (number) devices.set(number, writes);
    }
  }
  return devices;
}

function addMounts(devices: Map<string, boolean>, users: ImageUser[]): void {
  for (const line of (readText('/proc/self/mountinfo') ?? '').split('\n')) {
    const fields = line.split(' ');
    const [device, mountPoint] = [fields[2] ?? '', fields[4] ?? ''];
    const source = fields[fields.indexOf('-', 6) + 2] ?? '';
    // btrfs and others list a number of their own, so the source is asked too.
    const bySource = source.startsWith('/dev/') ? statOf(source) : undefined;
    const found = devices.has(device) ? device : bySource?.isBlockDevice() ? deviceText(bySource.rdev) : '';
    if (!devices.has(found)) continue;
    const options = `${fields[5]},${fields.at(-1)}`.split(',');
    const point = mountPoint.replace(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    // The mount is what a person knows of; it comes before the loop device it stands on.
    users.unshift({ kind: 'mount', text: `mounted at ${point}`, writes: !options.includes('ro') });
  }
}

function addProcesses(target: fs.BigIntStats, users: ImageUser[]): void {
  for (const pid of listNames('/proc')) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    for (const fd of listNames(`/proc/${pid}/fd`)) {
      try {
        const file = `/proc/${pid}/fd/${fd}`;
        // Pipes, sockets and the like have no path: the cheap question first.
        if (!fs.readlinkSync(file).startsWith('/')) continue;
        const stats = fs.statSync(file, { bigint: true });
        const same = target.isBlockDevice()
          ? stats.isBlockDevice() && stats.rdev === target.rdev
          : stats.dev === target.dev && stats.ino === target.ino;
        if (!same) continue;
        const flags = /^flags:\s*([0-7]+)/m.exec(readText(`/proc/${pid}/fdinfo/${fd}`) ?? '')?.[1] ?? '0';
        const writes = (Number.parseInt(flags, 8) & 3) !== 0;
        const name = readText(`/proc/${pid}/comm`)?.trim() ?? '?';
        users.push({
          kind: 'process',
          text: `open for ${writes ? 'writing' : 'reading'} in process ${pid} (${showBytes(Buffer.from(name))})`,
          writes,
        });
      } catch {
        // Gone meanwhile, or not ours to read.
      }
    }
  }
}

/** `major:minor` of Linux's 64-bit device number. */
function deviceText(device: bigint): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n);
  const minor = (device & 0xffn) | ((device >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}
