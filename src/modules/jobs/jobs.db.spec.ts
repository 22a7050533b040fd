import { mkdir, mkdtemp, readdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/support/database.js'
import { FakeClock } from '../../platform/clock/clock.fake.js'
import { BundleStore } from './bundle-store.js'
import { JobIndex } from './job-index.js'
import type { FolderSource, ProfilePolicy } from './job-settings.js'
import { JobSweep } from './job-sweep.js'
import { JobsService, type PreparedRun } from './jobs.service.js'

let database: TestDatabase
let folder: string
let source: FolderSource
let index: JobIndex
let jobs: JobsService

const clock = new FakeClock()
const caller = { tenantId: 'default' }
const policy: ProfilePolicy = { default: 'secure', jobs: ['secure', 'permissive'], requests: ['secure'] }

beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.drop())

beforeEach(async () => {
  await database.dataSource.query('truncate job, job_revision, flow_revision, flow cascade')
  folder = await mkdtemp(join(tmpdir(), 'millrace-jobs-'))
  source = sourceAt('local-fs', 'jobs')
  await mkdir(source.path)
  index = newIndex()
  jobs = new JobsService(database.sql, database.dataSource, { profiles: policy }, clock, { check: async () => {} })
})
afterEach(() => rm(folder, { recursive: true, force: true }))

function sourceAt(name: string, path: string, rest: Partial<FolderSource> = {}): FolderSource {
  return { type: 'fs', name, tenantId: null, mountPath: '', path: join(folder, path), watch: false, ...rest }
}

function newIndex(profiles = policy): JobIndex {
  return new JobIndex(database.dataSource, new BundleStore(join(folder, 'bundles')), { profiles }, clock)
}

async function write(path: string, content: string, at = source): Promise<void> {
  const file = join(at.path, path)
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, content)
}

const config = (rest = '') => `name: daily\nversion: 1.0.0\ndescription: Daily backup job\ncommand: ./run.sh\n${rest}`
const read = (at = source) => index.index(at, at.path)
const page = (filter = {}) => jobs.page(caller, { limit: 100, offset: 0, ...filter })

describe('an index', () => {
  it('has each folder with a configuration as a job', async () => {
    await write('backup/daily/config.yaml', config())
    await write('backup/daily/run.sh', 'echo hello')
    await write('Reports/Sales 2024/config.d/config.yaml', config())
    await write('notes/readme.md', 'nothing')
    await read()
    expect(await page()).toEqual([
      {
        id: 'backup/daily',
        name: 'daily',
        namespace: 'backup',
        version: '1.0.0',
        description: 'Daily backup job',
        source: 'local-fs',
        args: { type: 'object', properties: {} },
      },
      expect.objectContaining({ id: 'reports/sales-2024', name: 'sales-2024', namespace: 'reports' }),
    ])
    expect(await page({ namespace: 'backup' })).toHaveLength(1)
    expect(await page({ source: 'other' })).toHaveLength(0)
  })

  it('has a new revision for each new content, and the old one for an old content', async () => {
    await write('a/config.yaml', config())
    await read()
    const first = await jobs.prepare(caller, 'a')
    expect(await read()).toMatchObject({ changed: 0 })
    await write('a/data.txt', 'more')
    expect(await read()).toMatchObject({ changed: 1 })
    const second = await jobs.prepare(caller, 'a')
    expect(second).toMatchObject({ flowId: first.flowId, revision: first.revision + 1 })
    await rm(join(source.path, 'a/data.txt'))
    await read()
    expect(await jobs.prepare(caller, 'a')).toMatchObject({ revision: first.revision })
  })

  it('keeps scripts where no other user of the host reads them', async () => {
    await write('a/config.yaml', config())
    await read()
    expect((await stat(join(folder, 'bundles'))).mode & 0o777).toBe(0o700)
  })

  it('does not double what several processes find at the same time', async () => {
    for (let job = 0; job < 5; job++) await write(`a/${job}/config.yaml`, config())
    await Promise.all([1, 2, 3].map(() => newIndex().index(source, source.path)))
    const [{ count }] = await database.dataSource.query('select count(*)::int as count from flow_revision')
    expect(count).toBe(5)
    expect(await page()).toHaveLength(5)
  })

  it('tells of a job that is broken, and hides no other because of it', async () => {
    await write('good/config.yaml', config())
    await write('bad/config.yaml', 'command: x\nsteps:\n  - id: a\n')
    await read()
    expect(await page()).toEqual([
      expect.objectContaining({ id: 'bad', error: expect.objectContaining({ path: 'bad/config.yaml', line: 1 }) }),
      expect.objectContaining({ id: 'good' }),
    ])
    await expect(jobs.prepare(caller, 'bad')).rejects.toThrow(/cannot be run/)
    await write('bad/config.yaml', config())
    await read()
    expect((await jobs.get(caller, 'bad')).error).toBeUndefined()
  })

  it('forgets what is gone, and knows it again when it comes back', async () => {
    await write('a/config.yaml', config())
    await read()
    const { flowId } = await jobs.prepare(caller, 'a')
    await rename(join(source.path, 'a'), join(folder, 'aside'))
    await read()
    expect(await page()).toEqual([])
    await expect(jobs.get(caller, 'a')).rejects.toThrow("The job 'a' does not exist")
    expect(await jobs.jobIdsOf([flowId])).toEqual(new Map([[flowId, 'a']]))
    await rename(join(folder, 'aside'), join(source.path, 'a'))
    await read()
    expect(await jobs.prepare(caller, 'a')).toMatchObject({ flowId })
  })

  it('keeps what it knows of a source that cannot be read', async () => {
    await write('a/config.yaml', config())
    await read()
    await rename(source.path, join(folder, 'aside'))
    await expect(read()).rejects.toThrow(/cannot be read/)
    expect(await page()).toHaveLength(1)
    await index.forgetAllBut([])
    expect(await page()).toEqual([])
  })

  it('reports one id of two folders on both, and runs neither', async () => {
    await write('a/config.yaml', config())
    const other = sourceAt('other', 'more')
    await write('A/config.yaml', config(), other)
    await read()
    await read(other)
    const both = await page()
    expect(both.map(({ id, error }) => [id, error?.message])).toEqual([
      ['a', expect.stringContaining('local-fs: a')],
      ['a', expect.stringContaining('other: A')],
    ])
    await expect(jobs.prepare(caller, 'a')).rejects.toThrow(/several jobs/)
  })

  it('shows a tenant its own jobs and those of everybody', async () => {
    const theirs = sourceAt('theirs', 'theirs', { tenantId: 'acme', mountPath: 'acme' })
    await write('a/config.yaml', config())
    await write('a/config.yaml', config(), theirs)
    await read()
    await read(theirs)
    expect((await page()).map(({ id }) => id)).toEqual(['a'])
    await expect(jobs.get(caller, 'acme/a')).rejects.toThrow(/does not exist/)
    expect(await jobs.get({ tenantId: 'acme' }, 'acme/a')).toMatchObject({ id: 'acme/a' })
  })
})

describe('a state of a job', () => {
  const bundlesLeft = async () => (await readdir(join(folder, 'bundles'))).length
  const sweep = () =>
    new JobSweep(
      database.sql,
      new BundleStore(join(folder, 'bundles')),
      new FakeClock('2030-01-03T00:00:00.000Z'),
    ).sweep()

  it('goes with its snapshot once it is neither the current one nor that of a run', async () => {
    const states: PreparedRun[] = []
    for (const content of ['1', '2', '3']) {
      await write('a/config.yaml', config('security_profile: permissive\n'))
      await write('a/data.txt', content)
      await read()
      states.push(await jobs.prepare(caller, 'a'))
    }
    const variant = await jobs.prepare(caller, 'a', {}, { profile: 'secure' })
    const [first] = states as [PreparedRun]
    await database.dataSource.query(
      `insert into run (id, tenant_id, account_id, flow_id, revision, state, trigger, input, created_at)
        values ('run_1', 'default', 'account_1', $1, $2, 'completed', 'api', '{}', now())`,
      [first.flowId, first.revision],
    )
    expect(await sweep()).toEqual({ revisions: 1, bundles: 1 })
    expect(await bundlesLeft()).toBe(2)
    await database.dataSource.query('delete from run')
    expect(await sweep()).toEqual({ revisions: 1, bundles: 1 })
    expect(await jobs.prepare(caller, 'a', {}, { profile: 'secure' })).toEqual(variant)
    await rm(join(source.path, 'a'), { recursive: true })
    await read()
    expect(await sweep()).toEqual({ revisions: 2, bundles: 1 })
    // What comes back is a state with a number that none had before.
    await write('a/config.yaml', config())
    await read()
    expect((await jobs.prepare(caller, 'a')).revision).toBeGreaterThan(variant.revision)
  })
})

describe('a job', () => {
  it('is found by its id in the old form, and by nothing that is no id', async () => {
    await write('backup/daily/config.yaml', config())
    await read()
    expect(await jobs.get(caller, 'backup.daily')).toMatchObject({ id: 'backup/daily' })
    for (const id of ['backup', '', '/', 'backup//daily', '../backup/daily', 'backup/daily\0', 'x'.repeat(10_000), '%'])
      await expect(jobs.get(caller, id)).rejects.toThrow(/does not exist/)
  })

  it('is given its arguments with their defaults, without its secrets', async () => {
    const argspec = `argspec:
  properties:
    target: {type: string}
    keep: {type: integer, default: 7}
    token: {type: string, format: secret}
  required: [target]
`
    await write('a/config.yaml', config(argspec))
    await read()
    expect(await jobs.prepare(caller, 'a', { target: '/mnt', token: 's3cret' })).toMatchObject({
      args: { target: '/mnt', keep: 7, token: '[secret]' },
      secrets: { token: 's3cret' },
    })
    const refused = await jobs.prepare(caller, 'a', { keep: 'x', other: 1 }).catch((error) => error)
    expect(refused.faults).toEqual([
      { pointer: '#/args/target', detail: 'target is required', code: 'required' },
      { pointer: '#/args/other', detail: "'other' is not an argument of this job", code: 'unknown_parameter' },
      { pointer: '#/args/keep', detail: 'keep must be a whole number', code: 'type' },
    ])
  })

  it('runs under another profile only where that is allowed, each a revision of its own', async () => {
    await write('a/config.yaml', config('security_profile: permissive\n'))
    await write('b/config.yaml', config('security_profile: disabled\n'))
    await read()
    const own = await jobs.prepare(caller, 'a')
    const chosen = await jobs.prepare(caller, 'a', {}, { profile: 'secure' })
    expect(chosen.revision).not.toBe(own.revision)
    expect(await jobs.prepare(caller, 'a', {}, { profile: 'secure' })).toEqual(chosen)
    expect(await jobs.prepare(caller, 'a', {}, { profile: 'permissive' })).toEqual(own)
    await expect(jobs.prepare(caller, 'a', {}, { profile: 'disabled' })).rejects.toThrow(/not allowed/)
    await expect(jobs.prepare(caller, 'a', {}, { profile: 'root' })).rejects.toThrow(/not allowed/)
    await expect(jobs.prepare(caller, 'b')).rejects.toThrow(/not allowed/)
    await expect(jobs.prepare(caller, 'a', {}, { tenant: 'acme' })).rejects.toThrow(/another tenant/)
  })

  it('whose configuration is a link that leads out of the source is broken', async () => {
    await writeFile(join(folder, 'outside.yaml'), config())
    await mkdir(join(source.path, 'a'))
    await symlink(join(folder, 'outside.yaml'), join(source.path, 'a/config.yaml'))
    await read()
    expect((await page())[0]?.error?.message).toContain('leads out of the source')
  })
})
