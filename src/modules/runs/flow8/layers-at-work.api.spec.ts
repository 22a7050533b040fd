import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'
import { json, Outside } from '../../../../test/support/outside.js'

let api: ApiUnderTest
let user: FlowRunnerUser
let outside: Outside

beforeAll(async () => {
  outside = await Outside.start()
  outside.answer('/never', () => {})
  api = await apiUnderTest({ OUTBOUND_ALLOW: '127.0.0.1' })
  user = await FlowRunnerUser.login(api)
})

afterAll(async () => {
  await api.close()
  await outside.stop()
})

type Layer = Record<string, unknown>

async function flow(layers: Layer[], rest: object = {}): Promise<string> {
  return (await user.post('/api/flows', { name: 'At work', layers, ...rest }).expect(201)).body.id
}

/** A play of these layers, once it has ended. */
async function played(layers: Layer[], args: object = {}, rest: object = {}) {
  const { body } = await user.post(`/api/flows/${await flow(layers, rest)}/run`, { args }).expect(201)
  return await vi.waitFor(
    async () => {
      const play = (await user.get(`/api/plays/${body.playId}`).expect(200)).body
      if (play.completedAt === null) throw new Error(`the play is ${play.state}`)
      return play
    },
    { timeout: 15_000, interval: 25 },
  )
}

async function statesOf(playId: string): Promise<string[][]> {
  const { body } = await user.get(`/api/plays/${playId}/layers?size=100`).expect(200)
  return body.data.map(({ path, ref, state }: Record<string, string>) => [path ?? ref, state])
}

const say = (ref: string, index: number, values: object, rest: Layer = {}): Layer => ({
  appId: 'var',
  ref,
  index,
  args: { values },
  ...rest,
})

describe('a loop', () => {
  it('does its layers for each item, and an aggregator collects them', async () => {
    const play = await played(
      [
        { appId: 'iterator', ref: 'each', index: 0, args: { items: '{{ $prev.args.orders }}' } },
        say('priced', 1, { total: '{{ mul $prev.each.item.count 3 }}', last: '{{ $prev.each.isLast }}' }),
        { appId: 'aggregator', ref: 'all', index: 2, args: { sourceRef: 'priced', field: 'total' } },
        say('sum', 3, { first: '{{ index $prev.all.items 0 }}', count: '{{ $prev.all.count }}' }),
      ],
      { orders: [{ count: 1 }, { count: 2 }, { count: 4 }] },
    )
    expect(play).toMatchObject({ state: 'DONE', out: { first: 3, count: 3 } })
    expect(await statesOf(play.id)).toEqual(
      expect.arrayContaining([
        ['each[0].priced', 'DONE'],
        ['each[2].priced', 'DONE'],
        ['all', 'DONE'],
      ]),
    )
  })
})

describe('a failure', () => {
  const broken = (rest: Layer = {}): Layer => ({
    appId: 'curl',
    ref: 'broken',
    index: 0,
    args: { url: 'http://127.0.0.1:1/' },
    ...rest,
  })

  it('is gone on from, counts for nothing, or ends the play, as the layer says', async () => {
    const after = say('after', 1, { state: '{{ $prev.broken.state }}' })
    const [continued, skipped, failed] = await Promise.all(
      ['continue', 'skip', 'fail'].map((onError) => played([broken({ onError }), after])),
    )
    expect(continued).toMatchObject({ state: 'DONE', out: { state: 'FAIL' } })
    expect(skipped).toMatchObject({ state: 'DONE', out: { state: 'SKIP' } })
    expect(failed).toMatchObject({ state: 'FAIL', error: { ref: 'broken' } })
    expect(await statesOf(failed.id)).toEqual([
      ['broken', 'FAIL'],
      ['after', 'NEW'],
    ])
  })

  it('starts the flow for failures, with what is known of the play', async () => {
    const rescue = await flow([
      say('told', 0, {
        from: '{{ $prev.args.flowId }}',
        why: '{{ $prev.args.error.ref }}',
        args: '{{ $prev.args.args }}',
      }),
    ])
    const play = await played([broken()], { order: 7 }, { execution: { onFailFlowId: rescue } })
    expect(play.state).toBe('FAIL')
    const rescued = await vi.waitFor(
      async () => {
        const { data } = (await user.get(`/api/plays?flowId=${rescue}&state=DONE`).expect(200)).body
        expect(data).toHaveLength(1)
        return (await user.get(`/api/plays/${data[0].id}`).expect(200)).body
      },
      { timeout: 10_000, interval: 25 },
    )
    expect(rescued.args).toMatchObject({ playId: play.id, flowId: play.flowId, args: { order: 7 } })
    expect(rescued.out).toMatchObject({ from: play.flowId, args: { order: 7 } })
  })

  it('is tried again as often as the layer says', async () => {
    let asked = 0
    outside.answer('/flaky', (_, response) => json(response, ++asked < 3 ? 503 : 200, { asked }))
    const retry = { count: 3, delayMs: 10, backoffMultiplier: 1, jitter: false }
    const args = { url: outside.url('/flaky'), failOnError: true }
    const play = await played([{ appId: 'curl', ref: 'flaky', index: 0, args, retry }])
    expect(play).toMatchObject({ state: 'DONE', out: { statusCode: 200, body: { asked: 3 } } })
  })
})

describe('time', () => {
  it('of one attempt is limited by its layer', async () => {
    const play = await played([
      { appId: 'curl', ref: 'slow', index: 0, args: { url: outside.url('/never') }, timeout: 0.3 },
    ])
    expect(play).toMatchObject({ state: 'FAIL', error: { ref: 'slow', message: 'the step took longer than 300ms' } })
  })

  it('of a play is limited by its flow, also while it waits', async () => {
    const layers = [{ appId: 'delay', ref: 'nap', index: 0, args: { seconds: 3600 } }]
    const play = await played(layers, {}, { execution: { timeout: 0.5 } })
    expect(play).toMatchObject({ state: 'FAIL', error: { message: 'the run took longer than its flow allows' } })
  })
})

describe('a sub-flow', () => {
  it('is a play of its own, whose end the layer waits for', async () => {
    const child = await flow([say('double', 0, { n: '{{ mul $prev.args.n 2 }}' })])
    const play = await played(
      [
        { appId: 'subflow', ref: 'child', index: 0, args: { flowId: child, args: { n: '{{ $prev.args.n }}' } } },
        say('told', 1, { n: '{{ $prev.child.out.n }}', state: '{{ $prev.child.state }}' }),
      ],
      { n: 21 },
    )
    expect(play).toMatchObject({ state: 'DONE', out: { n: 42, state: 'DONE' } })
  })
})

describe('key-value entries', () => {
  it('outlive plays, for the flow that wrote them', async () => {
    const id = await flow([
      { appId: 'kv-append', ref: 'seen', index: 0, args: { key: 'visits', value: '{{ $prev.args.who }}' } },
      { appId: 'kv-get', ref: 'all', index: 1, args: { key: 'visits' } },
    ])
    const run = async (who: string) => {
      const { body } = await user.post(`/api/flows/${id}/run`, { args: { who } }).expect(201)
      return await user.ended(body.playId)
    }
    await run('Ada')
    expect(await run('Bob')).toMatchObject({ status: 'completed', result: { value: ['Ada', 'Bob'], found: true } })
    const { body } = await user.get(`/api/kv?scope=flow&scopeKey=${id}`).expect(200)
    expect(body.data).toMatchObject([{ key: 'visits', value: ['Ada', 'Bob'], version: 2 }])
  })
})
