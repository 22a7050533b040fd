import { Ajv2020 } from 'ajv/dist/2020.js'
import { describe, expect, it } from 'vitest'
import type { JsonSchema } from '../platform/json.js'
import { coreSteps } from './core.js'
import { externalSteps } from './external.js'
import { InMemoryFlowKeyValues } from './flow-key-values.fake.js'
import { InMemoryFlowSchedules } from './flow-schedules.fake.js'
import { flow8Steps } from './flow8.js'
import { FORMATS } from './formats.js'
import { InMemoryKeyValues } from './key-value-store.fake.js'
import { loopbackOutbound } from './loopback.fake.js'
import { checkParams } from './params.js'

const types = flow8Steps({ outbound: loopbackOutbound, flowKeyValues: new InMemoryFlowKeyValues() })

const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, strictRequired: false })
for (const [name, { test }] of Object.entries(FORMATS)) ajv.addFormat(name, { type: 'string', validate: test })
ajv.addFormat('date-time', true)

const membersOf = (schema: JsonSchema | undefined) =>
  Object.entries((schema?.properties ?? {}) as Record<string, JsonSchema>)

it('offers the documented modules, each with what a crash may do to it', () => {
  expect(types.map(({ name, category, stepClass }) => [name, category, stepClass])).toEqual([
    ['router', 'control', 'pure'],
    ['iterator', 'control', 'pure'],
    ['aggregator', 'control', 'pure'],
    ['enumeration', 'control', 'pure'],
    ['subflow', 'control', 'effect'],
    ['curl', 'http', 'effect'],
    ['db-query', 'database', 'pure'],
    ['db-insert', 'database', 'effect'],
    ['db-update', 'database', 'effect'],
    ['db-upsert', 'database', 'effect'],
    ['db-delete', 'database', 'effect'],
    ['send-mail', 'messaging', 'effect'],
    ['var', 'data', 'pure'],
    ['template', 'data', 'pure'],
    ['array-filter', 'data', 'pure'],
    ['array-map', 'data', 'pure'],
    ['base64-encode', 'data', 'pure'],
    ['base64-decode', 'data', 'pure'],
    ['url-encode', 'data', 'pure'],
    ['url-decode', 'data', 'pure'],
    ['regex', 'data', 'pure'],
    ['kv-get', 'kv', 'pure'],
    ['kv-set', 'kv', 'transactional'],
    ['kv-append', 'kv', 'transactional'],
  ])
})

it('has no name that another step type has', () => {
  const others = [
    ...coreSteps({
      outbound: loopbackOutbound,
      keyValues: new InMemoryKeyValues(),
      schedules: new InMemoryFlowSchedules(),
    }),
    ...externalSteps({ outbound: loopbackOutbound }),
  ]
  const names = [...others, ...types].map(({ name }) => name)
  expect(new Set(names).size).toBe(names.length)
})

describe.each(types)('$name', (type) => {
  it('says what it is, takes and puts out', () => {
    expect(type.title).toMatch(/^[A-Z]/)
    expect(type.summary).toMatch(/^[A-Z].+\.$/)
    expect(type.params.additionalProperties).toBe(false)
    expect(type.output).toMatchObject({ type: 'object' })
    expect(() => ajv.compile(type.output as JsonSchema)).not.toThrow()
    for (const [name, schema] of [...membersOf(type.params), ...membersOf(type.output)]) {
      expect(schema.description, name).toMatch(/.\.$/)
    }
  })

  it('shows what its parameters look like, as they may be', () => {
    for (const [name, { examples = [], default: byDefault, ...schema }] of membersOf(type.params)) {
      const samples = [...(examples as unknown[]), ...(byDefault === undefined ? [] : [byDefault])]
      const known = samples.length > 0 || Array.isArray(schema.enum)
      expect(known, `${name} shows what it looks like`).toBe(true)
      const validate = ajv.compile(schema)
      for (const sample of samples) expect(validate(sample), `${name}: ${JSON.stringify(sample)}`).toBe(true)
    }
  })

  it('refuses what it does not know and what is missing at upload', () => {
    const faults = checkParams(type, { surprise: 1 }, { expressions: 'skip' })
    const details = faults.map(({ detail }) => detail).join('\n')
    expect(details).toContain("'surprise' is not a parameter here")
    for (const name of (type.params.required ?? []) as string[]) expect(details).toContain(`${name} is required`)
  })
})
