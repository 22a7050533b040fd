import { Body, Get, Module, Param, Post, type Type } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { expect, it } from 'vitest'
import { Dialects } from '../http/dialects.js'
import { IdempotencyKey, IfMatch } from '../http/headers.js'
import { plainProblem } from '../http/problem.js'
import { statusOfKind } from '../http/statuses.js'
import type { Document } from './document.js'
import { masterDocument, surfaceDocument, surfaceDocuments } from './documents.js'
import { ArrayField, EnumField, JsonField, ObjectField, StringField } from './fields.js'
import { Answers, PathParam, Problems, Public, Summary, SurfaceController } from './operations.js'

const spelling = {
  accepts: ['bearer'],
  status: (kind: keyof typeof statusOfKind) => statusOfKind[kind],
  problem: plainProblem,
  extensions: {},
} as const

const dialects = new Dialects(
  [
    { ...spelling, surface: 'flow8' },
    { ...spelling, surface: 'flwd' },
  ],
  [],
)

class Flow8Part {
  @StringField({ description: 'x', example: 'wheel' })
  name: string
}

class Flow8Thing {
  @StringField({ description: 'x', example: 'car', optional: true, nullable: true, maxLength: 9, pattern: /^[a-z]+$/ })
  name?: string | null

  @EnumField(['red', 'green'], { description: 'x', example: 'red', nullable: true })
  colour: string | null

  @ObjectField({ type: () => Flow8Part, description: 'the first' })
  part: Flow8Part

  @ArrayField({ of: () => Flow8Part, description: 'all' })
  parts: Flow8Part[]

  @JsonField({ description: 'x', example: [1] })
  anything: unknown
}

class Flow8NewThing extends Flow8Thing {}

@SurfaceController({ surface: 'flow8', path: 'api/big things', resource: 'Big things', about: 'Things of size.' })
@PathParam('id', 'Which.', 'thing-1')
class Flow8ThingsController {
  @Get(':id')
  @Summary('Get it', 'All of it.')
  @Answers(Flow8Thing, { description: 'It' })
  get(@Param('id') _id: string): void {}

  @Post()
  @Summary('Make it', 'From parts.')
  @Answers(Flow8Thing, { status: 201, description: 'It', location: '/api/big things/{name}' })
  @Problems('conflict')
  create(@Body() _body: Flow8NewThing, @IdempotencyKey() _key?: string): void {}

  @Post(':id/turn')
  @Summary('Turn it', 'Once.')
  @Answers(null, { description: 'Done' })
  turn(@Param('id') _id: string, @IfMatch() _expected: unknown): void {}
}

@SurfaceController({ surface: 'flwd', path: 'api/v1/health', resource: 'Health' })
@Public()
class FlwdHealthController {
  @Get()
  @Summary('Health', 'How it is.')
  @Answers(Flow8Part, { description: 'Well', example: { name: 'whole' } })
  get(): void {}
}

async function document(...controllers: Type<unknown>[]): Promise<Document> {
  @Module({ controllers })
  class TestModule {}
  const app = await NestFactory.create(TestModule, { preview: true, logger: false, abortOnError: false })
  await app.init()
  return masterDocument(app, dialects)
}

it('derives all from surface, resource, handler and shape', async () => {
  const { paths } = await document(Flow8ThingsController, FlwdHealthController)
  const get = paths['/api/big things/{id}']?.get
  expect(get).toMatchObject({
    operationId: 'flow8_bigThings_get',
    tags: ['flow8: Big things'],
    security: [{ bearer: [] }],
    parameters: [{ name: 'id', in: 'path', required: true, description: 'Which.', example: 'thing-1' }],
  })
  expect(Object.keys(get?.responses ?? {})).toEqual(['200', '400', '401', '403', '404', '429', '500', '503'])
  const create = paths['/api/big things']?.post
  expect(Object.keys(create?.responses ?? {})).toEqual([
    '201',
    '400',
    '401',
    '403',
    '409',
    '413',
    '415',
    '422',
    '429',
    '500',
    '503',
  ])
  expect(create?.responses[201]?.headers).toHaveProperty('Location')
  expect(create?.parameters).toEqual([{ $ref: '#/components/parameters/Idempotency-Key' }])
  const turn = paths['/api/big things/{id}/turn']?.post
  expect(Object.keys(turn?.responses ?? {})).toEqual(['204', '400', '401', '403', '404', '412', '429', '500', '503'])
  expect(paths['/api/v1/health']?.get?.security).toEqual([])
})

it('says under each tag what its controllers say of it', async () => {
  const { tags } = await document(Flow8ThingsController, FlwdHealthController)
  expect(tags).toEqual([
    { name: 'flow8: Big things', description: 'Things of size.' },
    { name: 'flwd: Health', description: "flwd's Health." },
  ])
})

it('writes JSON Schema as OpenAPI 3.1 has it, and closes what is sent only', async () => {
  const { components } = await document(Flow8ThingsController)
  const thing = components.schemas.Flow8Thing
  expect(thing?.properties).toEqual({
    name: {
      type: ['string', 'null'],
      description: 'x',
      minLength: 0,
      maxLength: 9,
      pattern: '^[a-z]+$',
      examples: ['car'],
    },
    colour: { type: ['string', 'null'], enum: ['red', 'green', null], description: 'x', examples: ['red'] },
    part: { $ref: '#/components/schemas/Flow8Part', description: 'the first' },
    parts: {
      type: 'array',
      items: { $ref: '#/components/schemas/Flow8Part' },
      minItems: 0,
      maxItems: 1000,
      description: 'all',
    },
    anything: { description: 'x', examples: [[1]] },
  })
  expect(thing?.required).toEqual(['colour', 'part', 'parts', 'anything'])
  expect(thing).not.toHaveProperty('additionalProperties')
  expect(components.schemas.Flow8NewThing?.additionalProperties).toBe(false)
})

it("makes examples of the fields' own, unless a whole one is given", async () => {
  const { paths } = await document(Flow8ThingsController, FlwdHealthController)
  const example = { name: 'car', colour: 'red', part: { name: 'wheel' }, parts: [{ name: 'wheel' }], anything: [1] }
  const create = paths['/api/big things']?.post
  expect(create?.requestBody?.content['application/json']?.examples?.request?.value).toEqual(example)
  expect(create?.responses[201]?.content?.['application/json']?.examples?.answer?.value).toEqual(example)
  const health = paths['/api/v1/health']?.get?.responses[200]?.content?.['application/json']
  expect(health?.examples?.answer?.value).toEqual({ name: 'whole' })
})

it('cuts out what the users of one API need, and nothing else', async () => {
  const master = await document(Flow8ThingsController, FlwdHealthController)
  const flwd = surfaceDocument(master, 'flwd')
  expect(Object.keys(flwd?.paths ?? {})).toEqual(['/api/v1/health'])
  expect(Object.keys(flwd?.components.schemas ?? {})).toEqual(['Flow8Part', 'FlwdProblem', 'ProblemFault'])
  expect(flwd?.tags).toHaveLength(1)
  expect(surfaceDocuments(master).map(({ file }) => file)).toEqual(['flow8.json', 'flwd.json'])
})

it('is not published with anything missing', async () => {
  @SurfaceController({ surface: 'flow8', path: 'api/x', resource: 'X' })
  class Unsaid {
    @Get()
    @Answers(Flow8Part, { description: 'x' })
    list(): void {}

    @Get(':id')
    @Summary('x', 'x')
    get(@Param('id') _id: string): void {}

    @Get(':id/more')
    @Summary('x', 'x')
    @Answers(Flow8Part, { description: 'x' })
    more(@Param('id') _id: string): void {}
  }
  const refusal = await document(Unsaid).catch((error: Error) => error.message)
  expect(refusal).toContain('get /api/x lacks its @Summary')
  expect(refusal).toContain('get /api/x/{id} lacks its @Answers')
  expect(refusal).toContain('get /api/x/{id}/more lacks a @PathParam for id')
})

it('is not published with one operationId for two operations', async () => {
  @SurfaceController({ surface: 'flow8', path: 'api/other', resource: 'Big things' })
  class Other {
    @Get()
    @Summary('x', 'x')
    @Answers(Flow8Part, { description: 'x' })
    get(): void {}
  }
  await expect(document(Flow8ThingsController, Other)).rejects.toThrow(
    'the operationId flow8_bigThings_get is there twice',
  )
})
