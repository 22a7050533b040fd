import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { Client } from './client.js'
import { Cluster } from './cluster/cluster.js'
import type { ServerUnderFire } from './cluster/server.js'
import { EffectServer } from './effect-server.js'
import { Random } from './random.js'

/*
 * What users of other engines complain of most, each as a test of ours under the numbers of their issues. Two processes of the product
 * on one Postgres; what is killed is really killed.
 */
vi.setConfig({ testTimeout: 120_000, hookTimeout: 180_000 })

const LOADER = fileURLToPath(new URL('../support/typescript.mjs', import.meta.url))
const SECRET = 'other-engines/secret+4711'
/** A process that is killed is noticed within a second; one that stands still within its lease of 15 s. */
const TAKEN_OVER = { timeout: 40_000, interval: 50 }

interface Execution {
  execution_id: string
  status: string
  error?: { message: string }
}

let folder: string
let outside: EffectServer
let cluster: Cluster
let client: Client
let one: ServerUnderFire
let other: ServerUnderFire

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-crash-'))
  await chmod(folder, 0o711)
  const random = new Random(1)
  outside = await EffectServer.start(join(folder, 'effects.jsonl'), random)
  const program = (role: string) => ['--import', LOADER, `src/app/${role}.ts`]
  cluster = await Cluster.start({ folder, program, roles: ['api', 'api'], redis: false, outside: outside.address })
  ;[one, other] = cluster.servers as [ServerUnderFire, ServerUnderFire]
  client = new Client(() => cluster.apis, random)
  const { accountId } = await client.login()
  await client.ask('POST', `/api/v1/accounts/${accountId}/secrets`, { key: 'TOKEN', value: SECRET })
})

/** Whatever a test left behind, both serve again. */
beforeEach(async () => {
  for (const server of [one, other]) if (!server.isUp) await server.start()
})

afterAll(async () => {
  await client?.close()
  await cluster?.destroy()
  await outside?.stop()
  await rm(folder, { recursive: true, force: true })
})

describe('a run does not stay running for ever', () => {
  it('when the process that worked on it is killed (kestra #2055, prefect #7239)', async () => {
    const run = await start(one, chain(['/quick', '/slow', '/slow', '/quick']))
    await vi.waitUntil(() => outside.open.has(`${run}:s1`), TAKEN_OVER)
    await one.kill()
    expect((await end(run)).status).toBe('completed')
    // What was recorded is not done again; what was in flight is.
    expect(['s0', 's1', 's2', 's3'].map((path) => outside.cameFor(`${run}:${path}`))).toEqual([1, 2, 1, 1])
  })

  it('when its database goes away in the middle (kestra #8356, airflow #51569)', async () => {
    const run = await start(one, chain(['/quick', '/slow', '/slow', '/slow', '/quick']))
    await vi.waitUntil(() => outside.cameFor(`${run}:s1`) > 0, TAKEN_OVER)
    await cluster.postgres.crash()
    expect((await end(run)).status).toBe('completed')
    // Its process lives, and keeps it: nothing is done twice because a connection broke.
    expect(await rows('select epoch, recoveries from run where id = $1', [run])).toEqual([{ epoch: 0, recoveries: 0 }])
    expect([0, 1, 2, 3, 4].map((n) => outside.cameFor(`${run}:s${n}`))).toEqual([1, 1, 1, 1, 1])
  })

  it('when its step fails while its process shuts down in good order (kestra #17124)', async () => {
    const run = await start(one, chain(['/refused']))
    await vi.waitUntil(() => outside.open.has(`${run}:s0`), TAKEN_OVER)
    expect(await one.stop(20_000)).toBe(0)
    expect(await end(run)).toMatchObject({ status: 'failed' })
  })

  it('when all processes are killed while it waits in the queue (n8n #12367)', async () => {
    const flow = await upload(chain(['/slow', '/slow'], 'x-run: { concurrency: { limit: 1 } }'))
    const runs = await Promise.all(Array.from({ length: 4 }, () => startFlow(one, flow)))
    await vi.waitUntil(() => runs.some((run) => outside.open.has(`${run}:s0`)), TAKEN_OVER)
    await Promise.all([one.kill(), other.kill()])
    await Promise.all([one.start(), other.start()])
    for (const run of runs) expect((await end(run)).status).toBe('completed')
  })
})

describe('an end is an end', () => {
  it('also when the process dies right behind it: a success does not become a crash (n8n #23807)', async () => {
    await one.kill()
    await one.start('finish:2')
    const flow = await upload(chain(['/quick']))
    const runs: string[] = []
    while (one.isThere && runs.length < 10) runs.push(await startFlow(one, flow).catch(() => ''))
    await vi.waitUntil(() => !one.isThere, TAKEN_OVER)
    const finished = await rows(`select id, state, finished_at from run where finished_at is not null order by id`)
    expect(finished.length).toBeGreaterThan(1)
    await one.start()
    await vi.waitUntil(async () => (await rows('select from engine_instance')).length === 2, TAKEN_OVER)
    for (const run of runs.filter((id) => id !== '')) expect((await end(run)).status).toBe('completed')
    const ids = finished.map(({ id }) => id)
    const again = await rows(`select id, state, finished_at from run where id = any ($1) order by id`, [ids])
    expect(again).toEqual(finished)
  })

  it('what was cancelled is not taken up again when its process dies (kestra #19722)', async () => {
    const run = await start(one, chain(['/slow', '/slow', '/slow', '/slow', '/slow', '/slow']))
    await vi.waitUntil(() => outside.open.has(`${run}:s1`), TAKEN_OVER)
    one.freeze()
    await client.askOne(other, 'DELETE', `/api/v1/executions/${run}`)
    await one.kill()
    const [owner] = await rows('select owner from run where id = $1', [run])
    const isGone = async () => (await rows('select from engine_instance where id = $1', [owner?.owner])).length === 0
    await vi.waitUntil(isGone, TAKEN_OVER)
    expect(await end(run)).toMatchObject({ status: 'cancelled' })
    expect(outside.cameFor(`${run}:s2`)).toBe(0)
  })
})

describe('a cancel', () => {
  it('stops the work in hand, whichever process is asked (bullmq #632)', async () => {
    const run = await start(one, chain(['/never', '/quick']))
    await vi.waitUntil(() => outside.open.has(`${run}:s0`), TAKEN_OVER)
    await client.askOne(other, 'DELETE', `/api/v1/executions/${run}`)
    // The request is broken off: its connection is closed.
    await vi.waitUntil(() => !outside.open.has(`${run}:s0`), { interval: 20 })
    expect(outside.cameFor(`${run}:s1`)).toBe(0)
  })
})

describe('a slot', () => {
  it('is free again after a cancel, a failure and a kill (dagster #32560)', async () => {
    const limit = 'x-run: { concurrency: { key: "${input.key}", limit: 1 } }'
    const [never, refused, slow] = [
      await upload(chain(['/never'], limit)),
      await upload(chain(['/refused'], limit)),
      await upload(chain(['/slow', '/slow'], limit)),
    ]
    // Keys of different flows are different keys: what each leaves behind is for the next of its own.
    const cancelled = await startFlow(one, never)
    await vi.waitUntil(() => outside.open.has(`${cancelled}:s0`), TAKEN_OVER)
    await client.askOne(other, 'DELETE', `/api/v1/executions/${cancelled}`)
    const next = await startFlow(other, never)
    await vi.waitUntil(() => outside.open.has(`${next}:s0`), TAKEN_OVER)
    await client.askOne(other, 'DELETE', `/api/v1/executions/${next}`)

    const failing = await Promise.all([startFlow(one, refused), startFlow(one, refused)])
    for (const run of failing) expect((await end(run)).status).toBe('failed')

    const killed = await startFlow(one, slow)
    await vi.waitUntil(() => outside.open.has(`${killed}:s0`), TAKEN_OVER)
    await one.kill()
    const after = await startFlow(other, slow)
    for (const run of [killed, after]) expect((await end(run)).status).toBe('completed')
    const held = await rows(`select from run where concurrency_key is not null and finished_at is null`)
    expect(held).toEqual([])
  })
})

describe('a secret', () => {
  it('shows in no log, neither of the run nor of the process, however it is written (secrets in logs)', async () => {
    const script = `console.log(secrets.TOKEN, encodeURIComponent(secrets.TOKEN), JSON.stringify({ a: secrets.TOKEN }));
      throw new Error('with ' + secrets.TOKEN)`
    const run = await start(one, `  say: { type: transform, params: { script: ${JSON.stringify(script)} } }`)
    expect(await end(run)).toMatchObject({ status: 'failed' })
    const { body } = await client.ask<{ total: number }>('GET', `/api/v1/executions/${run}/logs?limit=100`)
    const files = await Promise.all(
      cluster.servers.map(({ name }) => readFile(join(folder, 'logs', `${name}.log`), 'utf8')),
    )
    expect(body.total).toBeGreaterThan(2)
    expect(files.join('')).toContain('listening')
    for (const text of [JSON.stringify(body), JSON.stringify(await end(run)), ...files])
      for (const spelling of [SECRET, encodeURIComponent(SECRET)]) expect(text).not.toContain(spelling)
  })
})

/** Requests one after another, as nodes of a flow. */
function chain(paths: readonly string[], settings = ''): string {
  const nodes = paths.map((path, index) => {
    const next = index + 1 < paths.length ? `, next: { default: s${index + 1} }` : ''
    return `  s${index}: { type: http.request, params: { url: "http://${outside.address}${path}", method: POST, body: {} }${next} }`
  })
  return `${nodes.join('\n')}\n${settings}`
}

async function upload(nodes: string): Promise<string> {
  const definition = `metadata: { name: other, version: "1" }\nnodes:\n${nodes}\n`
  const { status, body } = await client.ask<{ id: string }>('POST', '/api/v1/flows', { name: 'Other', definition })
  expect({ status, body }).toMatchObject({ status: 201 })
  return body.id
}

async function startFlow(server: ServerUnderFire, flow: string): Promise<string> {
  const { body } = await client.askOne<Execution>(server, 'POST', `/api/v1/flows/${flow}/run`, { input: { key: 'k' } })
  return body.execution_id
}

async function start(server: ServerUnderFire, nodes: string): Promise<string> {
  return await startFlow(server, await upload(nodes))
}

async function end(run: string): Promise<Execution> {
  return await vi.waitUntil(async () => {
    const { body } = await client.insist<Execution>('GET', `/api/v1/executions/${run}`)
    return body.status === 'running' ? undefined : body
  }, TAKEN_OVER)
}

async function rows(text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
  return await cluster.postgres.query(text, values)
}
