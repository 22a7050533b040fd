import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'
import * as examples from './jobs.examples.js'

let folder: string
let api: ApiUnderTest
let user: FlowRunnerUser

const ECHO = { start: { type: 'transform', params: { script: 'return input' } } }

const DAILY = `
version: 1.0.0
description: Daily backup job
command: ./run.sh
argspec:
  type: object
  properties:
    target: {type: string, description: Backup target directory}
  required: [target]
`

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-sources-'))
  await write('jobs/backup/daily/config.yaml', DAILY)
  await write('jobs/broken/config.yaml', 'name: broken\nsteps:\n  - {id: a, script: missing.sh}\n')
  await write('jobs/twice/config.yaml', DAILY)
  await write('jobs/hidden/config.yaml', 'command: x\nargspec: {args: [{name: token, format: secret}]}')
  await write('more/twice/config.yaml', DAILY)
  await write('theirs/secret/config.yaml', DAILY)
  await write(
    'sources.yaml',
    `sources:
  - {name: local-fs, type: fs, path: jobs}
  - {name: more, type: fs, path: more}
  - {name: theirs, type: fs, path: theirs, tenant: acme}
  - {name: repo, type: git, url: "https://robot:s3cret@git.invalid/team/jobs.git?token=s3cret", mountPath: repo, poll_interval: 1h}
`,
  )
  api = await apiUnderTest({ JOB_SOURCES: join(folder, 'sources.yaml'), DATA_DIR: join(folder, 'data') })
  user = await FlowRunnerUser.login(api)
})

afterAll(async () => {
  await api.close()
  await rm(folder, { recursive: true, force: true })
})

async function write(path: string, content: string): Promise<void> {
  await mkdir(dirname(join(folder, path)), { recursive: true })
  await writeFile(join(folder, path), content)
}

const ids = async (query = '') =>
  ((await user.get(`/api/v1/jobs${query}`).expect(200)).body.jobs as { id: string }[]).map(({ id }) => id)

describe('jobs, as the reference shows them', () => {
  it('are listed', async () => {
    const { body } = await user.get('/api/v1/jobs?source=local-fs&namespace=backup').expect(200)
    expect(body).toEqual(examples.jobList)
  })

  it.each(['backup/daily', 'backup%2Fdaily', 'backup%2fdaily', 'backup.daily'])('are told by the id %s', async (id) => {
    const { body } = await user.get(`/api/v1/jobs/${id}`).expect(200)
    expect(body).toEqual(examples.job)
  })

  it.each(['backup/weekly', 'backup', 'backup/daily/', 'backup//daily', '..%2fbackup', 'a'.repeat(900)])(
    'are not there by the id %s',
    async (id) => {
      const { body } = await user.get(`/api/v1/jobs/${id}`).expect(404)
      expect(body).toMatchObject({
        type: 'https://flowd.org/problems/job-not-found',
        title: 'Job Not Found',
        status: 404,
        instance: `/api/v1/jobs/${id}`,
      })
    },
  )

  it('that are not there are named', async () => {
    const { body } = await user.get('/api/v1/jobs/backup/weekly').expect(404)
    expect(body.detail).toBe("The job 'backup/weekly' does not exist")
  })
})

describe('a list of jobs', () => {
  it('is in the order of ids, and paged', async () => {
    const all = await ids()
    expect(all).toEqual(['backup/daily', 'broken', 'hidden', 'twice', 'twice'])
    expect(await ids('?limit=2&offset=1')).toEqual(all.slice(1, 3))
    expect(await ids('?source=more')).toEqual(['twice'])
    expect(await ids('?source=nowhere')).toEqual([])
    expect(await ids('?offset=100')).toEqual([])
    for (const query of ['limit=0', 'limit=x', 'offset=-1', 'page=2', 'namespace=%00'])
      await user.get(`/api/v1/jobs?${query}`).expect(400)
  })

  it('tells why a job cannot be run, where it stands', async () => {
    const { body } = await user.get('/api/v1/jobs').expect(200)
    const [, broken, , first, second] = body.jobs
    expect(broken.error).toEqual({
      message: "/steps/0/script: the script 'missing.sh' is not in the job's folder",
      path: 'broken/config.yaml',
      line: 3,
    })
    for (const twin of [first, second])
      expect(twin.error.message).toBe("several jobs have the id 'twice': local-fs: twice and more: twice")
    const refused = await user.get('/api/v1/jobs/twice').expect(409)
    expect(refused.body).toMatchObject({ title: 'Job ID Collision', status: 409 })
  })

  it('shows nothing of another tenant’s', async () => {
    expect(await ids('?source=theirs')).toEqual([])
    await user.get('/api/v1/jobs/secret').expect(404)
  })

  it('follows what happens on disk without a restart', async () => {
    await write('jobs/new/deep/config.yaml', DAILY)
    await vi.waitFor(async () => expect(await ids()).toContain('new/deep'), { timeout: 30_000, interval: 100 })
    await write('jobs/new/deep/config.yaml', DAILY.replace('1.0.0', '2.0.0'))
    const version = async () => (await user.get('/api/v1/jobs/new/deep')).body.version
    await vi.waitFor(async () => expect(await version()).toBe('2.0.0'), { timeout: 30_000, interval: 100 })
    await rename(join(folder, 'jobs/new'), join(folder, 'aside'))
    await vi.waitFor(async () => expect(await ids()).not.toContain('new/deep'), { timeout: 30_000, interval: 100 })
  })

  it('is nobody’s flow', async () => {
    const flows = await user.get('/api/v1/flows').expect(200)
    expect(flows.body.flows).toEqual([])
    const layered = await user.get('/api/flows').expect(200)
    expect(JSON.stringify(layered.body)).not.toContain('backup/daily')
  })

  it('is for those who say who they are', async () => {
    for (const path of ['/api/v1/jobs', '/api/v1/jobs/backup/daily', '/api/v1/system/info'])
      await api.get(path).expect(401)
  })
})

describe('a schedule of a job', () => {
  const path = '/api/scheduler/schedules'
  const target = { type: 'job', id: 'backup/daily' }

  it('starts a run of it for each slot, with its arguments', async () => {
    const input = { target: '/mnt' }
    const made = await user.post(path, { target, every: '1s', input }).expect(201)
    expect(made.body).toMatchObject({ target, input })
    const runId = await vi.waitFor(
      async () => {
        const { body } = await user.get(`${path}/${made.body.id}/history`).expect(200)
        const started = body.history.find((slot: { runId: string | null }) => slot.runId !== null)
        expect(started).toBeDefined()
        return started.runId as string
      },
      { timeout: 30_000, interval: 100 },
    )
    expect((await user.execution(runId)).input).toEqual(input)
    await user.put(`${path}/${made.body.id}`, { input: { target: 5 } }).expect(422)
    await user.delete(`${path}/${made.body.id}`).expect(204)
    const { body } = await user.get(path).expect(200)
    expect(body.total).toBe(0)
  })

  it('is refused where the job could not be started', async () => {
    const asked = (change: object) => user.post(path, { target, every: '1h', input: { target: '/mnt' }, ...change })
    expect((await asked({ input: {} }).expect(422)).body.errors).toEqual([
      expect.objectContaining({ pointer: '#/input/target', code: 'required' }),
    ])
    await asked({ input: 'text' }).expect(422)
    for (const id of ['twice', 'broken'])
      expect((await asked({ target: { type: 'job', id } }).expect(422)).body.errors).toEqual([
        expect.objectContaining({ pointer: '#/target/id', code: 'unusable_job' }),
      ])
    await asked({ target: { type: 'job', id: 'nowhere' } }).expect(404)
    const secret = await asked({ target: { type: 'job', id: 'hidden' }, input: { token: 'hunter22' } }).expect(422)
    expect(secret.body.errors).toEqual([expect.objectContaining({ pointer: '#/input/token', code: 'secret' })])
    expect(JSON.stringify(secret.body)).not.toContain('hunter22')
  })
})

describe("a schedule of a job, in flow8's words", () => {
  const path = '/api/schedules'
  const args = { target: '/mnt' }

  it('names the job, and is the same as in those of the scheduler', async () => {
    const made = await user.post(path, { jobId: 'backup/daily', cron: '@daily', args }).expect(201)
    expect(made.body).toMatchObject({ flowId: null, jobId: 'backup/daily', args })
    const { id } = made.body
    expect((await user.get(path).expect(200)).body.data).toEqual([made.body])
    const { body } = await user.get(`/api/scheduler/schedules/${id}`).expect(200)
    expect(body).toMatchObject({ target: { type: 'job', id: 'backup/daily' }, input: args })
    const other = { target: '/srv' }
    const changed = await user.put(`${path}/${id}`, { flowId: null, jobId: 'backup/daily', args: other }).expect(200)
    expect(changed.body).toMatchObject({ jobId: 'backup/daily', args: other })
    const flowId = await user.flow(ECHO)
    const moved = await user.put(`${path}/${id}`, { flowId }).expect(200)
    expect(moved.body).toMatchObject({ flowId, jobId: null })
    const back = await user.put(`${path}/${id}`, { jobId: 'backup/daily' }).expect(200)
    expect(back.body).toMatchObject({ flowId: null, jobId: 'backup/daily', args: other })
    await user.delete(`${path}/${id}`).expect(204)
  })

  it.each([
    [{ jobId: 'backup/daily', flowId: 'flow-123' }, '#/jobId', 'excluded'],
    [{ jobId: null }, '#/flowId', 'required'],
    [{}, '#/flowId', 'required'],
    [{ jobId: 'backup/daily', args: {} }, '#/args/target', 'required'],
    [{ jobId: 'backup/daily', args: { target: 5 } }, '#/args/target', 'type'],
    [{ jobId: 'hidden', args: { token: 'hunter22' } }, '#/args/token', 'secret'],
    [{ jobId: 'twice' }, '#/jobId', 'unusable_job'],
    [{ jobId: 'broken' }, '#/jobId', 'unusable_job'],
  ])('is refused at the member: %j', async (body, pointer, code) => {
    const answer = await user.post(path, { cron: '@daily', args, ...body }).expect(422)
    expect(answer.body).toMatchObject({ error: 'VALIDATION_ERROR', errors: [{ pointer, code }] })
    expect(JSON.stringify(answer.body)).not.toContain('hunter22')
  })

  it('is that of a job which the caller sees', async () => {
    for (const jobId of ['nowhere', 'secret']) {
      const answer = await user.post(path, { jobId, cron: '@daily' }).expect(404)
      expect(answer.body).toMatchObject({ error: 'JOB_NOT_FOUND', statusCode: 404 })
    }
  })

  it('is listed by a flow without a flow, and becomes that of a flow which takes its id', async () => {
    const { body: made } = await user.post(path, { jobId: 'backup/daily', cron: '@daily', args }).expect(201)
    const lister = await user.flow({ start: { type: 'cron', params: { operation: 'list' } } })
    const listed = await user.ended(await user.start(lister))
    expect(listed.result).toMatchObject({ jobs: [{ id: made.id, flow_id: null, schedule: '@daily' }] })
    const taker = await user.flow({
      start: { type: 'cron', params: { schedule: '@yearly', id: made.id }, next: { default: 'end' } },
      end: ECHO.start,
    })
    await user.ended(await user.start(taker))
    const { body } = await user.get(`${path}/${made.id}`).expect(200)
    expect(body).toMatchObject({ flowId: taker, jobId: null, cron: '@yearly' })
    await user.delete(`${path}/${made.id}`).expect(204)
  })
})

describe('system information', () => {
  it('tells the sources that the caller sees, without credentials', async () => {
    const { body } = await user.get('/api/v1/system/info').expect(200)
    expect(body).toEqual({
      version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      sources: [
        { name: 'local-fs', type: 'fs', path: join(folder, 'jobs') },
        { name: 'more', type: 'fs', path: join(folder, 'more') },
        { name: 'repo', type: 'git', path: 'https://git.invalid/team/jobs.git' },
      ],
      extensions: ['mcp', 's3'],
    })
  })
})
