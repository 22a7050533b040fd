import { request as rawRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Body, Get, Global, HttpException, Module, Param, Post, Put, Query } from '@nestjs/common'
import { APP_GUARD, NestFactory } from '@nestjs/core'
import type { NestExpressApplication } from '@nestjs/platform-express'
import request from 'supertest'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { testConfig } from '../../../test/support/config.js'
import { systemClock } from '../clock/clock.js'
import { Config } from '../config/config.js'
import { ConfigModule } from '../config/config.module.js'
import { DomainError } from '../errors/domain-error.js'
import type { JsonObject } from '../json.js'
import {
  ArrayField,
  BooleanField,
  DateField,
  EmailField,
  EnumField,
  IntField,
  JsonField,
  ObjectField,
  QueryBooleanField,
  StringField,
  TextMapField,
} from '../openapi/fields.js'
import { Answers, Public, Summary, SurfaceController } from '../openapi/operations.js'
import { pagedBy } from '../openapi/paging.js'
import { LeasedRates } from '../rates/leased-rates.js'
import { MemoryShares } from '../rates/memory-shares.js'
import { RateCounter } from '../rates/rate-counter.js'
import { Dialects } from './dialects.js'
import { type Expected, entityTag, IdempotencyKey, IfMatch, requireMatch } from './headers.js'
import { HttpModule } from './http.module.js'
import { prepareHttp } from './prepare.js'
import { plainProblem } from './problem.js'
import { RateLimitGuard } from './rate-limit.guard.js'
import { requestContext } from './request-context.js'
import { statusOfKind } from './statuses.js'

class Part {
  @StringField({ description: 'x', example: 'x' })
  name: string
}

class NewThing {
  @StringField({ description: 'x', example: 'x', maxLength: 10 })
  name: string

  @IntField({ description: 'x', example: 1, optional: true, max: 5 })
  flow_count?: number

  @EmailField({ description: 'x', example: 'a@b.cd', optional: true, nullable: true })
  email?: string | null

  @EnumField(['red', 'green'], { description: 'x', example: 'red', optional: true })
  colour?: string

  @DateField({ description: 'x', example: '2026-01-01T00:00:00Z', optional: true })
  at?: string

  @BooleanField({ description: 'x', example: true, optional: true })
  on?: boolean

  @ArrayField({ of: 'string', description: 'x', example: ['a'], optional: true, maxItems: 2 })
  tags?: string[]

  @ArrayField({ of: () => Part, description: 'x', optional: true })
  parts?: Part[]

  @ObjectField({ type: () => Part, description: 'x', optional: true })
  'a/b~c'?: Part

  @ObjectField({ description: 'x', example: {}, optional: true })
  input?: JsonObject

  @TextMapField({ description: 'x', example: {}, optional: true })
  labels?: Record<string, string>

  @JsonField({ description: 'x', example: 1, optional: true })
  anything?: unknown
}

class ThingsQuery extends pagedBy({ default: 10, max: 100 }) {
  @QueryBooleanField({ description: 'x', example: true, optional: true })
  deep?: boolean
}

@SurfaceController({ surface: 'flowRunner', path: 'api/v1/things', resource: 'Things' })
@Public()
class ThingsController {
  @Get()
  @Summary('x', 'x')
  @Answers(NewThing, { description: 'x' })
  list(@Query() query: ThingsQuery): unknown {
    return { ...query, context: requestContext() }
  }

  @Post()
  @Summary('x', 'x')
  @Answers(NewThing, { status: 201, description: 'x', location: '/api/v1/things/{name}' })
  create(@Body() body: NewThing, @IdempotencyKey() key?: string): unknown {
    return { ...body, ...(key !== undefined && { key }) }
  }

  @Put(':id')
  @Summary('x', 'x')
  @Answers(NewThing, { description: 'x' })
  update(@Param('id') id: string, @IfMatch() expected: Expected): unknown {
    requireMatch(expected, 7)
    return { id, etag: entityTag(7) }
  }

  @Post('fail/:how')
  @Summary('x', 'x')
  @Answers(NewThing, { status: 200, description: 'x' })
  fail(@Param('how') how: string): never {
    throw failures[how]?.() ?? new Error('unexpected')
  }
}

const SECRET = 'connection to 10.1.2.3 with password hunter2 failed'

const failures: Record<string, () => unknown> = {
  error: () => new Error(SECRET),
  text: () => SECRET,
  nothing: () => undefined,
  http: () => new HttpException(SECRET, 418),
  refused: () => Object.assign(new Error(SECRET), { code: 'ECONNREFUSED' }),
  shutdown: () => Object.assign(new Error(SECRET), { driverError: { code: '57P01' } }),
  terminated: () => new Error('Connection terminated unexpectedly'),
  constraint: () => Object.assign(new Error(SECRET), { driverError: { code: '23505' } }),
  nul: () => Object.assign(new Error(SECRET), { driverError: { code: '22021' } }),
  later: () => new DomainError('rate_limited', 'rate-limited', 'Too many requests', 'slowly', { retryAfter: 9 }),
}

const spelling = {
  surface: 'flowRunner',
  accepts: [],
  status: (kind: DomainError['kind']) => statusOfKind[kind],
  problem: plainProblem,
  extensions: {},
} as const

@Global()
@Module({
  providers: [
    { provide: Dialects, useValue: new Dialects([spelling], [{ prefix: '/api', surface: 'flowRunner' }]) },
    {
      provide: RateCounter,
      inject: [Config],
      useFactory: ({ rateLimit }: Config) => new LeasedRates(rateLimit, new MemoryShares(), systemClock),
    },
  ],
  exports: [Dialects, RateCounter],
})
class AroundModule {}

async function serve(set: Record<string, string> = {}): Promise<NestExpressApplication> {
  const config = testConfig(set)
  @Module({
    imports: [ConfigModule.with(config), AroundModule, HttpModule],
    controllers: [ThingsController],
    providers: [{ provide: APP_GUARD, useExisting: RateLimitGuard }],
  })
  class TestModule {}
  const app = await NestFactory.create<NestExpressApplication>(TestModule, { logger: false, bodyParser: false })
  prepareHttp(app, config)
  await app.listen(0, '127.0.0.1')
  return app
}

let app: NestExpressApplication

beforeAll(async () => {
  app = await serve({ BODY_LIMIT_BYTES: '4096' })
})

afterAll(() => app.close())

const ask = () => request(app.getHttpServer())
const create = (body: unknown) =>
  ask()
    .post('/api/v1/things')
    .send(body as object)

describe('a body', () => {
  it('is handed on when nothing is wrong with it, free-form members as they came', async () => {
    const thing = {
      name: 'x',
      flow_count: 5,
      email: null,
      parts: [{ name: 'a' }],
      input: { constructor: 1, deep: [{ a: null, constructor: 'x' }] },
      labels: { a: 'b' },
      anything: [null, 1, { x: 'y' }],
    }
    const { body, headers } = await create(thing).expect(201)
    expect(body).toEqual(thing)
    expect(headers.location).toBe('/api/v1/things/x')
  })

  it('is told all its faults at once, each with a pointer', async () => {
    const { body } = await create({
      flow_count: 6,
      email: 'x',
      colour: 'blue',
      at: '2026-02-30T00:00:00Z',
      on: 'true',
      tags: ['a', 'b', 'c'],
      parts: [{ name: 'a' }, { name: 1 }],
      'a/b~c': { name: 'ok', more: 1 },
      surprise: 1,
    }).expect(422)
    expect(body.type).toBe('/problems/validation-error')
    expect(
      Object.fromEntries(body.errors.map((fault: { pointer: string; code: string }) => [fault.pointer, fault.code])),
    ).toEqual({
      '#/name': 'required',
      '#/flow_count': 'too_large',
      '#/email': 'email',
      '#/colour': 'enum',
      '#/at': 'date_time',
      '#/on': 'type',
      '#/tags': 'too_many',
      '#/parts/1/name': 'type',
      '#/a~1b~0c/more': 'unknown_member',
      '#/surprise': 'unknown_member',
    })
    expect(body.errors).toContainEqual({ pointer: '#/name', detail: 'Name is required', code: 'required' })
    expect(body.errors).toContainEqual({
      pointer: '#/flow_count',
      detail: 'Flow count must be at most 5',
      code: 'too_large',
    })
  })

  it.each([
    ['null where it is not allowed', { name: null }, '#/name', 'type'],
    ['an empty name', { name: '' }, '#/name', 'empty'],
    ['a long name', { name: 'x'.repeat(11) }, '#/name', 'too_long'],
    ['U+0000', { name: 'a\0' }, '#/name', 'nul'],
    ['U+0000 deep inside', { name: 'x', input: { a: [{ 'b/c': '\0' }] } }, '#/input/a/0/b~1c', 'nul'],
    ['U+0000 in a name of a member', { name: 'x', input: { '\0': 1 } }, '#/input', 'nul'],
    ['a list for an object', { name: 'x', input: [] }, '#/input', 'type'],
    ['a label that is no text', { name: 'x', labels: { a: 1 } }, '#/labels', 'type'],
    ['things that are no objects', { name: 'x', parts: [1] }, '#/parts/0', 'type'],
    ['lists for objects', { name: 'x', parts: [[]] }, '#/parts', 'type'],
    ['an object for a text', { name: { constructor: 1 } }, '#/name', 'type'],
    ['a fraction', { name: 'x', flow_count: 1.5 }, '#/flow_count', 'type'],
    ['a number as text', { name: 'x', flow_count: '1' }, '#/flow_count', 'type'],
  ])('is refused with %s', async (_, sent, pointer, code) => {
    const { body } = await create(sent).expect(422)
    expect(body.errors[0]).toMatchObject({ pointer, code })
  })

  it.each(['[]', '"x"', '1', 'true', '[{"name":"x"}]'])('is refused when it is %s', async (text) => {
    const { body } = await ask().post('/api/v1/things').type('json').send(text).expect(422)
    expect(body.errors).toEqual([{ pointer: '#', detail: 'The body must be a JSON object', code: 'type' }])
  })

  it('is refused with 400 when it is no JSON, and quotes none of it', async () => {
    const { body, headers } = await ask().post('/api/v1/things').type('json').send('{"password":hunter2}').expect(400)
    expect(headers['content-type']).toBe('application/problem+json')
    expect(JSON.stringify(body)).not.toContain('hunter2')
  })

  it('is refused with 400 when it is nested too deeply', async () => {
    await ask()
      .post('/api/v1/things')
      .type('json')
      .send(`{"input":${'['.repeat(1_000)}${']'.repeat(1_000)}}`)
      .expect(400)
  })

  it('is refused with 413 above the limit, also in chunks of unknown length', async () => {
    await create({ name: 'x'.repeat(5_000) }).expect(413)
    expect(await chunked('x'.repeat(5_000))).toBe(413)
  })

  it.each([
    ['text/plain', undefined],
    ['application/x-www-form-urlencoded', undefined],
    ['application/json; charset=utf-16', undefined],
    ['application/json', 'compress'],
  ])('is refused with 415 as %s %s', async (type, encoding) => {
    const test = ask().post('/api/v1/things').set('Content-Type', type)
    if (encoding) test.set('Content-Encoding', encoding)
    await test.send('{"name":"x"}').expect(415)
  })

  it.each([
    ['{"name":"x","__proto__":{"polluted":1}}', '#/__proto__'],
    ['{"name":"x","input":{"a":{"__proto__":{"polluted":1}}}}', '#/input/a/__proto__'],
    ['{"constructor":{"name":"Object"}}', '#/constructor'],
    ['{"name":"x","parts":[{"constructor":1,"name":2}]}', '#/parts/0/constructor'],
  ])('cannot reach prototypes nor pass for another class: %s', async (text, pointer) => {
    const { body } = await ask().post('/api/v1/things').type('json').send(text).expect(422)
    expect(body.errors).toContainEqual(expect.objectContaining({ pointer, code: 'unknown_member' }))
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
  })
})

describe('a query', () => {
  const list = (query: string) => ask().get(`/api/v1/things${query}`)

  it('has defaults, and sizes above the maximum are lowered to it', async () => {
    expect((await list('').expect(200)).body).toMatchObject({ limit: 10, offset: 0 })
    expect((await list('?limit=101&offset=7&deep=true').expect(200)).body).toMatchObject({
      limit: 100,
      offset: 7,
      deep: true,
    })
  })

  it.each([
    'limit=0',
    'limit=-1',
    'limit=',
    'limit=abc',
    'limit=1e1',
    'limit=0x1',
    'limit=1.5',
    'limit=1&limit=2',
    'offset=-1',
    'deep=1',
    'surprise=1',
    'constructor=1',
    'toString=1',
  ])('is refused with ?%s', async (query) => {
    const { body } = await list(`?${query}`).expect(400)
    expect(body.errors).toEqual([expect.objectContaining({ parameter: query.split('=')[0] })])
    expect(body.errors[0]).not.toHaveProperty('pointer')
  })

  it.each(['%zz', '%ff', '%00'])('is refused with %s in it', async (text) => {
    await list(`?offset=${text}`).expect(400)
    await ask().get(`/api/v1/things/${text}`).expect(400)
  })
})

describe('headers', () => {
  it('name the request by the id that was sent, if it is harmless', async () => {
    expect((await ask().get('/x').set('X-Request-Id', 'abc-1')).headers['x-request-id']).toBe('abc-1')
    const { headers, body } = await ask().get('/x').set('X-Request-Id', 'a b{}')
    expect(headers['x-request-id']).toMatch(/^req_/)
    expect(body.requestId).toBe(headers['x-request-id'])
  })

  it('guard an update by If-Match', async () => {
    const update = (tag: string) => ask().put('/api/v1/things/1').set('If-Match', tag)
    await ask().put('/api/v1/things/1').expect(200)
    await update('"7"').expect(200)
    await update('"6", "7"').expect(200)
    await update('*').expect(200)
    await update('"6"').expect(412)
    await update('W/"7"').expect(412)
    await update('7').expect(400)
  })

  it('carry an idempotency key of visible characters only', async () => {
    const keyed = (key: string) => create({ name: 'x' }).set('Idempotency-Key', key)
    expect((await keyed('k-1').expect(201)).body.key).toBe('k-1')
    await keyed('a b').expect(400)
    await keyed('x'.repeat(256)).expect(400)
  })

  it('protect every answer', async () => {
    for (const path of ['/api/v1/things', '/x', '/docs']) {
      const { headers } = await ask().get(path)
      expect(headers).toMatchObject({ 'x-content-type-options': 'nosniff', 'cache-control': 'no-store' })
      expect(headers['content-security-policy']).toContain("default-src 'none'")
      expect(headers).not.toHaveProperty('x-powered-by')
    }
  })
})

describe('a failure', () => {
  it.each([
    ['error', 500],
    ['text', 500],
    ['nothing', 500],
    ['constraint', 500],
    ['refused', 503],
    ['shutdown', 503],
    ['terminated', 503],
    ['nul', 400],
    ['http', 400],
    ['later', 429],
  ])('of the kind "%s" is %i and says nothing of its cause', async (how, status) => {
    const { body, headers, text } = await ask()
      .post(`/api/v1/things/fail/${how}`)
      .set('Accept', 'text/html')
      .expect(status)
    expect(headers['content-type']).toBe('application/problem+json')
    expect(body).toMatchObject({ status, requestId: headers['x-request-id'], instance: `/api/v1/things/fail/${how}` })
    expect(text).not.toMatch(/hunter2|10\.1\.2\.3|Connection terminated/)
    if (status === 429) expect(headers['retry-after']).toBe('9')
  })
})

describe('the rate limit', () => {
  it('counts every request, those that reach no controller too, and says when to come back', async () => {
    const limited = await serve({ RATE_LIMIT: '3' })
    // No request falls on the turn of a minute, when counts begin anew.
    const clock = vi.spyOn(systemClock, 'now').mockReturnValue(new Date())
    try {
      const get = (path: string) => request(limited.getHttpServer()).get(path)
      const first = await get('/api/v1/things').expect(200)
      expect(first.headers).toMatchObject({ 'x-ratelimit-limit': '3', 'x-ratelimit-remaining': '2' })
      expect(Number(first.headers['x-ratelimit-reset']) * 1000).toBeGreaterThan(systemClock.now().getTime())
      await get('/api/v1/nothing').expect(404)
      await get('/api/v1/things?limit=0').expect(400)
      const refused = await get('/api/v1/nothing').expect(429)
      expect(refused.body).toMatchObject({ type: '/problems/rate-limited', status: 429 })
      expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(1)
      await get('/api/v1/things').expect(429)
    } finally {
      clock.mockRestore()
      await limited.close()
    }
  })
})

describe('the pages', () => {
  it('explain a problem to people and to programs', async () => {
    const { body } = await ask().get('/problems/rate-limited').expect(200)
    expect(body).toMatchObject({ type: '/problems/rate-limited', title: 'Too many requests', status: 429 })
    const page = await ask().get('/problems/rate-limited').set('Accept', 'text/html,*/*;q=0.8').expect(200)
    expect(page.text).toContain('<h1>Too many requests</h1>')
    await ask().get('/problems/nothing').expect(404)
    await ask().get('/problems/..%2fadding-an-endpoint').expect(404)
  })

  it('show the documents with nothing from elsewhere', async () => {
    const page = await ask().get('/docs').expect(200)
    const assets = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1] as string)
    expect(assets.length).toBeGreaterThan(3)
    for (const asset of assets) {
      expect(asset).toMatch(/^\/docs\//)
      await ask().get(asset).expect(200)
    }
    const script = await ask().get('/docs/start.js').expect(200)
    const urls = [...script.text.matchAll(/"url":"([^"]+)"/g)].map((match) => match[1] as string)
    expect(urls).toContain('/openapi/openapi.json')
    for (const url of urls) expect((await ask().get(url).expect(200)).body.openapi).toBe('3.1.0')
    await ask().get('/docs/package.json').expect(404)
    await ask().get('/openapi/..%2fpackage.json').expect(404)
  })
})

/** A body without Content-Length. Resolves with the status. */
function chunked(name: string): Promise<number> {
  const { port } = app.getHttpServer().address() as AddressInfo
  return new Promise((resolve, reject) => {
    const outgoing = rawRequest({
      port,
      method: 'POST',
      path: '/api/v1/things',
      headers: { 'Content-Type': 'application/json', 'Transfer-Encoding': 'chunked' },
    })
    outgoing.on('response', (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
    outgoing.on('error', reject)
    outgoing.end(JSON.stringify({ name }))
  })
}
