/** Edits an image file without end until it is killed: `kill-worker.ts IMAGE SEED`. A line per operation, `s` for a sync. */
import { FileDevice } from '../../lib/device/file.ts';
import { readState } from './harness.ts';
import { TreeModel } from './model.ts';
import { WORKLOADS, Workload } from './workload.ts';

const [path, seed] = process.argv.slice(2);
const device = new FileDevice(path!, 'rw');
const model = TreeModel.fromState(readState(device));
// The workload closes and opens it again: the file stays open.
const lasting = Object.assign(device, { events: [], close: () => {} });
const work = new Workload(lasting, WORKLOADS[0]!, Number(seed), model);
for (;;) {
  work.step();
  const { what } = work.steps.at(-1)!;
  process.stdout.write(what === 'sync' || what === 'reopen' ? 's' : '.');
}
