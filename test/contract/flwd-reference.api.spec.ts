import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../support/api.js'
import { EventStreamClient } from '../support/event-stream.js'
import { FlowRunnerUser } from '../support/flowrunner-user.js'
import { likeReference } from '../support/reference.js'

/** flwd's reference from its beginning to its end: a client that was written by it meets each of its JSON documents in this order. */

const CONFIG = `
version: 1.0.0
description: Daily backup job
security_profile: permissive
argspec:
  type: object
  properties:
    target: {type: string, description: Backup target directory}
  required: [target]
composition: steps
steps: [{id: step_01, name: Back up, script: backup.sh}]
artifacts: {mode: immutable, paths: [backup.tar.gz]}
`
const SCRIPT = `echo "Starting backup..."
head -c 12345678 /dev/zero > "$RUN_DIR/backup.tar.gz"
echo "Backup complete"
echo '{"files_backed_up": 1234, "total_size_mb": 5678}'
`

let folder: string
let api: ApiUnderTest
let user: FlowRunnerUser
let runId: string
let artifactId: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-flwd-'))
  const job = join(folder, 'jobs/backup/daily')
  await mkdir(job, { recursive: true })
  await writeFile(join(job, 'config.yaml'), CONFIG)
  await writeFile(join(job, 'backup.sh'), SCRIPT)
  await writeFile(join(folder, 'sources.yaml'), 'sources: [{name: local-fs, type: fs, path: jobs}]')
  api = await apiUnderTest({
    JOB_SOURCES: join(folder, 'sources.yaml'),
    DATA_DIR: join(folder, 'data'),
    RATE_LIMIT: '100000',
  })
  user = await FlowRunnerUser.login(api)
})

afterAll(async () => {
  await api.close()
  await rm(folder, { recursive: true, force: true })
})

const read = async (path: string) => (await user.get(path).expect(200)).body

it('lists jobs', async () => {
  expect(await read('/api/v1/jobs')).toEqual({
    jobs: [
      {
        id: 'backup/daily',
        name: 'daily',
        namespace: 'backup',
        version: '1.0.0',
        description: 'Daily backup job',
        source: 'local-fs',
      },
    ],
  })
})

it('tells the details of a job', async () => {
  expect(await read('/api/v1/jobs/backup/daily')).toEqual({
    id: 'backup/daily',
    name: 'daily',
    namespace: 'backup',
    version: '1.0.0',
    description: 'Daily backup job',
    args: {
      type: 'object',
      properties: { target: { type: 'string', description: 'Backup target directory' } },
      required: ['target'],
    },
    source: 'local-fs',
  })
})

it('creates a run', async () => {
  const { body } = await user
    .post('/api/v1/runs', { job_id: 'backup/daily', args: { target: '/mnt/backup' }, tenant: 'default', async: true })
    .expect(201)
  expect(['pending', 'running']).toContain(body.status)
  expect(likeReference({ ...body, status: 'running' })).toEqual(
    likeReference({
      run_id: 'run_01HX...',
      job_id: 'backup/daily',
      status: 'running',
      created_at: '2024-01-15T10:30:00Z',
    }),
  )
  runId = body.run_id
})

it('tells the details of a run', async () => {
  const run = await vi.waitFor(
    async () => {
      const known = await read(`/api/v1/runs/${runId}`)
      if (!known.finished_at) throw new Error(`it is ${known.status}`)
      return known
    },
    { timeout: 60_000, interval: 50 },
  )
  expect(likeReference(run)).toEqual(
    likeReference({
      run_id: 'run_01HX...',
      job_id: 'backup/daily',
      status: 'success',
      created_at: '2024-01-15T10:30:00Z',
      finished_at: '2024-01-15T10:35:00Z',
      args: { target: '/mnt/backup' },
      result: { value: { files_backed_up: 1234, total_size_mb: 5678 } },
    }),
  )
})

it('lists runs', async () => {
  expect(likeReference(await read('/api/v1/runs'))).toEqual(
    likeReference({
      runs: [
        {
          run_id: 'run_01HX...',
          job_id: 'backup/daily',
          status: 'success',
          created_at: '2024-01-15T10:30:00Z',
          finished_at: '2024-01-15T10:35:00Z',
        },
      ],
      total: 1,
    }),
  )
})

it('tells the logs of a run, as JSON and as events', async () => {
  const line = { timestamp: '2024-01-15T10:30:01Z', level: 'info', message: 'Starting backup...' }
  const { logs } = await read(`/api/v1/runs/${runId}/logs`)
  // Beside what the reference shows, each line that a program wrote tells its channel.
  const shown = likeReference({ ...line, step_id: 'step_01', channel: 'stdout' })
  expect(likeReference(logs)).toContainEqual(shown)
  const stream = await EventStreamClient.open(api, `/api/v1/runs/${runId}/logs?follow=true`, {
    authorization: user.authorization,
  })
  expect(stream.response.headers.get('content-type')).toContain('text/event-stream')
  await vi.waitUntil(() => stream.hasEnded)
  const told = stream.events.filter(({ event }) => event === 'log').map(({ data }) => data)
  for (const message of ['Starting backup...', 'Backup complete'])
    expect(told).toContainEqual(expect.objectContaining({ level: 'info', message }))
})

it('lists artifacts, and gives them', async () => {
  const list = await read(`/api/v1/artifacts?run_id=${runId}`)
  expect(likeReference({ artifacts: [{ ...list.artifacts[0], name: 'backup-archive' }] })).toEqual(
    likeReference({
      artifacts: [
        {
          id: 'artifact_01HX...',
          run_id: 'run_01HX...',
          name: 'backup-archive',
          path: '/workspace/backup.tar.gz',
          media_type: 'application/gzip',
          size_bytes: 12345678,
          created_at: '2024-01-15T10:35:00Z',
        },
      ],
    }),
  )
  artifactId = list.artifacts[0].id
  const { headers } = await user.get(`/api/v1/artifacts/${artifactId}`).expect(200)
  expect(headers).toMatchObject({ 'content-type': 'application/gzip', 'content-length': '12345678' })
})

it('says that a job is not there', async () => {
  await rm(join(folder, 'jobs/backup'), { recursive: true })
  const body = await vi.waitFor(async () => (await user.get('/api/v1/jobs/backup/daily').expect(404)).body, {
    timeout: 60_000,
    interval: 100,
  })
  const { requestId, ...problem } = body
  expect(problem).toEqual({
    type: 'https://flowd.org/problems/job-not-found',
    title: 'Job Not Found',
    status: 404,
    detail: "The job 'backup/daily' does not exist",
    instance: '/api/v1/jobs/backup/daily',
  })
  expect(requestId).toMatch(/^req_/)
  await api.get('/problems/job-not-found').expect(200)
})

it('has a health check and system information', async () => {
  expect(Object.keys(await read('/api/v1/health'))).toEqual(['status', 'version', 'uptime_seconds'])
  const info = await read('/api/v1/system/info')
  expect({ ...info, version: '1.0.0', extensions: ['tui', 'mcp'] }).toEqual({
    version: '1.0.0',
    sources: [{ name: 'local-fs', type: 'fs', path: join(folder, 'jobs') }],
    extensions: ['tui', 'mcp'],
  })
})

it('tells how many requests are left', async () => {
  const { headers } = await user.get('/api/v1/jobs').expect(200)
  expect(headers['x-ratelimit-limit']).toBe('100000')
  expect(Number(headers['x-ratelimit-remaining'])).toBeLessThan(100_000)
  const seconds = Number(headers['x-ratelimit-reset']) - Date.now() / 1_000
  expect(seconds).toBeGreaterThan(-1)
  expect(seconds).toBeLessThanOrEqual(61)
})
