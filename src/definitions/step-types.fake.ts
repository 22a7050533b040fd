import type { StepTypes } from './step-types.js'

/** The node types of FlowRunner's documentation with the parameters that they require, for specs of the language alone. */
const required: Readonly<Record<string, readonly string[]>> = {
  'http.request': ['url'],
  transform: ['script'],
  condition: [],
  delay: ['duration'],
  wait: [],
  cron: ['schedule'],
  store: ['operation'],
  webhook: ['url'],
  'email.send': ['smtp_host', 'username', 'password', 'to', 'subject'],
  'email.receive': ['imap_host', 'username', 'password'],
  llm: ['api_key', 'model'],
  agent: ['api_key', 'model', 'prompt'],
  postgres: [],
  dynamodb: ['operation'],
  notification: [],
  mcp: ['operation'],
}

const codeParams: Readonly<Record<string, readonly string[]>> = {
  transform: ['script'],
  condition: ['condition_script'],
}

export const fakeStepTypes: StepTypes = {
  has: (type) => Object.hasOwn(required, type),
  codeParams: (type) => codeParams[type] ?? [],
  classOf(type, { operation }) {
    if (type === 'store') return operation === 'get' ? 'pure' : 'transactional'
    return ['transform', 'condition', 'delay', 'wait'].includes(type) ? 'pure' : 'effect'
  },
  checkParams(type, params) {
    const missing = (required[type] ?? []).filter((name) => !(name in params))
    const faults = missing.map((name) => ({ path: `/params/${name}`, detail: `${name} is required`, code: 'required' }))
    if ('url' in params && typeof params.url !== 'string') {
      faults.push({ path: '/params/url', detail: 'url must be a text', code: 'type' })
    }
    return faults
  },
}
