import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { JsonObject } from '../platform/json.js'
import { LocalServer } from '../platform/outbound/local-server.fake.js'
import { agent } from './agent.js'
import { FakeLlmServer } from './llm/llm-server.fake.js'
import { loopbackOutbound, outputOf } from './loopback.fake.js'
import { FakeStepContext, failure, runStep } from './step-context.fake.js'

const step = agent({ outbound: loopbackOutbound })
let llm: FakeLlmServer
let shop: LocalServer

beforeEach(async () => {
  llm = await FakeLlmServer.start()
  shop = await LocalServer.start((request, response) => {
    const missing = request.url?.startsWith('/orders/none')
    response
      .writeHead(missing ? 404 : 200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ path: request.url }))
  })
})
afterEach(async () => {
  await llm.stop()
  await shop.stop()
})

const model = () => ({ provider: 'openai', api_key: llm.apiKey, base_url: llm.openAiUrl, model: 'gpt-4.1' })
const work = async (params: JsonObject, options = {}) =>
  (await outputOf(step, { ...model(), ...params }, options)) as JsonObject
const call = (name: string, args: JsonObject | string = {}) => ({ name, arguments: args })
const results = (output: JsonObject) => output.intermediate_results as JsonObject[]

describe.each(['openai', 'anthropic'])('agent with %s', (provider) => {
  const params = (): JsonObject =>
    provider === 'anthropic' ? { provider, base_url: llm.anthropicUrl, model: 'claude-sonnet-5-5' } : {}

  it('works with tools until it has an answer, as documented', async () => {
    llm.reply(
      { text: 'I need the time.', toolCalls: [call('get_current_time'), call('add', { a: 1, b: 2 })] },
      { toolCalls: [call('add', { a: 3, b: 4 })] },
      { text: 'It is done.' },
    )
    const output = await work(
      {
        ...params(),
        system_prompt: 'You are a helpful assistant.',
        user_prompt: 'What time is it?',
        tools: [
          {
            type: 'function',
            function: { name: 'add', description: 'Adds', parameters: { type: 'object', properties: {} } },
          },
        ],
        tool_handlers: { add: 'return args.a + args.b' },
        max_steps: 5,
      },
      { now: new Date('2024-02-03T04:05:06Z') },
    )
    const time = {
      time: '2024-02-03T04:05:06.000Z',
      unix: 1_706_933_106,
      year: 2024,
      month: 'February',
      day: 3,
      hour: 4,
      minute: 5,
      second: 6,
      weekday: 'Saturday',
      timezone: 'UTC',
    }
    expect(output).toMatchObject({ response: 'It is done.', steps: 3, thinking: 'I need the time.' })
    expect(Object.keys(output).sort()).toEqual([
      'conversation',
      'intermediate_results',
      'response',
      'steps',
      'thinking',
    ])
    expect(results(output)).toEqual([
      { step: 1, tool: 'get_current_time', arguments: {}, result: time, error: false },
      { step: 1, tool: 'add', arguments: { a: 1, b: 2 }, result: 3, error: false },
      { step: 2, tool: 'add', arguments: { a: 3, b: 4 }, result: 7, error: false },
    ])
    const conversation = output.conversation as JsonObject[]
    expect(conversation.map(({ role }) => role)).toEqual([
      'system',
      'user',
      'assistant',
      'tool',
      'tool',
      'assistant',
      'tool',
      'assistant',
    ])
    expect(conversation[3]?.content).toBe(JSON.stringify(time))
  })

  it('fails with the documented text when it finds no end', async () => {
    llm.reply(...Array.from({ length: 3 }, () => ({ toolCalls: [call('get_current_time')] })))
    const error = await failure(work({ ...params(), prompt: 'x', max_steps: 3 }))
    expect(error).toMatchObject({
      message: 'exceeded maximum number of steps (3)',
      code: 'max_steps',
      output: { steps: 3 },
    })
    expect(llm.requests).toHaveLength(3)
  })
})

describe('tools', () => {
  const order = () => ({
    name: 'get_order',
    description: 'Looks up an order',
    parameters: { type: 'object', properties: { id: { type: 'string' } } },
    url: `${shop.origin}/orders/{{.id}}`,
    headers: { 'X-Shop': 'yes' },
  })

  it('make requests whose target the model cannot choose', async () => {
    llm.reply(
      { toolCalls: [call('get_order', { id: '42', lang: 'de' })] },
      { toolCalls: [call('get_order', { id: '../admin?x=1#y' }), call('get_order', { id: '..' })] },
      { text: 'done' },
    )
    const output = await work({ prompt: 'x', tools: [order()] })
    expect(shop.requests.map(({ url }) => url)).toEqual(['/orders/42?lang=de', '/orders/..%2Fadmin%3Fx%3D1%23y'])
    expect(shop.requests[0]?.headers).toMatchObject({ 'x-shop': 'yes' })
    expect(results(output)[0]).toMatchObject({
      result: { status_code: 200, body: { path: '/orders/42?lang=de' } },
      error: false,
    })
    expect(results(output)[2]).toMatchObject({
      result: { error: expect.stringContaining('cannot be part of an address') },
      error: true,
    })
  })

  it('send the other arguments as JSON where the method has a body, each call under a key of its own', async () => {
    const place = { ...order(), name: 'place_order', method: 'post', url: `${shop.origin}/orders` }
    llm.reply(
      {
        toolCalls: [
          call('place_order', { id: '1' }),
          call('place_order', { id: '1' }),
          call('place_order', { id: '2' }),
        ],
      },
      { text: 'done' },
    )
    await work({ prompt: 'x', tools: [place] })
    expect(shop.requests.map(({ method, body }) => [method, body])).toEqual([
      ['POST', '{"id":"1"}'],
      ['POST', '{"id":"1"}'],
      ['POST', '{"id":"2"}'],
    ])
    const keys = shop.requests.map(({ headers }) => headers['idempotency-key'])
    expect(new Set(keys).size).toBe(3)
    llm.reply({ toolCalls: [call('place_order', { id: '1' })] }, { text: 'done' })
    await work({ prompt: 'x', tools: [place] }, { attempt: 2 })
    expect(shop.requests[3]?.headers['idempotency-key']).toBe(keys[0])
  })

  it('tell the model of their failure, and it goes on', async () => {
    llm.reply(
      {
        toolCalls: [
          call('get_order', { id: 'none' }),
          call('unknown'),
          call('declared'),
          call('broken'),
          call('get_order', '{"id": '),
          call('inside', {}),
        ],
      },
      { text: 'I could not.' },
    )
    const tools: JsonObject[] = [
      order(),
      { name: 'declared' },
      { name: 'broken' },
      { name: 'inside', url: 'http://10.0.0.1/' },
    ]
    const output = await work({ prompt: 'x', tools, tool_handlers: { broken: "throw new Error('no luck')" } })
    expect(output.response).toBe('I could not.')
    expect(results(output).map(({ error, result }) => [error, result])).toEqual([
      [true, { status_code: 404, body: { path: '/orders/none' } }],
      [true, { error: 'tool not found: unknown' }],
      [true, { error: 'no handler defined for tool: declared' }],
      [true, { error: 'no luck' }],
      [true, { error: 'the arguments are not valid JSON' }],
      [true, { error: expect.stringContaining('refused') }],
    ])
  })

  it('stop with the step', async () => {
    const hanging = await LocalServer.start(() => {})
    try {
      llm.reply({ toolCalls: [call('hang')] })
      const stopped = new AbortController()
      const failed = failure(
        work({ prompt: 'x', tools: [{ name: 'hang', url: hanging.origin }] }, { signal: stopped.signal }),
      )
      await vi.waitFor(() => expect(hanging.requests).toHaveLength(1))
      stopped.abort()
      expect(await failed).toMatchObject({ code: 'aborted' })
      expect(llm.requests).toHaveLength(1)
    } finally {
      await hanging.stop()
    }
  })

  it('may not share a name', async () => {
    expect((await failure(work({ prompt: 'x', tools: [order(), order()] }))).message).toBe(
      "there are two tools named 'get_order'",
    )
  })
})

it('hands signed thoughts back to Anthropic as they came', async () => {
  llm.reply({ thinking: 'First the time.', toolCalls: [call('get_current_time')] }, { text: 'Noon.' })
  const context = new FakeStepContext()
  const params = {
    provider: 'anthropic',
    api_key: llm.apiKey,
    base_url: llm.anthropicUrl,
    model: 'claude-sonnet-5-5',
    prompt: 'x',
  }
  const { output } = await runStep(
    step,
    { ...params, options: { thinking: { type: 'enabled', budget_tokens: 1024 } } },
    context,
  )
  expect(output).toMatchObject({ response: 'Noon.', thinking: 'First the time.' })
  const [, second] = llm.asked.messages as JsonObject[]
  expect(second?.content).toEqual([
    { type: 'thinking', thinking: 'First the time.', signature: 'EqQBCgIYAhIM' },
    { type: 'tool_use', id: 'toolu_01', name: 'get_current_time', input: {} },
  ])
  expect(context.logs).toEqual([{ level: 'info', message: 'Tool get_current_time answered', data: { step: 1 } }])
})

it('needs a prompt', async () => {
  expect((await failure(work({}))).code).toBe('invalid_params')
})
