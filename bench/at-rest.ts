import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import type { Lab } from './lab.js'
import { print, type Row } from './table.js'
import { Meter } from './usage.js'

const WAITING = 1_000
/** Within this V8 notices that the process rests, and collects what a start or a load has left. */
const SETTLE_MS = 12_000

const APPROVAL = `metadata: { name: bench, version: "1" }
nodes:
  ask: { type: wait, params: { key: "\${input.key}", timeout: 24h } }
`
const DELAY = `metadata: { name: bench, version: "1" }
nodes:
  later: { type: delay, params: { duration: 24h } }
`

/** What a server costs that has nothing to do: with no runs, and with runs that wait for an approval or for tomorrow. */
export async function atRest(lab: Lab): Promise<void> {
  const url = await lab.database()
  const server = await lab.server(url)
  const meter = await Meter.open(url)
  const seconds = lab.options.short ? 5 : 30
  const measure = async (state: string): Promise<Row> => {
    await delay(SETTLE_MS)
    const before = await meter.settled(server.pid)
    await delay(seconds * 1_000)
    const after = await meter.read(server.pid)
    const took = (after.at - before.at) / 1_000
    return {
      state,
      'server CPU, % of a core': ((after.serverCpu - before.serverCpu) / took) * 100,
      'Postgres CPU, % of a core': ((after.postgresCpu - before.postgresCpu) / took) * 100,
      'commits/s': (after.commits - before.commits) / took,
      'server MiB': Math.round(after.serverMiB),
      'Postgres MiB': Math.round(after.postgresMiB),
    }
  }
  const rows = [await measure('no runs')]
  const [approval, later] = [await server.createFlow(APPROVAL), await server.createFlow(DELAY)]
  for (let run = 0; run < WAITING; run += 50) {
    await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        index % 2 === 0 ? server.run(approval, { key: `order-${run + index}` }) : server.run(later),
      ),
    )
  }
  await untilAllWait(url)
  rows.push(await measure(`${WAITING} runs waiting`))
  await meter.close()
  await server.stop()
  print(`At rest, over ${seconds} s`, rows)
}

async function untilAllWait(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    for (;;) {
      const { rows } = await client.query<{ count: number }>(
        `select count(*)::integer as count from run where state = 'waiting'`,
      )
      if (rows[0]?.count === WAITING) return
      await delay(100)
    }
  } finally {
    await client.end()
  }
}
