import { Finishes } from './finishes.js'
import type { Build, Lab } from './lab.js'
import { closedLoop, openLoop, Samples } from './load.js'
import { medianOf, print, type Row } from './table.js'
import { Meter, perRun, waits } from './usage.js'
import { WORKLOADS, type Workload } from './workloads.js'

/** Of builds that are compared each is measured so often, in turns. */
const ROUNDS = 3
const MOST_IN_FLIGHT = 256

/** What a client of the whole product sees, from the request to the visible end. */
export async function overHttp(lab: Lab, isAsked: (name: string) => boolean): Promise<void> {
  const rows: Row[] = []
  for (const workload of WORKLOADS) if (isAsked(workload.name)) rows.push(...(await compared(lab, workload)))
  if (rows.length > 0)
    print('POST …/run until durably finished, over HTTP (ms; finishes are seen up to 5 ms late)', rows)
}

async function compared(lab: Lab, workload: Workload): Promise<Row[]> {
  const { builds } = lab
  const measured = builds.map((): Row[] => [])
  for (let round = 0; round < (builds.length > 1 ? ROUNDS : 1); round++) {
    for (const [index, build] of builds.entries()) measured[index]?.push(await measure(lab, build, workload))
  }
  return measured.map((rounds, index) => ({
    ...(builds.length > 1 ? { build: builds[index]?.name } : {}),
    ...medianOf(rounds),
  }))
}

/** One workload on a server and a database of its own; or on a database that has some history. */
export async function measure(lab: Lab, build: Build, workload: Workload, databaseUrl?: string): Promise<Row> {
  const url = databaseUrl ?? (await lab.database())
  const server = await lab.server(url, build)
  const meter = await Meter.open(url)
  const finishes = await Finishes.open(url, 5)
  const flowId = await server.createFlow(workload.flow)
  const [accept, finish, late] = [new Samples(), new Samples(), new Samples()]
  const once = async (began = performance.now()) => {
    late.add(performance.now() - began)
    const id = await server.run(flowId, workload.input)
    accept.add(performance.now() - began)
    await finishes.of(id)
    finish.add(performance.now() - began)
  }
  const lanes = typeof workload.load === 'number' ? workload.load : MOST_IN_FLIGHT
  await closedLoop(lanes, lab.warmUpSeconds, once)
  let load = () => closedLoop(lanes, lab.seconds, once)
  if (workload.load === 'half load') {
    const done = finish.count
    await closedLoop(lanes, lab.warmUpSeconds, once)
    const half = (finish.count - done) / lab.warmUpSeconds / 2
    load = () => openLoop(half, lab.seconds, once)
  } else if (typeof workload.load === 'object') {
    const { perSecond } = workload.load
    load = () => openLoop(perSecond, lab.seconds, once)
  }
  const before = await meter.settled(server.pid)
  for (const samples of [accept, finish, late]) samples.clear()
  const begun = await meter.read(server.pid)
  const from = performance.now()
  await load()
  const seconds = (performance.now() - from) / 1_000
  const ended = await meter.read(server.pid)
  const after = await meter.settled(server.pid)
  await finishes.close()
  await meter.close()
  await server.stop()
  return {
    workload: workload.name,
    'in flight': typeof workload.load === 'number' ? lanes : '',
    'runs/s': Math.round(finish.count / seconds),
    'steps/s': Math.round((finish.count * workload.steps) / seconds),
    ...accept.columns('accept'),
    'begun late p99': late.quantile(0.99),
    ...finish.columns('finish'),
    ...perRun(before, after, finish.count),
    ...waits(begun, ended),
    'server MiB': Math.round(ended.serverMiB),
    'Postgres MiB': Math.round(ended.postgresMiB),
  }
}
