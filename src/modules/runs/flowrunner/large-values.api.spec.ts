import { mkdtemp, readdir, readFile, rm, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'

const SECRET = 'a-secret-that-nobody-may-read'
const LARGE = 'large '.repeat(10_000)

let dataDir: string
let api: ApiUnderTest
let user: FlowRunnerUser
let database: pg.Client

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'millrace-values-'))
  api = await apiUnderTest({ DATA_DIR: dataDir })
  user = await FlowRunnerUser.login(api)
  await user.secret('KEY', SECRET)
  database = new pg.Client({ connectionString: api.databaseUrl })
  await database.connect()
})

afterAll(async () => {
  await database.end()
  await api.close()
  await rm(dataDir, { recursive: true, force: true })
})

const script = (code: string, next?: string) => ({
  type: 'transform',
  params: { script: code },
  ...(next && { next: { default: next } }),
})

describe('inputs, outputs and results that are too large for rows', () => {
  it('are objects that the rows refer to, and read as if they were not', async () => {
    const flow = await user.flow({
      start: script('return { echo: input.text, key: secrets.KEY }', 'small'),
      small: script('return { size: input.echo.length }', 'end'),
      end: script('return { text: "result " + "x".repeat(20000) }'),
    })
    const id = await user.start(flow, { text: LARGE })
    const ended = await user.ended(id)
    expect(ended.input).toEqual({ text: LARGE })
    expect(ended.result).toEqual({ text: `result ${'x'.repeat(20_000)}` })

    const run = await row('select input, input_ref, result, result_ref from run where id = $1', [id])
    expect(run).toMatchObject({ input: null, result: null })
    expect(run.input_ref).toMatch(/^sha256:[0-9a-f]{64}:60011$/)
    expect(run.result_ref).toMatch(/^sha256:[0-9a-f]{64}:20018$/)
    const { rows } = await database.query(
      'select path, output, output_ref from step_outcome where run_id = $1 order by path',
      [id],
    )
    expect(rows.map(({ path, output, output_ref }) => [path, output, output_ref === null])).toEqual([
      ['end', null, false],
      ['small', { size: LARGE.length }, true],
      ['start', null, false],
    ])
    // What was secret is so in the object too.
    const kept = await readFile(pathOf(rows[2].output_ref), 'utf8')
    expect(kept).toContain(LARGE)
    expect(kept).not.toContain(SECRET)

    const watcher = user.watch(id)
    expect(await watcher.closed()).toBe(1000)
    const results = watcher.of('node_completed').map(({ result }) => result)
    expect(results[0]).toMatchObject({ echo: LARGE })
    expect(results[2]).toEqual(ended.result)
    expect(watcher.of('execution_completed')[0]?.result).toEqual(ended.result)
  })

  it('are those of a flow that another one runs too', async () => {
    const inner = await user.flow({ start: script('return { text: input.text + "!" }') })
    const id = await user.start(
      await user.flow({
        start: {
          type: 'flow.run',
          params: { flow_id: inner, input: { text: '${input.text}' } },
          next: { default: 'end' },
        },
        end: script('return { size: input.text.length }'),
      }),
      { text: LARGE },
    )
    expect((await user.ended(id)).result).toEqual({ size: LARGE.length + 1 })
  })

  it('are there when a run goes on that was not in memory', async () => {
    const id = await parked(script('return { text: input.text }', 'nap'))
    await wake(id)
    const ended = await user.ended(id)
    expect(ended.result).toEqual({ size: LARGE.length })
  })

  it('answer 503 where they are gone, and end a run that needs them', async () => {
    const id = await parked(script('return { text: input.text + "gone" }', 'nap'))
    const { output_ref } = await row(`select output_ref from step_outcome where run_id = $1 and path = 'start'`, [id])
    await rm(pathOf(output_ref))
    await wake(id)
    const ended = await user.ended(id)
    expect(ended.status).toBe('failed')
    expect(ended.error).toContain(output_ref)
    expect(await row('select error from run where id = $1', [id])).toMatchObject({
      error: { code: 'value_unavailable' },
    })
    // Its log and its end are still to be had; its input, once that is gone too, is not made up.
    const { input_ref } = await row('select input_ref from run where id = $1', [id])
    await rm(pathOf(input_ref))
    const { body } = await user.get(`/api/v1/executions/${id}`).expect(503)
    expect(body).toMatchObject({ title: 'Value unavailable', status: 503 })
    expect(body.type).toMatch(/value-unavailable$/)
    expect((await user.logs(id)).length).toBeGreaterThan(0)
    expect((await user.get('/api/v1/executions?limit=100').expect(200)).body.executions.length).toBeGreaterThan(0)
  })

  it('answer 503 where they are damaged', async () => {
    const id = await user.start(await user.flow({ start: script('return input.text.length') }), {
      text: `${LARGE}damaged`,
    })
    await user.ended(id)
    const { input_ref } = await row('select input_ref from run where id = $1', [id])
    await truncate(pathOf(input_ref), 1_000)
    await user.get(`/api/v1/executions/${id}`).expect(503)
  })

  it('leave nothing half-written behind', async () => {
    expect(await readdir(join(dataDir, 'objects', '.incoming'))).toEqual([])
  })
})

/** Starts a run of a node `start` and a long nap, and waits until it is out of memory. */
async function parked(start: object): Promise<string> {
  const flow = await user.flow({
    start: start as Record<string, unknown>,
    nap: { type: 'delay', params: { duration: '1h' }, next: { default: 'end' } },
    end: script('return { size: input.text.length }'),
  })
  const id = await user.start(flow, { text: LARGE })
  await vi.waitUntil(async () => (await row('select state from run where id = $1', [id])).state === 'waiting', {
    timeout: 10_000,
  })
  return id
}

async function wake(id: string): Promise<void> {
  await database.query('update timer set due_at = now() where run_id = $1', [id])
  await database.query('update run set wake_at = now() where id = $1', [id])
}

function pathOf(reference: string): string {
  const sha256 = reference.split(':')[1] ?? ''
  return join(dataDir, 'objects', 'run-values', 'default', sha256.slice(0, 2), sha256)
}

async function row(text: string, values: unknown[]) {
  const { rows } = await database.query(text, values)
  return rows[0]
}
