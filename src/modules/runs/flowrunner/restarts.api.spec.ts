import { DataSource } from 'typeorm'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { definitionOf, type Execution, FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'
import { json, Outside } from '../../../../test/support/outside.js'
import { likeReference } from '../../../../test/support/reference.js'
import * as examples from './executions.examples.js'

const script = (code: string, next?: Record<string, string>) => ({
  type: 'transform',
  params: { script: code },
  ...(next && { next }),
})
const NOWHERE = 'run_00000000000000000000000000'

let api: ApiUnderTest
let user: FlowRunnerUser
let stranger: FlowRunnerUser
let outside: Outside
let database: DataSource
/** Paths of the outside server that answer 500: always, or when they are asked for the nth time. */
const broken = new Set<string>()
const breakDown = (...places: string[]): void => {
  for (const place of places) broken.add(place)
}
/** What each path of it was asked with, in order. */
let asked: { path: string; key: string }[] = []

beforeAll(async () => {
  outside = await Outside.start()
  api = await apiUnderTest({ OUTBOUND_ALLOW: '127.0.0.1' })
  user = await FlowRunnerUser.login(api)
  stranger = await user.colleague('stranger-to-restarts@example.com')
  database = api.app.get(DataSource)
  for (const path of ['/a', '/b', '/c', '/item/0', '/item/1', '/item/2', '/item/3'])
    outside.answer(path, ({ headers }, response) => {
      asked.push({ path, key: String(headers['idempotency-key']) })
      const nth = asked.filter((one) => one.path === path).length
      json(response, broken.has(path) || broken.has(`${path} ${nth}`) ? 500 : 200, { path })
    })
})

beforeEach(() => {
  broken.clear()
  asked = []
})

afterAll(async () => {
  await api.close()
  await outside.stop()
})

const effect = (path: string, next?: Record<string, string>) => ({
  type: 'http.request',
  params: { url: outside.url(path), method: 'POST' },
  ...(next && { next }),
})
const chain = () => ({
  a: effect('/a', { default: 'b' }),
  b: effect('/b', { default: 'c' }),
  c: effect('/c', { default: 'end' }),
  end: script('return { from: input.body.path, first: results.a.body.path }'),
})
/** Goes by `a` three times. */
const loop = () => ({
  start: script('return 1', { default: 'a' }),
  a: effect('/a', { default: 'more' }),
  more: {
    type: 'condition',
    params: { condition_script: "return (shared.seen || 0) < 2 ? 'again' : 'done'" },
    next: { again: 'count', done: 'b' },
  },
  count: { ...script('return 1', { default: 'a' }), hooks: { post: 'context.seen = (context.seen || 0) + 1' } },
  b: effect('/b', { default: 'end' }),
  end: script('return { seen: shared.seen }'),
})
const again = (who: FlowRunnerUser, id: string, how: 'resume' | 'replay', body: object = {}, key?: string) => {
  const request = who.post(`/api/v1/executions/${id}/${how}`, body)
  return key === undefined ? request : request.set('Idempotency-Key', key)
}
const paths = () => asked.map(({ path }) => path)

async function goOn(id: string, how: 'resume' | 'replay', body: object = {}): Promise<Execution> {
  const answer = await again(user, id, how, body).expect(201)
  return await user.ended(answer.body.execution_id)
}

async function started(nodes: Parameters<typeof definitionOf>[0], input: object = {}): Promise<Execution> {
  return await user.outcome(
    { start: script('return input', { default: Object.keys(nodes)[0] ?? '' }), ...nodes },
    input,
  )
}

describe('resuming', () => {
  it('goes on from the node that failed, under the same idempotency keys', async () => {
    breakDown('/b')
    const failed = await started(chain())
    expect(failed.status).toBe('failed')
    broken.clear()
    const { body, headers } = await again(user, failed.id, 'resume').expect(201)
    expect(likeReference(body)).toEqual(likeReference(examples.resumed))
    expect(headers.location).toBe(`/api/v1/executions/${body.execution_id}`)
    const done = await user.ended(body.execution_id)
    expect(done).toMatchObject({
      status: 'completed',
      result: { from: '/c', first: '/a' },
      resumed_from: failed.id,
      flow_id: failed.flow_id,
    })
    expect(paths()).toEqual(['/a', '/b', '/b', '/c'])
    expect(asked.map(({ key }) => key)).toEqual([
      `${failed.id}:a`,
      `${failed.id}:b`,
      `${failed.id}:b`,
      `${failed.id}:c`,
    ])
    expect(await user.execution(failed.id)).toEqual(failed)
    const audit = await database.query(`select * from audit_entry where action = 'run.resume' and resource_id = $1`, [
      done.id,
    ])
    expect(audit).toMatchObject([{ actor_id: user.accountId, after: { from: failed.id } }])
  })

  it('keeps the keys of the first, however often it fails', async () => {
    breakDown('/b')
    let last = await started(chain())
    const { id: first } = last
    for (let time = 0; time < 3; time++) last = await goOn(last.id, 'resume')
    broken.clear()
    expect((await goOn(last.id, 'resume')).status).toBe('completed')
    expect(new Set(asked.filter(({ path }) => path === '/b').map(({ key }) => key))).toEqual(new Set([`${first}:b`]))
    expect(paths().filter((path) => path === '/a')).toHaveLength(1)
  })

  it('goes on from where it was cancelled', async () => {
    const flow = await user.flow({
      a: effect('/a', { default: 'hold' }),
      hold: { type: 'wait', params: { key: 'go-on' }, next: { default: 'b' } },
      b: effect('/b'),
      start: script('return 1', { default: 'a' }),
    })
    const id = await user.start(flow)
    await vi.waitFor(() => expect(paths()).toEqual(['/a']))
    await user.delete(`/api/v1/executions/${id}`).expect(200)
    const { body } = await again(user, id, 'resume').expect(201)
    await user.post('/api/v1/signals/go-on', {}).expect(200)
    expect((await user.ended(body.execution_id)).status).toBe('completed')
    expect(paths()).toEqual(['/a', '/b'])
  })

  it('takes over failures that the flow went on from, and the way that it took', async () => {
    breakDown('/a', '/c')
    const flow = {
      a: effect('/a', { default: 'never', error: 'b' }),
      never: script('throw new Error("the other way")'),
      b: effect('/b', { default: 'c' }),
      c: effect('/c'),
    }
    const failed = await started(flow)
    expect(failed.status).toBe('failed')
    broken.clear()
    expect(await goOn(failed.id, 'resume')).toMatchObject({ status: 'completed' })
    expect(paths()).toEqual(['/a', '/b', '/c', '/c'])
  })

  it('does of a batch only the items that had not succeeded', async () => {
    breakDown('/item/2')
    const failed = await started(
      {
        all: {
          type: 'http.request',
          params: { items: '${input.items.map(item => item)}', url: outside.url('/item/${item}'), method: 'POST' },
          batch: { strategy: 'serial' },
          next: { default: 'end' },
        },
        end: script('return input.map(({ body }) => body.path)'),
      },
      { items: [0, 1, 2, 3] },
    )
    expect(failed.status).toBe('failed')
    broken.clear()
    expect((await goOn(failed.id, 'resume')).result).toEqual({ result: ['/item/0', '/item/1', '/item/2', '/item/3'] })
    expect(paths()).toEqual(['/item/0', '/item/1', '/item/2', '/item/2', '/item/3'])
    expect(asked[3]?.key).toBe(`${failed.id}:all[2]`)
  })

  it('goes on in the middle of a loop', async () => {
    breakDown('/a 3')
    const failed = await user.outcome(loop())
    expect(failed.status).toBe('failed')
    expect((await goOn(failed.id, 'resume')).result).toEqual({ seen: 2 })
    expect(asked.map(({ key }) => key)).toEqual(['a', 'a#2', 'a#3', 'a#3', 'b'].map((path) => `${failed.id}:${path}`))
  })

  it('does not repeat what must never run twice, and was lost in flight', async () => {
    const flow = await user.flow({
      start: script('return 1', { default: 'a' }),
      a: effect('/a', { default: 'pay' }),
      pay: {
        type: 'http.request',
        'x-guarantee': 'at_most_once',
        params: { url: outside.url('/never'), method: 'POST' },
        next: { unknown: 'ask' },
      },
      ask: script('return { asked: error.code }'),
    })
    const arrival = outside.arrival('/never')
    const id = await user.start(flow)
    await arrival
    await user.delete(`/api/v1/executions/${id}`).expect(200)
    const calls = outside.at('/never').length
    expect((await goOn(id, 'resume')).result).toEqual({ asked: 'unknown_outcome' })
    expect(outside.at('/never')).toHaveLength(calls)
    expect(paths()).toEqual(['/a'])
  })

  it('and replaying take over large outputs, and a large input', async () => {
    const text = 'x'.repeat(200_000)
    breakDown('/b')
    const failed = await started(
      {
        big: script('return { text: input.text + "y" }', { default: 'b' }),
        b: effect('/b', { default: 'end' }),
        end: script('return { length: results.big.text.length, input: input.path }'),
      },
      { text },
    )
    const rows = await database.query(
      'select input_ref from run where id = $1 union all select output_ref from step_outcome where run_id = $1 and path = $2',
      [failed.id, 'big'],
    )
    for (const { input_ref } of rows) expect(input_ref).toMatch(/^sha256:/)
    broken.clear()
    const resumed = await goOn(failed.id, 'resume')
    expect(resumed.status).toBe('completed')
    expect(resumed.result.length).toBe(200_001)
    expect(resumed.input).toEqual({ text })
    const replayed = await goOn(resumed.id, 'replay', { from_node: 'end' })
    expect(replayed.result.length).toBe(200_001)
    expect(paths()).toEqual(['/b', '/b'])
  })

  it('lets a flow below go on as well, under its keys', async () => {
    breakDown('/b')
    const below = await user.flow({ start: script('return input', { default: 'a' }), ...chain() })
    const failed = await started({ call: { type: 'flow.run', params: { flow_id: below } } })
    expect(failed.status).toBe('failed')
    broken.clear()
    const done = await goOn(failed.id, 'resume')
    expect(done.status).toBe('completed')
    expect(paths()).toEqual(['/a', '/b', '/b', '/c'])
    expect(asked[2]?.key).toBe(asked[1]?.key)
    const [child] = (await user.get(`/api/v1/executions?parent_id=${done.id}`)).body.executions
    const [before] = (await user.get(`/api/v1/executions?parent_id=${failed.id}`)).body.executions
    expect(child).toMatchObject({ status: 'completed', resumed_from: before.id })
  })

  it('is refused while it runs, when it is completed, and the second time', async () => {
    const live = await user.start(await user.flow({ start: { type: 'wait', params: { key: 'never-resumed' } } }))
    const conflict = async (id: string, message: string) => {
      const { body } = await again(user, id, 'resume').expect(409)
      expect(body).toMatchObject({ type: '/problems/run-cannot-start-again', title: 'Execution cannot start again' })
      expect(body.detail).toBe(message)
    }
    await conflict(live, `Execution ${live} has not ended yet`)
    await user.delete(`/api/v1/executions/${live}`).expect(200)
    const completed = await user.outcome({ start: script('return 1') })
    await conflict(
      completed.id,
      `Execution ${completed.id} is completed: there is nothing to resume, but it can be replayed`,
    )
    const newer = (await again(user, live, 'resume').expect(201)).body.execution_id
    await conflict(live, `Execution ${live} was resumed already, as ${newer}`)
    await user.delete(`/api/v1/executions/${newer}`).expect(200)
  })

  it('happens once, however many ask at the same time', async () => {
    breakDown('/b')
    const failed = await started(chain())
    const answers = await Promise.all(Array.from({ length: 8 }, () => again(user, failed.id, 'resume')))
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array(7).fill(409)])
    const { body } = await user.get(`/api/v1/executions?resumed_from=${failed.id}`).expect(200)
    expect(body.total).toBe(1)
    await user.ended(body.executions[0].id)
  })

  it('with an Idempotency-Key answers with the same execution again', async () => {
    breakDown('/b')
    const failed = await started(chain())
    const answers = await Promise.all(Array.from({ length: 5 }, () => again(user, failed.id, 'resume', {}, 'resume-1')))
    expect(answers.map(({ status }) => status)).toEqual(Array(5).fill(201))
    expect(new Set(answers.map(({ body }) => body.execution_id)).size).toBe(1)
    const { body } = await again(user, failed.id, 'replay', {}, 'resume-1').expect(422)
    expect(body.type).toBe('/problems/idempotency-key-reused')
    await again(user, failed.id, 'resume', {}, 'no spaces').expect(400)
    const other = await user.ended(answers[0]?.body.execution_id)
    await again(user, other.id, 'resume', {}, 'resume-1').expect(422)
  })

  it('is of a flow that is still there', async () => {
    const failed = await started({ fail: script('throw new Error("no")') })
    await user.delete(`/api/v1/flows/${failed.flow_id}`).expect(200)
    const { body } = await again(user, failed.id, 'resume').expect(409)
    expect(body.detail).toBe(`Execution ${failed.id} is of a flow that was deleted`)
    await again(user, failed.id, 'replay').expect(409)
  })
})

describe('replaying', () => {
  it('does everything anew, if asked for with another input', async () => {
    const done = await started(chain(), { n: 1 })
    asked = []
    const replayed = await goOn(done.id, 'replay')
    expect(replayed).toMatchObject({ status: 'completed', input: { n: 1 }, resumed_from: done.id })
    expect(asked.map(({ key }) => key)).toEqual(['a', 'b', 'c'].map((path) => `${replayed.id}:${path}`))
    expect((await goOn(done.id, 'replay', { input: { n: 2 } })).input).toEqual({ n: 2 })
    expect((await goOn(done.id, 'replay', { from_node: 'start', input: { n: 3 } })).input).toEqual({ n: 3 })
  })

  it('starts from any node on the way, with keys of its own', async () => {
    const done = await started(chain())
    asked = []
    const replayed = await goOn(done.id, 'replay', { from_node: 'b' })
    expect(replayed).toMatchObject({ status: 'completed', result: { from: '/c', first: '/a' } })
    expect(asked.map(({ key }) => key)).toEqual([`${replayed.id}:b`, `${replayed.id}:c`])
    asked = []
    await goOn(done.id, 'replay', { from_node: 'end' })
    expect(paths()).toEqual([])
  })

  it('starts from any visit of a loop', async () => {
    const done = await user.outcome(loop())
    expect(paths()).toEqual(['/a', '/a', '/a', '/b'])
    asked = []
    const replayed = await goOn(done.id, 'replay', { from_path: 'a#2' })
    expect(asked.map(({ key }) => key)).toEqual(['a#2', 'a#3', 'b'].map((path) => `${replayed.id}:${path}`))
    asked = []
    await goOn(done.id, 'replay', { from_node: 'a' })
    expect(paths()).toEqual(['/a', '/a', '/a', '/b'])
    const { body } = await again(user, done.id, 'replay', { from_path: 'a#4' }).expect(422)
    expect(body.errors).toMatchObject([{ pointer: '#/from_path', code: 'not_reached' }])
  })

  it('does a batch that it starts from as a whole, and keeps one that came before', async () => {
    const done = await started({
      all: {
        type: 'http.request',
        params: { items: [0, 1], url: outside.url('/item/${item}'), method: 'POST' },
        batch: { strategy: 'parallel' },
        next: { default: 'b' },
      },
      b: effect('/b'),
    })
    asked = []
    await goOn(done.id, 'replay', { from_node: 'all' })
    expect(paths().sort()).toEqual(['/b', '/item/0', '/item/1'])
    asked = []
    await goOn(done.id, 'replay', { from_node: 'b' })
    expect(paths()).toEqual(['/b'])
  })

  it('keeps to the branch that was taken, and starts from no other', async () => {
    const done = await started({
      way: { type: 'condition', params: { condition_script: "return 'left'" }, next: { left: 'a', right: 'b' } },
      a: effect('/a', { default: 'c' }),
      b: effect('/b', { default: 'c' }),
      c: effect('/c'),
    })
    asked = []
    await goOn(done.id, 'replay', { from_node: 'c' })
    expect(paths()).toEqual(['/c'])
    const { body } = await again(user, done.id, 'replay', { from_node: 'b' }).expect(422)
    expect(body.error.details).toEqual({
      field: 'from_node',
      reason: "'b' was not reached",
    })
  })

  it('runs another version of the flow', async () => {
    const flow = await user.flow({ start: script('return input', { default: 'a' }), ...chain() })
    const done = await user.ended(await user.start(flow))
    const change = (nodes: Parameters<typeof definitionOf>[0], version: string) =>
      user.put(`/api/v1/flows/${flow}`, { definition: definitionOf(nodes, { version }) }).expect(200)
    const nodes = { start: script('return input', { default: 'a' }), ...chain() }
    await change({ ...nodes, end: script('return { version: 2, first: results.a.body.path }') }, '2.0.0')
    asked = []
    expect((await goOn(done.id, 'replay', { from_node: 'c', version: 'latest' })).result).toEqual({
      version: 2,
      first: '/a',
    })
    expect((await goOn(done.id, 'replay', { from_node: 'c' })).result).toEqual({ from: '/c', first: '/a' })
    expect(paths()).toEqual(['/c', '/c'])

    const { b: _, ...without } = nodes
    await change({ ...without, a: effect('/a', { default: 'c' }), c: script('return 3') }, '3.0.0')
    const { body } = await again(user, done.id, 'replay', { from_node: 'c', version: '3.0.0' }).expect(422)
    expect(body.errors).toEqual([
      {
        pointer: '#/version',
        code: 'node_changed',
        detail: "'b' cannot be carried over: version '3.0.0' has no node 'b'",
      },
      {
        pointer: '#/version',
        code: 'node_changed',
        detail: "'c' cannot be carried over: node 'c' was http.request and is transform in version '3.0.0'",
      },
    ])
    expect((await goOn(done.id, 'replay', { from_node: 'c', version: '2.0.0' })).result).toMatchObject({ version: 2 })
    const unknown = await again(user, done.id, 'replay', { version: '9' }).expect(422)
    expect(unknown.body.errors).toMatchObject([{ pointer: '#/version', code: 'unknown_version' }])
  })

  it('says which member is at fault', async () => {
    const done = await started(chain())
    const fault = async (body: object, field: string, code: string) => {
      const answer = await again(user, done.id, 'replay', body).expect(422)
      expect(answer.body.errors).toMatchObject([{ pointer: `#/${field}`, code }])
    }
    await fault({ from_node: 'b', from_path: 'b' }, 'from_path', 'not_allowed')
    await fault({ from_node: 'b', input: { a: 1 } }, 'input', 'not_allowed')
    await fault({ from_node: 'nowhere' }, 'from_node', 'not_reached')
    await fault({ from_path: 'a[0]' }, 'from_path', 'not_reached')
    await fault({ from_node: '' }, 'from_node', 'empty')
    await fault({ input: [] }, 'input', 'type')
    await fault({ node: 'b' }, 'node', 'unknown_member')
  })

  it('is refused while the execution runs', async () => {
    const live = await user.start(await user.flow({ start: { type: 'wait', params: { key: 'never-replayed' } } }))
    await again(user, live, 'replay').expect(409)
    await user.delete(`/api/v1/executions/${live}`).expect(200)
  })
})

describe('dead letters', () => {
  async function dead(flow?: string): Promise<Execution> {
    const execution = flow ? await user.ended(await user.start(flow)) : await started(chain())
    await database.query('update run set dead = true where id = $1', [execution.id])
    return execution
  }
  const list = async (query = '') =>
    (await user.get(`/api/v1/executions?dead_letter=true&limit=100${query}`).expect(200)).body.executions.map(
      ({ id }: Execution) => id,
    )

  it('are listed until somebody has taken care of them', async () => {
    breakDown('/b')
    const [one, two, three] = [await dead(), await dead(), await dead()]
    expect(await list()).toEqual([three.id, two.id, one.id])
    expect(await list(`&flow_id=${two.flow_id}&status=failed`)).toEqual([two.id])
    expect(await list('&status=completed')).toEqual([])
    expect((await stranger.get('/api/v1/executions?dead_letter=true')).body.total).toBe(0)
    await user.get('/api/v1/executions?dead_letter=maybe').expect(400)
    await goOn(one.id, 'resume')
    await goOn(two.id, 'replay')
    expect(await list()).toEqual([three.id])
    expect(likeReference((await redrive({})).body)).toMatchObject({ skipped: [] })
    expect(await list()).toEqual([])
  })

  it('are redriven in bulk, under their keys, each as a new execution', async () => {
    breakDown('/b')
    const all = [await dead(), await dead(), await dead()]
    broken.clear()
    asked = []
    const { body } = await redrive({ limit: 2 })
    expect(body.redriven.map(({ id }: { id: string }) => id)).toEqual([all[0]?.id, all[1]?.id])
    for (const { id, execution_id } of body.redriven)
      expect(await user.ended(execution_id)).toMatchObject({ status: 'completed', resumed_from: id })
    expect(new Set(asked.filter(({ path }) => path === '/b').map(({ key }) => key))).toEqual(
      new Set([`${all[0]?.id}:b`, `${all[1]?.id}:b`]),
    )
    const rest = await redrive({ flow_id: all[2]?.flow_id })
    expect(rest.body.redriven).toHaveLength(1)
    expect((await redrive({})).body).toEqual({ redriven: [], skipped: [] })
  })

  it('are redriven by name, and what is none of the caller says the same as what is not there', async () => {
    breakDown('/b')
    const [mine, gone] = [await dead(), await dead()]
    await user.delete(`/api/v1/flows/${gone.flow_id}`).expect(200)
    const alive = await started(chain())
    for (const ids of [[mine.id], [NOWHERE]]) {
      const { body } = await stranger.post('/api/v1/executions/redrive', { ids }).expect(200)
      expect(body).toEqual({ redriven: [], skipped: [{ id: ids[0], reason: 'It is no dead letter of yours' }] })
    }
    const { body } = await redrive({ ids: [mine.id, gone.id, alive.id, NOWHERE] })
    expect(body.redriven).toMatchObject([{ id: mine.id }])
    expect(body.skipped).toEqual([
      { id: alive.id, reason: 'It is no dead letter of yours' },
      { id: NOWHERE, reason: 'It is no dead letter of yours' },
      { id: gone.id, reason: `Execution ${gone.id} is of a flow that was deleted` },
    ])
    expect(await list()).toEqual([gone.id])
  })

  it('are not redriven twice, however many ask at once', async () => {
    breakDown('/b')
    const all = [await dead(), await dead(), await dead()]
    const answers = await Promise.all(Array.from({ length: 6 }, () => redrive({ ids: all.map(({ id }) => id) })))
    const redriven = answers.flatMap(({ body }) => body.redriven.map(({ id }: { id: string }) => id))
    expect(redriven.sort()).toEqual(all.map(({ id }) => id).sort())
  })

  it.each([
    [{ limit: 0 }, 'limit'],
    [{ limit: 1_001 }, 'limit'],
    [{ ids: [] }, 'ids'],
    [{ ids: [1] }, 'ids'],
    [{ ids: 'run' }, 'ids'],
    [{ flow: 'x' }, 'flow'],
  ])('refuse %j', async (body, field) => {
    const answer = await user.post('/api/v1/executions/redrive', body).expect(422)
    expect(answer.body.error.details.field).toBe(field)
  })

  function redrive(body: object) {
    return user.post('/api/v1/executions/redrive', body).expect(200)
  }
})

describe('starting again', () => {
  it('is for the execution’s own account, and for who may write', async () => {
    breakDown('/b')
    const failed = await started(chain())
    for (const how of ['resume', 'replay'] as const) {
      for (const [who, id] of [
        [stranger, failed.id],
        [user, NOWHERE],
      ] as const) {
        const { body } = await again(who, id, how).expect(404)
        expect(body).toMatchObject({ title: 'Execution not found', detail: `Execution with ID ${id} not found` })
      }
    }
    await user
      .post('/api/v1/accounts', {
        name: 'v',
        email: 'viewer@example.com',
        password: 'correct horse battery',
        role: 'viewer',
      })
      .expect(201)
    const viewer = await FlowRunnerUser.login(api, { email: 'viewer@example.com', password: 'correct horse battery' })
    for (const path of [`${failed.id}/resume`, `${failed.id}/replay`, 'redrive'])
      await viewer.post(`/api/v1/executions/${path}`).expect(403)
    expect((await user.get(`/api/v1/executions?resumed_from=${failed.id}`)).body.total).toBe(0)
  })
})
