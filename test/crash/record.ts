import { readdir, readFile } from 'node:fs/promises'
import { basename, join, relative } from 'node:path'
import { type KvRow, opened, ROW } from '../../src/modules/kv/kv-entries.js'
import { readConfig } from '../../src/platform/config/config.js'
import { Sealer } from '../../src/platform/crypto/sealer.js'
import { readLog } from './append-log.js'
import type { Cluster } from './cluster/cluster.js'
import type { EffectEntry } from './effect-server.js'
import type { FaultEntry } from './fault-log.js'
import type { Told } from './follower.js'
import type { LedgerEntry } from './ledger.js'
import { SECRET } from './stories.js'
import type { Throughput } from './throughput.js'
import type { Recovery, Sighting } from './watcher.js'

/** A row of `run`; times in ms. */
export interface RunRow {
  id: string
  story: string
  state: string
  epoch: number
  recoveries: number
  /** Given up, since its processes were lost again and again. */
  dead: boolean
  scheduleId: string | null
  idempotencyKey: string | null
  parentRunId: string | null
  parentPath: string | null
  createdAt: number
  finishedAt: number | null
}

/** A row of `step_outcome`; times in ms. */
export interface OutcomeRow {
  run: string
  path: string
  attempt: number
  state: string
  action: string | null
  startedAt: number
  finishedAt: number
}

/** A row of `artifact`, and what a server gave for it where it was asked. */
export interface ArtifactRow {
  id: string
  run: string
  state: string
  size: number
  sha256: string | null
  /** The number that its run was given. */
  n: number
}

/** What a server said of a run at the end. */
export interface AnswerRow {
  run: string
  server: string
  /** The state, the run that the same request named again, the SHA-256 of an artifact, or whether the audit trail is whole. */
  asked: 'state' | 'again' | 'artifact' | 'audit'
  said: string
}

/** All that is known of a wave once it is over; the checks read this and nothing else. */
export interface CrashRecord {
  ledger: LedgerEntry[]
  effects: EffectEntry[]
  faults: FaultEntry[]
  sightings: Sighting[]
  runs: RunRow[]
  outcomes: OutcomeRow[]
  answers: AnswerRow[]
  artifacts: ArtifactRow[]
  /** What a follower of the stream of events heard, and what the same stream tells afterwards. */
  stream: { heard: Told[]; again: Told[] }
  /** What has no entry in the audit trail, or several. */
  unaudited: string[]
  /** What the counters of the story `count` stand at, together. */
  counted: number
  /** Outcomes of processes that had lost their runs: kept, and without consequences. */
  late: number
  /** Runs whose events have gaps or doubles. */
  brokenEvents: string[]
  /** What should be gone: rows, jobs, processes, files. */
  leftovers: string[]
  /** Where the secret shows. */
  leaks: string[]
  /** What happened and no fault explains. */
  surprises: string[]
  recoveries: Recovery[]
  throughput: Throughput
}

/** The files in a wave's folder that hold what must survive. */
export const FILES = { ledger: 'ledger.jsonl', effects: 'effects.jsonl', faults: 'faults.jsonl' } as const

const ms = (column: string) => `(extract(epoch from ${column}) * 1000)::float8`

/** Reads it all back: the files from the disk, the rows by plain SQL, while no server runs. */
export async function readRecord(
  cluster: Cluster,
  known: Pick<CrashRecord, 'sightings' | 'answers' | 'stream' | 'surprises' | 'recoveries' | 'throughput'>,
): Promise<CrashRecord> {
  const { folder, postgres } = cluster
  return {
    ...known,
    ledger: await readLog<LedgerEntry>(join(folder, FILES.ledger)),
    effects: await readLog<EffectEntry>(join(folder, FILES.effects)),
    faults: await readLog<FaultEntry>(join(folder, FILES.faults)),
    runs: await postgres.query<RunRow>(`select r.id, f.name as story, r.state, r.epoch, r.recoveries, r.dead,
        r.schedule_id as "scheduleId", substring(r.idempotency_key from '[^ ]+$') as "idempotencyKey", r.parent_run_id as "parentRunId",
        r.parent_path as "parentPath", ${ms('r.created_at')} as "createdAt",
        ${ms('r.finished_at')} as "finishedAt"
      from run r join flow f on f.id = r.flow_id order by r.id`),
    outcomes:
      await postgres.query<OutcomeRow>(`select run_id as run, path, attempt, state, action, ${ms('started_at')} as "startedAt",
        ${ms('finished_at')} as "finishedAt" from step_outcome order by run_id, started_at`),
    artifacts: await postgres.query<ArtifactRow>(ARTIFACTS),
    unaudited: (await postgres.query<{ id: string }>(UNAUDITED)).map(({ id }) => id),
    counted: await counted(cluster),
    late: (await postgres.query('select from late_outcome')).length,
    brokenEvents: await brokenEvents(cluster),
    leftovers: [...(await leftRows(cluster)), ...(await leftJobs(cluster)), ...(await leftProcesses(folder))],
    leaks: await leaks(cluster),
  }
}

export const ARTIFACTS = `select a.id, run_id as run, a.state, size_bytes::float8 as size, sha256, (r.input ->> 'n')::integer as n
  from artifact a join run r on r.id = a.run_id order by a.id`

/** Each start by a user has one entry, and each decision. */
const UNAUDITED = `select r.id from run r join flow f on f.id = r.flow_id
  left join lateral (
    select count(*) filter (where action = 'run.start') as starts, count(*) filter (where action = 'run.cancel') as cancels,
        count(*) filter (where action in ('run.approve', 'run.decline')) as decisions
      from audit_entry where resource_type = 'run' and resource_id = r.id and outcome = 'success') as e on true
  where r.idempotency_key is not null
    and (starts <> 1 or cancels <> (r.state = 'cancelled')::integer or decisions <> (f.name = 'approval')::integer)`

async function counted({ folder, postgres }: Cluster): Promise<number> {
  const sealer = new Sealer(readConfig({ NODE_ENV: 'test', DATA_DIR: join(folder, 'data') }))
  const rows = await postgres.query<KvRow>(`select ${ROW} from kv_entry where key like 'counter-%'`)
  return rows.reduce((sum, row) => sum + Number(opened(row, sealer).value), 0)
}

async function brokenEvents({ postgres }: Cluster): Promise<string[]> {
  const rows = await postgres.query<{ run: string }>(`select run_id as run
    from run_event_chunk c, json_array_elements(c.entries) as e (entry) group by run_id
    having count(*) <> max((entry ->> 'seq')::integer) or count(distinct (entry ->> 'seq')::integer) <> count(*)
      or min((entry ->> 'seq')::integer) <> 1`)
  return rows.map(({ run }) => run)
}

/** Each query names what no row may be left of once all runs have ended and all processes are gone. */
const LEFT_ROWS: Readonly<Record<string, string>> = {
  'a process is still registered': 'select id from engine_instance',
  'a timer is left': 'select run_id as id from timer',
  'a wait is left': 'select run_id as id from signal_wait',
  // Of a run that did not complete they are kept: one that goes on from it must not repeat what may have happened.
  'a started step is left open': `select o.run_id as id from step_open o left join run r on r.id = o.run_id
    where r.state is distinct from 'failed' and r.state is distinct from 'cancelled'
      or exists (select from step_outcome s where s.run_id = o.run_id and s.path = o.path and s.attempt >= o.attempt)`,
  'a schedule is left': 'select id from schedule',
  // Those of runs whose acceptance a kill came before go by and by.
  'a secret of a run is left': 'select run_id as id from run_secret where exists (select from run where id = run_id)',
  'an artifact is neither kept nor gone': `select id from artifact where state <> 'kept'`,
  'an artifact belongs to no run': 'select id from artifact a where not exists (select from run where id = a.run_id)',
  'an outcome belongs to no run':
    'select distinct run_id as id from step_outcome o where not exists (select from run where id = o.run_id)',
  'events belong to no run':
    'select distinct run_id as id from run_event_chunk c where not exists (select from run where id = c.run_id)',
  'a slot is still held': `select id from run
    where concurrency_key is not null and (state = 'running' or state = 'queued' and wake_at is not null)`,
  'an ended run still has a time to wake at': `select id from run where finished_at is not null and wake_at is not null`,
}

async function leftRows({ postgres }: Cluster): Promise<string[]> {
  const found = await Promise.all(
    Object.entries(LEFT_ROWS).map(async ([what, text]) => {
      const rows = await postgres.query<{ id: string }>(text)
      return rows.slice(0, 20).map(({ id }) => `${what}: ${id}`)
    }),
  )
  return found.flat()
}

/** Jobs of queues that nobody will ever take. */
async function leftJobs({ redis }: Cluster): Promise<string[]> {
  if (!redis) return []
  const keys = (await redis.command('KEYS bull:*')).match(/bull:\S+/g) ?? []
  const lists = keys.filter((key) => /:(wait|active|delayed|priority|paused)$/.test(key))
  return lists.map((key) => `jobs are left in ${key}`)
}

/** Processes that were started for this wave and are still there; the database is not one of them, nor are we. */
async function leftProcesses(folder: string): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
  const found = await Promise.all(
    pids.map(async (pid) => {
      const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')
      return environment.includes(`DATA_DIR=${folder}`) ? [`process ${pid} is still there`] : []
    }),
  )
  return found.flat()
}

async function leaks({ folder, postgres }: Cluster): Promise<string[]> {
  const spellings = [
    SECRET,
    encodeURIComponent(SECRET),
    Buffer.from(SECRET).toString('base64').replace(/=+$/, ''),
    JSON.stringify(SECRET).slice(1, -1),
  ]
  const files = (await Promise.all(['logs', 'data'].map((name) => filesIn(join(folder, name))))).flat()
  const shown = await Promise.all(
    files.map(async (file) => {
      const text = await readFile(file, 'latin1').catch(() => '')
      return spellings.some((spelling) => text.includes(spelling)) ? [relative(folder, file)] : []
    }),
  )
  const tables = await postgres.query<{ name: string }>(`select table_name as name from information_schema.tables
    where table_schema = 'public' and table_type = 'BASE TABLE'`)
  const rows: string[] = []
  for (const { name } of tables) {
    const found = await postgres.query<{ place: string }>(
      `select ctid::text as place from "${name}" t
        where exists (select from unnest($1::text[]) as s where strpos(t::text, s) > 0) limit 20`,
      [spellings],
    )
    rows.push(...found.map(({ place }) => `${name} ${place}`))
  }
  return [...shown.flat(), ...rows]
}

/** All but the files that a step's programs read its secrets from: what a server that was killed left of them goes within the hour. */
async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true })
  return entries
    .filter((entry) => entry.isFile() && basename(entry.parentPath) !== 'secrets')
    .map((entry) => join(entry.parentPath, entry.name))
}
