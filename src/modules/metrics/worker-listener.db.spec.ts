import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/support/database.js'
import { runFromSource } from '../../../test/support/process.js'

const TOKEN = 'a-token-for-prometheus'

let database: TestDatabase
let dataDir: string

beforeAll(async () => {
  database = await testDatabase()
  dataDir = mkdtempSync(join(tmpdir(), 'millrace-worker-'))
})

afterAll(async () => {
  await database.drop()
  rmSync(dataDir, { recursive: true })
})

it('a worker with METRICS_PORT answers /metrics and /health, and ends well', async () => {
  const worker = runFromSource(['src/app/worker.ts'], {
    DATABASE_URL: database.url,
    DATA_DIR: dataDir,
    METRICS_PORT: '0',
    METRICS_TOKEN: TOKEN,
    LOG_FORMAT: 'json',
  })
  try {
    const { url } = JSON.parse(await worker.line(/"msg":"measurements at/)) as { url: string }
    const measured = await fetch(url, { headers: { authorization: `Bearer ${TOKEN}` } })
    expect(measured.status).toBe(200)
    const text = await measured.text()
    expect(text).toMatch(/^millrace_engine_ready 1$/m)
    expect(text).toMatch(/^millrace_runs_room [1-9]/m)
    expect(text).toMatch(/^millrace_queue_runs\{state="queued"\} 0$/m)
    expect((await fetch(url)).status).toBe(401)
    const health = await fetch(new URL('/health', url))
    expect([health.status, await health.text()]).toEqual([200, 'healthy'])
  } finally {
    worker.child.kill('SIGTERM')
  }
  expect((await worker.ended).code).toBe(0)
})
