import type { Evaluation } from '../src/platform/sandbox/evaluation.js'
import { Sandbox } from '../src/platform/sandbox/sandbox.js'

// Throughput and CPU time of the script sandbox: evaluations per second with one and with eight in flight.
const rows = Array.from({ length: 80 }, (_, index) => ({
  id: index,
  region: ['north', 'south', 'east', 'west'][index % 4] as string,
  amount: (index * 37) % 101,
  note: `row number ${index} of a small table`,
}))

const cases: Record<string, Evaluation> = {
  'one small expression': {
    scripts: [{ code: 'input.name.toUpperCase()', form: 'expression' }],
    scope: { input: { name: 'ada' } },
  },
  'five expressions of one node': {
    scripts: ['`/users/${input.id}`', '"Bearer " + secrets.KEY', 'input.id * 2', 'shared.a ?? 1', 'Math.max(1, 2)'].map(
      (code) => ({ code, form: 'expression' as const }),
    ),
    scope: { input: { id: 7 }, shared: {}, secrets: { KEY: 'k' } },
  },
  'group 80 rows': {
    scripts: [
      {
        code: 'const sums = {}; for (const row of input.rows) sums[row.region] = (sums[row.region] ?? 0) + row.amount; return sums',
        form: 'body',
      },
    ],
    scope: { input: { rows } },
  },
  'unused 1 MB beside a small expression': {
    scripts: [{ code: 'input.name.length', form: 'expression' }],
    scope: {
      input: { name: 'ada' },
      results: { big: Array.from({ length: 10_000 }, () => rows[0] as object) as never },
    },
  },
}

async function measure(name: string, evaluation: Evaluation, inFlight: number): Promise<void> {
  const sandbox = new Sandbox({ workers: 2, workersPerTenant: inFlight > 1 ? 2 : 1, timeoutMs: 5_000, memoryMb: 64 })
  const once = () => sandbox.evaluate(evaluation, { tenant: 'bench' })
  const many = async (count: number) => {
    let left = count
    await Promise.all(
      Array.from({ length: inFlight }, async () => {
        while (left-- > 0) await once()
      }),
    )
  }
  await many(500)
  const count = 5_000
  const cpu = process.cpuUsage()
  const start = performance.now()
  await many(count)
  const wall = performance.now() - start
  const { user, system } = process.cpuUsage(cpu)
  await sandbox.close()
  const figures = [
    `${Math.round(count / (wall / 1_000))}/s`,
    `${(wall / count).toFixed(3)} ms each`,
    `${((user + system) / 1_000 / count).toFixed(3)} ms CPU`,
  ]
  console.log(`${name}, ${inFlight} at a time: ${figures.join(', ')}`)
}

for (const [name, evaluation] of Object.entries(cases)) {
  await measure(name, evaluation, 1)
  await measure(name, evaluation, 8)
}
