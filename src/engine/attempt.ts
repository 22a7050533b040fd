import { formatDuration } from '../platform/duration.js'
import type { Json, JsonObject } from '../platform/json.js'
import { HookRun } from './hooks.js'
import type { StepOutcome, Timer } from './host.js'
import { fromHost, Interruption } from './interruption.js'
import { type Begun, succeeded } from './outcomes.js'
import { parametersOf } from './parameters.js'
import { idempotencyKey } from './path.js'
import { plainJson, plainText } from './plain.js'
import {
  type StepClass,
  type StepContext,
  StepError,
  type StepResult,
  type StepType,
  type Transaction,
} from './step.js'
import { stepClassOf } from './step-class.js'
import { Stop, withGrace } from './stopping.js'
import { UserCode } from './user-code.js'
import type { Workbench } from './workbench.js'

/** Which attempt at which step, and what it works on. */
export interface AttemptOf extends Begun {
  type: StepType
  item?: BatchItem
  /** Stops the work. */
  signal: AbortSignal
  /** Lets nothing further start, where that is not the same. */
  noMore?: AbortSignal
}

export interface BatchItem {
  value: Json
  index: number
  /** False where nobody will ask for its output. */
  collected: boolean
}

/**
 * One attempt at one step: evaluates its parameters, runs its hooks and its own work as its class demands, and masks what comes out.
 * Throws what went wrong, or `Interruption` when it was not the step that failed.
 */
export class Attempt {
  private readonly code: UserCode
  private stepClass: StepClass = 'effect'
  private sleeps = 0
  private spent = 0
  private interruption?: Interruption

  constructor(
    private readonly bench: Workbench,
    private readonly of: AttemptOf,
  ) {
    this.code = new UserCode(bench, of)
  }

  async run(): Promise<StepOutcome> {
    try {
      return await this.settle(await this.prepare())
    } catch (error) {
      throw this.interruption ?? error
    }
  }

  /** The parameters, with what comes before the work: all of it user code without effects, so the journal is not waited for yet. */
  private async prepare(): Promise<Prepared> {
    const { node, type } = this.of
    const { step, verbatim } = parametersOf(node, type, this.bench.language)
    const { value } = await this.code.render(step)
    const params = { ...value, ...verbatim }
    const { prep, exec } = node.hooks ?? {}
    const hooks = node.hooks && HookRun.begin(this.code, params)
    if (prep !== undefined) await hooks?.prep(prep)
    if (exec === undefined) this.check(hooks?.params ?? params)
    return { params: hooks?.params ?? params, hooks }
  }

  private check(params: JsonObject): void {
    const faults = this.bench.checkParams(this.of.type, params)
    if (faults.length > 0) throw new StepError(faults.join('; '), { code: 'invalid_params', retryable: false })
  }

  private async settle(prepared: Prepared): Promise<StepOutcome> {
    const { ledger } = this.bench
    const { node, type, signal } = this.of
    this.stepClass = stepClassOf(node, type, prepared.params)
    switch (this.stepClass) {
      case 'pure':
        // What a crash may repeat unseen need not wait for the journal.
        await ledger.room()
        return await this.outcome(prepared)
      case 'effect':
        await ledger.durable()
        return await this.outcome(prepared)
      case 'at_most_once':
        this.of.noMore?.throwIfAborted()
        await ledger.open(this.of)
        return await this.outcome(prepared)
      case 'transactional':
        return await ledger.transact(this.of, (transaction) => this.outcome(prepared, transaction), signal)
    }
  }

  private async outcome(prepared: Prepared, transaction?: Transaction): Promise<StepOutcome> {
    // A transaction that came to nothing is begun again from here.
    this.sleeps = 0
    this.bench.budget.refund(this.spent)
    this.spent = 0
    const result = this.presentable(await this.hooked(prepared, transaction))
    // A step may have swallowed what its wait threw: the run is unloaded all the same.
    if (this.interruption) throw this.interruption
    return succeeded(this.of, result, this.bench.host.clock.now())
  }

  private async hooked({ params, hooks: before }: Prepared, transaction?: Transaction): Promise<StepResult> {
    const { exec, post } = this.of.node.hooks ?? {}
    const hooks = before?.fork()
    if (!hooks) return await this.work(params, transaction)
    const result =
      exec !== undefined ? { output: await hooks.exec(exec) } : { ...(await this.work(params, transaction)) }
    if (post !== undefined) result.output = await hooks.post(post, plainJson(result.output))
    const shared = hooks.changes()
    return shared ? { ...result, shared: { ...shared, ...result.shared } } : result
  }

  private async work(params: JsonObject, transaction?: Transaction): Promise<StepResult> {
    const { type, signal } = this.of
    signal.throwIfAborted()
    // What was awaited since may have lasted longer than the claim: a process that was frozen finds its old answers first of all.
    if (this.stepClass !== 'pure') this.checkClaim()
    return await this.inTime(() =>
      withGrace(type.run(params, this.context(transaction)), this.of.signal, this.bench.host.clock),
    )
  }

  /** Waits of the step count: one that is unloaded and taken up again has its whole time anew. */
  private async inTime<T>(work: () => Promise<T>): Promise<T> {
    const { timeoutMs } = this.of.node
    if (timeoutMs === undefined) return await work()
    const { clock } = this.bench.host
    const { signal } = this.of
    const limit = new Stop(signal)
    const late = new StepError(`the step took longer than ${formatDuration(timeoutMs)}`, { code: 'timeout' })
    const cancel = clock.at(new Date(clock.now().getTime() + timeoutMs), () => limit.now(late))
    this.of.signal = limit.signal
    try {
      return await work()
    } catch (error) {
      throw limit.signal.reason === late && !signal.aborted && !(error instanceof Interruption) ? late : error
    } finally {
      this.of.signal = signal
      cancel()
      limit.unlink()
    }
  }

  private context(transaction: Transaction | undefined): StepContext {
    const { node, path, attempt, item, signal } = this.of
    const { host, memory, voice } = this.bench
    // Items do not sleep apart from their batch, and what must not be repeated cannot be left and come back to.
    const mayPark = item === undefined && this.stepClass !== 'at_most_once'
    return {
      run: memory.run,
      node: node.name,
      nodeType: node.type,
      nextNode: Object.hasOwn(node.next, 'default') ? node.next.default : undefined,
      attempt,
      transaction,
      idempotencyKey: idempotencyKey(memory.run, path),
      input: item ? item.value : memory.input,
      runInput: memory.runInput,
      signal,
      now: () => host.clock.now(),
      log: (level, message, data) => voice.quote(node, level, message, data),
      mask: (value) => host.mask(plainJson(value)),
      secret: (name) => this.code.secret(name),
      variables: () => this.code.variables(),
      script: (code, extra) => this.code.script(code, extra),
      sleepUntil: (dueAt) => this.wait(() => host.sleep(this.sleep(dueAt, mayPark), signal)),
      waitForSignal: (key, deadline) =>
        this.wait(() => host.waitForSignal({ path, attempt, key, deadline, mayPark }, signal)),
      startChild: (child) => this.wait(() => host.startChild({ ...child, path, attempt })),
      // Its child is a row, so an item that waits for one can be left and come back to as well.
      childEnd: (id, withinMs) =>
        this.wait(() =>
          host.childEnd({ path, attempt, id, withinMs, mayPark: this.stepClass !== 'at_most_once' }, signal),
        ),
      checkClaim: () => this.checkClaim(),
      traceHeaders: () =>
        host.traceHeaders?.({ path, attempt, node: node.name, nodeType: node.type, startedAt: this.of.startedAt }),
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

  private checkClaim(): void {
    this.of.signal.throwIfAborted()
    try {
      this.bench.host.checkClaim()
    } catch (error) {
      // Whatever sends may make an error of its own of it.
      this.interruption ??= new Interruption(error)
      throw this.interruption
    }
  }

  private presentable(result: StepResult): StepResult {
    const { host, budget } = this.bench
    const isKept = this.of.item?.collected !== false
    const output = isKept ? host.mask(plainJson(result.output)) : null
    const shared = result.shared && (host.mask(plainJson(result.shared)) as JsonObject)
    this.spent = budget.spend(output, shared)
    return { output, shared, action: result.action === undefined ? undefined : host.mask(plainText(result.action)) }
  }
}

/** What an attempt's work begins with. */
interface Prepared {
  params: JsonObject
  hooks?: HookRun
}
