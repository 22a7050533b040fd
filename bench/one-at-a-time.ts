import { Finishes } from './finishes.js'
import type { Lab } from './lab.js'
import { Samples } from './load.js'
import { print, type Row } from './table.js'
import { FORTY_LIGHT_STEPS, FORTY_SCRIPTS } from './workloads.js'

/** How long one execution takes while nothing else is done. */
export async function oneAtATime(lab: Lab): Promise<void> {
  const runs = lab.options.short ? 30 : 100
  const url = await lab.database()
  const server = await lab.server(url)
  const rows: Row[] = []
  for (const [workload, definition] of [
    ['40 light steps', FORTY_LIGHT_STEPS],
    ['40 scripts', FORTY_SCRIPTS],
  ] as const) {
    const flowId = await server.createFlow(definition)
    const finishes = await Finishes.open(url, 0)
    const finish = new Samples()
    for (let run = -5; run < runs; run++) {
      const began = performance.now()
      await finishes.of(await server.run(flowId))
      if (run >= 0) finish.add(performance.now() - began)
    }
    await finishes.close()
    rows.push({ workload, ...finish.columns('execution'), 'per step p50': finish.quantile(0.5) / 40 })
  }
  await server.stop()
  print('One execution at a time, over HTTP (ms)', rows)
}
