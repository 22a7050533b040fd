import { Flow8Page, Flow8PageQuery, pageOf, placeOf } from '../../../dialects/flow8.paging.js'
import type { Json } from '../../../platform/json.js'
import {
  ArrayField,
  BooleanField,
  DateField,
  EnumField,
  IdField,
  IntField,
  JsonField,
  StringField,
} from '../../../platform/openapi/fields.js'
import { KEY_VALUE_SCOPES, type KeyValueScope } from '../../../steps/ports.js'
import type { KvPage, KvQuery, NewEntry, ShownEntry } from '../kv.service.js'

const LONGEST_KEY = 512
/** 100 years. */
const LONGEST_TTL = 3_155_760_000

/** A value to be kept under a key. */
export class Flow8NewKvEntry {
  @StringField({ description: 'What flows find it by.', example: 'cursor', maxLength: LONGEST_KEY })
  key: string

  @JsonField({ description: 'Any JSON. It is stored encrypted.', example: { page: 2 } })
  value: Json

  @EnumField(KEY_VALUE_SCOPES, {
    name: 'Flow8KvScope',
    description: 'Who sees it: all flows, those of a group, or one flow.',
    example: 'global',
    default: 'global',
    optional: true,
  })
  scope: KeyValueScope = 'global'

  @IdField({
    description: "The group's or the flow's id, with the scopes `flow_group` and `flow`.",
    optional: true,
    example: undefined,
  })
  scopeKey?: string

  @IntField({
    description: 'The version that the entry must have for this to happen; 0 where there must be none yet.',
    optional: true,
    example: undefined,
  })
  version?: number

  @BooleanField({
    description:
      'True keeps the value from being read: expressions can use it, and wherever it would be shown, `***` is. Its texts and numbers must have at least 4 characters. Left out, an entry stays what it was.',
    optional: true,
    example: undefined,
  })
  secret?: boolean

  @IntField({
    description: 'How long it lives. Without this and `expiresAt` it does until it is deleted.',
    min: 1,
    max: LONGEST_TTL,
    optional: true,
    example: undefined,
  })
  ttlSeconds?: number

  @DateField({
    description: 'When it ceases to be there, in place of `ttlSeconds`.',
    optional: true,
    example: undefined,
  })
  expiresAt?: string
}

/** A value that outlives runs, under a key. */
export class Flow8KvEntry {
  @IdField({ description: 'The id.', example: 'kv-123' })
  id: string

  @StringField({ description: 'What flows find it by.', example: 'cursor', maxLength: LONGEST_KEY })
  key: string

  @JsonField({ description: 'The value; null where it is a secret, or left out of a list.', example: { page: 2 } })
  value: Json

  @BooleanField({
    description: 'True in a list, where the value is larger than 64 KiB: get the entry for it.',
    optional: true,
    example: undefined,
  })
  valueOmitted?: boolean

  @EnumField(KEY_VALUE_SCOPES, {
    name: 'Flow8KvScope',
    description: 'Who sees it: all flows, those of a group, or one flow.',
    example: 'global',
  })
  scope: KeyValueScope

  @IdField({ description: "The group's or the flow's id.", example: null, nullable: true })
  scopeKey: string | null

  @IntField({ description: '1 when it is made, one more with every change, by whomever.', example: 1, min: 1 })
  version: number

  @BooleanField({ description: 'Whether its value is kept from being read.', example: false })
  secret: boolean

  @DateField({ description: 'When it ceases to be there; null where it does not.', example: null, nullable: true })
  expiresAt: string | null

  @DateField({ description: 'When it was made.', example: '2023-01-01T12:00:00Z' })
  createdAt: string

  @DateField({ description: 'When it was last changed.', example: '2023-01-01T12:00:00Z' })
  updatedAt: string
}

export class Flow8KvQuery extends Flow8PageQuery {
  @EnumField(KEY_VALUE_SCOPES, {
    name: 'Flow8KvScope',
    description: 'Only entries of this scope.',
    example: 'global',
    optional: true,
  })
  scope?: KeyValueScope

  @IdField({ description: 'Only entries of this group or flow.', example: 'flow-123', optional: true })
  scopeKey?: string

  @StringField({
    description: 'Only entries whose key begins with this.',
    example: 'cur',
    maxLength: LONGEST_KEY,
    optional: true,
  })
  key?: string
}

/** A page of entries. */
export class Flow8KvEntryList extends Flow8Page {
  @ArrayField({ of: () => Flow8KvEntry, description: 'This page.', maxItems: 100 })
  data: Flow8KvEntry[]
}

export function newEntryOf({ expiresAt, ...entry }: Flow8NewKvEntry): NewEntry {
  return { ...entry, expiresAt: expiresAt === undefined ? undefined : new Date(expiresAt) }
}

export function kvQueryOf({ scope, scopeKey, key, ...page }: Flow8KvQuery): KvQuery {
  return { scope, scopeKey, prefix: key, ...placeOf(page) }
}

export function toKvEntry(entry: ShownEntry): Flow8KvEntry {
  return {
    id: entry.id,
    key: entry.key,
    value: entry.value,
    ...(entry.omitted && { valueOmitted: true }),
    scope: entry.scope,
    scopeKey: entry.scopeKey || null,
    version: entry.version,
    secret: entry.secret,
    expiresAt: entry.expiresAt?.toISOString() ?? null,
    createdAt: entry.createdAt.toISOString(),
    updatedAt: entry.updatedAt.toISOString(),
  }
}

export function toKvEntryList({ entries, total }: KvPage, query: Flow8KvQuery): Flow8KvEntryList {
  return pageOf(entries.map(toKvEntry), total, query)
}
