import type { FlowError, OpenedStep, StepOutcome } from '../../../engine/host.js'
import type { Sql, Statement } from '../../../platform/database/sql.js'
import type { Quota } from '../../../platform/fairness/places.js'
import type { Json, JsonObject } from '../../../platform/json.js'
import type { Logged } from '../host/log-budget.js'
import type { TimerRecord, Writer } from '../journal/records.js'
import { lastEventsOf, logsOf, toldOfVisits, untold } from './told.js'

/** Takeovers without a new outcome in between from which on a run is a suspect, as `run_claim` has it too. */
const SUSPECT_STALLS = 2

/** An outcome as its row has it: a large value is referred to until it is read. */
export interface StoredOutcome extends StepOutcome {
  outputRef?: string
  sharedRef?: string
}

/** A run that this process owns, with all that its interpretation needs. */
export interface TakenRun {
  id: string
  tenantId: string
  accountId: string
  flowId: string
  revision: number
  epoch: number
  startNode?: string
  /** The run that waits for this one, or has started it. */
  parentId?: string
  /** How many runs are above it. */
  depth?: number
  /** The run that this one goes on from. */
  resumedFrom?: string
  /** The run whose id stands in the keys of steps, where it is not this one. */
  keyBase?: string
  createdAt: Date
  input: Json
  /** Where the input is, if it is too large for the row. */
  inputRef?: string
  history: StoredOutcome[]
  timers: TimerRecord[]
  /** Attempts that began and may not be repeated. */
  opens: OpenedStep[]
  /** The last event that is recorded; 0 when none is. */
  lastSeq: number
  /** How much it has logged, where that is worth counting. */
  logged?: Logged
  /** Nodes that were settled, and whose watchers were not told so before their process was lost; in the order of their ends. */
  untold: StepOutcome[]
  /** The paths of visits whose watchers were told that they have begun: nobody is told twice. */
  toldStarts?: ReadonlySet<string>
  /** Present where its account has a limit on how many runs with this key run at the same time. */
  concurrencyKey?: string
  /** The request that it was accepted by, where that came to this process. */
  requestId?: string
  /** Taken over again and again without getting further: it may be what ends its processes. */
  suspect?: boolean
}

/** Fewer than these need not be looked through for log lines. */
const UNCOUNTED_EVENTS = 1_000

interface RunRow {
  id: string
  tenant_id: string
  account_id: string
  flow_id: string
  revision: number
  epoch: number
  start_node: string | null
  parent_run_id: string | null
  depth: number
  resumed_from: string | null
  key_base: string | null
  created_at: Date
  input: Json
  input_ref: string | null
  recoveries: number
  stalls: number
  concurrency_key: string | null
}

interface OutcomeRow {
  run_id: string
  path: string
  attempt: number
  node: string
  node_type: string
  state: StepOutcome['state']
  action: string | null
  output: Json
  output_ref: string | null
  shared: JsonObject | null
  shared_ref: string | null
  error: FlowError | null
  due_at: Date | null
  started_at: Date
  finished_at: Date
}

const COLUMNS =
  'id, tenant_id, account_id, flow_id, revision, epoch, start_node, input, input_ref, recoveries, stalls, concurrency_key, ' +
  'parent_run_id, depth, resumed_from, key_base, created_at'

const CLAIM: Statement = {
  name: 'run_claim',
  text: `select ${COLUMNS} from run_claim($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
}

export interface Claim {
  quotas: readonly Quota[]
  now: Date
  /** Runs with other worker tags are left to others. */
  tags: readonly string[]
  /** How many of those runs that may be what ends their processes. */
  suspects: number
  /** What was handed over to a queue after this is left to those who take from it. */
  lateBefore: Date
  /** Whether what was not handed over is taken too. */
  fresh: boolean
  /** What queues told of: taken are those runs whose turn it is, and as many. */
  told?: readonly HandedRun[]
}

/** A run that this process was told of, as it was then. */
export interface HandedRun {
  runId: string
  epoch: number
}

/** Accounts of one tag that one look at the queue finds, and parked runs that it wakes. */
const MOST_ACCOUNTS = 100
export const MOST_WOKEN = 500

const WAITING: Statement = {
  name: 'run_waiting',
  text: 'select woken, run_waiting($1, $2, $3) as accounts from run_wake($4, $5) as woken',
}

/**
 * The accounts that have queued runs with these tags, beginning behind the one that had the last turn; and how many parked runs were put
 * into the queue before, since they were due.
 */
export async function waitingAccounts(
  sql: Sql,
  tags: readonly string[],
  after: string,
  now: Date,
): Promise<{ accounts: string[]; woken: number }> {
  const values = [tags, after, MOST_ACCOUNTS, MOST_WOKEN, now]
  const [row] = await sql.query<{ accounts: string[]; woken: number }>(WAITING, values)
  return row ?? { accounts: [], woken: 0 }
}

/** Takes runs that are due and that nobody has, with all that they have done so far. */
export async function claimDueRuns(
  sql: Sql,
  owner: Writer,
  { quotas, now, tags, suspects, lateBefore, fresh, told = [] }: Claim,
): Promise<TakenRun[]> {
  const rows = await sql.query<RunRow>(CLAIM, [
    owner.id,
    owner.fence,
    quotas.map(({ account }) => account),
    quotas.map(({ quota }) => quota),
    now,
    tags,
    suspects,
    lateBefore,
    fresh,
    told.map(({ runId }) => runId),
    told.map(({ epoch }) => epoch),
  ])
  return await withPast(sql, rows)
}

const OWNED: Statement = {
  name: 'run_owned',
  text: `select id from run where owner = $1 and state = 'running'`,
}

const RETAKE: Statement = {
  name: 'run_retake',
  text: `update run set epoch = epoch + 1, recoveries = recoveries + 1
    where id = any ($2) and owner = $1 and state = 'running'
      and exists (select from engine_instance where id = $1 and lost_at is null)
    returning ${COLUMNS}`,
}

const IS_OWNED: Statement = {
  name: 'run_is_owned',
  text: `select from run where id = $1 and owner = $2 and state = 'running'`,
}

/** Whether a run is this process's by the table. */
export async function isOwned(sql: Sql, owner: Writer, id: string): Promise<boolean> {
  return (await sql.query(IS_OWNED, [id, owner.id])).length > 0
}

/** The runs that are this process's by the table. */
export async function ownedRunIds(sql: Sql, owner: Writer): Promise<string[]> {
  const rows = await sql.query<{ id: string }>(OWNED, [owner.id])
  return rows.map(({ id }) => id)
}

/**
 * Takes up runs again that this process owns and knows nothing of: their accept or claim was committed, but its answer was lost. Recovered,
 * not stalled: their process lives.
 */
export async function retakeRuns(sql: Sql, owner: Writer, ids: readonly string[]): Promise<TakenRun[]> {
  if (ids.length === 0) return []
  return await withPast(sql, await sql.query<RunRow>(RETAKE, [owner.id, ids]))
}

/** When the next parked run falls due. */
export async function nextDueAt(sql: Sql): Promise<Date | undefined> {
  const rows = await sql.query<{ at: Date | null }>({
    name: 'run_next_due',
    text: `select min(wake_at) as at from run where state = 'waiting' and wake_at is not null`,
  })
  return rows[0]?.at ?? undefined
}

/** Without the items of batches that are settled: the outcome of the batch holds what they came to. */
const OUTCOMES: Statement = {
  name: 'run_outcomes',
  text: `select run_id, path, attempt, node, node_type, state, action, output, output_ref, shared, shared_ref, error, due_at,
      started_at, finished_at
    from step_outcome o
    where run_id = any ($1) and (strpos(path, '[') = 0 or not exists (
      select from step_outcome batch
        where batch.run_id = o.run_id and batch.path = split_part(o.path, '[', 1) and batch.state <> 'retrying'))`,
}

async function withPast(sql: Sql, runs: RunRow[]): Promise<TakenRun[]> {
  if (runs.length === 0) return []
  const ids = runs.map((run) => run.id)
  const outcomes = await sql.query<OutcomeRow>(OUTCOMES, [ids])
  const timers = await sql.query<{ run_id: string; path: string; attempt: number; ordinal: number; due_at: Date }>(
    {
      name: 'run_timers',
      text: 'select run_id, path, attempt, ordinal, due_at from timer where run_id = any ($1)',
    },
    [ids],
  )
  const opens = await sql.query<{ run_id: string; path: string; attempt: number; started_at: Date }>(
    {
      name: 'run_opens',
      text: 'select run_id, path, attempt, started_at from step_open where run_id = any ($1)',
    },
    [ids],
  )
  const events = await lastEventsOf(sql, ids)
  const loggedBy = await logsOf(
    sql,
    events.filter(({ last }) => last > UNCOUNTED_EVENTS).map((row) => row.run_id),
  )
  const toldOf = await toldOfVisits(
    sql,
    events.map((row) => row.run_id),
  )
  const historyOf = Map.groupBy(outcomes, (row) => row.run_id)
  const timersOf = Map.groupBy(timers, (row) => row.run_id)
  const opensOf = Map.groupBy(opens, (row) => row.run_id)
  const lastSeqOf = new Map(events.map((row) => [row.run_id, row.last]))
  return runs.map((run) => {
    const history = (historyOf.get(run.id) ?? []).map(toOutcome)
    const told = toldOf.get(run.id)
    return {
      id: run.id,
      tenantId: run.tenant_id,
      accountId: run.account_id,
      flowId: run.flow_id,
      revision: run.revision,
      epoch: run.epoch,
      startNode: run.start_node ?? undefined,
      parentId: run.parent_run_id ?? undefined,
      depth: run.depth,
      resumedFrom: run.resumed_from ?? undefined,
      keyBase: run.key_base ?? undefined,
      createdAt: run.created_at,
      input: run.input,
      inputRef: run.input_ref ?? undefined,
      history,
      timers: (timersOf.get(run.id) ?? []).map((row) => ({
        path: row.path,
        attempt: row.attempt,
        ordinal: row.ordinal,
        dueAt: row.due_at,
      })),
      opens: (opensOf.get(run.id) ?? []).map((row) => ({
        path: row.path,
        attempt: row.attempt,
        startedAt: row.started_at,
      })),
      lastSeq: lastSeqOf.get(run.id) ?? 0,
      logged: loggedBy.get(run.id),
      untold: run.recoveries > 0 ? untold(run.created_at, history, new Set(told?.ends)) : [],
      toldStarts: new Set(told?.starts),
      concurrencyKey: run.concurrency_key ?? undefined,
      suspect: run.stalls >= SUSPECT_STALLS,
    }
  })
}

function toOutcome(row: OutcomeRow): StoredOutcome {
  return {
    path: row.path,
    attempt: row.attempt,
    node: row.node,
    nodeType: row.node_type,
    state: row.state,
    action: row.action ?? undefined,
    output: row.output,
    outputRef: row.output_ref ?? undefined,
    shared: row.shared ?? undefined,
    sharedRef: row.shared_ref ?? undefined,
    error: row.error ?? undefined,
    dueAt: row.due_at ?? undefined,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
  }
}
