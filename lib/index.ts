/** What a program gets that imports `cadastre`. */
export type { Device } from './device/device.ts';
export { FileDevice } from './device/file.ts';
export { MemoryDevice } from './device/memory.ts';
export { CadastreError, type ErrorFamily, type Where } from './errors.ts';
export type { CopyJobs, CopyTreeFlags, ImagePath } from './fs/node/jobs.ts';
export { type ImageFs, type OpenImageOptions, openImage } from './fs/node/open-image.ts';
export type { CopyFlags } from './jobs/copy-file.ts';
export type { CopyRange } from './jobs/copy-range.ts';
export type { Job, JobStatus } from './jobs/job.ts';
