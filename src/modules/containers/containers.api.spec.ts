import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../test/support/api.js'
import { FlowRunnerUser } from '../../../test/support/flowrunner-user.js'
import { dockerPeer } from '../../../test/support/peers/container-runtimes.js'

const docker = await dockerPeer()

/** Longer than a look for what is left takes on a busy machine; a test may wait twice. */
const SOON = { timeout: 40_000, interval: 100 }
const PATIENT = 2 * SOON.timeout

describe.skipIf(!docker)('jobs in containers', () => {
  const peer = docker as NonNullable<typeof docker>
  let api: ApiUnderTest
  let user: FlowRunnerUser
  let folder: string

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'millrace-containers-api-'))
    const config = (more: string) =>
      `executor: container\nimage: ${peer.busybox}\nargspec:\n  type: object\n  properties:\n    name: {type: string}\n    token: {type: string, format: secret}\n${more}`
    const jobs: Record<string, string> = {
      'greet/config.yaml': config(''),
      'greet/000_hello.sh':
        'echo "hello $name"; id -u; cat /run/secrets/token; echo; echo file > "$FLWD_ARTIFACTS_DIR/a.txt"; echo \'{"greeted": true}\'\n',
      'long/config.yaml': config('command: "echo ready; sleep 1000"\n'),
      'again/config.yaml': config('command: "exit 4"\nerror_handling: {policy: retry, retries: 1}\n'),
      'net/config.yaml': config('container: {network: bridge}\ncommand: "true"\n'),
    }
    for (const [path, content] of Object.entries(jobs)) {
      mkdirSync(join(folder, 'jobs', path, '..'), { recursive: true })
      writeFileSync(join(folder, 'jobs', path), content)
    }
    const sources = join(folder, 'sources.yaml')
    writeFileSync(sources, `sources: [{name: here, type: fs, path: ${join(folder, 'jobs')}}]\n`)
    const environment = { JOB_SOURCES: sources, DATA_DIR: join(folder, 'data'), CONTAINER_SOCKET: peer.socket }
    api = await apiUnderTest({ ...environment, JOB_GRACE_MS: '500' })
    user = await FlowRunnerUser.login(api)
  })

  afterAll(async () => {
    try {
      await api?.close()
    } finally {
      await peer.stop()
      rmSync(folder, { recursive: true, force: true })
    }
  })

  const run = async (job: string, args: object = {}, async = false) =>
    (await user.post('/api/v1/runs', { job_id: job, args, async }).expect(201)).body
  /** The containers of one run: what another test left is not its business. One that is being removed may be among them for a moment. */
  const containersOf = async (run: string) => {
    const all = await peer.docker.listContainers({ all: true, filters: { label: [`dev.millrace.run=${run}`] } })
    return all.map(({ Names, State }) => ({ name: Names[0], state: State }))
  }

  it('are offered while a runtime answers', async () => {
    const { body } = await user.get('/api/v1/system/info').expect(200)
    expect(body.extensions).toContain('containers')
  })

  it('run to their result, with a log, an artifact, and no word of their secrets', async () => {
    const made = await run('greet', { name: 'ada', token: 'hush-hush-hush' })
    expect(made).toMatchObject({ status: 'success', result: { value: { greeted: true } } })
    const { body } = await user.get(`/api/v1/runs/${made.run_id}/logs`).expect(200)
    const messages = body.logs.map(({ message }: { message: string }) => message)
    expect(messages).toEqual(expect.arrayContaining(['hello ada', '65534', '***']))
    expect(JSON.stringify([body, made])).not.toContain('hush')
    const { body: left } = await user.get(`/api/v1/artifacts?run_id=${made.run_id}`).expect(200)
    expect(left.artifacts).toMatchObject([{ name: 'a.txt', path: '/workspace/artifacts/a.txt', size_bytes: 5 }])
    await vi.waitFor(async () => expect(await containersOf(made.run_id)).toEqual([]))
  })

  it('fail as they say, after as many attempts as they ask for', async () => {
    for (const job of ['again', 'net']) {
      const made = await run(job)
      expect(made).toMatchObject({ status: 'failed' })
      await vi.waitFor(async () => expect(await containersOf(made.run_id)).toEqual([]))
    }
  })

  it('are stopped when their run is cancelled', { timeout: PATIENT }, async () => {
    const { run_id: id } = await run('long', {}, true)
    await vi.waitUntil(
      async () => JSON.stringify((await user.get(`/api/v1/runs/${id}/logs`)).body).includes('ready'),
      SOON,
    )
    // Docker's list may still call a container `created` while it writes: it is a copy, brought up to date a little later.
    await vi.waitFor(
      async () => expect(await containersOf(id)).toEqual([{ name: `/${id}-step_01`, state: 'running' }]),
      SOON,
    )
    await user.post(`/api/v1/runs/${id}/cancel`, {}).expect(200)
    await vi.waitUntil(async () => (await containersOf(id)).length === 0, SOON)
    expect((await user.get(`/api/v1/runs/${id}`).expect(200)).body.status).toBe('cancelled')
  })

  it('leave nothing where a server could not clean up: what runs belong to that nobody works on is removed', {
    timeout: PATIENT,
  }, async () => {
    const { run_id: id } = await run('greet', { name: 'ada' })
    const begin = async (runId: string, server: string) => {
      const Labels = { 'dev.millrace.server': server, 'dev.millrace.run': runId }
      const container = await peer.docker.createContainer({ Image: peer.busybox, Cmd: ['sleep', '1000'], Labels })
      await container.start()
      return container
    }
    // Of a server in a namespace of its own, of which nothing can be told; and of a run that is in another database.
    await begin(id, '1.1.1')
    const foreign = await begin('run_01J00000000000000000000000', '1.1.1')
    await vi.waitUntil(async () => (await containersOf(id)).length === 0, SOON)
    expect((await foreign.inspect()).State.Running).toBe(true)
    await foreign.remove({ force: true })
  })

  it('are refused at once where no runtime answers any more', { timeout: PATIENT }, async () => {
    await peer.kill()
    await vi.waitUntil(
      async () => (await user.post('/api/v1/runs', { job_id: 'greet', args: {} })).status === 400,
      SOON,
    )
    const { body } = await user.post('/api/v1/runs', { job_id: 'greet', args: {} }).expect(400)
    // As its reference spells whatever is wrong with a request.
    expect(body).toMatchObject({
      type: 'https://flowd.org/problems/validation-error',
      detail: expect.stringContaining('no container runtime answers'),
    })
    expect((await user.get('/api/v1/system/info').expect(200)).body.extensions).not.toContain('containers')
  })
})
