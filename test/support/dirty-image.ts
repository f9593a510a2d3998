/**
 * Images as a crash of the kernel leaves them: snapshots of a busy image (atomic, because the image lies in another XFS and
 * is reflinked), and images whose file system was shut down. Needs root and loop mounts.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { loopMount, mkfsXfs, mustRun, xfsDb } from './oracle.ts';
import { python } from './tools.ts';

const script = fileURLToPath(new URL('./crash-load.py', import.meta.url));
const MIB = 1 << 20;

export interface BusyOptions {
  /** Options of mkfs.xfs for the busy image. */
  args: string[];
  /** Snapshots to take; one every 100 ms. */
  count: number;
  /** Load before the first one, in seconds. */
  warmUp: number;
  seed: number;
  /** Bytes of the busy image; default 320 MiB. */
  size?: number;
  mountOptions?: string[];
  /** Incompat bits set on the fresh image, for features that mkfs.xfs does not know. */
  incompat?: number;
}

/** Take snapshots of an image while processes change it. @returns their paths, in `directory`. */
export async function snapshotsUnderLoad(directory: string, options: BusyOptions): Promise<string[]> {
  const host = join(directory, 'host.img');
  mkfsXfs(host, 6144 * MIB, ['-m', 'reflink=1']);
  const snapshots: string[] = [];
  await loopMount(host, { write: true }, async (at) => {
    const busy = join(at, 'busy.img');
    mkfsXfs(busy, options.size ?? 320 * MIB, options.args);
    if (options.incompat) setIncompat(busy, options.incompat);
    const extra = options.mountOptions ? { extra: options.mountOptions } : {};
    await loopMount(busy, { write: true, ...extra }, async (mounted) => {
      const seconds = options.warmUp + options.count * 0.12 + 0.3;
      const load = spawn(python(), [script, mounted, String(seconds), String(options.seed)], { stdio: 'ignore' });
      const over = once(load, 'exit');
      await sleep(options.warmUp * 1000);
      for (let i = 0; i < options.count; i++) {
        mustRun('cp', ['--reflink=always', busy, join(at, `snapshot-${i}.img`)]);
        await sleep(100);
      }
      await over;
    });
    for (let i = 0; i < options.count; i++) {
      const path = join(directory, `snapshot-${i}.img`);
      mustRun('cp', ['--sparse=always', join(at, `snapshot-${i}.img`), path]);
      snapshots.push(path);
    }
  });
  rmSync(host);
  return snapshots;
}

/** Mount an image, do something, shut the file system down: with its log written, or as if the power failed. */
export function shutDown(path: string, logWritten: boolean, body: (directory: string) => void): void {
  loopMount(path, { write: true }, (directory) => {
    body(directory);
    mustRun('xfs_io', ['-x', '-c', logWritten ? 'shutdown -f' : 'shutdown', directory]);
  });
}

function setIncompat(path: string, bits: number): void {
  const text = xfsDb(path, ['sb 0', 'print agcount features_incompat']);
  const agCount = Number(/agcount = (\d+)/.exec(text)?.[1]);
  const value = Number(/features_incompat = (0x[0-9a-f]+)/.exec(text)?.[1]) | bits;
  const commands = Array.from({ length: agCount }, (_, ag) => [`sb ${ag}`, `write -d features_incompat ${value}`]);
  xfsDb(path, commands.flat(), { write: true });
}
