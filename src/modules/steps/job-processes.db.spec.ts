import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/support/database.js'
import type { FakeNode } from '../../engine/flow.fake.js'
import { systemClock } from '../../platform/clock/clock.js'
import { newId } from '../../platform/ids.js'
import { survivors } from '../../platform/processes/attacks.fake.js'
import { PROFILES } from '../../platform/processes/profiles.js'
import { JobUnderTest } from '../../steps/process/process-step.fake.js'
import { acceptRun, type EngineProcess, engineProcess } from '../runs/run-engine.fake.js'
import { RunsQueries } from '../runs/runs.queries.js'
import { JobProcesses } from './job-processes.js'

const job = new JobUnderTest()
const { secureFault } = await job.runner.isolation()
const available = PROFILES.filter((profile) => profile !== 'secure' || secureFault === undefined)
const graphs = new Map<string, Record<string, FakeNode>>()
const engines: EngineProcess[] = []
let database: TestDatabase

// Each waits for processes, up to twenty seconds at a time.
vi.setConfig({ testTimeout: 60_000 })

beforeAll(async () => {
  database = await testDatabase()
})
afterEach(async () => {
  await Promise.all(engines.splice(0).map(({ engine }) => engine.stop(0)))
})
afterAll(async () => {
  await job.close()
  await database.drop()
})

const server = async () => {
  const started = await engineProcess({ sql: database.sql, steps: [job.type()], graphs })
  engines.push(started)
  return started
}

const stored = (id: string) => new RunsQueries(database.sql).find('account_a', id)
const ended = (id: string) =>
  vi.waitUntil(
    async () => {
      const run = await stored(id)
      return run?.finishedAt ? run : undefined
    },
    { timeout: 20_000 },
  )

describe.each(available)('a step of a job under %s, on a server that stops', (profile) => {
  it('is told to end, leaves nothing, and is not done again by another', async () => {
    const token = `stopped-${randomBytes(6).toString('hex')}`
    graphs.set('flow_job', {
      work: {
        type: 'process',
        guarantee: 'at_most_once',
        params: job.params({
          profile,
          // It has begun once the sleeper is there: a shell that is told to end just before would wait for one that never heard of it.
          command: `trap 'echo told > "$RUN_DIR/told"; exit 0' TERM; bash -c 'exec -a ${token} sleep 600' & echo x >> "$RUN_DIR/begun"; wait`,
        }),
      },
    } as Record<string, FakeNode>)
    const first = await server()
    const id = await acceptRun(first.engine, 'flow_job')
    const file = (name: string) => join(job.folders.pathOf(id), name)
    await vi.waitUntil(async () => existsSync(file('begun')) && (await survivors(token)) > 0, { timeout: 20_000 })
    await first.engine.stop(0)
    expect(await survivors(token)).toBe(0)
    expect(existsSync(file('told'))).toBe(true)
    await server()
    expect(await ended(id)).toMatchObject({ state: 'failed', error: { code: 'unknown_outcome' } })
  })
})

describe('folders of runs', () => {
  it('go once they were not used for long, unless their run is live', async () => {
    const dataDir = join(job.folder, 'data')
    const config = { dataDir, jobGraceMs: 100, jobFolderHours: 24, maxJobSteps: 1, surroundings: {} }
    const processes = new JobProcesses(config, systemClock, database.sql, {} as never, { look: () => {} } as never)
    graphs.set('flow_waiting', {
      work: { type: 'process', params: job.params({ profile: 'permissive', command: 'sleep 600' }) },
    } as Record<string, FakeNode>)
    const { engine } = await server()
    const live = await acceptRun(engine, 'flow_waiting')
    const [gone, fresh] = [newId('run'), newId('run')]
    const secretOf = (run: string) => join(processes.folders.pathOf(run), 'secrets', 'token')
    for (const run of [live, gone, fresh]) {
      mkdirSync(join(processes.folders.pathOf(run), 'secrets'), { recursive: true })
      writeFileSync(secretOf(run), 'left by a server that was killed')
      writeFileSync(join(processes.folders.pathOf(run), 'stdout'), 'said')
      if (run !== fresh) utimesSync(processes.folders.pathOf(run), new Date(0), new Date(0))
    }
    await processes.sweep()
    expect([live, gone, fresh].map((run) => existsSync(processes.folders.pathOf(run)))).toEqual([true, false, true])
    expect([live, fresh].map((run) => existsSync(secretOf(run)))).toEqual([true, false])
  })

  it('keep nothing of secrets, and nothing outside is touched where a program put a link in their place', async () => {
    const { folders } = job
    const [outside, run, none] = [join(job.folder, 'outside'), newId('run'), newId('run')]
    mkdirSync(outside)
    writeFileSync(join(outside, 'kept'), 'kept')
    mkdirSync(folders.pathOf(run), { recursive: true })
    symlinkSync(outside, join(folders.pathOf(run), 'secrets'))
    symlinkSync(outside, folders.pathOf(none))
    expect(await folders.withSecrets()).not.toContain(run)
    for (const name of [run, none]) await folders.removeSecrets(name)
    expect(existsSync(join(outside, 'kept'))).toBe(true)
  })
})
