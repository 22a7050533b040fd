import type { RunState } from '../src/modules/runs/run-state.js'
import { RunsQueries } from '../src/modules/runs/runs.queries.js'
import { seedHistory } from './history.js'
import type { Lab } from './lab.js'
import { Samples } from './load.js'
import { measure } from './over-http.js'
import type { BenchServer } from './server.js'
import { print, type Row } from './table.js'
import { WORKLOADS } from './workloads.js'

const FEW = 1_000
const MANY = { short: 100_000, full: 1_000_000 }
/** What the issue asks for: page 1 of a million may cost half as much again as page 1 of a thousand. */
const MOST = 1.5

/** Over HTTP a list is asked for by FlowRunner's words; the query below it by ours. */
const LISTS: { list: string; http: string; flowId?: string; states?: readonly RunState[] }[] = [
  { list: 'all', http: '' },
  { list: 'completed', http: 'status=completed', states: ['completed'] },
  { list: 'failed, 1 in 20', http: 'status=failed', states: ['failed'] },
  { list: 'cancelled, a dozen', http: 'status=cancelled', states: ['cancelled'] },
  { list: 'live, a dozen', http: 'status=running', states: ['queued', 'running', 'waiting'] },
  { list: 'of a flow', http: 'flow_id=flow_1', flowId: 'flow_1' },
  { list: 'of a flow with a dozen', http: 'flow_id=flow_rare', flowId: 'flow_rare' },
  { list: 'of a flow, completed', http: 'flow_id=flow_1&status=completed', flowId: 'flow_1', states: ['completed'] },
  { list: 'of a flow, failed', http: 'flow_id=flow_1&status=failed', flowId: 'flow_1', states: ['failed'] },
  { list: 'of a flow, cancelled', http: 'flow_id=flow_1&status=cancelled', flowId: 'flow_1', states: ['cancelled'] },
]

/** Few runs against very many: what page 1 of a list costs, and what an execution costs that is made on top of them. */
export async function history(lab: Lab, isAsked: (name: string) => boolean): Promise<void> {
  const few = await seeded(lab, FEW)
  const most = lab.options.short ? MANY.short : MANY.full
  const many = await seeded(lab, most)
  if (isAsked('lists')) await lists(lab, few, many, most)
  const workload = WORKLOADS.find(({ name }) => name === '2 light steps, more at once')
  if (!isAsked('history') || !workload) return
  const build = lab.builds.at(-1)
  const rows: Row[] = []
  for (const [runs, url] of [
    [FEW, few],
    [most, many],
  ] as const) {
    if (build) rows.push({ 'runs before': runs, ...(await measure(lab, build, workload, url)) })
  }
  print('2 light steps, with runs of history (ms)', rows)
}

async function seeded(lab: Lab, runs: number): Promise<string> {
  const url = await lab.database()
  // The server brings the schema and the first account.
  await (await lab.server(url)).stop()
  const from = performance.now()
  await seedHistory(url, runs)
  console.log(`${runs} runs of history made in ${((performance.now() - from) / 1_000).toFixed(0)} s`)
  return url
}

async function lists(lab: Lab, few: string, many: string, most: number): Promise<void> {
  const times = lab.options.short ? 100 : 400
  const servers = [await lab.server(few), await lab.server(many)] as const
  const sqls = [lab.sql(few), lab.sql(many)] as const
  const queries = sqls.map((sql) => new RunsQueries(sql))
  const rows: Row[] = []
  for (const { list, http, ...filter } of LISTS) {
    const accountId = await accountOf(servers[0])
    const overHttp = await inTurns(times, (index) => servers[index].ask('GET', `/api/v1/executions?${http}`))
    const accounts = [accountId, await accountOf(servers[1])]
    const query = await inTurns(times, (index) =>
      (queries[index] as RunsQueries).page({ accountId: accounts[index] ?? '', ...filter }, 10, 0),
    )
    const { total } = await servers[1].ask<{ total: number }>('GET', `/api/v1/executions?${http}`)
    rows.push({
      list,
      [`of ${most}`]: total,
      'HTTP p50, few': overHttp[0].quantile(0.5),
      'HTTP p50, many': overHttp[1].quantile(0.5),
      'HTTP ratio': ratio(overHttp),
      'query p50, few': query[0].quantile(0.5),
      'query p50, many': query[1].quantile(0.5),
      'query ratio': ratio(query),
    })
  }
  for (const sql of sqls) await sql.close()
  for (const server of servers) await server.stop()
  print(
    `Page 1 of a list among ${FEW} and among ${most} runs (ms, asked for in turns; the ratio is to be at most ${MOST})`,
    rows,
  )
}

/** Both are asked in turns, so that what else the machine does weighs on both alike. */
async function inTurns(times: number, ask: (index: 0 | 1) => Promise<unknown>): Promise<[Samples, Samples]> {
  const samples: [Samples, Samples] = [new Samples(), new Samples()]
  for (let time = -20; time < times; time++) {
    for (const index of [0, 1] as const) {
      const began = performance.now()
      await ask(index)
      if (time >= 0) samples[index].add(performance.now() - began)
    }
  }
  return samples
}

/** Of what the quickest tenth takes, which other work on the machine disturbs least. */
function ratio([few, many]: readonly [Samples, Samples]): number {
  return many.quantile(0.1) / few.quantile(0.1)
}

async function accountOf(server: BenchServer): Promise<string> {
  return (await server.ask<{ accounts: { id: string }[] }>('GET', '/api/v1/accounts')).accounts[0]?.id ?? ''
}
