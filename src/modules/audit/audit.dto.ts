import type { JsonObject } from '../../platform/json.js'
import {
  ArrayField,
  BooleanField,
  DateField,
  DayOrDateField,
  EmailField,
  EnumField,
  IdField,
  IntField,
  ObjectField,
  StringField,
} from '../../platform/openapi/fields.js'
import { LimitField, OffsetField } from '../../platform/openapi/paging.js'
import { type AuditFilter, type AuditPage, MOST_COUNTED } from './audit.queries.js'
import type { AuditEntry, AuditOutcome } from './audit-entry.entity.js'
import { FORMATS, type Format } from './audit-export.js'
import { BREAKS, type Verification } from './audit-verifier.js'

const OUTCOMES = ['success', 'failure'] as const
const OUTCOME = { name: 'FacilFlowAuditOutcome', description: 'Whether it was done, or refused or failed.' } as const

/** Which of the activity to list. */
export class FacilFlowActivityQuery {
  @StringField({ description: 'Only this action.', example: 'flow.update', maxLength: 100, optional: true })
  action?: string

  @StringField({ description: 'Only things of this kind.', example: 'flow', maxLength: 100, optional: true })
  resourceType?: string

  @StringField({ description: 'Only the thing with this id.', example: 'flow-123', maxLength: 255, optional: true })
  resourceId?: string

  @EnumField(OUTCOMES, { ...OUTCOME, example: 'success', optional: true })
  outcome?: AuditOutcome

  @DayOrDateField({
    description: 'Only from this time on, or from the beginning of this day (UTC).',
    example: '2026-01-01',
    optional: true,
  })
  startDate?: string

  @DayOrDateField({
    description: 'Only until this time, or until the end of this day (UTC).',
    example: '2026-01-31T23:59:59Z',
    optional: true,
  })
  endDate?: string
}

/** One page of it. */
export class FacilFlowActivityPageQuery extends FacilFlowActivityQuery {
  @IdField({
    description: 'Only entries from before the one with this id: the last of a page, to go on from there at any depth.',
    example: 'audit-123',
    optional: true,
  })
  before?: string

  @LimitField({ default: 50, max: 200 })
  limit = 50

  @OffsetField()
  offset = 0
}

/** Which entries of the trail to list. */
export class FacilFlowAuditLogsQuery extends FacilFlowActivityPageQuery {
  @IdField({ description: 'Only what this user did.', example: 'account-123', optional: true })
  userId?: string
}

/** Which entries of the trail to export, and how. */
export class FacilFlowAuditExportQuery extends FacilFlowActivityQuery {
  @IdField({ description: 'Only what this user did.', example: 'account-123', optional: true })
  userId?: string

  @EnumField(FORMATS, {
    description: 'JSON lines, or CSV as RFC 4180 describes it.',
    example: 'jsonl',
    default: 'jsonl',
    optional: true,
  })
  format: Format = 'jsonl'
}

/** One thing that was done or tried. */
export class FacilFlowAuditLog {
  @IdField({ description: 'The id.', example: 'audit-123' })
  id: string

  @DateField({ description: 'When.', example: '2026-01-31T12:00:00.000Z' })
  createdAt: string

  @IdField({
    description: 'Who; null where nobody was known, as in a failed login.',
    example: 'account-123',
    nullable: true,
  })
  userId: string | null

  @EmailField({ description: 'Their e-mail address at that time.', example: 'user@example.com', nullable: true })
  userEmail: string | null

  @StringField({ description: 'Noun and verb.', example: 'flow.update', maxLength: 100 })
  action: string

  @StringField({ description: 'The kind of thing.', example: 'flow', maxLength: 100 })
  resourceType: string

  @StringField({
    description: 'Which one; null where it has no id.',
    example: 'flow-123',
    maxLength: 4096,
    nullable: true,
  })
  resourceId: string | null

  @EnumField(OUTCOMES, { ...OUTCOME, example: 'success' })
  outcome: AuditOutcome

  @StringField({ description: "The caller's address.", example: '192.0.2.7', maxLength: 100, nullable: true })
  ip: string | null

  @StringField({
    description: 'The request, as its `X-Request-Id` says.',
    example: 'req-123',
    maxLength: 64,
    nullable: true,
  })
  requestId: string | null

  @ObjectField({ description: 'How the thing was. Secrets are left out.', example: { name: 'One' }, nullable: true })
  before: JsonObject | null

  @ObjectField({
    description: 'How it is since; of what was refused, the `problem` and the `status`.',
    example: { name: 'Two' },
    nullable: true,
  })
  after: JsonObject | null
}

/** One page of the trail, newest first. */
export class FacilFlowAuditLogList {
  @ArrayField({ of: () => FacilFlowAuditLog, description: 'This page.', maxItems: 200 })
  logs: FacilFlowAuditLog[]

  @IntField({
    description: `How many there are on all pages. More than ${MOST_COUNTED} count as ${MOST_COUNTED}.`,
    example: 1,
  })
  total: number
}

/** Where the trail is broken. */
export class FacilFlowAuditBreak {
  @EnumField(BREAKS, {
    name: 'FacilFlowAuditBreakKind',
    description:
      'What happened: an entry was `changed`, `removed`, or `inserted` by somebody else than this program; or the record of where the trail ends, or begins, is not its own.',
    example: 'changed',
  })
  kind: (typeof BREAKS)[number]

  @IntField({ description: 'The place in the chain, counted from 1.', example: 17, optional: true })
  position?: number

  @IdField({ description: 'The entry, where it is still there.', example: 'audit-123', optional: true })
  entryId?: string

  @StringField({
    description: 'The same in words.',
    example: 'The entry at position 17 is not what was sealed',
    maxLength: 1000,
  })
  detail: string
}

/** What became of a trail. */
export class FacilFlowAuditVerification {
  @BooleanField({ description: 'Whether every entry is there as it was written, and no other.', example: true })
  valid: boolean

  @IntField({
    description: 'Entries that were found as they were written: all, or those before the first break.',
    example: 1024,
  })
  checked: number

  @ObjectField({
    type: () => FacilFlowAuditBreak,
    description: 'The first break; absent where there is none.',
    optional: true,
  })
  firstBreak?: FacilFlowAuditBreak
}

/** The columns of a CSV, in order. */
export const COLUMNS: readonly (keyof FacilFlowAuditLog)[] = [
  'id',
  'createdAt',
  'userId',
  'userEmail',
  'action',
  'resourceType',
  'resourceId',
  'outcome',
  'ip',
  'requestId',
  'before',
  'after',
]

export function toAuditLog(entry: AuditEntry): FacilFlowAuditLog {
  return {
    id: entry.id,
    createdAt: entry.at.toISOString(),
    userId: entry.actorId,
    userEmail: entry.actorEmail,
    action: entry.action,
    resourceType: entry.resourceType,
    resourceId: entry.resourceId,
    outcome: entry.outcome,
    ip: entry.ip,
    requestId: entry.requestId,
    before: entry.before,
    after: entry.after,
  }
}

export function toAuditLogList({ entries, total }: AuditPage): FacilFlowAuditLogList {
  return { logs: entries.map(toAuditLog), total }
}

export function toVerification({ checked, firstBreak }: Verification): FacilFlowAuditVerification {
  return { valid: firstBreak === undefined, checked, ...(firstBreak && { firstBreak }) }
}

export function toFilter(query: FacilFlowActivityQuery & { userId?: string; before?: string }): AuditFilter {
  const { userId, action, resourceType, resourceId, outcome, startDate, endDate, before } = query
  return {
    actorId: userId,
    action,
    resourceType,
    resourceId,
    outcome,
    before,
    from: startDate === undefined ? undefined : new Date(startDate),
    until: endDate === undefined ? undefined : endOf(endDate),
  }
}

/** The first moment that does not belong to it any more. */
function endOf(date: string): Date {
  const isDay = date.length === 10
  return new Date(new Date(date).getTime() + (isDay ? 86_400_000 : 1))
}
