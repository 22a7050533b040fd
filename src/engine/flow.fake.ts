import type { Json, JsonObject } from '../platform/json.js'
import type { Graph, GraphNode } from './graph.js'
import { FakeHost } from './host.fake.js'
import type { RunEnding } from './host.js'
import { Engine, type EngineOptions, type RunSpec } from './interpreter.js'
import { fakeLanguage } from './language.fake.js'
import { type StepClass, type StepContext, StepError, StepRegistry, type StepResult, type StepType } from './step.js'

export type FakeNode = Partial<Omit<GraphNode, 'name'>> & { type: string }

/** A graph of nodes in the order of their running: the first is the start. */
export function graphOf(nodes: Record<string, FakeNode> | [string, FakeNode][]): Graph {
  const entries = Array.isArray(nodes) ? nodes : Object.entries(nodes)
  return {
    start: entries[0]?.[0] ?? '',
    nodes: new Map(entries.map(([name, node]) => [name, { params: {}, next: {}, ...node, name }])),
  }
}

export function stepType(
  name: string,
  run: (params: JsonObject, step: StepContext) => Promise<StepResult> | StepResult,
  options: Partial<Pick<StepType, 'classOf' | 'codeParams' | 'sharedAs'>> & { stepClass?: StepClass } = {},
): StepType {
  return {
    name,
    summary: name,
    params: { type: 'object' },
    stepClass: options.stepClass ?? 'pure',
    ...options,
    run: async (params, step) => await run(params, step),
  }
}

/** Step types that tests are told with. */
export const fakeSteps: readonly StepType[] = [
  /** Its `value`, else its input. */
  stepType('echo', (params, step) => ({ output: params.value ?? step.input })),
  /** Follows the edge named by `to`. */
  stepType('route', (params, step) => ({ output: step.input, action: String(params.to) })),
  stepType('share', (params) => ({ output: null, shared: params })),
  /** Fails for good, with an action and an output. */
  stepType('fail', (params) => {
    const { message, action, output, retryable } = params
    throw new StepError(String(message ?? 'it failed'), {
      action: typeof action === 'string' ? action : undefined,
      output,
      retryable: retryable !== false,
    })
  }),
  /** Fails for the first `failures` attempts. */
  stepType(
    'flaky',
    (params, step) => {
      if (step.attempt <= Number(params.failures)) throw new StepError(`attempt ${step.attempt} failed`)
      return { output: `attempt ${step.attempt}` }
    },
    { stepClass: 'effect' },
  ),
  stepType('nap', async (params, step) => {
    await step.sleepUntil(new Date(step.now().getTime() + Number(params.ms)))
    return { output: step.input }
  }),
  stepType('signal', async (params, step) => {
    const signal = await step.waitForSignal(String(params.key))
    return { output: signal?.data ?? null }
  }),
  stepType('code', async (params, step) => ({ output: await step.script(String(params.script)) }), {
    codeParams: ['script'],
    sharedAs: 'code_result',
  }),
  /** Waits until it is told to stop. */
  stepType(
    'hang',
    (_, step) => new Promise((_, reject) => step.signal.addEventListener('abort', () => reject(step.signal.reason))),
  ),
]

export interface FakeRun extends Partial<Omit<RunSpec, 'graph'>> {
  steps?: readonly StepType[]
  host?: FakeHost
  signal?: AbortSignal
  options?: Partial<EngineOptions>
}

export const RUN = { id: 'run_1', flowId: 'flow_1', tenantId: 'default', accountId: 'account_1' }

/** Interprets a graph on a fake host, from what its journal holds. */
export function interpret(graph: Graph, run: FakeRun = {}): Promise<RunEnding> {
  const { steps = [], host = new FakeHost(), signal = new AbortController().signal, options, ...spec } = run
  const registry = new StepRegistry([...fakeSteps, ...steps])
  const engine = new Engine({ registry, checkParams: () => [], ...options })
  const history = [...host.journal.outcomes]
  return engine.interpret(
    {
      run: RUN,
      graph,
      language: fakeLanguage,
      input: null,
      history,
      opened: [...host.journal.opened],
      resumed: history.length > 0,
      ...spec,
    },
    host,
    signal,
  )
}

/** A promise that the test settles. */
export class Later<T = void> {
  readonly promise: Promise<T>
  resolve!: (value: T) => void
  reject!: (reason: unknown) => void

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
  }
}

export function resultOf(ending: RunEnding): Json {
  if (ending.state !== 'completed') throw new Error(`the run did not complete: ${JSON.stringify(ending)}`)
  return ending.result
}
