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
import { ForeignWork } from './foreign-work.js'
import { Injector } from './injector.js'
import type { LedgerEntry } from './ledger.js'
import { Load } from './load.js'
import { Random } from './random.js'
import { type AnswerRow, type CrashRecord, FILES, readRecord } from './record.js'
import { SECRET } from './stories.js'
import { type Throughput, ThroughputMeter } from './throughput.js'
import { type Recovery, Watcher } from './watcher.js'

/** How long runs may take to end once nothing goes wrong any more. */
const DRAIN_MS = 60_000
const SCHEDULES = ['every-two-seconds-1', 'every-two-seconds-2']
const QUESTIONS = 40

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
  const cluster = await Cluster.start({
    ...options,
    program: (role) => [join(options.dist, 'app', `${role}.js`)],
    outside: outside.address,
  })
  const [ledger, faults] = [
    await AppendLog.create<LedgerEntry>(join(folder, FILES.ledger)),
    await AppendLog.create<FaultEntry>(join(folder, FILES.faults)),
  ]
  const client = new Client(() => cluster.apis, random.fork('client'))
  const load = new Load(client, ledger, random.fork('load'))
  const watcher = new Watcher(cluster.postgres.url)
  const injector = new Injector(cluster, faults, watcher, random.fork('injector'), options)
  try {
    await prepare(client, load, outside)
    const meter = new ThroughputMeter(cluster.postgres.url, load, new ForeignWork(folder))
    const before = await meter.before()
    say(`${before.toFixed(0)} light runs/s before`)

    load.start(options.users)
    for (const name of SCHEDULES) await load.schedule(name)
    await injector.run(options.kills)
    await injector.calm()
    for (const name of SCHEDULES) await load.unschedule(name)
    await load.stop()
    await drained(cluster)
    const after = await meter.after(before)
    say(`${after.toFixed(0)} light runs/s after`)
    const answers = await askAround(client, cluster)
    await watcher.stop()
    await injector.stopAll()

    await Promise.all([outside.stop(), ledger.close(), faults.close()])
    const record = await readRecord(cluster, {
      sightings: watcher.sightings,
      answers,
      surprises: [...load.surprises, ...injector.surprises],
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

/** What each server says of some of the runs, and which run it gives for a key that it had before. */
async function askAround(client: Client, cluster: Cluster): Promise<AnswerRow[]> {
  const runs = await cluster.postgres.query<{ id: string; flow: string; key: string; input: object }>(
    `select id, flow_id as flow, idempotency_key as key, input from run where idempotency_key is not null
      order by md5(id) limit ${QUESTIONS}`,
  )
  const answers: AnswerRow[] = []
  const note = async (asked: AnswerRow['asked'], run: string, server: string, answer: Promise<string>) => {
    // No answer is a wrong one here: nothing is broken any more.
    answers.push({ run, server, asked, said: await answer.catch(String) })
  }
  for (const { id, flow, key, input } of runs) {
    for (const server of cluster.apis) {
      const state = client.askOne<{ status: string }>(server, 'GET', `/api/v1/executions/${id}`)
      await note(
        'state',
        id,
        server.name,
        state.then(({ body }) => body.status),
      )
      const again = client.askOne<{ execution_id: string }>(server, 'POST', `/api/v1/flows/${flow}/run`, { input }, key)
      await note(
        'again',
        id,
        server.name,
        again.then(({ body }) => body.execution_id),
      )
    }
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
    duplicates: repeats.length,
    zombies: repeats.filter(({ arrival }) => thaws.some((at) => arrival.at >= at && arrival.at < at + 3_000)).length,
    late: record.late,
    cancels: latenessOfCancels(record),
    recoveries: record.recoveries,
    throughput: record.throughput,
  }
}
