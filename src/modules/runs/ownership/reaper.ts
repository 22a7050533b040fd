import { crashPoint } from '../../../platform/crash-point/crash-point.js'
import { LOCKS } from '../../../platform/database/advisory-locks.js'
import type { Sql, SqlSession, Statement } from '../../../platform/database/sql.js'
import { AuditTrail } from '../../audit/audit-trail.js'

/** How often each process looks whether another is lost. */
const LOOK_MS = 1_000
const BATCH = 500
/** How long processes have to come back after the database did: their locks went with their connections, and they are none the worse. */
const COME_BACK_MS = 3_000
/** Attempts at a batch that another transaction stood in the way of; after them the next look goes on. */
const ATTEMPTS = 3
/** A run that was taken over more often than this without getting any further is given up. */
export const MOST_STALLS = 5

export interface LostInstance {
  id: string
  fence: number
}

interface LostRow {
  since: Date
  lost: (LostInstance & { lapsed: boolean })[] | null
}

/** What became of runs that were taken over. */
export interface TakenOver {
  /** Back in the queue. */
  queued: number
  /** Given up: whoever works on them is lost. */
  dead: DeadLetter[]
  /** Ended with those that were given up, which waited for them. */
  cancelled: string[]
}

export interface DeadLetter {
  id: string
  stalls: number
}

interface RequeuedRow {
  id: string
  tenant_id: string
  dead: boolean
  stalls: number
  recoveries: number
}

export interface ReaperEvents {
  onTakeover(taken: TakenOver): void
  onError(error: unknown): void
}

/**
 * Finds processes that are lost and puts their runs back in the queue; each process looks after all others. A process is declared lost
 * under its fence first, so that it writes nothing from then on; then its runs go in batches, and its row last, so that whoever ends in
 * the middle leaves the rest to be found.
 *
 * A run that ends its processes is found by what it leaves: nothing. Takeovers without a new outcome or timer in between are counted;
 * `run_claim` lets such suspects run one at a time, so that each counts for itself, and after too many the run is a dead letter.
 */
export class Reaper {
  private timer?: NodeJS.Timeout
  private looking?: Promise<void>
  /** When the database began to serve, by its own word. */
  private databaseSince?: number
  private sparesUntil = 0

  constructor(
    private readonly sql: Sql,
    /** The instance that looks: it never takes itself for lost. */
    private readonly self: string,
    private readonly events: ReaperEvents,
    private readonly audit = new AuditTrail(),
  ) {}

  /** Looks at once and then every second. */
  start(): void {
    this.timer = setInterval(() => this.look(), LOOK_MS)
    this.look()
  }

  async stop(): Promise<void> {
    clearInterval(this.timer)
    await this.looking
  }

  /** Takes over from every instance that is lost. */
  async reap(): Promise<void> {
    try {
      const [look] = await this.sql.query<LostRow & object>(FIND_LOST, [this.self])
      for (const instance of this.takenForLost(look)) await this.takeOver(instance)
    } catch (error) {
      // What is lost stays lost: the next look finds it.
      this.events.onError(error)
    }
  }

  private look(): void {
    this.looking ??= this.reap().finally(() => {
      this.looking = undefined
    })
  }

  /** After a restart of the database nobody has a lock for a moment, so that only leases count. */
  private takenForLost(look: LostRow | undefined): LostInstance[] {
    const since = look?.since.getTime()
    if (this.databaseSince !== undefined && this.databaseSince !== since)
      this.sparesUntil = performance.now() + COME_BACK_MS
    this.databaseSince = since
    return (look?.lost ?? []).filter(({ lapsed }) => lapsed || performance.now() >= this.sparesUntil)
  }

  private async takeOver(instance: LostInstance): Promise<void> {
    // Under the exclusive fence no flush of that instance is under way, and each later one sees that it is lost.
    await this.sql.query(DECLARE_LOST, [instance.id, instance.fence])
    crashPoint('takeover')
    for (;;) {
      const taken = await this.requeue(instance)
      if (taken.queued + taken.dead.length > 0) this.events.onTakeover(taken)
      if (taken.queued + taken.dead.length < BATCH) break
    }
    await this.sql.query(FORGET, [instance.id])
  }

  private async requeue(instance: LostInstance): Promise<TakenOver> {
    for (let attempt = 1; ; attempt++)
      try {
        return await this.sql.transaction((tx) => requeue(tx, instance, this.audit))
      } catch (error) {
        if (attempt === ATTEMPTS) throw error
      }
  }
}

async function requeue(tx: SqlSession, instance: LostInstance, audit: AuditTrail): Promise<TakenOver> {
  const rows = await tx.query<RequeuedRow & object>(REQUEUE, [instance.id])
  const dead = rows.filter((row) => row.dead)
  const cancelled = dead.length === 0 ? [] : await bury(tx, dead, audit)
  return { queued: rows.length - dead.length, dead, cancelled }
}

/** Answers the runs that are cancelled with them. */
async function bury(tx: SqlSession, dead: readonly RequeuedRow[], audit: AuditTrail): Promise<string[]> {
  await tx.query(AUDIT, [
    JSON.stringify(
      dead.map(({ id, tenant_id, stalls, recoveries }) => {
        const actor = { tenantId: tenant_id }
        const after = { stalls, recoveries }
        const audit_id = audit.sign({
          actor,
          action: 'run.dead_letter',
          resource: ['run', id],
          outcome: 'failure',
          after,
        })
        return { audit_id, tenant_id, id, after }
      }),
    ),
  ])
  const [ended] = await tx.query<{ cancelled: string[] | null }>(ENDED, [dead.map(({ id }) => id)])
  return ended?.cancelled ?? []
}

/** Lost: its lease ran out, or nobody holds its session lock. */
const FIND_LOST: Statement = {
  name: 'engine_find_lost',
  text: `select pg_postmaster_start_time() as since, (
    select json_agg(json_build_object('id', id, 'fence', fence, 'lapsed', lapsed) order by fence) from (
      select id, fence, lost_at is not null or lease_until < now() as lapsed from engine_instance e
        where id <> $1 and (lost_at is not null or lease_until < now() or not exists (
          select 1 from pg_locks l where l.locktype = 'advisory' and l.classid = ${LOCKS.alive} and l.objid = e.fence::oid
            and l.database = (select oid from pg_database where datname = current_database())))
        order by fence limit 20) as found) as lost`,
}

const DECLARE_LOST: Statement = {
  name: 'engine_declare_lost',
  text: `with fenced as materialized (select pg_advisory_xact_lock(${LOCKS.fence}, $2))
    update engine_instance set lost_at = coalesce(lost_at, now()) from fenced where id = $1`,
}

const REQUEUE: Statement = {
  name: 'engine_requeue',
  text: `with taken as (
      select id, stalls, progress from run where owner = $1 and state = 'running'
        order by id limit ${BATCH} for update skip locked),
    measured as (
      select id, stalls, progress,
        (select count(*) from step_outcome o where o.run_id = taken.id)
          + (select count(*) from timer t where t.run_id = taken.id)
          + (select count(*) from run c where c.parent_run_id = taken.id) as reached
      from taken),
    judged as (
      select id, reached, case when reached > progress then 0 else stalls + 1 end as stalls,
        reached <= progress and stalls >= ${MOST_STALLS} as dead
      from measured)
    update run r set epoch = epoch + 1, recoveries = recoveries + 1, stalls = j.stalls, progress = j.reached, dead = j.dead,
        state = case when j.dead then 'failed' else 'queued' end,
        owner = case when j.dead then r.owner end,
        wake_at = case when not j.dead then now() end,
        finished_at = case when j.dead then greatest(now(), r.created_at) end,
        error = case when j.dead then json_build_object('code', 'dead_letter', 'message', format(
          'The process that worked on this run was lost %s times in a row without the run getting any further. '
            'It is not tried again by itself.', j.stalls)) end
      from judged j where r.id = j.id
      returning r.id, r.tenant_id, r.dead, r.stalls, r.recoveries`,
}

const AUDIT: Statement = {
  name: 'engine_audit_dead',
  text: `insert into audit_entry (id, tenant_id, at, action, resource_type, resource_id, outcome, after)
    select audit_id, tenant_id, clock_timestamp(), 'run.dead_letter', 'run', id, 'failure', after
    from json_to_recordset($1) as x (audit_id text, tenant_id text, id text, after json)`,
}

const ENDED: Statement = { name: 'engine_ended', text: 'select run_ended($1) as cancelled' }

/** As long as an instance has runs its row stands, for others find them by it: those that were locked just now, or not handed back. */
export const FORGET: Statement = {
  name: 'engine_forget',
  text: `delete from engine_instance where id = $1
    and not exists (select 1 from run where owner = $1 and state = 'running')`,
}
