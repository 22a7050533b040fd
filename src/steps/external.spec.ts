import { Ajv2020 } from 'ajv/dist/2020.js'
import { describe, expect, it } from 'vitest'
import type { JsonSchema } from '../platform/json.js'
import { externalSteps } from './external.js'
import { FORMATS } from './formats.js'
import { loopbackOutbound } from './loopback.fake.js'
import { checkParams } from './params.js'

const types = externalSteps({ outbound: loopbackOutbound })
const SECRETS = new Set(['password', 'api_key', 'secret_key', 'session_token'])

const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, strictRequired: false })
for (const [name, { test }] of Object.entries(FORMATS)) ajv.addFormat(name, { type: 'string', validate: test })
ajv.addFormat('date-time', true)

it('offers the documented types', () => {
  expect(types.map(({ name, stepClass, sharedAs }) => [name, stepClass, sharedAs])).toEqual([
    ['email.send', 'effect', 'email_result'],
    ['email.receive', 'effect', 'email_result'],
    ['llm', 'effect', 'llm_result'],
    ['agent', 'effect', 'agent_result'],
    ['postgres', 'effect', 'postgres_result'],
    ['dynamodb', 'effect', 'dynamodb_result'],
    ['mcp', 'effect', 'mcp_result'],
  ])
})

describe.each(types)('$name', (type) => {
  const properties = Object.entries(type.params.properties as Record<string, JsonSchema>)

  it('describes every parameter, and keeps to itself what is secret', () => {
    for (const [name, schema] of properties) {
      expect(schema.description, name).toMatch(/\.$/)
      expect(schema.writeOnly, name).toBe(SECRETS.has(name) ? true : undefined)
    }
  })

  it('has examples and defaults that its own schema allows', () => {
    for (const [name, schema] of properties) {
      const { examples = [], default: byDefault, ...rest } = schema
      const validate = ajv.compile(rest)
      const given = [...(examples as unknown[]), ...(byDefault === undefined ? [] : [byDefault])]
      for (const example of given) expect(validate(example), `${name}: ${JSON.stringify(example)}`).toBe(true)
    }
  })

  it('refuses what it does not know, and what is missing, at upload', () => {
    const faults = checkParams(type, { surprise: 1 }, { expressions: 'skip' }).map(
      ({ path, detail }) => `${path} ${detail}`,
    )
    expect(faults.some((fault) => fault.includes('surprise'))).toBe(true)
    for (const name of type.params.required as string[]) expect(faults.join('\n')).toContain(name)
  })
})

it('takes the documented examples', () => {
  const documented: Record<string, object[]> = {
    'email.send': [
      {
        smtp_host: 'smtp.gmail.com',
        smtp_port: 587,
        username: '${secrets.U}',
        password: '${secrets.P}',
        to: ['a@x.org'],
        subject: 'Hi',
        body: 'x',
      },
    ],
    'email.receive': [
      {
        imap_host: 'imap.gmail.com',
        imap_port: 993,
        username: '${secrets.U}',
        password: '${secrets.P}',
        limit: 10,
        unseen: true,
        since: '2023-01-01T00:00:00Z',
      },
    ],
    llm: [
      {
        provider: 'openai',
        api_key: '${secrets.K}',
        model: 'gpt-3.5-turbo',
        template: 'About {{.topic}}.',
        variables: { topic: '${input.body.topic}' },
        temperature: 0.7,
        max_tokens: 500,
      },
    ],
    agent: [
      {
        provider: 'openai',
        api_key: '${secrets.K}',
        model: 'gpt-4',
        system_prompt: 'x',
        user_prompt: 'Analyze: ${input.data}',
        tools: [{ type: 'function', function: { name: 'get_weather' } }],
      },
    ],
    postgres: [
      { operation: 'query', query: 'SELECT * FROM users WHERE id = $1', args: ['user-123'] },
      {
        operation: 'batch_insert',
        table: 'users',
        items: '${input.items}',
        columns: ['id'],
        on_conflict: 'id',
        on_conflict_action: 'update',
      },
    ],
    dynamodb: [{ operation: 'put', table: 'users', item: { id: 'user-123', name: 'John Doe' } }],
    mcp: [
      {
        connectionType: 'http',
        url: 'http://127.0.0.1:3005/mcp',
        operation: 'listTools',
        headers: { Authorization: 'Bearer token' },
        timeout: '30s',
      },
    ],
  }
  for (const type of types) {
    for (const params of documented[type.name] ?? []) {
      expect(checkParams(type, params as never, { expressions: 'skip' }), type.name).toEqual([])
    }
  }
})
