import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { findField, findStructure, STRUCTURES } from './registry.ts';
import type { Struct } from './struct.ts';

const isStruct = (value: unknown): value is Struct =>
  typeof value === 'object' && value !== null && 'fields' in value && 'offsets' in value && 'toObject' in value;

describe('registry', () => {
  it('lists every structure that the modules export, once', async () => {
    const folder = new URL('.', import.meta.url);
    const modules = readdirSync(folder).filter((name) => name.endsWith('.ts') && !/\.(test|d)\.ts$/.test(name));
    const exported = new Set<unknown>();
    for (const name of modules) {
      const module: Record<string, unknown> = await import(new URL(name, folder).href);
      for (const value of Object.values(module)) if (isStruct(value)) exported.add(value);
    }
    expect(exported.size).toBeGreaterThan(45);
    const listed = STRUCTURES.map((structure) => structure.struct);
    expect(new Set(listed).size).toBe(listed.length);
    expect(
      [...exported].filter((struct) => !listed.includes(struct as Struct)).map((struct) => (struct as Struct).name),
    ).toEqual([]);
  });

  it('has names fit for a command line, each once', () => {
    const names = STRUCTURES.map((structure) => structure.name);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^[a-z][a-z0-9-]*$/);
  });

  it('finds structures and fields by name', () => {
    const agf = findStructure('agf')!;
    expect(findField(agf, 'flcount')).toMatchObject({ offset: 48, size: 4, kind: 'u32' });
    expect(findField(agf, 'nothing')).toBeUndefined();
    expect(findStructure('toString')).toBeUndefined();
  });

  it('gives block types the CRC offset of their structure', () => {
    for (const { struct, types } of STRUCTURES) {
      const crc = struct.fields.find((field) => field.name === 'crc');
      for (const type of types) {
        if (type.crcOffset >= 0 && crc) expect(type.crcOffset, type.name).toBe(crc.offset);
      }
    }
  });
});
