import type { Json, JsonObject } from '../platform/json.js'
import type { GraphNode } from './graph.js'
import { type EvaluationResult, type Script, ScriptError } from './host.js'
import { fromHost } from './interruption.js'
import type { LookUps, Template } from './language.js'
import { render } from './parameters.js'
import { orAborted } from './stopping.js'
import type { Workbench } from './workbench.js'

/** For whom code is evaluated. */
export interface CodeOf {
  node: GraphNode
  item?: { value: Json; index: number }
  signal: AbortSignal
}

/** Evaluates its author's code on behalf of one node, with the variables of the moment, and logs what it prints. */
export class UserCode {
  /** Members that a `prep` hook laid over `shared`, for the rest of the attempt. */
  overlay?: Readonly<JsonObject>
  private asked?: Promise<Readonly<Record<string, string>>>

  constructor(
    private readonly bench: Workbench,
    private readonly of: CodeOf,
  ) {}

  /** A template's value, and whether any of it had to be computed in the sandbox. */
  async render(template: Template): Promise<{ value: JsonObject; computed: boolean }> {
    if (template.scripts.length === 0) return { value: template.render([]), computed: false }
    const lookUps: LookUps = {
      keyValue: (key, scope) => fromHost(orAborted(this.bench.host.keyValue(key, scope), this.of.signal)),
    }
    const sandbox = async (scripts: readonly Script[]) => (await this.evaluate(scripts)).values
    return await render(template, await this.variables(), lookUps, sandbox)
  }

  async script(code: string, extra?: Readonly<Record<string, Json>>): Promise<Json> {
    const { values } = await this.evaluate([{ code, form: 'body' }], extra)
    return values[0] ?? null
  }

  /** `extra` is laid over the variables; the members of it that `capture` names are read back. */
  async evaluate(
    scripts: readonly Script[],
    extra?: Readonly<Record<string, Json>>,
    capture?: readonly string[],
  ): Promise<EvaluationResult> {
    const scope = { ...(await this.variables()), ...extra }
    try {
      const evaluation = await this.bench.host.evaluate({ scripts, scope, capture }, this.of.signal)
      this.tell(evaluation.console)
      return evaluation
    } catch (error) {
      if (error instanceof ScriptError) this.tell(error.console)
      throw error
    }
  }

  /** `shared` as it is now. */
  shared(): JsonObject {
    return { ...this.bench.memory.shared, ...this.overlay }
  }

  async secret(name: string): Promise<string | undefined> {
    const secrets = await this.secrets()
    return Object.hasOwn(secrets, name) ? secrets[name] : undefined
  }

  async variables(): Promise<Record<string, Json>> {
    const moment = this.bench.memory.moment(this.bench.host.clock.now(), await this.secrets(), this.of.item)
    return this.bench.language.variables(this.overlay ? { ...moment, shared: this.shared() } : moment)
  }

  /** Asked for once: an attempt works with the secrets of its beginning. */
  private secrets(): Promise<Readonly<Record<string, string>>> {
    this.asked ??= fromHost(orAborted(this.bench.host.secrets(), this.of.signal))
    return this.asked
  }

  private tell(lines: EvaluationResult['console']): void {
    for (const line of lines) this.bench.voice.quote(this.of.node, line.level, line.message)
  }
}
