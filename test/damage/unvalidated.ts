/**
 * Damage that the check does not find, and why that is right: contents, hints, spare bytes, and values that are as legal as
 * the one before. Everything else that is changed must be found.
 */
import { attrExtentCount, FORMAT, InodeCore, MODE, S_IFMT } from '../../formats/inode.ts';
import type { FieldChange } from '../../lib/damage/damage.ts';
import { readTarget } from '../../lib/damage/damage.ts';
import { locate } from '../../lib/damage/locate.ts';
import { caseLine, type DamageCase } from './cases.ts';

interface Row {
  readonly structure: RegExp;
  readonly field: RegExp;
  readonly why: string;
  /** Only then; always when missing. */
  readonly when?: (each: DamageCase, change: FieldChange) => boolean;
}

type When = NonNullable<Row['when']>;
const row = (structure: RegExp, field: RegExp, why: string, when?: When): Row => ({
  structure,
  field,
  why,
  ...(when ? { when } : {}),
});

const features = ({ image }: DamageCase) => image.geometry.features;
const isSecondary: When = ({ spec }) => spec.place.kind === 'superblock' && spec.place.ag !== 0;
/** The inode as it was before the damage. */
function inodeOf({ image, spec }: DamageCase): { mode: number; type: number } {
  if (spec.place.kind !== 'inode') return { mode: 0, type: 0 };
  const bytes = readTarget(image.device, locate(image.device, image.geometry, spec.place));
  const { mode } = InodeCore.at(new DataView(bytes.buffer));
  return { mode, type: mode & S_IFMT };
}
const isFree: When = (each) => inodeOf(each).mode === 0;
const isFile: When = (each) => inodeOf(each).type === MODE.FILE;
const hasNoCopy: When = ({ image }) => image.geometry.agCount === 1;
const hasNoRegister: When = (each) => !features(each).rmapbt;
/** Zero and null both say "none". */
const becomesNone: When = (_each, { after, bits }) => after === 0n || after === (1n << BigInt(bits)) - 1n;
/** A list of no extents: kernels leave what a freed inode had in the slot of the next one, so nothing can be said of it. */
const becomesEmpty: When = ({ image, spec }, { after }) => {
  const { place } = spec;
  if (after !== BigInt(FORMAT.EXTENTS) || place.kind !== 'inode') return false;
  const bytes = readTarget(image.device, locate(image.device, image.geometry, place));
  return attrExtentCount(new DataView(bytes.buffer), 0) === 0;
};

/** A symlink inside its inode: kernels leave old bytes behind the target. */
const becomesShorterTarget: When = (each, { before, after }) =>
  inodeOf(each).type === MODE.SYMLINK && after > 0n && after < before;

const ROWS: readonly Row[] = [
  // What a user stores: any value is as good as another.
  row(/^superblock$/, /^fname$/, 'the label'),
  row(/^superblock$/, /^(imaxPct|qflags)$/, 'settings'),
  row(/^inode$/, /^(uid|gid|projid(Lo|Hi)|gen|changecount|[amc]time|crtime)$/, 'contents'),
  row(/^inode$/, /^(mode|mode\.permissions)$/, 'permissions', (_each, { before, after, bits }) =>
    bits === 16 ? before >> 12n === after >> 12n : true,
  ),
  row(/^inode$/, /^(target|rdev|entries\[\]\.name|attr\.entries\[\]\.(name|value))$/, 'contents'),
  row(/^inode$/, /^attr\.entries\[\]\.flags$/, 'another namespace is as good as this one'),
  row(/^inode$/, /^size$/, 'a file may be longer or shorter than its blocks', isFile),
  row(/^inode$/, /^size$/, 'a target may be shorter than old bytes behind it', becomesShorterTarget),
  row(/^inode$/, /^(flags|flags2|flags2\.(dax|reflink|bigtime))$/, 'flags that any object may have or lack'),
  row(/^inode$/, /^(extsize|cowextsize|flags2\.cowextsize)$/, 'a hint'),
  row(/^inode$/, /^flags2\.nrext64$/, 'an object without extents has the same counts in both layouts'),
  row(/^inode$/, /^forkoff$/, 'an empty attribute fork is legal'),
  row(/^inode$/, /^aformat$/, 'an empty attribute fork is legal, and old bytes may stand in it', becomesEmpty),
  row(/^inode$/, /^entries\[\]\.blockOffset$/, 'any place behind the entry before will do'),
  row(/^inode$/, /./, 'most of a free inode is never looked at', isFree),
  row(/^(inode|bmbt)$/, /^(extents|recs)\[\]\.(unwritten|fileBlock)$/, 'no reverse map says otherwise', hasNoRegister),
  row(/^symlink$/, /^target$/, 'contents'),
  row(/^attr-value$/, /^value$/, 'contents'),
  row(/^attr-leaf$/, /^records\[\]\.(value|valuelen)$/, 'contents; the padded size is the same'),
  // Spare bytes and what is kept for nobody.
  row(/./, /^(.*\.)?(pad\d?|spare\d?|dmevmask|dmstate|reserved)$/, 'spare'),
  row(/./, /^lsn$/, 'any position that the log has reached; replay alone looks at it'),
  row(/^agi$/, /^(newino|dirino)$/, 'a hint'),
  row(/^agfl$/, /^slots\[\]$/, 'slots that are not in use'),
  row(/^attr-leaf$/, /^(holes|freemap\d(Base|Size))$/, 'a leaf may know of less free space than it has'),
  row(/^agf$/, /^csum/, 'spare without checksums', (each) => !features(each).dataChecksums),
  row(/^agf$/, /^rmap(Root|Level|Blocks)$/, 'spare without a reverse map', hasNoRegister),
  row(/^agf$/, /^refcount(Root|Level|Blocks)$/, 'spare without sharing', (each) => !features(each).reflink),
  row(/^agi$/, /^free(Root|Level)$/, 'spare without a free-inode tree', (each) => !features(each).finobt),
  row(/^agi$/, /^[if]blocks$/, 'spare without inobtcount', (each) => !features(each).inobtcount),
  // Superblocks.
  row(/^superblock$/, /^(fdblocks|icount|ifree|inprogress|lsn|frextents)$/, 'not kept up in copies', isSecondary),
  row(/^superblock$/, /^(uquotino|gquotino|pquotino|rootino|rbmino|rsumino)$/, 'zero and null mean none', becomesNone),
  row(
    /^superblock$/,
    /^featuresRoCompat$/,
    'without a copy: features of a newer kernel, and the image can only be read',
    (each, change) => {
      const known = BigInt(each.image.geometry.dialect.knownRoCompat);
      return hasNoCopy(each, change) && (change.before & known) === (change.after & known);
    },
  ),
  row(
    /^superblock$/,
    /^agblocks$/,
    'an AG that is shorter than others would be',
    (each, change) => hasNoCopy(each, change) && change.after > change.before,
  ),
  row(/^superblock$/, /^rextsize$/, 'without a copy: nothing is counted in it', hasNoCopy),
  row(/^superblock$/, /^logsunit$/, '0 and 1 both mean none', (_each, { after }) => after <= 1n),
  // The log is clean: where it ends is all that counts, and that the unmount record says.
  row(/^log-record$/, /^(crc|tailLsn|prevBlock|cycleData\[\]|fmt|ops\[\]\..*|lsn|size|len|numLogops)$/, 'not replayed'),
  row(/^log-record$/, /^fsUuid$/, 'a null uuid is what old tools write', (_each, { after }) => after === 0n),
];

/** Rows that excused something in this process. */
const used = new Set<Row>();

/** Why the check need not find this; undefined: it must. */
export function whyUnvalidated(each: DamageCase, change: FieldChange): string | undefined {
  for (const one of ROWS) {
    if (!one.structure.test(each.structure) || !one.field.test(each.kind)) continue;
    if (one.when && !one.when(each, change)) continue;
    // The CRC of everything but a record of a clean log is looked at.
    if (each.spec.crc === 'keep' && each.structure !== 'log-record') continue;
    used.add(one);
    return one.why;
  }
  return undefined;
}

/** Rows that never excused anything: of use after a full run only. */
export function unusedRows(): string[] {
  return ROWS.filter((one) => !used.has(one)).map(({ structure, field, why }) => `${structure} ${field}: ${why}`);
}

/** The line of a failure. */
export function missedLine(each: DamageCase, change: FieldChange): string {
  return `${caseLine(each)} (seed ${each.spec.seed}): ${change.before} -> ${change.after} was not found`;
}
