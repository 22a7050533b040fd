import { Inject, Injectable } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import { DataSource, type EntityManager, type SelectQueryBuilder } from 'typeorm'
import type { Principal } from '../../platform/auth/principal.js'
import { CLOCK, type Clock, changeTime } from '../../platform/clock/clock.js'
import { CronExpression } from '../../platform/cron/cron-expression.js'
import { InvalidCron } from '../../platform/cron/cron-fields.js'
import { InvalidInterval, parseInterval } from '../../platform/cron/interval.js'
import { TimeZone, UnknownTimeZone } from '../../platform/cron/time-zone.js'
import type { Fault } from '../../platform/errors/domain-error.js'
import { ValidationFailed } from '../../platform/http/faults.js'
import { type Expected, requireMatch } from '../../platform/http/headers.js'
import { newId } from '../../platform/ids.js'
import { isJsonObject, type Json, type JsonObject } from '../../platform/json.js'
import { pointerTo } from '../../platform/json-pointer.js'
import { AuditTrail } from '../audit/audit-trail.js'
import { FlowNotFound } from '../flows/flows.errors.js'
import { ArgumentsInvalid, JobBroken, JobIdCollision } from '../jobs/jobs.errors.js'
import { JobsService, type PreparedRun } from '../jobs/jobs.service.js'
import { requestHashOf } from '../runs/request-hash.js'
import { IdempotencyKeyReused } from '../runs/runs.errors.js'
import { dueTime, type Missed, type Overlap } from './due-slots.js'
import { type Slots, slotsOf } from './rhythm.js'
import { Schedule } from './schedule.entity.js'
import { type PastSlots, ScheduleHistory } from './schedule-history.js'
import { ScheduleNotFound } from './schedules.errors.js'

/** What a schedule starts: a flow, or a job by the id that callers know it by. Pipelines join here. */
export type ScheduleTarget = { type: 'flow' | 'job'; id: string }

export interface NewSchedule {
  /** Left out, how often it comes. */
  name?: string
  target: ScheduleTarget
  /** Either this or `every`. */
  cron?: string | null
  every?: string | null
  timezone?: string
  payload?: Json
  enabled?: boolean
  overlap?: Overlap
  missed?: Missed
  jitterSeconds?: number
}

export type ScheduleChange = Partial<NewSchedule>

export interface SchedulePage {
  schedules: Schedule[]
  total: number
}

/** A slot to come. */
export interface ComingSlot {
  slot: Date
  /** The slot and what jitter adds. */
  startsAt: Date
  /** The slot as the clocks of the schedule's zone show it. */
  wallTime: string
}

const UNIQUE_VIOLATION = '23505'

/**
 * Schedules as people keep them. A schedule is its account's own, and so is what it starts. Those that flows have made are among them;
 * those of deleted flows are not.
 */
@Injectable()
export class SchedulesService {
  constructor(
    @InjectDataSource() private readonly database: DataSource,
    private readonly history: ScheduleHistory,
    private readonly audit: AuditTrail,
    @Inject(CLOCK) private readonly clock: Clock,
    private readonly jobs: JobsService,
  ) {}

  async page(caller: Principal, query: { limit: number; offset: number }): Promise<SchedulePage> {
    const [schedules, total] = await this.ownedBy(this.database.manager, caller)
      .orderBy('schedule.createdAt')
      .addOrderBy('schedule.id')
      .offset(query.offset)
      .limit(query.limit)
      .getManyAndCount()
    return { schedules, total }
  }

  async get(caller: Principal, id: string): Promise<Schedule> {
    return await this.find(this.database.manager, caller, id)
  }

  /** The same key gives the first schedule again. */
  async create(caller: Principal, input: NewSchedule, idempotencyKey?: string): Promise<Schedule> {
    const requestHash = idempotencyKey === undefined ? null : requestHashOf(input)
    const known = await this.madeWith(caller, idempotencyKey, requestHash)
    if (known) return known
    const now = this.clock.now()
    const started = await this.whatStarts(caller, input.target, input.payload ?? null)
    const schedule: Schedule = {
      accountId: caller.accountId,
      id: newId('schedule'),
      tenantId: caller.tenantId,
      name: input.name ?? input.cron ?? input.every ?? '',
      ...started,
      node: null,
      cron: input.cron ?? null,
      every: input.every ?? null,
      everyMs: null,
      timezone: input.timezone ?? 'UTC',
      countedFrom: now,
      enabled: input.enabled ?? true,
      overlap: input.overlap ?? 'skip',
      missed: input.missed ?? 'last',
      jitterMs: (input.jitterSeconds ?? 0) * 1_000,
      nextRunAt: null,
      dueAt: null,
      lastRunAt: null,
      idempotencyKey: idempotencyKey ?? null,
      requestHash,
      createdAt: now,
      updatedAt: now,
    }
    plan(schedule, check(schedule, now), now)
    try {
      await this.database.transaction(async (tx) => {
        await this.requireTarget(tx, caller, schedule)
        await tx.insert(Schedule, schedule)
        await this.audit.record(tx, {
          actor: caller,
          action: 'schedule.create',
          resource: ['schedule', schedule.id],
          after: audited(schedule),
        })
      })
    } catch (error) {
      if ((error as { code?: unknown }).code !== UNIQUE_VIOLATION) throw error
      const made = await this.madeWith(caller, idempotencyKey, requestHash)
      if (!made) throw error
      return made
    }
    return schedule
  }

  /** Members left out stay. What says when it comes starts it anew from now on; slots that came during a pause are not missed. */
  async update(caller: Principal, id: string, change: ScheduleChange, expected?: Expected): Promise<Schedule> {
    return await this.database.transaction(async (tx) => {
      const schedule = await this.find(tx, caller, id, 'lock')
      requireMatch(expected, schedule.updatedAt)
      const before = audited(schedule)
      const { flowId: flowBefore } = schedule
      const now = this.clock.now()
      const started = await this.whatStarts(
        caller,
        change.target ?? { type: schedule.targetType, id: schedule.jobId ?? schedule.flowId },
        change.payload === undefined ? (schedule.payload as Json) : change.payload,
        change.target === undefined && change.payload === undefined ? schedule : undefined,
      )
      if (change.target) await this.requireTarget(tx, caller, started)
      const rhythm = rhythmAfter(schedule, change)
      const comesAnew = changes(schedule, { ...rhythm, enabled: change.enabled ?? schedule.enabled })
      const every = rhythm.every !== schedule.every ? { countedFrom: now } : {}
      Object.assign(schedule, rhythm, every, {
        name: change.name ?? schedule.name,
        ...started,
        enabled: change.enabled ?? schedule.enabled,
        overlap: change.overlap ?? schedule.overlap,
        missed: change.missed ?? schedule.missed,
        jitterMs: change.jitterSeconds === undefined ? schedule.jitterMs : change.jitterSeconds * 1_000,
        updatedAt: changeTime(now, schedule.updatedAt),
      })
      // The node of a flow that is not started any more means nothing in another.
      if (schedule.flowId !== flowBefore) schedule.node = null
      if (comesAnew) plan(schedule, check(schedule, now), now)
      else if (change.jitterSeconds !== undefined) schedule.dueAt = schedule.nextRunAt && dueAt(schedule)
      await tx.save(Schedule, schedule)
      await this.audit.record(tx, {
        actor: caller,
        action: 'schedule.update',
        resource: ['schedule', id],
        before,
        after: audited(schedule),
      })
      return schedule
    })
  }

  /** Runs that it has started go on, and stay readable; its history goes. */
  async remove(caller: Principal, id: string): Promise<void> {
    await this.database.transaction(async (tx) => {
      const schedule = await this.find(tx, caller, id, 'lock')
      await tx.query('delete from schedule_slot where account_id = $1 and schedule_id = $2', [caller.accountId, id])
      await tx.delete(Schedule, { accountId: caller.accountId, id })
      await this.audit.record(tx, {
        actor: caller,
        action: 'schedule.delete',
        resource: ['schedule', id],
        before: audited(schedule),
      })
    })
  }

  /** All of an account's: what they start is the account's, which ends. */
  async removeOf(tx: EntityManager, accountId: string): Promise<void> {
    await tx.query('delete from schedule_slot where account_id = $1', [accountId])
    await tx.delete(Schedule, { accountId })
  }

  /** The slots to come, as if it were not paused. */
  async coming(caller: Principal, id: string, count: number): Promise<ComingSlot[]> {
    const schedule = await this.get(caller, id)
    const slots = slotsOf(toRhythm(schedule))
    const zone = TimeZone.of(schedule.timezone ?? 'UTC')
    const coming: ComingSlot[] = []
    let slot = schedule.nextRunAt ?? slots.next(this.clock.now())
    for (; slot && coming.length < count; slot = slots.next(slot))
      coming.push({ slot, startsAt: dueTime(dueKey(schedule), slot), wallTime: zone.wallText(slot) })
    return coming
  }

  async past(caller: Principal, id: string, query: { limit: number; offset: number }): Promise<PastSlots> {
    await this.get(caller, id)
    return await this.history.page(caller.accountId, id, query.limit, query.offset)
  }

  private ownedBy(tx: EntityManager, { accountId }: Principal): SelectQueryBuilder<Schedule> {
    return tx
      .createQueryBuilder(Schedule, 'schedule')
      .where('schedule.accountId = :accountId', { accountId })
      .andWhere('exists (select from flow f where f.id = schedule.flow_id and f.deleted_at is null)')
  }

  private async find(tx: EntityManager, caller: Principal, id: string, lock?: 'lock'): Promise<Schedule> {
    const select = this.ownedBy(tx, caller).andWhere('schedule.id = :id', { id })
    const schedule = await (lock ? select.setLock('pessimistic_write') : select).getOne()
    if (!schedule) throw new ScheduleNotFound(id)
    return schedule
  }

  private async madeWith(caller: Principal, key: string | undefined, hash: string | null): Promise<Schedule | null> {
    if (key === undefined) return null
    const made = await this.database.manager.findOneBy(Schedule, { accountId: caller.accountId, idempotencyKey: key })
    if (made && made.requestHash !== hash) throw new IdempotencyKeyReused()
    return made
  }

  /** What is kept of a target and of what its runs are given. A job's arguments are checked, and get their defaults. */
  private async whatStarts(
    caller: Principal,
    { type, id }: ScheduleTarget,
    payload: Json,
    asItWas?: Schedule,
  ): Promise<Pick<Schedule, 'targetType' | 'flowId' | 'jobId' | 'payload'>> {
    if (asItWas) {
      const { targetType, flowId, jobId } = asItWas
      return { targetType, flowId, jobId, payload }
    }
    if (type === 'flow') return { targetType: type, flowId: id, jobId: null, payload }
    const given = payload ?? {}
    if (!isJsonObject(given))
      throw new ValidationFailed([{ pointer: '#/input', detail: 'Input of a job must be an object', code: 'type' }])
    const { flowId, args, secrets } = await this.argumentsOf(caller, id, given)
    const faults = Object.keys(secrets).map((name) => ({
      pointer: pointerTo('#/input', name),
      detail: `${name} is a secret, which no schedule can hold`,
      code: 'secret',
    }))
    if (faults.length > 0) throw new ValidationFailed(faults)
    return { targetType: type, flowId, jobId: id, payload: args }
  }

  private async argumentsOf(caller: Principal, jobId: string, given: JsonObject): Promise<PreparedRun> {
    try {
      return await this.jobs.prepare(caller, jobId, given)
    } catch (error) {
      if (error instanceof JobBroken || error instanceof JobIdCollision)
        throw new ValidationFailed([{ pointer: '#/target/id', detail: error.message, code: 'unusable_job' }])
      if (!(error instanceof ArgumentsInvalid)) throw error
      const faults = error.faults.map((fault) => ({ ...fault, pointer: fault.pointer.replace('#/args', '#/input') }))
      throw new ValidationFailed(faults)
    }
  }

  private async requireTarget(
    tx: EntityManager,
    { accountId }: Principal,
    { targetType, flowId: id }: Pick<Schedule, 'targetType' | 'flowId'>,
  ): Promise<void> {
    if (targetType === 'job') return
    const text = 'select 1 from flow where id = $1 and account_id = $2 and deleted_at is null'
    if ((await tx.query<unknown[]>(text, [id, accountId])).length === 0) throw new FlowNotFound(id)
  }
}

/** An expression takes the place of an interval, and the other way round; null takes one away. */
function rhythmAfter(
  { cron, every, timezone }: Schedule,
  change: ScheduleChange,
): Pick<Schedule, 'cron' | 'every' | 'timezone'> {
  return {
    cron: change.cron === undefined ? (change.every ? null : cron) : change.cron,
    every: change.every === undefined ? (change.cron ? null : every) : change.every,
    timezone: change.timezone ?? timezone,
  }
}

function changes(schedule: Schedule, change: Partial<Schedule>): boolean {
  return Object.entries(change).some(([member, value]) => schedule[member as keyof Schedule] !== value)
}

/** Puts a schedule to its first slot after `now`, or to none while it is paused. */
function plan(schedule: Schedule, slots: Slots, now: Date): void {
  schedule.nextRunAt = (schedule.enabled && slots.next(now)) || null
  schedule.dueAt = schedule.nextRunAt && dueAt(schedule)
}

/** Reads when a schedule comes. All faults are told at once, each at its member. */
function check(schedule: Schedule, now: Date): Slots {
  const faults: Fault[] = []
  const zone = attempt(faults, 'timezone', () => TimeZone.of(schedule.timezone ?? 'UTC'))
  const cron = schedule.cron
  const every = schedule.every
  const expression = cron === null ? undefined : attempt(faults, 'cron', () => new CronExpression(cron))
  schedule.everyMs = (every === null ? undefined : attempt(faults, 'every', () => parseInterval(every))) ?? null
  if (cron === null && every === null)
    faults.push({ pointer: '#/cron', detail: 'Cron or every is required', code: 'required' })
  if (cron !== null && every !== null)
    faults.push({ pointer: '#/every', detail: 'Every cannot stand beside cron: give one of them', code: 'excluded' })
  if (expression && zone && !expression.next(now, zone))
    faults.push({ pointer: '#/cron', detail: `Cron never comes: no date fits '${cron}'`, code: 'never_comes' })
  if (faults.length > 0) throw new ValidationFailed(faults)
  return slotsOf(toRhythm(schedule))
}

const FAULTS = { timezone: 'Timezone', cron: 'Cron', every: 'Every' } as const

function attempt<T>(faults: Fault[], member: keyof typeof FAULTS, read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof InvalidCron || error instanceof InvalidInterval || error instanceof UnknownTimeZone))
      throw error
    faults.push({
      pointer: `#/${member}`,
      detail: `${FAULTS[member]} is invalid: ${error.message}`,
      code: `invalid_${member}`,
    })
    return undefined
  }
}

function toRhythm({ cron, timezone, everyMs, countedFrom }: Schedule) {
  return everyMs === null ? { cron: cron ?? '', timezone: timezone ?? 'UTC' } : { everyMs, countedFrom }
}

function dueKey({ accountId, id, jitterMs }: Schedule) {
  return { key: `${accountId}/${id}`, jitterMs }
}

function dueAt(schedule: Schedule): Date {
  return dueTime(dueKey(schedule), schedule.nextRunAt as Date)
}

/** A schedule as the audit trail keeps it: without its payload, which is its owner's. */
function audited(schedule: Schedule) {
  const { name, targetType, flowId, jobId, cron, every, timezone, enabled, overlap, missed, jitterMs } = schedule
  return {
    name,
    target: { type: targetType, id: jobId ?? flowId },
    cron,
    every,
    timezone,
    enabled,
    overlap,
    missed,
    jitterMs,
  }
}
