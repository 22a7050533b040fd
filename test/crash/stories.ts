/** The value of a secret that flows send and try to log; it must show up nowhere. */
export const SECRET = 'crash-harness/secret+value 4711'
export const BATCH_ITEMS = 6
export const CANCEL_STEPS = 12
/** Runs of one key that may be at work at the same time. */
export const LIMIT = 2
export const LIMIT_KEYS = 3
/** Keys that runs count up: each by one, exactly once. */
export const COUNTERS = 3
export const TICK_SECONDS = 2

export type State = 'completed' | 'failed' | 'cancelled'

/** A flow of the workload, and what a run of it leaves behind when all goes as promised. */
export interface Story {
  name: string
  /** Layers as flow8 has them, or a job on disk as flwd has it; a flow of FlowRunner's where absent. */
  kind?: 'layers' | 'job'
  /** How often it is told among the others; 0 for those that the harness tells itself. */
  weight: number
  definition(address: string): string
  /** What a run is given beside its number. */
  input?(n: number, flows: ReadonlyMap<string, string>): object
  /** The paths of its outcomes: each stage begins once the one before is done. */
  stages: string[][]
  /** Those of the paths that are at most once: they may end as unknown, and are never repeated. */
  once?: string[]
  /** Those of the paths that send a request to the outside. */
  effects: string[]
  /** The step that leaves an artifact. */
  keeps?: string
  ends: State[]
}

const items = Array.from({ length: BATCH_ITEMS }, (_, index) => `each[${index}]`)
const jobSteps = Array.from({ length: 4 }, (_, index) => `j${index}`)
const cancelSteps = Array.from({ length: CANCEL_STEPS }, (_, index) => `c${index}`)

export const STORIES: readonly Story[] = [
  {
    name: 'light',
    weight: 4,
    definition: () =>
      flow(`
  shape: { type: transform, params: { mapping: { n: "$.n" } }, next: { default: log } }
  log: { type: transform, params: { script: "console.log('token', secrets.CRASH_TOKEN); return { n: shared.n }" } }`),
    stages: [['shape'], ['log']],
    effects: [],
    ends: ['completed'],
  },
  {
    name: 'chain',
    weight: 4,
    definition: (address) =>
      flow(`
  one: { ${request(address, '/quick', 'bearer_token: "${secrets.CRASH_TOKEN}"')}, next: { default: two } }
  two: { ${request(address, '/quick')}, next: { default: three } }
  three: { ${request(address, '/slow')}, next: { default: four } }
  four: { ${request(address, '/quick')} }`),
    stages: [['one'], ['two'], ['three'], ['four']],
    effects: ['one', 'two', 'three', 'four'],
    ends: ['completed'],
  },
  {
    name: 'batch',
    weight: 2,
    definition: (address) =>
      flow(`
  list: { type: transform, params: { script: "return Array.from({ length: ${BATCH_ITEMS} }, (_, index) => index)" }, next: { default: each } }
  each:
    ${request(address, '/quick', 'items: "${input}"', 'item: "${item}"').replaceAll(', params:', '\n    params:')}
    batch: { strategy: worker_pool, max_parallel: 2 }
    next: { default: last }
  last: { ${request(address, '/quick')} }`),
    stages: [['list'], items, ['each'], ['last']],
    effects: [...items, 'last'],
    ends: ['completed'],
  },
  {
    name: 'delay',
    weight: 2,
    definition: (address) =>
      flow(`
  before: { ${request(address, '/quick')}, next: { default: short } }
  short: { type: delay, params: { duration: 300ms }, next: { default: long } }
  long: { type: delay, params: { duration: 2500ms }, next: { default: after } }
  after: { ${request(address, '/quick')} }`),
    stages: [['before'], ['short'], ['long'], ['after']],
    effects: ['before', 'after'],
    ends: ['completed'],
  },
  {
    name: 'signal',
    weight: 2,
    definition: (address) =>
      flow(`
  before: { ${request(address, '/quick')}, next: { default: hold } }
  hold: { type: wait, params: { key: "go-\${shared.n}", timeout: 1h }, next: { default: after } }
  after: { ${request(address, '/quick')} }`),
    stages: [['before'], ['hold'], ['after']],
    effects: ['before', 'after'],
    ends: ['completed'],
  },
  {
    name: 'retry',
    weight: 2,
    definition: (address) =>
      flow(`
  flaky: { ${request(address, '/flaky')}, retry: { max_retries: 20, wait: 100ms }, next: { default: after } }
  after: { ${request(address, '/quick')} }`),
    stages: [['flaky'], ['after']],
    effects: ['flaky', 'after'],
    ends: ['completed'],
  },
  {
    name: 'cancel',
    weight: 2,
    definition: (address) =>
      flow(
        cancelSteps
          .map((name, index) => {
            const next = cancelSteps[index + 1]
            return `\n  ${name}: { ${request(address, '/slow')}${next ? `, next: { default: ${next} }` : ''} }`
          })
          .join(''),
      ),
    stages: cancelSteps.map((name) => [name]),
    effects: cancelSteps,
    ends: ['completed', 'cancelled'],
  },
  {
    name: 'limited',
    weight: 2,
    input: (n) => ({ limit: `customer-${n % LIMIT_KEYS}` }),
    definition: (address) =>
      flow(
        `
  work: { ${request(address, '/limited/${shared.limit}')}, next: { default: more } }
  more: { ${request(address, '/limited/${shared.limit}')} }`,
        `x-run: { concurrency: { key: "\${input.limit}", limit: ${LIMIT} } }\n`,
      ),
    stages: [['work'], ['more']],
    effects: ['work', 'more'],
    ends: ['completed'],
  },
  {
    name: 'once',
    weight: 2,
    definition: (address) =>
      flow(`
  charge: { ${request(address, '/slow')}, x-guarantee: at_most_once, next: { default: after, unknown: after } }
  after: { ${request(address, '/quick')} }`),
    stages: [['charge'], ['after']],
    effects: ['charge', 'after'],
    once: ['charge'],
    ends: ['completed'],
  },
  {
    name: 'count',
    weight: 2,
    input: (n) => ({ counter: `counter-${n % COUNTERS}` }),
    definition: (address) =>
      flow(`
  count: { type: store, params: { operation: increment, key: "\${shared.counter}" }, next: { default: after } }
  after: { ${request(address, '/quick')} }`),
    stages: [['count'], ['after']],
    effects: ['after'],
    ends: ['completed'],
  },
  {
    name: 'parent',
    weight: 1,
    input: (_, flows) => ({ child: flows.get('chain') }),
    definition: (address) =>
      flow(`
  before: { ${request(address, '/quick')}, next: { default: below } }
  below: { type: flow.run, params: { flow_id: "\${shared.child}", input: { n: "\${shared.n}" } }, next: { default: after } }
  after: { ${request(address, '/quick')} }`),
    stages: [['before'], ['below'], ['after']],
    effects: ['before', 'after'],
    ends: ['completed'],
  },
  {
    name: 'large',
    weight: 1,
    definition: (address) =>
      flow(`
  grow: { type: transform, params: { script: "return { text: 'x'.repeat(40000) + shared.n }" }, next: { default: after } }
  after: { ${request(address, '/quick', undefined, 'length: "${input.text.length}"')} }`),
    stages: [['grow'], ['after']],
    effects: ['after'],
    ends: ['completed'],
  },
  {
    name: 'approval',
    kind: 'layers',
    weight: 1,
    definition: (address) =>
      JSON.stringify(
        ['before', 'gate', 'after'].map((ref, index) => ({
          ref,
          index,
          appId: 'curl',
          args: { url: `http://${address}/quick`, method: 'POST', body: { n: '{{ $prev.args.n }}' } },
          needsApproval: ref === 'gate',
        })),
      ),
    stages: [['before'], ['gate'], ['after']],
    effects: ['before', 'gate', 'after'],
    ends: ['completed', 'failed'],
  },
  {
    name: 'job-once',
    kind: 'job',
    weight: 1,
    definition: () => job('job-once', ['work', 'keep']),
    stages: [['work'], ['keep']],
    once: ['work', 'keep'],
    effects: ['work', 'keep'],
    keeps: 'keep',
    ends: ['completed', 'failed'],
  },
  {
    name: 'job-again',
    kind: 'job',
    weight: 1,
    definition: () =>
      job('job-again', ['work', 'keep'], 'error_handling: { policy: retry, retries: 20, retry_backoff: 0 }\n'),
    stages: [['work'], ['keep']],
    effects: ['work', 'keep'],
    keeps: 'keep',
    ends: ['completed'],
  },
  {
    name: 'job-cancel',
    kind: 'job',
    weight: 1,
    definition: () => job('job-cancel', jobSteps),
    stages: jobSteps.map((name) => [name]),
    once: jobSteps,
    effects: jobSteps,
    ends: ['completed', 'cancelled', 'failed'],
  },
  {
    name: 'schedule',
    weight: 0,
    definition: (address) =>
      flow(`
  plan:
    type: cron
    params: { id: "\${input.schedule}", schedule: "*/${TICK_SECONDS} * * * * *", payload: { n: 0 } }
    next: { default: tick }
  tick: { ${request(address, '/quick')} }`),
    stages: [['plan'], ['tick']],
    effects: ['tick'],
    ends: ['completed'],
  },
  {
    name: 'unschedule',
    weight: 0,
    definition: () => flow(`\n  unplan: { type: cron, params: { operation: delete, id: "\${input.schedule}" } }`),
    stages: [['unplan']],
    effects: [],
    ends: ['completed'],
  },
]

/** A run of a schedule begins behind the node that planned it. */
export const TICK_STAGES = [['tick']]

export function storyOf(name: string): Story {
  const found = STORIES.find((story) => story.name === name)
  if (!found) throw new Error(`there is no story ${name}`)
  return found
}

function flow(nodes: string, more = ''): string {
  return `metadata: { name: crash, version: "1" }\n${more}nodes:${nodes}\n`
}

/** A node that tells the outside who sends it. Attempts are few seconds long, so that one to a frozen network ends. */
function request(address: string, path: string, param?: string, member?: string): string {
  const body = `{ n: "\${shared.n}"${member ? `, ${member}` : ''} }`
  return `type: http.request, params: { url: "http://${address}${path}", method: POST, body: ${body}${param ? `, ${param}` : ''} }`
}

/** Steps one after another, with a secret among their arguments. They are no sandbox's: they reach the outside. */
function job(name: string, steps: readonly string[], more = ''): string {
  const listed = steps.map((step, at) => {
    const needs = at > 0 ? `, needs: [${steps[at - 1]}]` : ''
    return `  - { id: ${step}, name: ${step}, script: ${step}.sh${needs} }\n`
  })
  return `name: ${name}
description: Told by the crash harness
argspec:
  type: object
  properties: { n: { type: integer }, token: { type: string, format: secret } }
  required: [n, token]
composition: steps
steps:
${listed.join('')}security_profile: disabled
${more}`
}
