import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { EventStreamClient } from '../../../../test/support/event-stream.js'
import { FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'
import { likeReference } from '../../../../test/support/reference.js'
import { SealedRunSecrets } from '../../secrets/run-secrets.js'
import * as examples from './runs.examples.js'

let api: ApiUnderTest
let user: FlowRunnerUser
let stranger: FlowRunnerUser
let folder: string
let database: pg.Client

const JOBS: Record<string, string> = {
  'backup/daily/config.yaml': `
name: daily
version: 1.0.0
description: Daily backup job
security_profile: permissive
argspec:
  type: object
  properties:
    target: {type: string, description: Backup target directory}
    level: {type: integer, default: 3}
    password: {type: string, format: secret}
  required: [target]
command: ./run.sh
`,
  'backup/daily/run.sh': `#!/bin/sh
echo "Starting backup..."
echo "to $ARG_TARGET" >&2
if [ -f "$RUN_DIR/secrets/password" ]; then echo "with $(cat "$RUN_DIR/secrets/password")"; fi
if [ "$ARG_TARGET" = /fail ]; then exit 3; fi
if [ "$ARG_TARGET" = /wait ]; then sleep 300; fi
echo '{"files_backed_up":1234,"total_size_mb":5678}'
`,
  'Twice Here/config.yaml': 'name: twice\ncommand: echo 1\n',
  'twice-here/config.yaml': 'name: twice\ncommand: echo 2\n',
  'stages/config.yaml': `
name: stages
security_profile: permissive
composition: steps
steps:
  - {id: one, name: First, script: one.sh}
  - {id: two, name: Second, script: two.sh, needs: [one]}
`,
  'stages/one.sh': 'echo first\n',
  'stages/two.sh': `echo second\necho '{"done": true}'\n`,
}

// Each waits for processes, up to twenty seconds at a time.
vi.setConfig({ testTimeout: 60_000 })

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-runs-'))
  for (const [path, content] of Object.entries(JOBS)) {
    const file = join(folder, 'jobs', path)
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, content, { mode: 0o755 })
  }
  const sources = join(folder, 'sources.yaml')
  await writeFile(sources, `sources: [{name: local-fs, type: fs, path: ${join(folder, 'jobs')}}]\n`)
  api = await apiUnderTest({ JOB_SOURCES: sources, DATA_DIR: join(folder, 'data') })
  user = await FlowRunnerUser.login(api)
  stranger = await user.colleague('stranger@example.com')
  database = new pg.Client(api.databaseUrl)
  await database.connect()
})

afterAll(async () => {
  await database.end()
  await api.close()
  await rm(folder, { recursive: true, force: true })
})

const create = (body: object, key?: string) => {
  const request = user.post('/api/v1/runs', body)
  return key === undefined ? request : request.set('Idempotency-Key', key)
}

async function ended(id: string): Promise<Record<string, unknown>> {
  let run: Record<string, unknown> = {}
  await vi.waitUntil(
    async () => {
      run = (await user.get(`/api/v1/runs/${id}`).expect(200)).body
      return run.finished_at !== undefined
    },
    { timeout: 20_000, interval: 20 },
  )
  return run
}

describe('runs, as the reference shows them', () => {
  let id: string

  it('are created', async () => {
    const { body, headers } = await create({
      job_id: 'backup/daily',
      args: { target: '/mnt/backup' },
      tenant: 'default',
      async: true,
    }).expect(201)
    expect(likeReference(body)).toEqual(likeReference({ ...examples.createdRun, status: body.status }))
    expect(['pending', 'running']).toContain(body.status)
    id = body.run_id
    expect(headers.location).toBe(`/api/v1/runs/${id}`)
    expect(headers['idempotent-replay']).toBeUndefined()
    await ended(id)
  })

  it('are read, with arguments as they were used, and the result', async () => {
    const { body } = await user.get(`/api/v1/runs/${id}`).expect(200)
    expect(likeReference(body)).toEqual(likeReference({ ...examples.run, args: { target: '/mnt/backup', level: 3 } }))
    expect(body.result).toEqual(examples.run.result)
  })

  it('are listed, newest first, by job and by status', async () => {
    const { body: failed } = await create({ job_id: 'backup/daily', args: { target: '/fail' } }).expect(201)
    await ended(failed.run_id)
    const all = await user.get('/api/v1/runs?job_id=backup/daily').expect(200)
    expect(all.body.total).toBe(2)
    expect(all.body.runs.map((run: { run_id: string }) => run.run_id)).toEqual([failed.run_id, id])
    expect(all.body.runs[0]).toMatchObject({ status: 'failed', error: expect.any(String) })
    const good = await user.get('/api/v1/runs?job_id=backup%2Fdaily&status=success').expect(200)
    expect(likeReference(good.body)).toEqual(likeReference({ ...examples.runList, total: 1 }))
    const page = await user.get('/api/v1/runs?limit=1&offset=1').expect(200)
    expect(page.body.runs).toHaveLength(1)
    expect((await user.get('/api/v1/runs?job_id=no/such').expect(200)).body).toEqual({ runs: [], total: 0 })
    await user.get('/api/v1/runs?status=done').expect(400)
    await user.get('/api/v1/runs?limit=0').expect(400)
  })

  it('have logs', async () => {
    const { body } = await user.get(`/api/v1/runs/${id}/logs`).expect(200)
    const lines = body.logs.filter((line: { channel?: string }) => line.channel)
    expect(lines[0]).toMatchObject({
      level: 'info',
      message: 'Starting backup...',
      step_id: 'step_01',
      channel: 'stdout',
    })
    const error = lines.find((line: { channel: string }) => line.channel === 'stderr')
    expect(error).toMatchObject({ message: 'to /mnt/backup', step_id: 'step_01' })
    const since = body.logs.at(-1).timestamp
    const late = await user.get(`/api/v1/runs/${id}/logs?since=${encodeURIComponent(since)}`).expect(200)
    expect(late.body.logs.length).toBeGreaterThan(0)
    expect(late.body.logs.every((line: { timestamp: string }) => line.timestamp >= since)).toBe(true)
    expect((await user.get(`/api/v1/runs/${id}/logs?limit=1`).expect(200)).body.logs).toHaveLength(1)
    await user.get(`/api/v1/runs/${id}/logs?since=yesterday`).expect(400)
  })

  it('are cancelled, with everything that they have started', async () => {
    const { body } = await create({ job_id: 'backup/daily', args: { target: '/wait' } }).expect(201)
    await vi.waitUntil(
      async () =>
        (await user.get(`/api/v1/runs/${body.run_id}/logs`).expect(200)).body.logs.some(
          (line: { message: string }) => line.message === 'to /wait',
        ),
      { timeout: 20_000 },
    )
    const cancelled = await user.post(`/api/v1/runs/${body.run_id}/cancel`).expect(200)
    expect(cancelled.body).toEqual({ run_id: body.run_id, status: 'cancelled' })
    expect(await ended(body.run_id)).toMatchObject({ status: 'cancelled' })
    const again = await user.post(`/api/v1/runs/${body.run_id}/cancel`).expect(409)
    expect(again.body).toEqual({
      type: 'https://flowd.org/problems/run-finished',
      title: 'Run Already Finished',
      status: 409,
      detail: `The run '${body.run_id}' has already finished: its status is cancelled`,
      instance: `/api/v1/runs/${body.run_id}/cancel`,
      requestId: expect.any(String),
    })
    const { body: done } = await create({ job_id: 'stages', async: false }).expect(201)
    const late = await user.post(`/api/v1/runs/${done.run_id}/cancel`).expect(409)
    expect(late.body.detail).toBe(`The run '${done.run_id}' has already finished: its status is success`)
  })
})

describe('a run that is waited for', () => {
  it('answers with its result', async () => {
    const { body } = await create({ job_id: 'stages', async: false }).expect(201)
    expect(body).toMatchObject({ status: 'success', result: { value: { done: true } }, args: {} })
    expect(body.finished_at).toBeTruthy()
  })

  it('that fails is no error', async () => {
    const { body } = await create({ job_id: 'backup/daily', args: { target: '/fail' }, async: false }).expect(201)
    expect(body).toMatchObject({ status: 'failed', error: expect.stringContaining('3') })
    expect(body.result).toBeUndefined()
  })
})

describe('what is refused', () => {
  it('is told by argument, all at once, and never with its value', async () => {
    const { body } = await create({
      job_id: 'backup/daily',
      args: { level: 'hunter2hunter2', password: 7, other: 1 },
    }).expect(400)
    expect(body).toMatchObject({ type: 'https://flowd.org/problems/validation-error', title: 'Validation Error' })
    const pointers = body.errors.map((fault: { pointer: string }) => fault.pointer)
    expect(pointers).toEqual(
      expect.arrayContaining(['#/args/target', '#/args/level', '#/args/password', '#/args/other']),
    )
    expect(JSON.stringify(body)).not.toContain('hunter2')
    const short = await create({ job_id: 'backup/daily', args: { target: '/x', password: 'abc' } }).expect(400)
    expect(short.body.errors).toEqual([expect.objectContaining({ pointer: '#/args/password', code: 'too_short' })])
    await create({ args: {} }).expect(400)
    await create({ job_id: 'stages', args: [] }).expect(400)
    await create({ job_id: 'stages', more: 1 }).expect(400)
  })

  it('is another tenant, a profile that requests may not choose, and a job that is not there', async () => {
    const tenant = await create({ job_id: 'stages', tenant: 'other' }).expect(403)
    expect(tenant.body.type).toBe('https://flowd.org/problems/permission-denied')
    const profile = await create({ job_id: 'stages', security_profile: 'disabled' }).expect(403)
    expect(profile.body.type).toBe('https://flowd.org/problems/permission-denied')
    const job = await create({ job_id: 'no/such' }).expect(404)
    expect(job.body).toMatchObject({
      type: 'https://flowd.org/problems/job-not-found',
      title: 'Job Not Found',
      instance: '/api/v1/runs',
    })
  })

  it('is an id that several jobs have', async () => {
    const { body } = await create({ job_id: 'twice-here' }).expect(409)
    expect(body).toMatchObject({ type: 'https://flowd.org/problems/job-id-collision', status: 409 })
  })

  it('is what others have', async () => {
    const { body } = await create({ job_id: 'stages', async: false }).expect(201)
    for (const path of ['', '/logs', '/logs?follow=true'])
      await stranger.get(`/api/v1/runs/${body.run_id}${path}`).expect(404)
    const missing = await stranger.post(`/api/v1/runs/${body.run_id}/cancel`).expect(404)
    expect(missing.body).toMatchObject({ type: 'https://flowd.org/problems/run-not-found', title: 'Run Not Found' })
    expect((await stranger.get('/api/v1/runs?job_id=stages').expect(200)).body).toEqual({ runs: [], total: 0 })
  })

  it('is a viewer who starts or ends a run, and nobody at all', async () => {
    const password = 'correct horse battery'
    const email = 'viewer@example.com'
    await user.post('/api/v1/accounts', { name: email, email, password, role: 'viewer' }).expect(201)
    const viewer = await FlowRunnerUser.login(api, { email, password })
    await viewer.post('/api/v1/runs', { job_id: 'stages' }).expect(403)
    await viewer.post('/api/v1/runs/run_1/cancel').expect(403)
    await viewer.get('/api/v1/runs').expect(200)
    await api.post('/api/v1/runs').send({ job_id: 'stages' }).expect(401)
  })
})

describe('an Idempotency-Key', () => {
  const key = 'backup-2024-01-15-0000001'

  it('gives the same run again, says so, and refuses another body', async () => {
    const first = await create({ job_id: 'stages', async: false }, key).expect(201)
    const again = await create({ job_id: 'stages', async: true }, key).expect(201)
    expect(again.body.run_id).toBe(first.body.run_id)
    expect(again.headers['idempotent-replay']).toBe('true')
    const waited = await create({ job_id: 'stages', async: false }, key).expect(201)
    expect(waited.body).toEqual(first.body)
    await create({ job_id: 'backup/daily', args: { target: '/a' } }, key).expect(201)
    const other = await create({ job_id: 'backup/daily', args: { target: '/b' } }, key).expect(422)
    expect(other.body).toMatchObject({ type: '/problems/idempotency-key-reused', status: 422 })
  })

  it('is its account’s own: others may have the same for the same job', async () => {
    const { body } = await stranger.post('/api/v1/runs', { job_id: 'stages' }).set('Idempotency-Key', key).expect(201)
    expect((await user.get('/api/v1/runs?job_id=stages').expect(200)).body.runs).not.toContainEqual(
      expect.objectContaining({ run_id: body.run_id }),
    )
    await vi.waitUntil(
      async () => (await stranger.get(`/api/v1/runs/${body.run_id}`).expect(200)).body.finished_at !== undefined,
      { timeout: 20_000 },
    )
  })

  it.each(['short', 'a'.repeat(129), 'twenty characters with blanks', 'ümlaut-ümlaut-ümlaut-x'.replace(/ü/g, '%')])(
    'has to be a word of some length: %s',
    async (word) => {
      await create({ job_id: 'stages' }, word).expect(400)
    },
  )
})

describe('secrets among the arguments', () => {
  const password = 'correct-horse-battery-staple'

  it('reach the step and nobody else, and are gone when the run has ended', async () => {
    const secrets = api.app.get(SealedRunSecrets)
    const { body } = await create({ job_id: 'backup/daily', args: { target: '/wait', password } }).expect(201)
    const id: string = body.run_id
    let logs: { message: string }[] = []
    await vi.waitUntil(
      async () => {
        logs = (await user.get(`/api/v1/runs/${id}/logs`).expect(200)).body.logs
        return logs.some(({ message }) => message.startsWith('with '))
      },
      { timeout: 20_000 },
    )
    expect(logs.find(({ message }) => message.startsWith('with '))?.message).not.toContain(password)
    const { rows } = await database.query('select * from run_secret where run_id = $1', [id])
    expect(rows).toHaveLength(1)
    expect(rows[0].sealed.toString('latin1')).not.toContain(password)
    expect(await secrets.of({ id, tenantId: 'default' } as never)).toEqual({ password })
    expect((await user.get(`/api/v1/runs/${id}`).expect(200)).body.args.password).toBe('[secret]')
    await user.post(`/api/v1/runs/${id}/cancel`).expect(200)
    expect((await database.query('select from run_secret where run_id = $1', [id])).rows).toEqual([])
    const done = await create({ job_id: 'backup/daily', args: { target: '/x', password }, async: false }).expect(201)
    expect((await database.query('select from run_secret')).rows).toEqual([])
    expect(JSON.stringify(done.body)).not.toContain(password)
    const tables = ['run', 'run_event_chunk', 'step_outcome', 'audit_entry']
    for (const table of tables) {
      const found = await database.query(`select from ${table} t where t::text like $1`, [`%${password}%`])
      expect([table, found.rows.length]).toEqual([table, 0])
    }
  })

  it('leave nothing where the run was not accepted, or never came', async () => {
    const key = 'with-a-secret-0000000000001'
    const args = { target: '/x', password }
    const first = await create({ job_id: 'backup/daily', args, async: false }, key).expect(201)
    const again = await create({ job_id: 'backup/daily', args }, key).expect(201)
    expect(again.body.run_id).toBe(first.body.run_id)
    const other = await create({ job_id: 'backup/daily', args: { target: '/x', password: `${password}!` } }, key)
    expect([other.status, other.body.type]).toEqual([422, '/problems/idempotency-key-reused'])
    expect((await database.query('select from run_secret')).rows).toEqual([])
    const secrets = api.app.get(SealedRunSecrets)
    await secrets.keep({ id: 'run_never', tenantId: 'default' }, { password })
    await secrets.sweep()
    expect((await database.query('select from run_secret')).rows).toHaveLength(1)
    await database.query(`update run_secret set created_at = now() - interval '2 hours'`)
    await secrets.sweep()
    expect((await database.query('select from run_secret')).rows).toEqual([])
  })
})

describe('the log as a stream', () => {
  const open = (id: string, query = '', headers: Record<string, string> = {}) =>
    EventStreamClient.open(api, `/api/v1/runs/${id}/logs?follow=true${query}`, {
      Authorization: user.authorization,
      ...headers,
    })

  it('tells what was and what comes, each line once, and ends with the run', async () => {
    const { body } = await create({ job_id: 'backup/daily', args: { target: '/wait' } }).expect(201)
    const stream = await open(body.run_id)
    expect(stream.response.headers.get('content-type')).toBe('text/event-stream')
    await stream.until(({ data }) => data.message === 'to /wait', 20_000)
    expect(stream.hasEnded).toBe(false)
    await user.post(`/api/v1/runs/${body.run_id}/cancel`).expect(200)
    await stream.ended()
    expect(new Set(stream.events.map(({ event }) => event))).toEqual(new Set(['log']))
    const { body: page } = await user.get(`/api/v1/runs/${body.run_id}/logs`).expect(200)
    expect(stream.events.map(({ data }) => data)).toEqual(page.logs)
    const ids = stream.events.map(({ id }) => Number(id))
    for (const [index, { id }] of stream.events.entries()) {
      const rest = await open(body.run_id, '', { 'Last-Event-ID': id })
      await rest.ended()
      expect(rest.events).toEqual(stream.events.slice(index + 1))
    }
    const since = stream.events.at(-1)?.data.timestamp
    const late = await open(body.run_id, `&since=${encodeURIComponent(since)}`)
    await late.ended()
    expect(late.events.length).toBeGreaterThan(0)
    for (const cursor of ['x', '-1', '1.5', String(Math.max(...ids) + 1_000)])
      await user.get(`/api/v1/runs/${body.run_id}/logs?follow=true`).set('Last-Event-ID', cursor).expect(400)
  })

  it('is of any run of the caller, as run ids work everywhere', async () => {
    const flow = await user.flow({
      start: { type: 'transform', params: { script: 'console.log("hello"); return { a: 1 }' } },
    })
    const id = await user.start(flow, {})
    await ended(id)
    const { body } = await user.get(`/api/v1/runs/${id}`).expect(200)
    expect(body).toMatchObject({ job_id: flow, status: 'success', result: { value: { a: 1 } } })
    expect((await user.get(`/api/v1/runs?job_id=${flow}`).expect(200)).body.total).toBe(1)
    const stream = await open(id)
    await stream.ended()
    expect(stream.events.map(({ data }) => data.message)).toContain('hello')
    const { body: job } = await create({ job_id: 'stages', async: false }).expect(201)
    const execution = await user.get(`/api/v1/executions/${job.run_id}`).expect(200)
    expect(execution.body).toMatchObject({ id: job.run_id, status: 'completed' })
  })
})

describe('the events of a job’s run', () => {
  it('are the documented ones, from its acceptance on, with the steps by their ids', async () => {
    const stream = await EventStreamClient.open(api, '/api/v1/events/runs?job_id=stages', {
      Authorization: user.authorization,
    })
    const { body } = await create({ job_id: 'stages', async: false }).expect(201)
    await stream.until(({ event, data }) => event === 'run.finished' && data.run_id === body.run_id)
    await stream.leave()
    const told = stream.events.map(({ event, data }) => [
      event,
      data.step_id,
      data.status,
      data.channel,
      data.exit_code,
    ])
    expect(told.filter(([event]) => event !== 'run.output')).toEqual([
      ['run.created', undefined, 'pending', undefined, undefined],
      ['run.started', undefined, 'running', undefined, undefined],
      ['step.started', 'one', 'running', undefined, undefined],
      ['step.output', 'one', undefined, 'stdout', undefined],
      ['step.finished', 'one', 'success', undefined, 0],
      ['step.started', 'two', 'running', undefined, undefined],
      ['step.output', 'two', undefined, 'stdout', undefined],
      ['step.output', 'two', undefined, 'stdout', undefined],
      ['step.finished', 'two', 'success', undefined, 0],
      ['run.finished', undefined, 'success', undefined, undefined],
    ])
    expect(stream.events.every(({ data }) => data.job_id === 'stages')).toBe(true)
  })

  it('tell of a failure what it ended with', async () => {
    const { body } = await create({ job_id: 'backup/daily', args: { target: '/fail' }, async: false }).expect(201)
    const stream = await EventStreamClient.open(api, `/api/v1/events/runs?run_id=${body.run_id}`, {
      Authorization: user.authorization,
    })
    await stream.ended()
    const failed = stream.events.find(({ event }) => event === 'step.finished')
    expect(failed?.data).toMatchObject({ status: 'failed', exit_code: 3, level: 'error' })
    expect(stream.events.at(-1)?.data).toMatchObject({ status: 'failed', error: expect.any(String) })
  })
})
