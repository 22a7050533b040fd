import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { emptyDatabase } from '../../../test/support/database.js'
import { dockerPeer } from '../../../test/support/peers/container-runtimes.js'
import { runFromSource, type SourceProcess } from '../../../test/support/process.js'

const docker = await dockerPeer()
const ENTRY = fileURLToPath(new URL('../../app/api.ts', import.meta.url))
const ADMIN = { email: 'admin@example.com', password: 'correct horse battery' }
const SOON = { timeout: 60_000, interval: 100 }

describe.skipIf(!docker)('a server that is killed while its steps are in containers', () => {
  const peer = docker as NonNullable<typeof docker>
  let folder: string
  let database: Awaited<ReturnType<typeof emptyDatabase>>
  let server: SourceProcess
  let url: string

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'millrace-killed-'))
    const job = (name: string, more: string) => {
      mkdirSync(join(folder, 'jobs', name), { recursive: true })
      writeFileSync(join(folder, 'jobs', name, 'config.yaml'), `executor: container\nimage: ${peer.busybox}\n${more}`)
    }
    job('once', 'command: "echo ready; sleep 1000"\n')
    // Its second attempt finds what the first left.
    const twice = 'cd $RUN_DIR; echo ready; if [ -e tried ]; then echo 2; else touch tried; sleep 1000; fi'
    job('twice', `command: "${twice}"\nerror_handling: {policy: retry, retries: 1}\n`)
    writeFileSync(join(folder, 'sources.yaml'), `sources: [{name: here, type: fs, path: ${join(folder, 'jobs')}}]\n`)
    database = await emptyDatabase()
    await start()
  }, 120_000)

  afterAll(async () => {
    try {
      server?.child.kill('SIGTERM')
      await server?.ended
      await database?.drop()
    } finally {
      await peer.stop()
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it('leaves none of them: what may be repeated is, and what may not is not', async () => {
    const [once, twice] = [await begin('once'), await begin('twice')]
    await vi.waitUntil(async () => (await running()).length === 2, SOON)
    const before = await running()
    server.child.kill('SIGKILL')
    await server.ended
    expect((await running()).length).toBe(2)
    await start()
    await vi.waitUntil(async () => !(await running()).some((id) => before.includes(id)), SOON)
    await vi.waitUntil(async () => (await ask(`/api/v1/runs/${twice}`)).finished_at !== undefined, SOON)
    expect(await ask(`/api/v1/runs/${twice}`)).toMatchObject({ status: 'success', result: { value: 2 } })
    await vi.waitUntil(async () => (await ask(`/api/v1/runs/${once}`)).finished_at !== undefined, SOON)
    expect(await ask(`/api/v1/runs/${once}`)).toMatchObject({ status: 'failed' })
    await vi.waitFor(async () => expect(await peer.docker.listContainers({ all: true })).toEqual([]), SOON)
  }, 180_000)

  async function start(): Promise<void> {
    server = runFromSource([ENTRY], {
      NODE_ENV: 'test',
      PORT: '0',
      LOG_FORMAT: 'text',
      RATE_LIMIT: '0',
      DATA_DIR: join(folder, 'data'),
      DATABASE_URL: database.url,
      ADMIN_EMAIL: ADMIN.email,
      ADMIN_PASSWORD: ADMIN.password,
      JOB_SOURCES: join(folder, 'sources.yaml'),
      CONTAINER_SOCKET: peer.socket,
    })
    const line = await server.line(/listening on http/)
    url = /http:\/\/[\d.:]+/.exec(line)?.[0] as string
  }

  async function begin(job: string): Promise<string> {
    return (await ask('/api/v1/runs', { job_id: job, async: true })).run_id as string
  }

  async function ask(path: string, body?: object): Promise<Record<string, unknown>> {
    const send = (to: string, content: object | undefined, headers: Record<string, string>) =>
      fetch(`${url}${to}`, {
        method: content ? 'POST' : 'GET',
        headers: { ...headers, 'content-type': 'application/json' },
        body: content && JSON.stringify(content),
      }).then(async (response) => (await response.json()) as Record<string, unknown>)
    const login = { username: ADMIN.email, password: ADMIN.password }
    token ??= (await send('/api/v1/auth/login', login, {})).token as string
    return await send(path, body, { authorization: `Bearer ${token}` })
  }

  async function running(): Promise<string[]> {
    return (await peer.docker.listContainers()).map(({ Id }) => Id)
  }
})

/** Signed by a key that outlives the server. */
let token: string | undefined
