import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { closedPort } from '../../test/support/peers/silent.js'
import type { JsonObject } from '../platform/json.js'
import { GuardedOutbound } from '../platform/outbound/guarded-outbound.js'
import { FakeLlmServer } from './llm/llm-server.fake.js'
import { llm } from './llm.js'
import { loopbackOutbound, outputOf } from './loopback.fake.js'
import { failure } from './step-context.fake.js'

const step = llm({ outbound: loopbackOutbound })
let server: FakeLlmServer

beforeEach(async () => {
  server = await FakeLlmServer.start()
})
afterEach(() => server.stop())

const WEATHER = {
  name: 'get_weather',
  description: 'Get the current weather',
  parameters: { type: 'object', properties: { location: { type: 'string' } }, required: ['location'] },
}
const openAi = () => ({ provider: 'openai', api_key: server.apiKey, base_url: server.openAiUrl, model: 'gpt-4.1' })
const anthropic = () => ({
  provider: 'anthropic',
  api_key: server.apiKey,
  base_url: server.anthropicUrl,
  model: 'claude-sonnet-5-5',
})
const ask = async (params: JsonObject, options = {}) => (await outputOf(step, params, options)) as JsonObject

describe('llm with OpenAI', () => {
  it('answers as documented', async () => {
    server.reply({ text: 'The capital of France is Paris.' })
    const messages = [
      { role: 'system', content: 'You are a helpful assistant.' },
      { role: 'user', content: 'What is the capital of France?' },
    ]
    const output = await ask({ ...openAi(), messages, max_tokens: 100, stop: ['\n\n'], options: { top_p: 0.9 } })
    expect(output).toEqual({
      id: 'chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT',
      model: 'gpt-4.1-2025-04-14',
      choices: [expect.objectContaining({ index: 0, finish_reason: 'stop' })],
      usage: { prompt_tokens: 50, completion_tokens: 30, total_tokens: 80 },
      content: 'The capital of France is Paris.',
      finish_reason: 'stop',
      raw_response: expect.objectContaining({ object: 'chat.completion', created: 1_741_569_952 }),
      has_tool_calls: false,
      tool_calls: [],
    })
    expect(server.asked).toEqual({
      model: 'gpt-4.1',
      messages,
      temperature: 0.7,
      max_tokens: 100,
      stop: ['\n\n'],
      top_p: 0.9,
      stream: false,
    })
  })

  it('tells nothing of this machine or its environment', async () => {
    vi.stubEnv('OPENAI_ORG_ID', 'org-of-the-operator')
    vi.stubEnv('OPENAI_CUSTOM_HEADERS', 'X-Gateway-Key: of-the-operator')
    vi.stubEnv('OPENAI_BASE_URL', 'http://127.0.0.1:1/v1')
    try {
      server.reply({ text: 'x' })
      await ask({ ...openAi(), prompt: 'x' })
    } finally {
      vi.unstubAllEnvs()
    }
    const { headers } = server.requests[0] ?? {}
    expect(Object.keys(headers ?? {}).filter((name) => name.startsWith('x-') || name.startsWith('openai-'))).toEqual([])
    expect(JSON.stringify(headers)).not.toContain('operator')
  })

  it('asks by prompt, template or templates', async () => {
    server.reply({ text: '1' }, { text: '2' }, { text: '3' })
    await ask({ ...openAi(), prompt: 'What is {{.this}}?' })
    expect(server.asked.messages).toEqual([{ role: 'user', content: 'What is {{.this}}?' }])
    await ask({
      ...openAi(),
      template: 'Hello {{.name}}, of {{ .home.city }}: {{.list}}!',
      variables: { name: '{{.home}}', home: { city: 'Kyoto' }, list: [1, 'a'] },
    })
    expect(server.asked.messages).toEqual([{ role: 'user', content: 'Hello {{.home}}, of Kyoto: [1,"a"]!' }])
    const templates = [
      { role: 'system', template: 'You specialise in {{.topic}}.' },
      { role: 'user', template: 'Tell me about {{.subject}}.' },
    ]
    await ask({ ...openAi(), templates, context: { topic: 'geography', subject: 'rivers' } })
    expect(server.asked.messages).toEqual([
      { role: 'system', content: 'You specialise in geography.' },
      { role: 'user', content: 'Tell me about rivers.' },
    ])
  })

  it('refuses a template that it cannot fill', async () => {
    expect((await failure(ask({ ...openAi(), template: 'Hi {{.who}}', variables: {} }))).message).toBe(
      'the template names {{.who}}, which has no value',
    )
    expect((await failure(ask({ ...openAi(), template: '{{range .x}}', variables: { x: [] } }))).message).toContain(
      '{{range .x}}',
    )
    expect((await failure(ask({ ...openAi(), template: '{{.constructor.name}}', variables: {} }))).code).toBe(
      'template',
    )
    expect((await failure(ask(openAi()))).code).toBe('invalid_params')
    expect(server.requests).toEqual([])
  })

  it('lets the run’s own question take the place of the prompt', async () => {
    server.reply({ text: '1' }, { text: '2' }, { text: '3' })
    const runInput = { question: 'How tall is it?' }
    await ask({ ...openAi(), prompt: 'default' }, { runInput })
    expect(server.asked.messages).toEqual([{ role: 'user', content: 'How tall is it?' }])
    const system = { role: 'system', content: 'Be brief.' }
    await ask({ ...openAi(), messages: [system, { role: 'user', content: 'default' }] }, { runInput })
    expect(server.asked.messages).toEqual([system, { role: 'user', content: 'How tall is it?' }])
    await ask({ ...openAi(), prompt: 'default' }, { runInput: { question: '' } })
    expect(server.asked.messages).toEqual([{ role: 'user', content: 'default' }])
  })

  it('offers tools and functions, and hands on what the model calls', async () => {
    const ways: JsonObject[] = [{ tools: [{ type: 'function', function: WEATHER }] }, { functions: [WEATHER] }]
    for (const given of ways) {
      server.reply({ toolCalls: [{ name: 'get_weather', arguments: { location: 'Tokyo' } }] })
      const output = await ask({ ...openAi(), prompt: 'Weather?', ...given })
      expect(server.asked.tools).toEqual([{ type: 'function', function: WEATHER }])
      expect(output).toMatchObject({
        content: '',
        finish_reason: 'tool_calls',
        has_tool_calls: true,
        tool_calls: [
          { id: 'call_1', type: 'function', function: { name: 'get_weather', arguments: '{"location":"Tokyo"}' } },
        ],
      })
    }
  })

  it('passes the response format on, and reads structured answers', async () => {
    const response_format = { type: 'json_object' }
    server.reply(
      { text: '{"name": "Paris"}' },
      { text: 'Here you are:\n```yaml\nname: Tokyo\nlandmarks:\n  - Tower\n```\n' },
      { text: 'Sorry, I cannot.' },
    )
    expect(await ask({ ...openAi(), prompt: 'x', response_format, parse_structured: true })).toMatchObject({
      structured_output: { name: 'Paris' },
    })
    expect(server.asked.response_format).toEqual(response_format)
    expect(await ask({ ...openAi(), prompt: 'x', parse_structured: true })).toMatchObject({
      structured_output: { name: 'Tokyo', landmarks: ['Tower'] },
    })
    expect(await failure(ask({ ...openAi(), prompt: 'x', parse_structured: true }))).toMatchObject({
      code: 'structured_output',
      output: { content: 'Sorry, I cannot.' },
    })
  })

  it('asks reasoning models as they want to be asked', async () => {
    const refusal = (errorParam: string) => ({
      status: 400,
      error: `Unsupported parameter: '${errorParam}'`,
      errorCode: 'unsupported_parameter',
      errorParam,
    })
    server.reply(refusal('temperature'), { text: 'a' }, refusal('max_tokens'), { text: 'b' }, refusal('temperature'))
    expect(await ask({ ...openAi(), prompt: 'x', max_tokens: 9 })).toMatchObject({ content: 'a' })
    expect(server.asked).toMatchObject({ max_completion_tokens: 9 })
    expect(server.asked).not.toHaveProperty('temperature')
    expect(await ask({ ...openAi(), prompt: 'x', max_tokens: 9, temperature: 1 })).toMatchObject({ content: 'b' })
    expect(server.asked).toMatchObject({ max_completion_tokens: 9, temperature: 1 })
    expect((await failure(ask({ ...openAi(), prompt: 'x', temperature: 0.2 }))).message).toContain(
      "Unsupported parameter: 'temperature'",
    )
    expect(server.requests).toHaveLength(5)
  })

  it('leaves out the temperature where told', async () => {
    server.reply({ text: 'x' })
    await ask({ ...openAi(), prompt: 'x', temperature: null })
    expect(server.asked).not.toHaveProperty('temperature')
  })

  it('takes any server with the same API, and what it leaves out as left out', async () => {
    server.reply(
      { raw: { choices: [{ message: { role: 'assistant', content: 'hi' } }] } },
      { raw: { ok: true } },
      { raw: 'text' },
    )
    expect(await ask({ ...openAi(), provider: 'generic', prompt: 'x' })).toMatchObject({
      id: '',
      content: 'hi',
      usage: { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 },
    })
    for (const _ of [1, 2])
      expect((await failure(ask({ ...openAi(), provider: 'generic', prompt: 'x' }))).message).toContain(
        'no chat completion',
      )
    const { base_url: _, ...withoutUrl } = openAi()
    expect((await failure(ask({ ...withoutUrl, provider: 'generic', prompt: 'x' }))).message).toContain(
      'needs base_url',
    )
  })
})

describe('llm with Anthropic', () => {
  it('answers in the same form', async () => {
    server.reply({ text: 'Paris.' })
    const output = await ask({
      ...anthropic(),
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'What is the capital of France?' },
      ],
      max_tokens: 300,
      stop: ['END'],
      options: { metadata: { user_id: 'u1' } },
    })
    expect(server.asked).toEqual({
      model: 'claude-sonnet-5-5',
      max_tokens: 300,
      system: 'Be brief.',
      messages: [{ role: 'user', content: 'What is the capital of France?' }],
      stop_sequences: ['END'],
      metadata: { user_id: 'u1' },
      stream: false,
    })
    expect(output).toEqual({
      id: 'msg_013Zva2CMHLNnXjNJJKqJ2EF',
      model: 'claude-sonnet-5-5-20250929',
      choices: [{ index: 0, message: { role: 'assistant', content: 'Paris.' }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 50, completion_tokens: 30, total_tokens: 80 },
      content: 'Paris.',
      finish_reason: 'stop',
      raw_response: expect.objectContaining({ type: 'message', stop_reason: 'end_turn' }),
      has_tool_calls: false,
      tool_calls: [],
    })
  })

  it('translates tools, calls, their results and pictures', async () => {
    server.reply(
      { text: 'Let me see.', toolCalls: [{ name: 'get_weather', arguments: { location: 'Tokyo' } }] },
      { text: 'Sunny.', finish: 'length' },
    )
    const tools = [{ type: 'function', function: WEATHER }]
    const question: JsonObject = {
      role: 'user',
      content: [
        { type: 'text', text: 'Weather here?' },
        { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } },
      ],
    }
    const first = await ask({ ...anthropic(), messages: [question], tools })
    expect(server.asked.tools).toEqual([
      { name: 'get_weather', description: WEATHER.description, input_schema: WEATHER.parameters },
    ])
    expect((server.asked.messages as JsonObject[])[0]?.content).toEqual([
      { type: 'text', text: 'Weather here?' },
      { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AAAA' } },
    ])
    expect(first).toMatchObject({
      finish_reason: 'tool_calls',
      has_tool_calls: true,
      content: 'Let me see.',
      tool_calls: [
        { id: 'toolu_01', type: 'function', function: { name: 'get_weather', arguments: '{"location":"Tokyo"}' } },
      ],
    })
    const [choice] = first.choices as JsonObject[]
    const answered = [question, choice?.message ?? null, { role: 'tool', tool_call_id: 'toolu_01', content: 'sun' }]
    expect(await ask({ ...anthropic(), messages: answered, tools })).toMatchObject({
      content: 'Sunny.',
      finish_reason: 'length',
    })
    expect((server.asked.messages as JsonObject[])[2]).toEqual({
      role: 'user',
      content: [{ type: 'tool_result', tool_use_id: 'toolu_01', content: 'sun' }],
    })
  })

  it('asks by the version of the API that takes what the author wants', async () => {
    server.reply({ text: '1' }, { text: '2' }, { text: '3' })
    const versionOf = async (params: JsonObject) => {
      await ask({ ...anthropic(), prompt: 'x', ...params })
      return server.requests.at(-1)?.headers['anthropic-version']
    }
    expect(await versionOf({})).toBe('2026-10-21')
    expect(await versionOf({ temperature: 0.2 })).toBe('2023-06-01')
    expect(server.asked.temperature).toBe(0.2)
    expect(await versionOf({ options: { top_k: 5 } })).toBe('2023-06-01')
  })

  it('asks for JSON in the provider’s way', async () => {
    server.reply({ text: '{}' }, { text: '{}' })
    const schema = { type: 'object', properties: {} }
    await ask({
      ...anthropic(),
      prompt: 'x',
      response_format: { type: 'json_schema', json_schema: { name: 'x', schema } },
    })
    expect(server.asked.output_config).toEqual({ format: { type: 'json_schema', schema } })
    await ask({ ...anthropic(), prompt: 'x', response_format: { type: 'json_object' } })
    expect(server.asked.system).toContain('JSON object')
    expect(server.asked.max_tokens).toBe(4096)
  })
})

describe.each([
  { provider: 'openai', params: openAi },
  { provider: 'anthropic', params: anthropic },
])('failure with $provider', ({ params }) => {
  it('tells a wrong key and repeats no part of it', async () => {
    const key = 'sk-wrong-secret-key'
    const error = await failure(ask({ ...params(), api_key: key, prompt: 'x' }))
    expect(error).toMatchObject({
      message: 'LLM request failed with status 401: the provider refused the API key',
      code: 'llm_unauthorized',
      retryable: false,
    })
    expect(JSON.stringify([error, error.stack, error.cause])).not.toContain('sk-wrong')
  })

  it('tells what the provider said, once', async () => {
    server.reply(
      { status: 429, error: 'Rate limit reached' },
      { status: 500, error: `broken at ${server.apiKey}` },
      { status: 400, error: 'no such model' },
    )
    expect(await failure(ask({ ...params(), prompt: 'x' }))).toMatchObject({
      message: 'LLM request failed with status 429: Rate limit reached',
      code: 'llm_rate_limited',
      retryable: true,
      output: { status_code: 429 },
    })
    expect(await failure(ask({ ...params(), prompt: 'x' }))).toMatchObject({
      message: 'LLM request failed with status 500: broken at ***',
      retryable: true,
    })
    expect(await failure(ask({ ...params(), prompt: 'x' }))).toMatchObject({ retryable: false })
    expect(server.requests).toHaveLength(3)
  })

  it('ends in time, and at once when the step is stopped', async () => {
    server.reply({ silent: true }, { silent: true })
    expect(await failure(ask({ ...params(), prompt: 'x', timeout: '200ms' }))).toMatchObject({
      message: 'the LLM provider did not answer within 200ms',
      code: 'timeout',
    })
    const stopped = new AbortController()
    const failed = failure(ask({ ...params(), prompt: 'x' }, { signal: stopped.signal }))
    await vi.waitFor(() => expect(server.requests).toHaveLength(2))
    stopped.abort()
    expect(await failed).toMatchObject({ code: 'aborted', retryable: false })
  })

  it('does not reach what the guard refuses, or nobody serves', async () => {
    const guarded = llm({ outbound: new GuardedOutbound() })
    expect(await failure(outputOf(guarded, { ...params(), prompt: 'x' }))).toMatchObject({
      code: 'outbound_refused',
      retryable: false,
    })
    const base_url = `http://127.0.0.1:${await closedPort()}/v1`
    expect(await failure(ask({ ...params(), base_url, prompt: 'x' }))).toMatchObject({
      code: 'outbound_failed',
      retryable: true,
    })
  })
})

it('tells an exhausted quota from a full minute', async () => {
  server.reply({ status: 429, error: 'You exceeded your current quota', errorCode: 'insufficient_quota' })
  expect(await failure(ask({ ...openAi(), prompt: 'x' }))).toMatchObject({ code: 'llm_rate_limited', retryable: false })
})
