import { beforeEach, describe, expect, it } from 'vitest'
import type { Transaction } from '../engine/step.js'
import type { JsonObject } from '../platform/json.js'
import { cron } from './cron.js'
import { InMemoryFlowSchedules } from './flow-schedules.fake.js'
import { FakeStepContext, type FakeStepOptions, failure, runStep } from './step-context.fake.js'

let schedules: InMemoryFlowSchedules
beforeEach(() => {
  schedules = new InMemoryFlowSchedules()
})

const context = (options: FakeStepOptions = {}) =>
  new FakeStepContext({ now: new Date('2026-01-01T12:00:00Z'), nextNode: 'report', input: { from: 'run' }, ...options })
const run = (params: JsonObject, step = context()) => runStep(cron(schedules), params, step)
const output = async (params: JsonObject) => (await run(params)).output
const run1 = context().run

describe('cron', () => {
  it('schedules this flow from the next node on, with the incoming data', async () => {
    const made = (await output({ operation: 'schedule', schedule: '0 9 * * *' })) as JsonObject
    expect(made).toEqual({
      job_id: expect.stringMatching(/^cron_[0-9a-f]{24}$/),
      entry_id: made.job_id,
      schedule: '0 9 * * *',
      next_run_time: '2026-01-02T09:00:00.000Z',
    })
    expect(await schedules.list(run1)).toEqual([
      {
        id: made.job_id,
        cron: '0 9 * * *',
        timezone: 'UTC',
        flowId: 'flow_1',
        node: 'report',
        payload: { from: 'run' },
      },
    ])
  })

  it.each<[JsonObject, string]>([
    [{ schedule: '*/30 * * * * *' }, '2026-01-01T12:00:30.000Z'],
    [{ schedule: '0 9 * * *', timezone: 'Asia/Tokyo' }, '2026-01-02T00:00:00.000Z'],
    [{ schedule: '@daily' }, '2026-01-02T00:00:00.000Z'],
    [{ schedule: '0 0 29 2 *' }, '2028-02-29T00:00:00.000Z'],
  ])('%j is next due at %s', async (params, next) => {
    expect(await output(params)).toMatchObject({ next_run_time: next })
  })

  it('hands no secret on', async () => {
    const step = context({ secrets: ['hunter22'] })
    await run({ schedule: '@daily', payload: { key: 'is hunter22' } }, step)
    expect((await schedules.list(run1))[0]?.payload).toEqual({ key: 'is ***' })
  })

  it('replaces its schedule on another attempt, and by id', async () => {
    for (const attempt of [1, 2]) await run({ schedule: '0 9 * * *' }, context({ attempt }))
    expect(await schedules.list(run1)).toHaveLength(1)
    await run({ schedule: '0 9 * * *', id: 'daily' })
    await run({ schedule: '0 10 * * *', id: 'daily' })
    expect(await schedules.get(run1, 'daily')).toMatchObject({ cron: '0 10 * * *' })
    expect(await schedules.list(run1)).toHaveLength(2)
  })

  it('schedules another flow from its start, or a node by its name', async () => {
    await run({ schedule: '0 9 * * *', id: 'a', flow_id: 'flow_2', payload: null })
    await run({ schedule: '0 9 * * *', id: 'b', flow_id: 'current', node_id: 'cleanup' })
    expect(await schedules.get(run1, 'a')).toMatchObject({ flowId: 'flow_2', node: undefined, payload: null })
    expect(await schedules.get(run1, 'b')).toMatchObject({ flowId: 'flow_1', node: 'cleanup' })
  })

  it('refuses to start over where there is no next node', async () => {
    const step = context({ nextNode: undefined })
    expect((await failure(run({ schedule: '0 9 * * *' }, step))).message).toContain('cron has no next node to start at')
  })

  it('lists, shows with the last ten executions, and deletes', async () => {
    await run({ schedule: '0 9 * * *', id: 'daily' })
    schedules.executions.set(
      'daily',
      Array.from({ length: 12 }, (_, at) => ({ execution_id: `run_${at}` })),
    )
    const job = { id: 'daily', job_id: 'daily', schedule: '0 9 * * *', flow_id: 'flow_1', node_id: 'report' }
    expect(await output({ operation: 'list' })).toMatchObject({ jobs: [job] })
    const shown = (await output({ operation: 'get', id: 'daily' })) as { executions: JsonObject[] }
    expect(shown).toMatchObject(job)
    expect(shown.executions).toHaveLength(10)
    expect(shown.executions[0]).toEqual({ execution_id: 'run_0' })
    expect(await output({ operation: 'delete', id: 'daily' })).toEqual({ deleted: true, id: 'daily' })
    expect(await output({ operation: 'list' })).toEqual({ jobs: [] })
    for (const operation of ['get', 'delete']) {
      expect(await failure(run({ operation, id: 'daily' }))).toMatchObject({
        message: 'cron job not found: daily',
        code: 'schedule_not_found',
      })
    }
  })

  it.each(['61 * * * *', 'hourly', '* * * *', '* * * * * * *', '', '@every'])(
    'refuses the schedule %j',
    async (schedule) => {
      const error = await failure(run({ schedule }))
      expect(error).toMatchObject({ code: 'invalid_params', retryable: false })
      expect(error.message).toContain('schedule must be a cron expression of 5 or 6 fields')
    },
  )

  it('refuses a schedule that never comes', async () => {
    expect(await failure(run({ schedule: '0 0 31 2 *' }))).toMatchObject({ code: 'invalid_schedule', retryable: false })
    expect(await schedules.list(run1)).toEqual([])
  })
})

describe('the class of an operation', () => {
  it.each(['list', 'get'])('%s only reads', (operation) => {
    expect(cron(schedules).classOf?.({ operation })).toBe('pure')
  })

  it.each<JsonObject>([{}, { operation: 'schedule' }, { operation: 'delete' }, { operation: '${input.operation}' }])(
    '%j writes',
    (params) => {
      expect(cron(schedules).classOf?.(params)).toBe('transactional')
    },
  )

  it('that writes writes in the transaction that it is given', async () => {
    const transaction = {} as Transaction
    await run({ schedule: '0 9 * * *', id: 'daily' }, context({ transaction }))
    expect(schedules.joined).toBe(transaction)
    expect(await schedules.list(run1)).toHaveLength(1)
  })
})
