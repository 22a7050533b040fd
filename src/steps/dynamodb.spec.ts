import { CreateTableCommand, DynamoDBClient, waitUntilTableExists } from '@aws-sdk/client-dynamodb'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { startDynalite } from '../../test/support/peers/dynalite.js'
import { closedPort } from '../../test/support/peers/silent.js'
import type { JsonObject } from '../platform/json.js'
import { GuardedOutbound } from '../platform/outbound/guarded-outbound.js'
import { LocalServer } from '../platform/outbound/local-server.fake.js'
import { dynamodb } from './dynamodb.js'
import { loopbackOutbound, outputOf } from './loopback.fake.js'
import { failure } from './step-context.fake.js'

const step = dynamodb({ outbound: loopbackOutbound })
const KEYS = { access_key: 'AKIAEXAMPLE', secret_key: 'very-secret-access-key', region: 'eu-central-1' }
let server: Awaited<ReturnType<typeof startDynalite>>

beforeAll(async () => {
  server = await startDynalite()
  const client = new DynamoDBClient({
    region: KEYS.region,
    endpoint: server.endpoint,
    credentials: { accessKeyId: KEYS.access_key, secretAccessKey: KEYS.secret_key },
  })
  const create = async (TableName: string, ...keys: string[]) => {
    await client.send(
      new CreateTableCommand({
        TableName,
        AttributeDefinitions: keys.map((AttributeName) => ({ AttributeName, AttributeType: 'S' })),
        KeySchema: keys.map((AttributeName, index) => ({ AttributeName, KeyType: index === 0 ? 'HASH' : 'RANGE' })),
        BillingMode: 'PAY_PER_REQUEST',
      }),
    )
    await waitUntilTableExists({ client, maxWaitTime: 10, minDelay: 0.05, maxDelay: 0.1 }, { TableName })
  }
  await create('users', 'id')
  await create('orders', 'customer', 'number')
  await create('settings', 'key')
  client.destroy()
})
afterAll(() => server?.stop())

const run = async (params: JsonObject, options = {}) =>
  await outputOf(step, { ...KEYS, endpoint: server.endpoint, ...params }, options)

describe('items', () => {
  it('are put, got, updated and deleted', async () => {
    const item = {
      id: 'user-123',
      name: 'John Doe',
      email: 'john@example.com',
      age: 42,
      tags: ['a', 1, null],
      home: { city: 'Berlin' },
    }
    const key = { id: 'user-123' }
    expect(await run({ operation: 'put', table: 'users', item })).toEqual(item)
    expect(await run({ operation: 'get', table: 'users', key, consistent_read: true })).toEqual(item)
    expect(await run({ operation: 'update', table: 'users', key, update: { name: 'Jane', size: 1.5 } })).toEqual({
      ...item,
      name: 'Jane',
      size: 1.5,
    })
    const byExpression = { update_expression: 'SET age = age + :one', expression_values: { ':one': 1 } }
    expect(await run({ operation: 'update', table_name: 'users', key, ...byExpression })).toMatchObject({ age: 43 })
    expect(await run({ operation: 'delete', table: 'users', key })).toEqual({ deleted: true, key })
    expect(await run({ operation: 'delete', table: 'users', key })).toEqual({ deleted: false, key })
    expect(await failure(run({ operation: 'get', table: 'users', key }))).toMatchObject({
      message: 'item not found: {"id":"user-123"}',
      code: 'not_found',
      retryable: false,
    })
  })

  it('have a text for a key where the key is named key', async () => {
    await run({ operation: 'put', table: 'settings', item: { key: 'theme', value: 'dark' } })
    expect(await run({ operation: 'get', table: 'settings', key: 'theme' })).toEqual({ key: 'theme', value: 'dark' })
  })

  it('are written on a condition', async () => {
    const condition_expression = 'attribute_not_exists(id)'
    const put = { operation: 'put', table: 'users', item: { id: 'once' }, condition_expression }
    await run(put)
    expect(await failure(run(put))).toMatchObject({ code: 'condition_failed', retryable: false })
    const update = { operation: 'update', table: 'users', key: { id: 'once' }, update: { a: 1 }, condition_expression }
    expect((await failure(run(update))).code).toBe('condition_failed')
  })

  it('keep names for names, however hostile', async () => {
    const name = 'x = :set0 REMOVE id'
    await run({ operation: 'put', table: 'users', item: { id: 'safe' } })
    expect(await run({ operation: 'update', table: 'users', key: { id: 'safe' }, update: { [name]: 1 } })).toEqual({
      id: 'safe',
      [name]: 1,
    })
    const table = 'users"; DROP'
    expect((await failure(run({ operation: 'get', table, key: { id: '1' } }))).code).toBe('dynamodb_error')
  })
})

describe('many items', () => {
  it('are written in batches, queried and scanned', async () => {
    const items = Array.from({ length: 60 }, (_, index) => ({
      customer: index < 40 ? 'ada' : 'bob',
      number: `n${String(index).padStart(2, '0')}`,
      total: index,
    }))
    expect(await run({ operation: 'batch_write', table: 'orders', items })).toEqual({ written: 60 })
    const byCustomer = {
      operation: 'query',
      table: 'orders',
      key_condition_expression: 'customer = :c',
      expression_values: { ':c': 'ada' },
    }
    expect(await run(byCustomer)).toHaveLength(40)
    expect(await run({ ...byCustomer, descending: true, limit: 2 })).toEqual([items[39], items[38]])
    const big = {
      filter_expression: '#t > :min',
      expression_names: { '#t': 'total' },
      expression_values: { ':c': 'ada', ':min': 35 },
    }
    expect(await run({ ...byCustomer, ...big })).toEqual(items.slice(36, 40))
    expect(await run({ operation: 'scan', table: 'orders' })).toHaveLength(60)
    expect(await run({ operation: 'scan', table: 'orders', limit: 7 })).toHaveLength(7)
    const deleted = items.slice(0, 30).map(({ customer, number }) => ({ customer, number }))
    expect(await run({ operation: 'batch_write', table: 'orders', delete_keys: deleted })).toEqual({ written: 30 })
    expect(await run({ operation: 'scan', table: 'orders' })).toHaveLength(30)
  })

  it('are gathered over pages of a megabyte', async () => {
    const items = Array.from({ length: 5 }, (_, index) => ({
      customer: 'big',
      number: `b${index}`,
      text: 'x'.repeat(350_000),
    }))
    await run({ operation: 'batch_write', table: 'orders', items })
    const query = {
      operation: 'query',
      table: 'orders',
      key_condition_expression: 'customer = :c',
      expression_values: { ':c': 'big' },
    }
    expect(await run(query)).toHaveLength(5)
  })

  it('are sent again where the service left some unwritten', async () => {
    const seen: number[] = []
    const busy = await LocalServer.start((_request, response) => {
      const { RequestItems } = JSON.parse(busy.requests.at(-1)?.body ?? '{}') as { RequestItems: { orders: unknown[] } }
      seen.push(RequestItems.orders.length)
      const rest = seen.length < 3 ? { orders: RequestItems.orders.slice(1) } : {}
      response
        .writeHead(200, { 'content-type': 'application/x-amz-json-1.0' })
        .end(JSON.stringify({ UnprocessedItems: rest }))
    })
    try {
      const items = ['a', 'b', 'c'].map((id) => ({ id }))
      expect(await run({ operation: 'batch_write', table: 'orders', items, endpoint: busy.origin })).toEqual({
        written: 3,
      })
      expect(seen).toEqual([3, 2, 1])
    } finally {
      await busy.stop()
    }
  })
})

it('keeps numbers that JSON cannot carry as text', async () => {
  const answer = {
    Item: {
      big: { N: '12345678901234567890123456789012345678' },
      half: { N: '0.5' },
      list: { L: [{ N: '9007199254740993' }, { BOOL: true }, { NULL: true }] },
      set: { SS: ['a', 'b'] },
      bytes: { B: 'AP8=' },
    },
  }
  const fixed = await LocalServer.start((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/x-amz-json-1.0' }).end(JSON.stringify(answer))
  })
  try {
    expect(await run({ operation: 'get', table: 'x', key: { id: '1' }, endpoint: fixed.origin })).toEqual({
      big: '12345678901234567890123456789012345678',
      half: 0.5,
      list: ['9007199254740993', true, null],
      set: ['a', 'b'],
      bytes: 'AP8=',
    })
    expect(fixed.requests[0]?.headers.authorization).toMatch(
      /^AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE\/\d{8}\/eu-central-1\/dynamodb\/aws4_request/,
    )
    expect(fixed.requests[0]?.headers.host).toBe(fixed.authority)
  } finally {
    await fixed.stop()
  }
})

describe('failure', () => {
  const get = { operation: 'get', table: 'users', key: { id: '1' } }

  it('tells a refused key without repeating it', async () => {
    const strict = await LocalServer.start((_request, response) => {
      const message = `The security token included in the request is invalid: ${KEYS.secret_key}`
      const body = { __type: 'com.amazon.coral.service#UnrecognizedClientException', message }
      response.writeHead(400, { 'content-type': 'application/x-amz-json-1.0' }).end(JSON.stringify(body))
    })
    try {
      const error = await failure(run({ ...get, endpoint: strict.origin }))
      expect(error).toMatchObject({ code: 'login_refused', retryable: false })
      expect(JSON.stringify([error, error.message, error.stack])).not.toContain(KEYS.secret_key)
      expect(strict.requests).toHaveLength(1)
    } finally {
      await strict.stop()
    }
  })

  it('uses no other credentials than its own', async () => {
    const { access_key: _a, secret_key: _s, ...without } = KEYS
    vi.stubEnv('AWS_ACCESS_KEY_ID', 'of-the-operator')
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'of-the-operator')
    try {
      expect((await failure(outputOf(step, { ...without, ...get, endpoint: server.endpoint }))).code).toBe(
        'invalid_params',
      )
    } finally {
      vi.unstubAllEnvs()
    }
  })

  it('tells what the service said, once', async () => {
    expect(await failure(run({ ...get, table: 'missing' }))).toMatchObject({
      message: expect.stringContaining('ResourceNotFoundException'),
      code: 'dynamodb_error',
      retryable: false,
    })
    const broken = await LocalServer.start((_request, response) => response.writeHead(500).end('{}'))
    try {
      expect(await failure(run({ ...get, endpoint: broken.origin }))).toMatchObject({
        code: 'dynamodb_error',
        retryable: true,
      })
      expect(broken.requests).toHaveLength(1)
    } finally {
      await broken.stop()
    }
  })

  it('follows no redirect and reaches nothing that the guard refuses', async () => {
    const away = await LocalServer.start((_request, response) =>
      response.writeHead(307, { location: server.endpoint }).end(),
    )
    try {
      expect((await failure(run({ ...get, endpoint: away.origin }))).code).toBe('outbound_failed')
    } finally {
      await away.stop()
    }
    const guarded = dynamodb({ outbound: new GuardedOutbound() })
    const metadata = { ...KEYS, ...get, endpoint: 'http://169.254.169.254' }
    expect(await failure(outputOf(guarded, metadata))).toMatchObject({ code: 'outbound_refused', retryable: false })
    expect((await failure(run({ ...get, region: 'evil.example.com/#' }))).code).toBe('invalid_params')
    expect(await failure(run({ ...get, endpoint: `http://127.0.0.1:${await closedPort()}` }))).toMatchObject({
      code: 'outbound_failed',
      retryable: true,
    })
  })

  it('ends in time, and at once when the step is stopped', async () => {
    const silent = await LocalServer.start(() => {})
    try {
      expect((await failure(run({ ...get, endpoint: silent.origin, timeout: '200ms' }))).code).toBe('timeout')
      const stopped = new AbortController()
      const failed = failure(run({ ...get, endpoint: silent.origin }, { signal: stopped.signal }))
      await vi.waitFor(() => expect(silent.requests).toHaveLength(2))
      stopped.abort()
      expect(await failed).toMatchObject({ code: 'aborted' })
    } finally {
      await silent.stop()
    }
  })
})
