import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'
import { Sql } from '../../../platform/database/sql.js'

let api: ApiUnderTest
let user: FlowRunnerUser

beforeAll(async () => {
  api = await apiUnderTest()
  user = await FlowRunnerUser.login(api)
})

afterAll(() => api.close())

describe('x-run', () => {
  it('says where its executions stand', async () => {
    const flow = await user.flow(`
metadata: {name: Limited}
x-run: {priority: 7, tag: nobody, concurrency: {key: 'c \${input.customer}', limit: 2}}
nodes:
  only: {type: transform, params: {script: return 1}}
`)
    const id = await user.start(flow, { customer: 12 })
    expect(await row(id)).toMatchObject({
      priority: 7,
      tag: 'nobody',
      concurrency_key: `${flow}:c 12`,
      concurrency_limit: 2,
    })
    // Nobody serves the tag; FlowRunner has one word for all that has not ended.
    expect(await user.execution(id)).toMatchObject({ status: 'running' })
    expect(await row(id)).toMatchObject({ state: 'queued' })
    await user.delete(`/api/v1/executions/${id}`).expect(200)
  })

  it('lets as many work at a time as its limit says, and the others in when one has ended', async () => {
    const flow = await user.flow(`
metadata: {name: Slow}
x-run: {concurrency: {limit: 2}}
nodes:
  slow: {type: delay, params: {duration: 300ms}}
`)
    const ids = await Promise.all(Array.from({ length: 6 }, () => user.start(flow)))
    let most = 0
    await vi.waitUntil(
      async () => {
        const rows = await api.app
          .get(Sql)
          .query<{ state: string }>({ name: 'limits', text: 'select state from run where id = any ($1)' }, [ids])
        most = Math.max(most, rows.filter(({ state }) => state === 'running').length)
        return rows.every(({ state }) => state === 'completed')
      },
      { timeout: 15_000, interval: 5 },
    )
    expect(most).toBe(2)
  })
})

async function row(id: string) {
  const [run] = await api.app.get(Sql).query({ name: 'limits_row', text: 'select * from run where id = $1' }, [id])
  return run
}
