import { setTimeout as delay } from 'node:timers/promises'
import { Finishes } from './finishes.js'
import type { Lab } from './lab.js'
import { closedLoop, Samples } from './load.js'
import { print } from './table.js'
import { TWO_LIGHT_STEPS } from './workloads.js'

const LANES = 64
/** From the last kill until everything that was accepted must have ended. */
const PATIENCE_MS = 60_000

/** The server is killed again and again under load, and started again. What it had answered with 201 must end all the same. */
export async function kills(lab: Lab): Promise<void> {
  const everyMs = lab.options.short ? 4_000 : 10_000
  const times = lab.options.short ? 2 : 4
  const url = await lab.database()
  const server = await lab.server(url)
  const finishes = await Finishes.open(url, 5)
  const flowId = await server.createFlow(TWO_LIGHT_STEPS)
  const [accept, finish] = [new Samples(), new Samples()]
  const open = new Set<Promise<void>>()
  let refused = 0
  const seconds = ((times + 1) * everyMs) / 1_000
  const from = performance.now()
  const load = closedLoop(LANES, seconds, async () => {
    const began = performance.now()
    let id: string
    try {
      id = await server.run(flowId)
    } catch {
      // Nobody promised anything: the client asks again.
      refused++
      return delay(20)
    }
    accept.add(performance.now() - began)
    const ended = finishes.of(id).then(() => {
      finish.add(performance.now() - began)
      open.delete(ended)
    })
    open.add(ended)
    await ended
  })
  const away: number[] = []
  for (let kill = 0; kill < times; kill++) {
    await delay(everyMs)
    away.push(await server.killAndRestart())
  }
  await Promise.race([
    load.then(() => Promise.all(open)),
    delay(seconds * 1_000 + PATIENCE_MS, undefined, { ref: false }),
  ])
  const took = (performance.now() - from) / 1_000
  const lost = accept.count - finish.count
  await finishes.close()
  await server.stop()
  print(`2 light steps with a kill -9 of the server every ${everyMs / 1_000} s (ms)`, [
    {
      'in flight': LANES,
      kills: away.length,
      'server away': Math.max(...away),
      accepted: accept.count,
      'not accepted, asked again': refused,
      'runs/s': Math.round(finish.count / took),
      ...accept.columns('accept'),
      ...finish.columns('finish'),
      lost,
    },
  ])
  if (lost > 0) throw new Error(`${lost} accepted runs were lost`)
}
