import { InProcess, lightFlow } from './in-process.js'
import type { Lab } from './lab.js'
import { closedLoop, Samples } from './load.js'
import { print, type Row } from './table.js'
import { Meter, perRun } from './usage.js'

const LANES = 64

/**
 * Our journal against one that commits every record alone: same engine, same steps, same Postgres, no HTTP. Resolves with runs per second
 * of two steps.
 */
export async function engineAlone(lab: Lab): Promise<number> {
  const url = await lab.migrated()
  const meter = await Meter.open(url)
  const sql = lab.sql(url)
  const rows: Row[] = []
  let best = 0
  const workloads = [
    ['2 light steps', lightFlow(2, 'pure'), LANES],
    ['2 effect steps', lightFlow(2, 'effect'), LANES],
    ['40 light steps', lightFlow(40, 'pure'), LANES],
    ['40 effect steps', lightFlow(40, 'effect'), LANES],
    ['40 light steps', lightFlow(40, 'pure'), 1],
    ['40 effect steps', lightFlow(40, 'effect'), 1],
  ] as const
  for (const [workload, graph, lanes] of lab.options.short ? workloads.slice(0, 3) : workloads) {
    let grouped = 0
    for (const kind of ['group', 'commit per record'] as const) {
      const host = await InProcess.start(sql, kind, graph)
      await closedLoop(lanes, lab.warmUpSeconds, () => host.run())
      const before = await meter.settled()
      const finish = new Samples()
      const from = performance.now()
      await closedLoop(lanes, lab.seconds, async () => {
        const began = performance.now()
        await host.run()
        finish.add(performance.now() - began)
      })
      const rate = finish.count / ((performance.now() - from) / 1_000)
      const after = await meter.settled()
      await host.stop()
      if (kind === 'group') grouped = rate
      best = Math.max(best, graph.nodes.size === 2 ? rate : 0)
      rows.push({
        workload,
        'in flight': lanes,
        journal: kind,
        'runs/s': Math.round(rate),
        'steps/s': Math.round(rate * graph.nodes.size),
        ...finish.columns('finish'),
        'per step p50': finish.quantile(0.5) / graph.nodes.size,
        ...perRun(before, after, finish.count),
        'group is': kind === 'group' ? '' : `${(grouped / rate).toFixed(1)}x faster`,
      })
    }
  }
  print('The engine alone: group commit against a commit per record (ms)', rows)
  await sql.close()
  await meter.close()
  return best
}
