import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { cp, mkdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { GetObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { createClient } from '../../sdk/typescript/src/client/index.js'
import { Millrace } from '../../sdk/typescript/src/index.js'
import { probeIsolation } from '../../src/platform/processes/isolation.js'
import { testDatabase } from '../support/database.js'
import { closedPort } from '../support/peers/silent.js'
import { runFromSource, type SourceProcess } from '../support/process.js'

const api = fileURLToPath(new URL('../../src/app/api.ts', import.meta.url))
const examples = fileURLToPath(new URL('../../examples/jobs', import.meta.url))
const CREDENTIALS = { username: 'ada@example.com', password: 'correct horse' }
const throwOnError = true

const { secureFault } = await probeIsolation()

/** What a follower of the stream was told, in the order of its telling. */
interface Told {
  id: number
  event: string
  run_id: string
  message?: string
  step_id?: string
  status?: string
}

describe.skipIf(secureFault !== undefined)('a job', () => {
  let database: Awaited<ReturnType<typeof testDatabase>>
  let folder: string
  let environment: Record<string, string>
  let server: SourceProcess

  beforeAll(async () => {
    database = await testDatabase()
    folder = mkdtempSync(join(tmpdir(), 'millrace-flwd-'))
    await cp(examples, join(folder, 'jobs'), { recursive: true })
    // Long enough for a server to end in the middle of it.
    await writeFile(
      join(folder, 'jobs/backup/daily/pack.sh'),
      [
        'set -euo pipefail',
        'for line in $(seq 1 20); do echo "packing $line"; sleep 0.1; done',
        'tar -czf "$FLWD_ARTIFACTS_DIR/backup.tar.gz" -C "$RUN_DIR/collected" .',
      ].join('\n'),
    )
    await mkdir(join(folder, 'jobs/backup/patient'))
    await writeFile(
      join(folder, 'jobs/backup/patient/config.yaml'),
      [
        'name: patient',
        'description: May be begun again',
        `command: 'for line in $(seq 1 20); do echo "line $line"; sleep 0.1; done; echo "{\\"lines\\": 20}"'`,
        'error_handling: { policy: retry, retries: 1, retry_backoff: 0 }',
      ].join('\n'),
    )
    await mkdir(join(folder, 'jobs/backup/fragile'))
    await writeFile(
      join(folder, 'jobs/backup/fragile/config.yaml'),
      [
        'name: fragile',
        'description: May not be begun again',
        `command: 'for line in $(seq 1 200); do echo "line $line"; sleep 0.1; done'`,
      ].join('\n'),
    )
    environment = {
      PORT: `${await closedPort()}`,
      LOG_FORMAT: 'json',
      DATA_DIR: join(folder, 'data'),
      DATABASE_URL: database.url,
      JOB_SOURCES: join(folder, 'jobs/sources.yaml'),
      ADMIN_EMAIL: CREDENTIALS.username,
      ADMIN_PASSWORD: CREDENTIALS.password,
    }
    server = await started(environment)
  })

  afterAll(async () => {
    server?.child.kill('SIGKILL')
    await server?.ended
    await database?.drop()
    if (folder) rmSync(folder, { recursive: true, force: true })
  })

  it('of three steps that leaves an artifact is found, run, followed through a restart of the server, and what it left is had in three ways', async () => {
    const baseUrl = `http://127.0.0.1:${environment.PORT}`
    const login = await sdk(baseUrl).flowRunner.auth.login({ body: CREDENTIALS, throwOnError })
    const { token } = login.data
    const { flwd, facilflow } = sdk(baseUrl, token)

    // Discovered.
    const jobs = await vi.waitFor(async () => {
      const { data } = await flwd.jobs.list({ throwOnError })
      expect(data.jobs).toHaveLength(3)
      return data.jobs
    })
    expect(jobs[0]).toMatchObject({ id: 'backup/daily', name: 'daily', namespace: 'backup', source: 'examples' })
    const job = (await flwd.jobs.get({ path: { job_id: 'backup/daily' }, throwOnError })).data
    expect(job.args).toMatchObject({ type: 'object', required: ['target'] })

    // Followed by the SDK's own client of server-sent events, which comes back by itself with the id that it heard last.
    const { told, hangUp } = await follow(baseUrl, token)

    const run = (
      await flwd.runs.create({ body: { job_id: 'backup/daily', args: { target: '/mnt/backup' } }, throwOnError })
    ).data
    expect(run).toMatchObject({ job_id: 'backup/daily', status: expect.stringMatching(/pending|running/) })

    // In the middle of the second step the server is told to end; another one goes on.
    await vi.waitFor(() => expect(told.some(({ message }) => message === 'packing 3')).toBe(true), 20_000)
    server.child.kill('SIGTERM')
    expect((await server.ended).code).toBe(0)
    server = await started(environment)
    await vi.waitFor(() => expect(told.at(-1)?.event).toBe('run.finished'), 30_000)
    await hangUp()

    await expectWhole(baseUrl, token, run.run_id, told)
    expect(told.every(({ run_id }) => run_id === run.run_id)).toBe(true)
    const steps = (event: string) => told.filter((one) => one.event === event).map(({ step_id }) => step_id)
    expect(steps('step.started')).toEqual(['collect', 'pack', 'report'])
    expect(steps('step.finished')).toEqual(['collect', 'pack', 'report'])
    const packing = told.flatMap(({ message }) => (message?.startsWith('packing ') ? [message] : []))
    expect(packing).toEqual(Array.from({ length: 20 }, (_, line) => `packing ${line + 1}`))

    const path = { run_id: run.run_id }
    const ended = (await flwd.runs.get({ path, throwOnError })).data
    expect(ended).toMatchObject({
      status: 'success',
      args: { target: '/mnt/backup', files: 3 },
      result: { value: { target: '/mnt/backup', files_backed_up: 3, total_size_bytes: expect.any(Number) } },
    })

    // By flwd's API.
    const { artifacts } = (await flwd.artifacts.list({ query: { run_id: run.run_id }, throwOnError })).data
    expect(artifacts).toHaveLength(1)
    const [artifact] = artifacts
    expect(artifact).toMatchObject({ name: 'backup.tar.gz', media_type: 'application/gzip', run_id: run.run_id })
    const downloaded = await flwd.artifacts.get({
      path: { artifact_id: artifact?.id ?? '' },
      parseAs: 'blob',
      throwOnError,
    })
    const content = Buffer.from(await (downloaded.data as Blob).arrayBuffer())
    expect(content.length).toBe(artifact?.size_bytes)
    expect(gunzipSync(content).toString()).toContain('file 3 line 1000')

    // By FacilFlow's buckets, and a URL that needs no credentials.
    const { buckets } = (await facilflow.buckets.list({ throwOnError })).data
    const bucket = buckets.find(({ name }) => name.startsWith('artifacts-'))?.name ?? ''
    const prefix = `${run.run_id}/`
    const { objects } = (
      await facilflow.objects.list({ path: { name: bucket }, query: { prefix, recursive: true }, throwOnError })
    ).data
    const key = objects[0]?.name ?? ''
    const { url } = (await facilflow.objects.url({ path: { name: bucket, key }, throwOnError })).data
    expect(await digestOf(await fetch(url))).toBe(sha256(content))

    // By an S3 client, with keys of its own.
    const keys = (await facilflow.apiKeys.create({ body: { name: 's3', scopes: ['s3'] }, throwOnError })).data
    const s3 = new S3Client({
      endpoint: `${baseUrl}/s3`,
      forcePathStyle: true,
      region: 'us-east-1',
      credentials: { accessKeyId: keys.accessKey ?? '', secretAccessKey: keys.secretKey ?? '' },
    })
    const object = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key }))
    expect(sha256(Buffer.from((await object.Body?.transformToByteArray()) ?? []))).toBe(sha256(content))
    s3.destroy()
  }, 120_000)

  it('begins its step anew where a server is killed in the middle of it, and its followers are told so once', async () => {
    const baseUrl = `http://127.0.0.1:${environment.PORT}`
    const { token } = (await sdk(baseUrl).flowRunner.auth.login({ body: CREDENTIALS, throwOnError })).data
    const { flwd } = sdk(baseUrl, token)
    const { told, hangUp } = await follow(baseUrl, token)
    const run = (await flwd.runs.create({ body: { job_id: 'backup/patient' }, throwOnError })).data
    await vi.waitFor(() => expect(told.some(({ message }) => message === 'line 3')).toBe(true), 20_000)

    server.child.kill('SIGKILL')
    await server.ended
    server = await started(environment)
    await vi.waitFor(() => expect(told.at(-1)?.event).toBe('run.finished'), 60_000)
    await hangUp()

    await expectWhole(baseUrl, token, run.run_id, told)
    const lines = told.flatMap(({ message }) => (message?.startsWith('line ') ? [message] : []))
    const whole = Array.from({ length: 20 }, (_, line) => `line ${line + 1}`)
    expect(lines.slice(0, 3)).toEqual(whole.slice(0, 3))
    expect(lines.slice(-20)).toEqual(whole)
    expect(lines.length).toBeGreaterThanOrEqual(23)
    expectStepsOnce(told)
    const ended = (await flwd.runs.get({ path: { run_id: run.run_id }, throwOnError })).data
    expect(ended).toMatchObject({ status: 'success', result: { value: { lines: 20 } } })
  }, 120_000)

  it('fails where a server is killed in the middle of a step that may not be begun again, and its followers are told so once', async () => {
    const baseUrl = `http://127.0.0.1:${environment.PORT}`
    const { token } = (await sdk(baseUrl).flowRunner.auth.login({ body: CREDENTIALS, throwOnError })).data
    const { flwd } = sdk(baseUrl, token)
    const { told, hangUp } = await follow(baseUrl, token)
    const run = (await flwd.runs.create({ body: { job_id: 'backup/fragile' }, throwOnError })).data
    await vi.waitFor(() => expect(told.some(({ message }) => message === 'line 3')).toBe(true), 20_000)

    server.child.kill('SIGKILL')
    await server.ended
    server = await started(environment)
    await vi.waitFor(() => expect(told.at(-1)?.event).toBe('run.finished'), 60_000)
    await hangUp()

    await expectWhole(baseUrl, token, run.run_id, told)
    expect(told.filter(({ message }) => message === 'line 1')).toHaveLength(1)
    expectStepsOnce(told)
    expect(told.find(({ event }) => event === 'step.finished')).toMatchObject({ status: 'failed' })
    expect((await flwd.runs.get({ path: { run_id: run.run_id }, throwOnError })).data).toMatchObject({
      status: 'failed',
    })
  }, 120_000)
})

function sdk(baseUrl: string, token?: string): Millrace {
  const client = createClient({ baseUrl, auth: token, throwOnError: true })
  return new Millrace({ client, key: `flwd ${token}` })
}

async function started(environment: Record<string, string>): Promise<SourceProcess> {
  const server = runFromSource([api], environment)
  await server.line(/"listening on/)
  return server
}

/** Everything from now on, through whatever happens to the server. */
async function follow(baseUrl: string, token: string): Promise<{ told: Told[]; hangUp(): Promise<void> }> {
  const told: Told[] = []
  const stop = new AbortController()
  const { stream } = await sdk(baseUrl, token).flwd.events.runs({
    signal: stop.signal,
    sseDefaultRetryDelay: 100,
    sseMaxRetryDelay: 500,
    onSseEvent: ({ id, event, data }) => {
      if (event) told.push({ id: Number(id), event, ...(data as Omit<Told, 'id' | 'event'>) })
    },
  })
  const reading = (async () => {
    for await (const _ of stream);
  })()
  return {
    told,
    async hangUp() {
      stop.abort()
      await reading
    },
  }
}

/** Nothing was lost and nothing repeated: whoever follows from the beginning is told the same. */
async function expectWhole(baseUrl: string, token: string, runId: string, told: readonly Told[]): Promise<void> {
  const ids = told.map(({ id }) => id)
  expect(ids).toEqual([...new Set(ids)].sort((one, other) => one - other))
  expect(told).toEqual(await toldFromTheStart(baseUrl, token, runId))
}

/** The one step has begun once and ended once, whatever became of its processes. */
function expectStepsOnce(told: readonly Told[]): void {
  const steps = told.flatMap(({ event }) => (/^step\.(started|finished)$/.test(event) ? [event] : []))
  expect(steps).toEqual(['step.started', 'step.finished'])
}

async function toldFromTheStart(baseUrl: string, token: string, runId: string): Promise<Told[]> {
  const told: Told[] = []
  const hangUp = new AbortController()
  const { stream } = await sdk(baseUrl, token).flwd.events.runs({
    query: { run_id: runId },
    signal: hangUp.signal,
    onSseEvent: ({ id, event, data }) => {
      if (event) told.push({ id: Number(id), event, ...(data as Omit<Told, 'id' | 'event'>) })
      if (event === 'run.finished') hangUp.abort()
    },
  })
  for await (const _ of stream);
  return told
}

async function digestOf(response: Response): Promise<string> {
  expect(response.status).toBe(200)
  return sha256(Buffer.from(await response.arrayBuffer()))
}

function sha256(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex')
}
