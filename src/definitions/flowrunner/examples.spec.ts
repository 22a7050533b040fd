import { readdirSync, readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { StepRegistry } from '../../engine/step.js'
import { type CoreStepPorts, coreSteps } from '../../steps/core.js'
import { emailReceive } from '../../steps/email-receive.js'
import { emailSend } from '../../steps/email-send.js'
import type { Outbound } from '../../steps/ports.js'
import { fakeStepTypes } from '../step-types.fake.js'
import { compile, flowDefinitionSchema, type StepTypes, stepTypesOf } from './index.js'

const examples = new URL('../../../examples/', import.meta.url)
const outbound = {} as Outbound
const registry = new StepRegistry([
  ...coreSteps({ outbound, keyValues: {}, schedules: {} } as CoreStepPorts),
  emailSend({ outbound }),
  emailReceive({ outbound }),
])
const real = stepTypesOf(registry)
/** The real step types, and the documented ones where those need a service that is set up elsewhere. */
const types: StepTypes = {
  has: (type) => real.has(type) || fakeStepTypes.has(type),
  codeParams: (type) => (real.has(type) ? real : fakeStepTypes).codeParams(type),
  classOf: (type, params) => (real.has(type) ? real : fakeStepTypes).classOf(type, params),
  checkParams: (type, params) => (real.has(type) ? real : fakeStepTypes).checkParams(type, params),
}

describe('the examples', () => {
  const files = readdirSync(examples).filter((file) => file.endsWith('.yaml'))

  it('are at least six', () => {
    expect(files.length).toBeGreaterThanOrEqual(6)
  })

  it.each(files)('compile: %s', (file) => {
    const compilation = compile(readFileSync(new URL(file, examples), 'utf8'), types)
    expect(compilation).toMatchObject({ ok: true })
  })
})

describe('the real step types', () => {
  it('check literal parameters and spare expressions, each fault at its place', () => {
    const compilation = compile(
      `metadata: {name: real}
nodes:
  start:
    type: http.request
    params:
      url: 'ftp:\${input.url}'
      method: [GET]
      timeout: soon
      colour: red
    next: {default: pause, error: choose}
  pause:
    type: delay
    batch: {strategy: serial}
    params: {items: [1]}
  choose:
    type: condition
    params:
      conditions:
        - {condition: 'input.a', action: x}
        - {condition: "\`\${input.b}\`"}
`,
      types,
    )
    const faults = compilation.ok ? [] : compilation.faults
    expect(faults.map(({ line, column, path, code }) => `${line}:${column} ${path} ${code}`)).toEqual([
      '7:15 /nodes/start/params/method type',
      '8:16 /nodes/start/params/timeout format',
      '9:15 /nodes/start/params/colour unknown_parameter',
      '14:13 /nodes/pause/params one_of',
      '20:11 /nodes/choose/params/conditions/1/action required',
    ])
  })
})

describe('the schema for editors', () => {
  const schema = flowDefinitionSchema(registry)
  const validate = new Ajv2020({ strict: false, allErrors: true }).compile(schema)

  it.each(['order-approval.yaml', 'payouts.yaml'])('accepts what compiles: %s', (file) => {
    const text = readFileSync(new URL(file, examples), 'utf8')
    expect(validate(parse(text, { merge: true })), JSON.stringify(validate.errors)).toBe(true)
  })

  it('knows what a flow and its nodes may ask for beside the reference', () => {
    const node = { type: 'webhook', params: { url: 'https://example.com' } }
    const asks = (run: object, more: object = {}) =>
      validate({ metadata: { name: 'a' }, 'x-run': run, nodes: { a: { ...node, ...more } } })
    expect(asks({ priority: 5, tag: 'gpu', concurrency: { limit: 1 } }, { 'x-guarantee': 'at_most_once' })).toBe(true)
    expect(asks({ priority: 101 })).toBe(false)
    expect(asks({ concurrency: { key: 'a' } })).toBe(false)
    expect(asks({}, { 'x-guarantee': 'twice' })).toBe(false)
    expect(asks({}, { batch: { strategy: 'async', 'x-collect': 0 } })).toBe(false)
  })

  it('knows the node types and explains their parameters', () => {
    expect(validate({ metadata: { name: 'a' }, nodes: { a: { type: 'frobnicate' } }, stages: [] })).toBe(false)
    const at = validate.errors?.map(({ instancePath, keyword }) => `${instancePath} ${keyword}`)
    expect(at).toEqual(expect.arrayContaining([' additionalProperties', '/nodes/a/type oneOf']))
    expect(JSON.stringify(schema)).toContain('The IANA time zone')
  })
})
