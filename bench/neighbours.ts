import { setTimeout as delay } from 'node:timers/promises'
import { Finishes } from './finishes.js'
import type { Build, Lab } from './lab.js'
import { closedLoop, openLoop, Samples } from './load.js'
import { print, type Row } from './table.js'
import { TWO_LIGHT_STEPS } from './workloads.js'

/** Runs that the heavy account has queued from the beginning, and starts of its that are in flight all the time. */
const BACKLOG = 20_000
const IN_FLIGHT = 128
/** What the light account begins each second. */
const PER_SECOND = 5
/** How long a light run may be waited for: without turns it comes after the backlog. */
const PATIENCE_MS = 120_000

/** An account that has a few runs, while another floods the server: how long they take, beside the same alone. */
export async function neighbours(lab: Lab): Promise<void> {
  const rows: Row[] = []
  for (const build of lab.builds) rows.push(...(await measured(lab, build)))
  print(
    `light runs of one account (${PER_SECOND} each second; ms) while another has ${BACKLOG} queued and ${IN_FLIGHT} starts in flight`,
    rows,
  )
}

async function measured(lab: Lab, build: Build): Promise<Row[]> {
  const url = await lab.database()
  const server = await lab.server(url, build)
  const light = await server.another('light@example.com')
  const finishes = await Finishes.open(url, 5)
  const named = lab.builds.length > 1 ? { build: build.name } : {}
  try {
    const [heavyFlow, lightFlow] = [await server.createFlow(TWO_LIGHT_STEPS), await light.createFlow(TWO_LIGHT_STEPS)]
    const load = async (): Promise<Samples> => {
      const samples = new Samples()
      await openLoop(PER_SECOND, lab.seconds, async (began) => {
        const id = await light.run(lightFlow)
        await Promise.race([finishes.of(id), delay(PATIENCE_MS, undefined, { ref: false })])
        samples.add(performance.now() - began)
      })
      return samples
    }
    await closedLoop(8, lab.warmUpSeconds, async () => {
      await finishes.of(await light.run(lightFlow))
    })
    const alone = await load()
    await lab.queue(url, heavyFlow, BACKLOG)
    let isOver = false
    let heavyRuns = 0
    const flood = Promise.all(
      Array.from({ length: IN_FLIGHT }, async () => {
        while (!isOver) {
          await server.run(heavyFlow)
          heavyRuns++
        }
      }),
    )
    const from = performance.now()
    const beside = await load()
    const seconds = (performance.now() - from) / 1_000
    const left = await lab.queued(url)
    isOver = true
    await flood
    const row = (what: string, samples: Samples): Row => ({
      ...named,
      'light account': what,
      ...samples.columns('finish'),
      'times alone p50': samples.quantile(0.5) / alone.quantile(0.5),
      'times alone p99': samples.quantile(0.99) / alone.quantile(0.99),
    })
    return [
      row('alone', alone),
      { ...row('beside the flood', beside), 'heavy starts/s': Math.round(heavyRuns / seconds), 'still queued': left },
    ]
  } finally {
    await finishes.close()
    await light.close()
    await server.stop()
  }
}
