import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { EventStreamClient } from '../../../../test/support/event-stream.js'
import { FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'

const PASSWORD = 'correct-horse-battery-staple'

const NIGHTLY = `
security_profile: permissive
composition: steps
argspec:
  type: object
  properties:
    gate: {type: string}
    password: {type: string, format: secret, maxLength: 60}
  required: [gate]
steps:
  - {id: dump, script: dump.sh}
  - {id: ship, script: ship.sh, needs: [dump]}
`
const DUMP = `
echo dumped >> "$ARG_GATE.dumps"
mkdir -p "$RUN_DIR/deep"
echo "what was dumped" > "$RUN_DIR/deep/dump"
ln -s /etc/hostname "$RUN_DIR/deep/link"
mkfifo "$RUN_DIR/deep/pipe"
echo dump > "$FLWD_ARTIFACTS_DIR/dump.txt"
`
const SHIP = `
if [ ! -e "$ARG_GATE" ]; then exit 3; fi
if [ -e "$RUN_DIR/secrets/password" ]; then cp "$RUN_DIR/secrets/password" "$ARG_GATE.password"; fi
test -L "$RUN_DIR/deep/link" && test -p "$RUN_DIR/deep/pipe" || exit 4
test -e "$FLWD_ARTIFACTS_DIR/dump.txt" || exit 5
echo ship > "$FLWD_ARTIFACTS_DIR/ship.txt"
printf '{"shipped": "%s"}' "$(cat "$RUN_DIR/deep/dump")" > "$RUN_DIR/result.json"
`

let folder: string
let api: ApiUnderTest
let user: FlowRunnerUser
let database: pg.Client
let gates = 0

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-restarts-'))
  await write('nightly/config.yaml', NIGHTLY)
  await write('nightly/dump.sh', DUMP)
  await write('nightly/ship.sh', SHIP)
  await write('mended/config.yaml', NIGHTLY)
  await write('mended/dump.sh', DUMP)
  await write('mended/ship.sh', SHIP)
  await write('doomed/config.yaml', 'security_profile: permissive\ncommand: exit 1\n')
  await writeFile(
    join(folder, 'sources.yaml'),
    'sources: [{name: jobs, type: fs, path: jobs}]\nprofiles: {jobs: [secure, permissive]}\n',
  )
  api = await apiUnderTest({ JOB_SOURCES: join(folder, 'sources.yaml'), DATA_DIR: join(folder, 'data') })
  user = await FlowRunnerUser.login(api)
  database = new pg.Client(api.databaseUrl)
  await database.connect()
})

afterAll(async () => {
  await database.end()
  await api.close()
  await rm(folder, { recursive: true, force: true })
})

async function write(path: string, content: string): Promise<void> {
  const file = join(folder, 'jobs', path)
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, content)
}

/** A run that has failed at its second step, for want of a file. */
async function failed(args: object = {}, job = 'nightly'): Promise<{ id: string; gate: string }> {
  const gate = join(folder, `gate-${++gates}`)
  const { body } = await user.post('/api/v1/runs', { job_id: job, args: { gate, ...args }, async: false })
  expect(body).toMatchObject({ status: 'failed' })
  return { id: body.run_id, gate }
}

async function ended(id: string) {
  return await vi.waitFor(
    async () => {
      const { body } = await user.get(`/api/v1/runs/${id}`).expect(200)
      expect(body.finished_at).toBeDefined()
      return body
    },
    { timeout: 15_000, interval: 50 },
  )
}

async function artifactsOf(id: string): Promise<string[]> {
  const { body } = await user.get(`/api/v1/artifacts?run_id=${id}`).expect(200)
  return body.artifacts.map(({ name }: { name: string }) => name)
}

const resume = (id: string, body: object = {}) => user.post(`/api/v1/executions/${id}/resume`, body)
const replay = (id: string, body: object = {}) => user.post(`/api/v1/executions/${id}/replay`, body)
const dumps = async (gate: string) => (await readFile(`${gate}.dumps`, 'utf8')).trim().split('\n').length

describe('a run of a job that failed', () => {
  it('goes on at the step that failed, with all that those before it left', async () => {
    const { id, gate } = await failed()
    await writeFile(gate, '')
    const { body } = await resume(id).expect(201)
    const again = await ended(body.execution_id)
    expect(again).toMatchObject({ status: 'success', args: { gate } })
    expect(again.result.value).toEqual({ shipped: 'what was dumped' })
    expect(await dumps(gate)).toBe(1)
    expect(await artifactsOf(id)).toEqual(['dump.txt'])
    expect(await artifactsOf(body.execution_id)).toEqual(['ship.txt'])
    const stream = await EventStreamClient.open(api, `/api/v1/events/runs?run_id=${body.execution_id}`, {
      Authorization: user.authorization,
    })
    await stream.ended()
    expect(stream.events[0]?.event).toBe('run.created')
    expect(stream.events.filter(({ event }) => event === 'step.started').map(({ data }) => data.step_id)).toEqual([
      'ship',
    ])
    await resume(id).expect(409)
  })

  it('goes on again from where it failed again', async () => {
    const { id, gate } = await failed()
    const { body: second } = await resume(id).expect(201)
    expect(await ended(second.execution_id)).toMatchObject({ status: 'failed' })
    await writeFile(gate, '')
    const { body: third } = await resume(second.execution_id).expect(201)
    expect(await ended(third.execution_id)).toMatchObject({ status: 'success' })
    expect(await dumps(gate)).toBe(1)
  })

  it('is done again from its beginning, with a folder of its own and other arguments', async () => {
    const { id, gate } = await failed()
    await writeFile(gate, '')
    const { body } = await replay(id).expect(201)
    expect(await ended(body.execution_id)).toMatchObject({ status: 'success' })
    expect(await dumps(gate)).toBe(2)
    const other = join(folder, 'other-gate')
    await writeFile(other, '')
    const { body: changed } = await replay(id, { input: { gate: other } }).expect(201)
    expect(await ended(changed.execution_id)).toMatchObject({ status: 'success', args: { gate: other } })
    const wrong = await replay(id, { input: { gate: 5 } }).expect(422)
    expect(wrong.body.errors).toMatchObject([{ pointer: '#/input/gate', code: 'type' }])
  })

  it('is done again from a step by what the job is now', async () => {
    const { id, gate } = await failed({}, 'mended')
    await write('mended/ship.sh', 'echo \'{"mended": true}\'\n')
    await write('mended/config.yaml', `${NIGHTLY}version: 2.0.0\n`)
    await vi.waitFor(
      async () => expect((await user.get('/api/v1/jobs/mended').expect(200)).body.version).toBe('2.0.0'),
      { timeout: 15_000, interval: 100 },
    )
    const { body } = await replay(id, { from_node: 'ship', version: 'latest' }).expect(201)
    expect(await ended(body.execution_id)).toMatchObject({ status: 'success', result: { value: { mended: true } } })
    expect(await dumps(gate)).toBe(1)
    await replay(id, { from_node: 'ship', version: 'v7' }).expect(422)
  })

  it('is refused where what its steps left is not kept any more', async () => {
    const { id } = await failed()
    await rm(join(folder, 'data', 'jobs', 'runs', id), { recursive: true })
    const { body } = await resume(id).expect(409)
    expect(body.detail).toContain('left files that are not kept any more')
    await replay(id, { from_node: 'ship' }).expect(409)
    const { body: anew } = await replay(id).expect(201)
    await ended(anew.execution_id)
  })

  it('is refused where its job is gone, and is nobody else’s', async () => {
    const { body } = await user.post('/api/v1/runs', { job_id: 'doomed', async: false }).expect(201)
    const stranger = await user.colleague('stranger-to-jobs@example.com')
    await stranger.post(`/api/v1/executions/${body.run_id}/resume`, {}).expect(404)
    await rm(join(folder, 'jobs', 'doomed'), { recursive: true })
    await vi.waitFor(async () => void (await user.get('/api/v1/jobs/doomed').expect(404)), {
      timeout: 15_000,
      interval: 100,
    })
    const refused = await resume(body.run_id).expect(409)
    expect(refused.body.detail).toContain('is of a job that is gone')
  })
})

describe('the secrets of a run that goes on', () => {
  it('are asked for by name', async () => {
    const { id } = await failed({ password: PASSWORD })
    for (const asked of [resume(id), replay(id), resume(id, { secrets: {} })]) {
      const { body } = await asked.expect(422)
      expect(body.errors).toMatchObject([{ pointer: '#/secrets/password', code: 'required' }])
    }
  })

  it.each([
    [{ password: 'abc' }, '#/secrets/password', 'too_short'],
    [{ password: 5 }, '#/secrets/password', 'type'],
    [{ password: `${PASSWORD}${PASSWORD}${PASSWORD}` }, '#/secrets/password', 'max_length'],
    [{ password: PASSWORD, gate: '/elsewhere' }, '#/secrets/gate', 'unknown_secret'],
  ])('have to fit the job: %j', async (secrets, pointer, code) => {
    const { id } = await failed({ password: PASSWORD })
    const { body, text } = await resume(id, { secrets }).expect(422)
    expect(body.errors).toMatchObject([{ pointer, code }])
    expect(text).not.toContain(PASSWORD)
    expect((await database.query('select from run_secret')).rows).toEqual([])
  })

  it('reach its steps, are told nowhere, and end with it', async () => {
    const { id, gate } = await failed({ password: PASSWORD })
    await writeFile(gate, '')
    const other = 'another-horse-battery'
    const key = (body: object) => resume(id, body).set('Idempotency-Key', 'resume-once')
    const { body } = await key({ secrets: { password: other } }).expect(201)
    expect((await key({ secrets: { password: other } }).expect(201)).body.execution_id).toBe(body.execution_id)
    await key({ secrets: { password: `${other}!` } }).expect(422)
    expect(await ended(body.execution_id)).toMatchObject({ status: 'success', args: { gate, password: '[secret]' } })
    expect(await readFile(`${gate}.password`, 'utf8')).toBe(other)
    expect((await database.query('select from run_secret')).rows).toEqual([])
    expect(existsSync(join(folder, 'data', 'jobs', 'runs', body.execution_id, 'secrets', 'password'))).toBe(false)
    for (const table of ['run', 'run_event_chunk', 'step_outcome', 'audit_entry']) {
      const found = await database.query(`select from ${table} t where t::text like $1`, [`%${other}%`])
      expect([table, found.rows.length]).toEqual([table, 0])
    }
  })

  it('are none of a flow', async () => {
    const flow = await user.flow({ start: { type: 'transform', params: { script: 'throw new Error("no")' } } })
    const id = await user.start(flow, {})
    await user.ended(id)
    const { body } = await resume(id, { secrets: { password: PASSWORD } }).expect(422)
    expect(body.errors).toMatchObject([{ pointer: '#/secrets', code: 'not_allowed' }])
  })
})
