import { type FakeNode, fakeSteps, stepType } from '../../../engine/flow.fake.js'
import { connectionSettings } from '../../../platform/database/data-source.js'
import { Sql } from '../../../platform/database/sql.js'
import { engineProcess } from '../run-engine.fake.js'

/** The flows that `poison.fake.ts` knows when it is run as a program. */
export const POISON = 'flow_poison'
export const INNOCENT = 'flow_innocent'

/** Ends its process as `kill -9` does, whenever it runs. */
const kill = stepType('kill', () => new Promise(() => process.kill(process.pid, 'SIGKILL')), { stepClass: 'effect' })

const work = stepType(
  'work',
  async (_, step) => {
    await new Promise((resolve) => setTimeout(resolve, 400))
    return { output: step.input }
  },
  { stepClass: 'effect' },
)

const graphs = new Map<string, Record<string, FakeNode>>([
  [POISON, { first: { type: 'work', next: { default: 'kill' } }, kill: { type: 'kill' } }],
  [INNOCENT, { first: { type: 'work', next: { default: 'last' } }, last: { type: 'work' } }],
])

/** As a program: one engine on the database that is its argument, until it is killed. */
if (process.argv[1] === import.meta.filename) {
  const url = process.argv[2] ?? ''
  const sql = new Sql(connectionSettings({ url, poolSize: 5, applicationName: 'millrace test' }))
  await engineProcess({ sql, steps: [...fakeSteps, kill, work], graphs })
  console.log('ready')
}
