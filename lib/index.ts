/** What a program gets that imports `cadastre`. */
export type { Device } from './device/device.ts';
export { FileDevice } from './device/file.ts';
export { MemoryDevice } from './device/memory.ts';
export { CadastreError, type ErrorFamily, type Where } from './errors.ts';
export { type ImageFs, type OpenImageOptions, openImage } from './fs/node/open-image.ts';
