import type { Json, JsonObject } from '../platform/json.js'
import type { GraphNode } from './graph.js'
import { HookRun } from './hooks.js'
import type { Timer } from './host.js'
import { fromHost, Interruption } from './interruption.js'
import { parametersOf } from './parameters.js'
import { idempotencyKey } from './path.js'
import { plainJson, plainText } from './plain.js'
import { type StepContext, StepError, type StepResult, type StepType } from './step.js'
import { withGrace } from './stopping.js'
import { UserCode } from './user-code.js'
import type { Workbench } from './workbench.js'

/** Which attempt at which step, and what it works on. */
export interface AttemptOf {
  node: GraphNode
  type: StepType
  path: string
  attempt: number
  item?: { value: Json; index: number }
  signal: AbortSignal
}

/**
 * One attempt at one step: evaluates its parameters, runs its hooks and its own work, and masks what comes out. Throws what went wrong,
 * or `Interruption` when it was not the step that failed.
 */
export class Attempt {
  private readonly code: UserCode
  private sleeps = 0
  private interruption?: Interruption

  constructor(
    private readonly bench: Workbench,
    private readonly of: AttemptOf,
  ) {
    this.code = new UserCode(bench, of)
  }

  async run(): Promise<StepResult> {
    try {
      const result = await this.hooked()
      // A step may have swallowed what its wait threw: the run is unloaded all the same.
      if (this.interruption) throw this.interruption
      return this.presentable(result)
    } catch (error) {
      throw this.interruption ?? error
    }
  }

  private async hooked(): Promise<StepResult> {
    const { prep, exec, post } = this.of.node.hooks ?? {}
    const params = await this.params()
    if (prep === undefined && exec === undefined && post === undefined) return await this.work(params)
    const hooks = new HookRun(this.code, params)
    if (prep !== undefined) await hooks.prep(prep)
    const result = exec !== undefined ? { output: await hooks.exec(exec) } : { ...(await this.work(hooks.params)) }
    if (post !== undefined) result.output = await hooks.post(post, plainJson(result.output))
    const shared = hooks.changes()
    return shared ? { ...result, shared: { ...shared, ...result.shared } } : result
  }

  private async params(): Promise<JsonObject> {
    const { step, verbatim } = parametersOf(this.of.node, this.of.type, this.bench.language)
    const { value } = await this.code.render(step)
    return { ...value, ...verbatim }
  }

  private async work(params: JsonObject): Promise<StepResult> {
    const { type, signal } = this.of
    const faults = this.bench.checkParams(type, params)
    if (faults.length > 0) throw new StepError(faults.join('; '), { code: 'invalid_params', retryable: false })
    signal.throwIfAborted()
    return await withGrace(type.run(params, this.context()), signal, this.bench.host.clock)
  }

  private context(): StepContext {
    const { node, path, attempt, item, signal } = this.of
    const { host, memory, voice } = this.bench
    const mayPark = item === undefined
    return {
      run: memory.run,
      node: node.name,
      nodeType: node.type,
      nextNode: Object.hasOwn(node.next, 'default') ? node.next.default : undefined,
      attempt,
      idempotencyKey: idempotencyKey(memory.run.id, path),
      input: item ? item.value : memory.input,
      runInput: memory.runInput,
      signal,
      now: () => host.clock.now(),
      log: (level, message, data) => voice.log(node, level, message, data),
      mask: (value) => host.mask(plainJson(value)),
      script: (code, extra) => this.code.script(code, extra),
      sleepUntil: (dueAt) => this.wait(() => host.sleep(this.sleep(dueAt, mayPark), signal)),
      waitForSignal: (key, deadline) =>
        this.wait(() => host.waitForSignal({ path, attempt, key, deadline, mayPark }, signal)),
    }
  }

  /** A step's own sleeps count from 1; 0 is the wait between this attempt and the next. */
  private sleep(dueAt: Date, mayPark: boolean): Timer {
    const { path, attempt } = this.of
    return { path, attempt, ordinal: ++this.sleeps, kind: 'sleep', dueAt, mayPark }
  }

  private async wait<T>(start: () => Promise<T>): Promise<T> {
    this.of.signal.throwIfAborted()
    try {
      return await fromHost(start())
    } catch (error) {
      if (error instanceof Interruption) this.interruption ??= error
      throw error
    }
  }

  private presentable(result: StepResult): StepResult {
    const { host, budget } = this.bench
    const output = host.mask(plainJson(result.output))
    const shared = result.shared && (host.mask(plainJson(result.shared)) as JsonObject)
    budget.spend(output, shared)
    return { output, shared, action: result.action === undefined ? undefined : host.mask(plainText(result.action)) }
  }
}
