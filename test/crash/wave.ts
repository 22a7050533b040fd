import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { unaccounted } from './accounts.js'
import { AppendLog } from './append-log.js'
import { latenessOfCancels, type Violation, violationsIn } from './checks.js'
import { Client } from './client.js'
import { Cluster } from './cluster/cluster.js'
import type { Role } from './cluster/server.js'
import { EffectServer } from './effect-server.js'
import type { FaultEntry, FaultName } from './fault-log.js'
import { Follower } from './follower.js'
import { ForeignWork } from './foreign-work.js'
import { Injector } from './injector.js'
import { layOutJobs } from './jobs-on-disk.js'
import type { LedgerEntry } from './ledger.js'
import { Load, runIn, type Started, startOf } from './load.js'
import { Random } from './random.js'
import { type AnswerRow, ARTIFACTS, type ArtifactRow, type CrashRecord, FILES, readRecord } from './record.js'
import { SECRET } from './stories.js'
import { type Throughput, ThroughputMeter } from './throughput.js'
import { type Recovery, Watcher } from './watcher.js'

/** How long runs may take to end once nothing goes wrong any more. */
const DRAIN_MS = 60_000
const SCHEDULES = ['every-two-seconds-1', 'every-two-seconds-2']
const QUESTIONS = 40

interface Input extends Record<string, unknown> {
  token?: string
}

export interface WaveOptions {
  kills: number
  seed: number
  redis: boolean
  /** Only these, and nothing is armed; all of them without it. */
  faults?: FaultName[]
  users: number
  roles: readonly Role[]
  /** The folder of the built product. */
  dist: string
  /** Where everything of this wave is kept. */
  folder: string
  say(line: string): void
}

/** What a wave came to. */
export interface WaveResult {
  options: WaveOptions
  kills: number
  violations: Violation[]
  faults: FaultEntry[]
  effects: number
  accepted: number
  lost: number
  runs: number
  /** Runs that were given up, since they were lost again and again. */
  dead: number
  /** Requests that came again, or whose outcome was lost. */
  duplicates: number
  /** Requests of processes that had been frozen, which no outcome accounts for. */
  zombies: number
  /** Outcomes that came when the run was another's. */
  late: number
  recoveries: Recovery[]
  /** For each cancelled run, how long after its cancel a step of its last began, in ms. */
  cancels: number[]
  throughput: Throughput
  seconds: number
}

/** One database, its servers and a share of the kills: load, faults, calm, and then everything is looked at. */
export async function runWave(options: WaveOptions): Promise<WaveResult> {
  const began = performance.now()
  const { folder, say } = options
  await mkdir(folder, { recursive: true })
  // Started as root, the database runs as another user, who must be able to pass through.
  await chmod(folder, 0o711)
  const random = new Random(options.seed)
  const outside = await EffectServer.start(join(folder, FILES.effects), random.fork('outside'))
  const jobSources = await layOutJobs(join(folder, 'jobs'), outside.address)
  const cluster = await Cluster.start({
    ...options,
    program: (role) => [join(options.dist, 'app', `${role}.js`)],
    outside: outside.address,
    jobSources,
  })
  const [ledger, faults] = [
    await AppendLog.create<LedgerEntry>(join(folder, FILES.ledger)),
    await AppendLog.create<FaultEntry>(join(folder, FILES.faults)),
  ]
  const client = new Client(() => cluster.apis, random.fork('client'))
  const load = new Load(client, ledger, random.fork('load'))
  const follower = new Follower(client, random.fork('follower'))
  const watcher = new Watcher(cluster.postgres.url)
  const injector = new Injector(cluster, faults, watcher, random.fork('injector'), options)
  try {
    await prepare(client, load, outside)
    const meter = new ThroughputMeter(cluster.postgres.url, load, new ForeignWork(folder))
    const before = await meter.before()
    say(`${before.toFixed(0)} light runs/s before`)

    follower.start()
    load.start(options.users)
    for (const name of SCHEDULES) await load.schedule(name)
    await injector.run(options.kills)
    await injector.calm()
    for (const name of SCHEDULES) await load.unschedule(name)
    await load.stop()
    await drained(cluster)
    const stream = await streamed(follower, load)
    const after = await meter.after(before)
    say(`${after.toFixed(0)} light runs/s after`)
    const answers = await askAround(client, cluster)
    await watcher.stop()
    await injector.stopAll()

    await Promise.all([outside.stop(), ledger.close(), faults.close()])
    const record = await readRecord(cluster, {
      sightings: watcher.sightings,
      answers,
      stream,
      surprises: [...load.surprises, ...injector.surprises, ...follower.surprises],
      recoveries: watcher.recoveries,
      throughput: { before, after },
    })
    const violations = violationsIn(record)
    await writeFile(join(folder, 'violations.json'), JSON.stringify(violations, undefined, 2))
    return resultOf(options, record, violations, {
      kills: injector.kills,
      seconds: (performance.now() - began) / 1_000,
    })
  } finally {
    await watcher.stop()
    await client.close()
    await cluster.destroy()
    await outside.stop()
  }
}

async function prepare(client: Client, load: Load, outside: EffectServer): Promise<void> {
  const { accountId } = await client.login()
  const secret = { key: 'CRASH_TOKEN', value: SECRET }
  await client.insist('POST', `/api/v1/accounts/${accountId}/secrets`, secret)
  await load.prepare(outside.address)
}

/** Resolves when no run is live any more, or patience is at its end: the checks then name those that are. */
async function drained({ postgres }: Cluster): Promise<void> {
  for (const until = Date.now() + DRAIN_MS; Date.now() < until; await delay(100)) {
    const [live] = await postgres.query('select from run where finished_at is null limit 1')
    if (!live) return
  }
}

/** What was heard until the end of a last run, and what is told of it all afterwards. */
async function streamed(follower: Follower, load: Load): Promise<CrashRecord['stream']> {
  const run = (await load.light()) ?? ''
  await follower.last(run)
  return { heard: follower.heard, again: await follower.again(run) }
}

/**
 * What each server says of some of the runs, which run it gives for a key that it had before, what some of the artifacts hold, and
 * whether the audit trail is whole.
 */
async function askAround(client: Client, cluster: Cluster): Promise<AnswerRow[]> {
  const runs = await cluster.postgres.query<{ id: string; story: string; flow: string; key: string; input: Input }>(
    `select r.id, f.name as story, flow_id as flow, substring(idempotency_key from '[^ ]+$') as key, input
      from run r join flow f on f.id = r.flow_id where idempotency_key is not null order by md5(r.id) limit ${QUESTIONS}`,
  )
  const artifacts = await cluster.postgres.query<ArtifactRow>(ARTIFACTS)
  const answers: AnswerRow[] = []
  const note = async (row: Omit<AnswerRow, 'said'>, answer: Promise<string>) => {
    // No answer is a wrong one here: nothing is broken any more.
    answers.push({ ...row, said: await answer.catch(String) })
  }
  for (const api of cluster.apis) {
    const server = api.name
    for (const { id: run, story, flow, key, input } of runs) {
      const state = client.askOne<{ status: string }>(api, 'GET', `/api/v1/executions/${run}`)
      await note(
        { run, server, asked: 'state' },
        state.then(({ body }) => body.status),
      )
      const { path, body } = startOf(story, flow, input)
      const again = client.askOne<Started>(api, 'POST', path, body, key)
      await note(
        { run, server, asked: 'again' },
        again.then((answer) => runIn(answer.body)),
      )
    }
    for (const { id, run } of artifacts.slice(0, QUESTIONS))
      await note({ run, server, asked: 'artifact' }, client.digest(api, `/api/v1/artifacts/${id}`))
    const verified = client.askOne<{ valid: boolean }>(api, 'GET', '/api/audit/verify')
    await note(
      { run: '', server, asked: 'audit' },
      verified.then(({ body }) => String(body.valid)),
    )
  }
  return answers
}

function resultOf(
  options: WaveOptions,
  record: CrashRecord,
  violations: Violation[],
  rest: Pick<WaveResult, 'kills' | 'seconds'>,
): WaveResult {
  const accepted = new Set(record.ledger.flatMap((entry) => (entry.kind === 'accepted' ? [entry.run] : [])))
  const there = new Set(record.runs.map(({ id }) => id))
  const repeats = unaccounted(record)
  const thaws = record.faults.filter(({ kind }) => kind === 'thawed').map(({ at }) => at)
  return {
    ...rest,
    options,
    violations,
    faults: record.faults,
    effects: record.effects.filter(({ kind }) => kind === 'arrived').length,
    accepted: accepted.size,
    lost: [...accepted].filter((id) => !there.has(id)).length,
    runs: record.runs.length,
    dead: record.runs.filter(({ dead }) => dead).length,
    duplicates: repeats.length,
    zombies: repeats.filter(({ arrival }) => thaws.some((at) => arrival.at >= at && arrival.at < at + 3_000)).length,
    late: record.late,
    cancels: latenessOfCancels(record),
    recoveries: record.recoveries,
    throughput: record.throughput,
  }
}
