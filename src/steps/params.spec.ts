import { describe, expect, it } from 'vitest'
import type { StepType } from '../engine/step.js'
import type { JsonObject, JsonSchema } from '../platform/json.js'
import { coreSteps } from './core.js'
import { InMemoryFlowSchedules } from './flow-schedules.fake.js'
import { InMemoryKeyValues } from './key-value-store.fake.js'
import { loopbackOutbound } from './loopback.fake.js'
import { checkParams } from './params.js'

const types = coreSteps({
  outbound: loopbackOutbound,
  keyValues: new InMemoryKeyValues(),
  schedules: new InMemoryFlowSchedules(),
})

function typeNamed(name: string): StepType {
  const type = types.find((one) => one.name === name)
  if (!type) throw new Error(`no step type ${name}`)
  return type
}

const atUpload = (name: string, params: JsonObject) => checkParams(typeNamed(name), params, { expressions: 'skip' })
const atRunTime = (name: string, params: JsonObject) => checkParams(typeNamed(name), params, { expressions: 'none' })
const details = (faults: { detail: string }[]) => faults.map(({ detail }) => detail).sort()

describe('faults of literal parameters', () => {
  it('names what is missing, where, and with a word for programs', () => {
    expect(atUpload('http.request', {})).toEqual([{ path: '/params/url', detail: 'url is required', code: 'required' }])
  })

  it('finds all faults at once', () => {
    const faults = atUpload('http.request', {
      url: 'example.com',
      method: 'FETCH',
      headers: { 'X/Y': null },
      timeout: 'soon',
      follow_redirects: 'no',
      auth: { username: 7, colour: 'red' },
      retries: 3,
    })
    expect(faults).toEqual(
      expect.arrayContaining([
        { path: '/params/url', detail: 'url must be an http or https URL', code: 'format' },
        {
          path: '/params/headers/X~1Y',
          detail: 'headers.X/Y must be a text or a number or true or false or a list',
          code: 'type',
        },
        { path: '/params/auth/colour', detail: "'auth.colour' is not a parameter here", code: 'unknown_parameter' },
        { path: '/params/retries', detail: "'retries' is not a parameter here", code: 'unknown_parameter' },
      ]),
    )
    expect(details(faults)).toEqual(
      [
        "'auth.colour' is not a parameter here",
        "'retries' is not a parameter here",
        'auth.username must be a text',
        'follow_redirects must be true or false',
        'headers.X/Y must be a text or a number or true or false or a list',
        'method must be one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS',
        'timeout must be a duration such as 30s, 500ms or 1h30m',
        'url must be an http or https URL',
      ].sort(),
    )
  })

  it.each<[string, JsonObject, string[]]>([
    ['http.request', { url: 'https://a.example/', timeout: 0 }, ['timeout must be more than 0']],
    [
      'http.request',
      { url: 'https://a.example/', auth: {} },
      ['one of auth.username, auth.token, auth.api_key is required'],
    ],
    [
      'http.request',
      { url: 'https://a.example/', body: {}, form_data: {} },
      ['body cannot be given together with the other parameters'],
    ],
    ['webhook', { method: 'TRACE' }, ['method must be one of POST, PUT, PATCH, DELETE, GET', 'url is required']],
    [
      'notification',
      { channel: 'pigeon', url: 'https://a.example/' },
      ['channel must be one of slack, teams, discord, webhook', 'message is required'],
    ],
    ['transform', {}, ['one of script, mapping is required']],
    ['transform', { script: '' }, ['script must not be empty']],
    [
      'transform',
      { mapping: { a: 'data.items' } },
      ["mapping.a must be a path such as $.items[0]['name'] or $.items[*].id"],
    ],
    ['condition', {}, ['one of condition_script, conditions is required']],
    [
      'condition',
      { conditions: [{ condition: 'true' }, { condition: 'false', action: '' }] },
      ['conditions[0].action is required', 'conditions[1].action must not be empty'],
    ],
    ['condition', { conditions: [] }, ['conditions must not be empty']],
    ['delay', {}, ['one of duration, seconds, durationMs is required']],
    ['delay', { seconds: 1, durationMs: 1 }, ['params matches several forms of which only one is allowed']],
    ['delay', { seconds: -1 }, ['seconds must be at least 0']],
    ['delay', { duration: 5 }, ['duration must be a text']],
    ['delay', { duration: '5 minutes' }, ['duration must be a duration such as 30s, 500ms or 1h30m']],
    ['wait', {}, ['one of type, key, duration, seconds, durationMs, time, condition is required']],
    ['wait', { type: 'duration' }, ['one of duration, seconds, durationMs is required']],
    ['wait', { type: 'until_time', time: 'tomorrow' }, ['time must be a time such as 2026-01-31T12:00:00Z']],
    ['wait', { type: 'event', timeout: '1h' }, ['key is required']],
    ['wait', { condition: 'true', max_attempts: 0 }, ['max_attempts must be at least 1']],
    ['store', {}, ['operation is required']],
    ['store', { operation: 'set', key: 'k' }, ['value is required']],
    ['store', { operation: 'get' }, ['key is required']],
    ['store', { operation: 'increment', key: '', amount: '1' }, ['amount must be a number', 'key must not be empty']],
    ['cron', {}, ['one of operation, schedule is required']],
    ['cron', { operation: 'delete' }, ['id is required']],
    [
      'cron',
      { schedule: '61 * * * *', timezone: 'Mars/Phobos' },
      [
        'schedule must be a cron expression of 5 or 6 fields, such as 0 9 * * 1-5',
        'timezone must be an IANA time zone such as Europe/Berlin',
      ],
    ],
  ])('%s %j', (name, params, expected) => {
    expect(details(atUpload(name, params))).toEqual([...expected].sort())
    expect(details(atRunTime(name, params))).toEqual([...expected].sort())
  })
})

describe('expressions at upload may become anything', () => {
  it.each<[string, JsonObject]>([
    [
      'http.request',
      { url: '${secrets.HOST}/x', timeout: '${input.t}', follow_redirects: '${input.f}', auth: '${input.auth}' },
    ],
    ['http.request', { url: 'https://${input.host}', headers: '${input.headers}', auth: { '${input.kind}': 'x' } }],
    ['http.request', { url: 'https://a.example', headers: { '${input.name}': 'x', b: '${input.b}' } }],
    ['http.request', { '${input.where}': 'https://a.example' }],
    ['store', { operation: '${input.op}' }],
    ['store', { operation: 'query', filter: { '${input.member}': 1 }, limit: '${input.n}' }],
    ['wait', { type: '${input.type}' }],
    ['cron', { operation: '${input.op}', schedule: '${input.cron}' }],
    ['transform', { mapping: { a: '${input.path}' } }],
    ['webhook', { url: 'https://a.example', method: '${input.m}', body: ['${input.a}', { b: '${input.c}' }] }],
  ])('%s %j has no fault', (name, params) => {
    const before = structuredClone(params)
    expect(atUpload(name, params)).toEqual([])
    expect(params).toEqual(before)
  })

  it('still finds what is wrong beside them', () => {
    const faults = atUpload('http.request', {
      headers: { a: '${input.a}', b: null },
      timeout: 'soon',
      method: '${input.m}',
    })
    expect(details(faults)).toEqual([
      'headers.b must be a text or a number or true or false or a list',
      'timeout must be a duration such as 30s, 500ms or 1h30m',
      'url is required',
    ])
    expect(details(atUpload('store', { operation: 'set', key: '${input.k}' }))).toEqual(['value is required'])
  })

  it('takes code for what it is: the ${} of a template literal is no expression', () => {
    expect(details(atUpload('condition', { conditions: [{ condition: '`${input.a}`', action: 7 }] }))).toEqual([
      'conditions[0].action must be a text',
    ])
  })

  it('judges them as they are at run time', () => {
    expect(details(atRunTime('http.request', { url: '${secrets.HOST}' }))).toEqual(['url must be an http or https URL'])
  })
})

describe('defaults', () => {
  it('are filled in at run time only', () => {
    const params: JsonObject = { url: 'https://a.example/' }
    expect(atUpload('http.request', params)).toEqual([])
    expect(params).toEqual({ url: 'https://a.example/' })
    expect(atRunTime('http.request', params)).toEqual([])
    expect(params).toEqual({ url: 'https://a.example/', method: 'GET', timeout: '30s' })
  })
})

describe('the published schemas', () => {
  const members = (schema: JsonSchema) => Object.entries(schema.properties as Record<string, JsonSchema>)

  it.each(types)('$name describes every parameter, and its examples satisfy it', (type) => {
    expect(type.summary).toMatch(/^[A-Z].+\.$/)
    expect(type.params.additionalProperties).toBe(false)
    for (const [name, schema] of members(type.params)) {
      expect(schema.description, `${name} has a description`).toMatch(/.+/)
      const samples = [...((schema.examples as unknown[]) ?? []), ...('default' in schema ? [schema.default] : [])]
      const known = samples.length > 0 || Array.isArray(schema.enum) || schema.type === 'string'
      expect(known, `${name} shows what it looks like`).toBe(true)
      for (const sample of samples) {
        const faults = checkParams(type, { [name]: sample } as JsonObject, { expressions: 'skip' })
        expect(faults.filter(({ path }) => path.startsWith(`/params/${name}`) && path !== '/params')).toEqual([])
      }
    }
  })

  it('survives a definition made to be slow', () => {
    const headers = Object.fromEntries(Array.from({ length: 20_000 }, (_, at) => [`h${at}`, null]))
    expect(atUpload('http.request', { url: 'https://a.example', headers })).toHaveLength(100)
    const wild = Object.fromEntries(Array.from({ length: 20_000 }, (_, at) => [`h${at}`, '${input.x}']))
    expect(atUpload('http.request', { headers: wild })).toHaveLength(1)
  })
})
