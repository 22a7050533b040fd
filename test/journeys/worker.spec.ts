import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { testDatabase } from '../support/database.js'
import { noRedis, RedisServer } from '../support/peers/redis.js'
import { runFromSource, type SourceProcess } from '../support/process.js'

const api = fileURLToPath(new URL('../../src/app/api.ts', import.meta.url))
const worker = fileURLToPath(new URL('../../src/app/worker.ts', import.meta.url))
const CREDENTIALS = { ADMIN_EMAIL: 'ada@example.com', ADMIN_PASSWORD: 'correct horse' }
const authorization = `Basic ${Buffer.from('ada@example.com:correct horse').toString('base64')}`

const FLOW = `
metadata: {name: Two steps}
nodes:
  first: {type: transform, params: {script: 'return {n: input.n}'}, next: {default: second}}
  second: {type: transform, params: {script: 'return {done: true}'}}
`

let dataDir: string
const started: SourceProcess[] = []

beforeAll(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'millrace-worker-'))
})

afterEach(async () => {
  for (const { child } of started) child.kill('SIGKILL')
  await Promise.all(started.splice(0).map(({ ended }) => ended))
})

afterAll(() => rmSync(dataDir, { recursive: true, force: true }))

describe.each([
  { by: 'Postgres alone', redis: false },
  { by: 'Redis', redis: true },
])('a worker by $by', ({ redis: withRedis }) => {
  let database: Awaited<ReturnType<typeof testDatabase>>
  let redis: RedisServer | undefined
  let environment: Record<string, string>

  beforeAll(async () => {
    if (withRedis && noRedis) return
    database = await testDatabase()
    if (withRedis) redis = await RedisServer.start()
    environment = {
      PORT: '0',
      LOG_FORMAT: 'json',
      RATE_LIMIT: '0',
      DATA_DIR: dataDir,
      DATABASE_URL: database.url,
      ...CREDENTIALS,
    }
    if (redis) environment.REDIS_URL = redis.url
  })

  afterAll(async () => {
    await redis?.stop()
    await database?.drop()
  })

  it.skipIf(withRedis && noRedis)(
    'works on what another process accepts, listens to nothing, and ends with 0 on SIGTERM',
    async () => {
      const server = start(api, { ...environment, MAX_ACTIVE_RUNS: '0' })
      const { url } = JSON.parse(await server.line(/"listening on/))
      const working = start(worker, environment)
      expect(JSON.parse(await working.line(/"working on/))).toMatchObject({ tags: ['default'], maxActiveRuns: 500 })
      const flow = await post(`${url}/api/v1/flows`, { name: 'Two steps', definition: FLOW })
      const runs = await Promise.all(
        Array.from({ length: 20 }, (_, n) => post(`${url}/api/v1/flows/${flow.id}/run`, { input: { n } })),
      )
      for (const { execution_id: id } of runs)
        await vi.waitUntil(async () => (await get(`${url}/api/v1/executions/${id}`)).status === 'completed', {
          timeout: 15_000,
        })
      if (redis) expect(await redis.command('GET millrace:runs.default:id')).toContain('\r\n20\r\n')
      for (const process of [working, server]) process.child.kill('SIGTERM')
      const { code, signal, output, errors } = await working.ended
      expect({ code, signal, errors }).toEqual({ code: 0, signal: null, errors: '' })
      expect(output).not.toContain('The first admin')
      expect((await server.ended).code).toBe(0)
    },
    60_000,
  )
})

it('a second process on the same folder is refused in plain words where each would have to bring its own database', async () => {
  const environment = { LOG_FORMAT: 'json', DATA_DIR: join(dataDir, 'embedded') }
  const first = start(worker, environment)
  await first.line(/"working on/)
  const { code, output } = await start(worker, environment).ended
  expect(code).toBe(1)
  expect(output).toMatch(
    /cannot start: Another process \(pid \d+\) already runs the embedded database .+ give both the same DATABASE_URL/,
  )
  first.child.kill('SIGTERM')
  expect((await first.ended).code).toBe(0)
}, 120_000)

function start(program: string, environment: Record<string, string>): SourceProcess {
  const process = runFromSource([program], environment)
  started.push(process)
  return process
}

async function post(url: string, body: object) {
  const headers = { authorization, 'content-type': 'application/json' }
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })
  expect(response.status).toBe(201)
  return (await response.json()) as Record<string, string>
}

async function get(url: string) {
  return (await (await fetch(url, { headers: { authorization } })).json()) as Record<string, string>
}
