import pg from 'pg'

const { types } = pg
const { builtins } = types
/** Typed as a function by mistake. */
const parser = types.arrayParser as unknown as {
  create(text: string, parse: (text: string) => unknown): { parse(): unknown[] }
}

/** Exact as a JSON number, or the digits as text. */
function number(text: string): number | string {
  const value = Number(text)
  return Number.isFinite(value) && sameDigits(text, value) ? value : text
}

function sameDigits(text: string, value: number): boolean {
  if (/^-?\d+$/.test(text)) return Number.isSafeInteger(value)
  return String(value) === text.replace(/(\.\d*?)0+$/, '$1').replace(/\.$/, '')
}

function float(text: string): number | string {
  const value = Number(text)
  return Number.isFinite(value) ? value : text
}

/** An instant as ISO 8601 in UTC; `infinity` and years that ISO has no place for stay as the server wrote them. */
function instant(text: string): string {
  const date = new Date(text.replace(' ', 'T').replace(/([+-]\d\d)$/, '$1:00'))
  return Number.isNaN(date.getTime()) ? text : date.toISOString()
}

/** A point in time without a zone: no zone is made up. */
function local(text: string): string {
  return text.replace(' ', 'T')
}

function bytes(text: string): string {
  return Buffer.from(text.replace(/^\\x/, ''), 'hex').toString('base64')
}

const asText = (text: string) => text

/** How each type of PostgreSQL reads as JSON; every other one is the text that the server writes. */
const SCALARS: ReadonlyMap<number, (text: string) => unknown> = new Map<number, (text: string) => unknown>([
  [builtins.BOOL, (text) => text === 't'],
  [builtins.INT2, number],
  [builtins.INT4, number],
  [builtins.OID, number],
  [builtins.INT8, number],
  [builtins.NUMERIC, number],
  [builtins.FLOAT4, float],
  [builtins.FLOAT8, float],
  [builtins.JSON, JSON.parse],
  [builtins.JSONB, JSON.parse],
  [builtins.BYTEA, bytes],
  [builtins.TIMESTAMPTZ, instant],
  [builtins.TIMESTAMP, local],
])

/** Array types (`pg_type.typarray`) and the type of their elements. */
const ARRAYS: ReadonlyMap<number, number> = new Map([
  [1000, builtins.BOOL],
  [1001, builtins.BYTEA],
  [1005, builtins.INT2],
  [1007, builtins.INT4],
  [1016, builtins.INT8],
  [1021, builtins.FLOAT4],
  [1022, builtins.FLOAT8],
  [1028, builtins.OID],
  [1231, builtins.NUMERIC],
  [199, builtins.JSON],
  [3807, builtins.JSONB],
  [1115, builtins.TIMESTAMP],
  [1185, builtins.TIMESTAMPTZ],
  [1009, builtins.TEXT],
  [1015, builtins.VARCHAR],
  [1014, builtins.BPCHAR],
  [1003, 19],
  [1182, builtins.DATE],
  [1183, builtins.TIME],
  [1187, builtins.INTERVAL],
  [2951, builtins.UUID],
  [1041, builtins.INET],
])

/** Turns every column into a value that JSON can carry. */
export const typeParsers = {
  getTypeParser(oid: number): (text: string) => unknown {
    const element = ARRAYS.get(oid)
    if (element === undefined) return SCALARS.get(oid) ?? asText
    const parse = SCALARS.get(element) ?? asText
    return (text) => parser.create(text, parse).parse()
  },
} as unknown as pg.CustomTypesConfig
