import { isJsonObject, type Json, type JsonObject } from '../platform/json.js'
import type { FlowError, StepOutcome } from './host.js'
import type { Moment, NodeState } from './language.js'
import type { RunIdentity } from './step.js'

/**
 * What a run knows while it is interpreted: rebuilt from outcomes, never stored itself. Names are their authors', so the maps have no
 * prototype that a name such as `__proto__` could reach.
 */
export class RunMemory {
  readonly shared: JsonObject
  /** What the next node receives. */
  input: Json
  private readonly results: Record<string, Json> = Object.create(null)
  private readonly states: Record<string, NodeState> = Object.create(null)
  private result: Json = null
  private error?: FlowError

  constructor(
    readonly run: RunIdentity,
    readonly runInput: Json,
  ) {
    this.input = runInput
    this.shared = Object.assign(Object.create(null), isJsonObject(runInput) ? runInput : {})
  }

  /** The same, for a round of a loop: what it comes to know is its own. */
  round(): RunMemory {
    const round = new RunMemory(this.run, this.runInput)
    Object.assign(round.shared, this.shared)
    Object.assign(round.results, this.results)
    Object.assign(round.states, this.states)
    Object.assign(round, { input: this.input, result: this.result, error: this.error })
    return round
  }

  /** Takes in what the way goes on from. */
  remember(outcome: StepOutcome, state: NodeState, sharedAs?: string): void {
    const output = outcome.output ?? null
    this.results[outcome.node] = output
    this.states[outcome.node] = state
    if (outcome.error) this.error = outcome.error
    this.put(output)
    if (sharedAs) this.shared[sharedAs] = output
    this.share(outcome.shared)
  }

  /** The outputs of these nodes; null for one that was not reached. */
  outputsOf(names: readonly string[]): JsonObject {
    return Object.fromEntries(names.map((name) => [name, this.results[name] ?? null]))
  }

  /** What a node shows while it is not settled, as a loop does to its body. */
  show(node: string, output: Json): void {
    this.results[node] = output
    this.put(output)
  }

  /** What the next node receives, and the last output. */
  put(output: Json): void {
    this.result = output
    this.input = output
    this.shared.result = output
  }

  /** Takes in a failure that an edge leads on from; `input` is how the flow's language shows it. */
  rememberFailure(outcome: StepOutcome, error: FlowError, input: Json): void {
    this.error = error
    this.input = input
    this.states[outcome.node] = 'failed'
    this.share(outcome.shared)
  }

  share(members: JsonObject | undefined): void {
    if (members) Object.assign(this.shared, members)
  }

  moment(now: Date, secrets: Readonly<Record<string, string>>, item?: { value: Json; index: number }): Moment {
    return {
      run: this.run,
      runInput: this.runInput,
      input: this.input,
      results: this.results,
      states: this.states,
      now,
      shared: this.shared,
      result: this.result,
      error: this.error,
      secrets,
      item,
    }
  }
}
