import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { DataSource } from 'typeorm'
import { connectionSettings, dataSourceOptions, migrate } from '../src/platform/database/data-source.js'
import { EmbeddedPostgres } from '../src/platform/database/embedded-postgres.js'
import { Sql } from '../src/platform/database/sql.js'
import { Finishes } from './finishes.js'
import { InProcess, lightFlow } from './in-process.js'
import { closedLoop, Samples } from './load.js'
import { BenchServer } from './server.js'
import { Meter, type Usage } from './usage.js'

const short = process.argv.includes('--short')
const profile = process.argv.includes('--profile')
const SECONDS = short ? 2 : 8
const WARM_UP_SECONDS = short ? 1 : 4
const IDLE_RUNS = short ? 20 : 100
const LANES = 64

const PATHS = 'type: transform, params: { mapping: { n: "$.n" } }'
const SCRIPT = 'type: transform, params: { script: "return { n: input.n + 1 }" }'

interface Row {
  [column: string]: string | number
}

console.log(
  `${availableParallelism()} cores shared by the load, the server and Postgres; fsync on; ${SECONDS} s each\n`,
)

const folder = await mkdtemp(join(tmpdir(), 'millrace-bench-'))
await chmod(folder, 0o711)
const dataDir = join(folder, 'data')
const postgres = await EmbeddedPostgres.start({ dataDir })
try {
  const meter = await Meter.open(postgres.url)
  await overHttp(meter)
  await inProcess(meter)
  await meter.close()
} finally {
  await postgres.stop()
  if (profile) console.log(`profiles are in ${folder}`)
  else await rm(folder, { recursive: true, force: true })
}

/** What a client of the whole product sees. */
async function overHttp(meter: Meter): Promise<void> {
  const profileDir = profile ? join(folder, 'profiles') : undefined
  if (profileDir) await mkdir(profileDir)
  const server = await BenchServer.start({ databaseUrl: postgres.url, dataDir, connections: 256, profileDir })
  const twoSteps = await server.createFlow(flow(2, PATHS))
  const twoScripts = await server.createFlow(flow(2, SCRIPT))
  const fortySteps = await server.createFlow(flow(40, PATHS))
  const fortyScripts = await server.createFlow(flow(40, SCRIPT))

  const busy: Row[] = []
  for (const [workload, flowId, steps, lanes] of [
    ['2 light steps', twoSteps, 2, LANES],
    ['2 light steps, more at once', twoSteps, 2, 256],
    ['2 light steps, half load', twoSteps, 2, 8],
    ['2 scripts', twoScripts, 2, LANES],
    ['40 light steps', fortySteps, 40, LANES],
  ] as const) {
    const finishes = await Finishes.open(postgres.url, 5)
    const [accept, finish] = [new Samples(), new Samples()]
    await closedLoop(lanes, WARM_UP_SECONDS, async () => finishes.of(await server.run(flowId)))
    const before = await meter.settled(server.pid)
    const from = performance.now()
    await closedLoop(lanes, SECONDS, async () => {
      const began = performance.now()
      const id = await server.run(flowId)
      accept.add(performance.now() - began)
      await finishes.of(id)
      finish.add(performance.now() - began)
    })
    const seconds = (performance.now() - from) / 1_000
    const after = await meter.settled(server.pid)
    await finishes.close()
    busy.push({
      workload,
      'in flight': lanes,
      'runs/s': Math.round(finish.count / seconds),
      'steps/s': Math.round((finish.count * steps) / seconds),
      'accept p50': ms(accept.quantile(0.5)),
      'accept p99': ms(accept.quantile(0.99)),
      'finish p50': ms(finish.quantile(0.5)),
      'finish p99': ms(finish.quantile(0.99)),
      ...perRun(before, after, finish.count),
    })
  }
  print('POST …/run until durably finished, over HTTP (ms; finishes are seen up to 5 ms late)', busy)

  const idle: Row[] = []
  for (const [workload, flowId] of [
    ['40 light steps', fortySteps],
    ['40 scripts', fortyScripts],
  ] as const) {
    const finishes = await Finishes.open(postgres.url, 0)
    const finish = new Samples()
    for (let run = 0; run < IDLE_RUNS; run++) {
      const began = performance.now()
      await finishes.of(await server.run(flowId))
      finish.add(performance.now() - began)
    }
    await finishes.close()
    idle.push({
      workload,
      'execution p50': ms(finish.quantile(0.5)),
      'execution p99': ms(finish.quantile(0.99)),
      'per step p50': ms(finish.quantile(0.5) / 40),
    })
  }
  print('One execution at a time, over HTTP (ms)', idle)
  await server.stop()
}

/** Our journal against one that commits every record alone: same engine, same steps, same Postgres, no HTTP. */
async function inProcess(meter: Meter): Promise<void> {
  const dataSource = await new DataSource(
    dataSourceOptions({ url: postgres.url, poolSize: 2, applicationName: 'bench' }),
  ).initialize()
  await migrate(dataSource)
  await dataSource.destroy()
  const sql = new Sql(connectionSettings({ url: postgres.url, poolSize: 10, applicationName: 'bench' }))
  const rows: Row[] = []
  for (const [workload, graph, lanes] of [
    ['2 light steps', lightFlow(2, 'pure'), LANES],
    ['2 effect steps', lightFlow(2, 'effect'), LANES],
    ['40 light steps', lightFlow(40, 'pure'), LANES],
    ['40 effect steps', lightFlow(40, 'effect'), LANES],
    ['40 light steps', lightFlow(40, 'pure'), 1],
    ['40 effect steps', lightFlow(40, 'effect'), 1],
  ] as const) {
    const measured: { rate: number; p50: number; usage: Row }[] = []
    for (const kind of ['group', 'commit per record'] as const) {
      const host = await InProcess.start(sql, kind, graph)
      await closedLoop(lanes, WARM_UP_SECONDS, () => host.run())
      const before = await meter.settled()
      const finish = new Samples()
      const from = performance.now()
      await closedLoop(lanes, SECONDS, async () => {
        const began = performance.now()
        await host.run()
        finish.add(performance.now() - began)
      })
      const rate = finish.count / ((performance.now() - from) / 1_000)
      const after = await meter.settled()
      await host.stop()
      measured.push({ rate, p50: finish.quantile(0.5), usage: perRun(before, after, finish.count) })
      const [group] = measured
      rows.push({
        workload,
        'in flight': lanes,
        journal: kind,
        'runs/s': Math.round(rate),
        'steps/s': Math.round(rate * graph.nodes.size),
        'finish p50': ms(finish.quantile(0.5)),
        'finish p99': ms(finish.quantile(0.99)),
        'per step p50': ms(finish.quantile(0.5) / graph.nodes.size),
        ...measured.at(-1)?.usage,
        'group is': group && kind !== 'group' ? `${(group.rate / rate).toFixed(1)}x faster` : '',
      })
    }
  }
  print('The engine alone: group commit against a commit per record (ms)', rows)
  await sql.close()
}

function perRun(before: Usage, after: Usage, runs: number): Row {
  const cpu = (of: 'serverCpu' | 'postgresCpu' | 'ownCpu') => (((after[of] - before[of]) / runs) * 1_000).toFixed(2)
  return {
    ...(after.serverCpu > 0 ? { 'server CPU ms': cpu('serverCpu') } : { 'engine CPU ms': cpu('ownCpu') }),
    'Postgres CPU ms': cpu('postgresCpu'),
    commits: ((after.commits - before.commits) / runs).toFixed(2),
    'WAL bytes': Math.round((after.walBytes - before.walBytes) / runs),
  }
}

/** A flow of so many nodes of one kind in a row. */
function flow(steps: number, kind: string): string {
  const nodes = Array.from({ length: steps }, (_, index) => {
    const next = index + 1 < steps ? `, next: { default: n${index + 1} }` : ''
    return `  n${index}: { ${kind}${next} }`
  })
  return `metadata: { name: bench, version: "1" }\nnodes:\n${nodes.join('\n')}\n`
}

function ms(value: number): string {
  return value.toFixed(2)
}

/** A table that reads the same in a terminal and in Markdown. */
function print(title: string, rows: Row[]): void {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))]
  const cells = [columns, ...rows.map((row) => columns.map((column) => String(row[column] ?? '')))]
  const widths = columns.map((_, index) => Math.max(...cells.map((line) => (line[index] ?? '').length)))
  const lines = cells.map((line) => `| ${line.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join(' | ')} |`)
  lines.splice(1, 0, `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`)
  console.log(`${title}\n\n${lines.join('\n')}\n`)
}
