import { isJsonObject, type Json, type JsonObject } from '../platform/json.js'
import type { GraphNode } from './graph.js'
import { prepared } from './hooks.js'
import { type ConsoleLine, type Host, type Script, ScriptError } from './host.js'
import type { Language, Template } from './language.js'
import type { RunMemory } from './run-memory.js'
import { type LogLevel, type StepContext, StepError, type StepResult, type StepType } from './step.js'

/** Says what is wrong with parameters whose expressions are evaluated; empty when nothing is. */
export type ParamsCheck = (type: StepType, params: JsonObject) => string[]

export interface AttemptTools {
  host: Host
  language: Language
  checkParams: ParamsCheck
}

/** Which attempt at which step, and what it works on. */
export interface AttemptOf {
  node: GraphNode
  type: StepType
  path: string
  attempt: number
  memory: RunMemory
  item?: { value: Json; index: number }
  signal: AbortSignal
}

const templates = new WeakMap<GraphNode, Template>()

/**
 * One attempt at one step: evaluates its parameters, runs its hooks and its own work, and masks what comes out. Throws what went wrong.
 */
export class Attempt {
  private sleeps = 0

  constructor(
    private readonly tools: AttemptTools,
    private readonly of: AttemptOf,
  ) {}

  async run(): Promise<StepResult> {
    const { node } = this.of
    let params = await this.params()
    let shared: JsonObject | undefined
    if (node.hooks?.prep) {
      const context = { ...this.shared() }
      const hook = await this.evaluate([{ code: node.hooks.prep, form: 'body' }], { params, context })
      const prep = prepared(hook.values[0] ?? null, hook.captured, context)
      params = prep.params
      shared = prep.shared
    }
    const result = node.hooks?.exec
      ? { output: await this.script(node.hooks.exec, { params, ...contextOf(shared) }) }
      : await this.work(params)
    if (node.hooks?.post) {
      const changed = await this.script(node.hooks.post, { params, result: result.output, ...contextOf(shared) })
      if (changed !== null) result.output = changed
    }
    return this.masked({ ...result, shared: shared || result.shared ? { ...shared, ...result.shared } : undefined })
  }

  /** The node's parameters with every expression evaluated; a batch's `items` are not its steps' concern. */
  async params(): Promise<JsonObject> {
    return await evaluateTemplate(this.template(), this.variables(await this.secrets()), async (scripts) => {
      const evaluation = await this.evaluate(scripts)
      return evaluation.values
    })
  }

  private template(): Template {
    const { node, type } = this.of
    let template = templates.get(node)
    if (!template) {
      const code = new Set(type.codeParams ?? [])
      const entries = Object.entries(node.params)
      const inner = this.tools.language.template(
        Object.fromEntries(entries.filter(([name]) => !code.has(name) && !(node.batch && name === 'items'))),
      )
      const verbatim = Object.fromEntries(entries.filter(([name]) => code.has(name)))
      template = { ...bind(inner), render: (values) => ({ ...inner.render(values), ...verbatim }) }
      templates.set(node, template)
    }
    return template
  }

  private async work(params: JsonObject): Promise<StepResult> {
    const faults = this.tools.checkParams(this.of.type, params)
    if (faults.length > 0) throw new StepError(faults.join('; '), { code: 'invalid_params', retryable: false })
    return await this.of.type.run(params, this.context())
  }

  private context(): StepContext {
    const { node, path, attempt, memory, item, signal } = this.of
    const { host } = this.tools
    const mayPark = item === undefined
    return {
      run: memory.run,
      node: node.name,
      nodeType: node.type,
      nextNode: node.next.default,
      attempt,
      idempotencyKey: `${memory.run.id}:${path}`,
      input: item ? item.value : memory.input,
      runInput: memory.runInput,
      signal,
      now: () => host.clock.now(),
      log: (level, message, data) => this.log(level, message, data),
      script: (code, extra) => this.script(code, extra),
      sleepUntil: (dueAt) =>
        host.sleep({ path, attempt, ordinal: this.sleeps++, kind: 'sleep', dueAt, mayPark }, signal),
      waitForSignal: (key, deadline) => host.waitForSignal({ path, attempt, key, deadline, mayPark }, signal),
    }
  }

  private async script(code: string, extra: Readonly<Record<string, Json>> = {}): Promise<Json> {
    const evaluation = await this.evaluate([{ code, form: 'body' }], extra)
    return evaluation.values[0] ?? null
  }

  private async evaluate(scripts: readonly Script[], extra: Readonly<Record<string, Json>> = {}) {
    const scope = { ...this.variables(await this.secrets()), ...extra }
    const capture = Object.hasOwn(extra, 'context') ? ['params', 'context'] : undefined
    try {
      const evaluation = await this.tools.host.evaluate({ scripts, scope, capture }, this.of.signal)
      this.tell(evaluation.console)
      return evaluation
    } catch (error) {
      if (error instanceof ScriptError) this.tell(error.console)
      throw error
    }
  }

  private tell(lines: readonly ConsoleLine[]): void {
    for (const line of lines) this.log(line.level, line.message)
  }

  private log(level: LogLevel, message: string, data?: JsonObject): void {
    const { node } = this.of
    const { host } = this.tools
    host.emit({
      type: 'log',
      level,
      message: host.mask(message),
      node: node.name,
      nodeType: node.type,
      data: data && host.mask(data),
      at: host.clock.now(),
    })
  }

  private secrets(): Promise<Readonly<Record<string, string>>> {
    return this.tools.host.secrets()
  }

  private variables(secrets: Readonly<Record<string, string>>): Record<string, Json> {
    return this.tools.language.variables(this.of.memory.moment(secrets, this.of.item))
  }

  private shared(): Readonly<JsonObject> {
    return this.of.memory.moment({}).shared
  }

  private masked(result: StepResult): StepResult {
    const { host } = this.tools
    return {
      output: host.mask(result.output ?? null),
      action: result.action,
      shared: result.shared && host.mask(result.shared),
    }
  }
}

/** Renders a template: property paths are answered at once, everything else goes to the sandbox in one evaluation. */
export async function evaluateTemplate(
  template: Template,
  variables: Readonly<Record<string, Json>>,
  sandbox: (scripts: readonly Script[]) => Promise<Json[]>,
): Promise<JsonObject> {
  const values: Json[] = new Array(template.scripts.length).fill(null)
  const left: number[] = []
  for (let index = 0; index < values.length; index++) {
    const known = template.local(index, variables)
    if (known) values[index] = known.value
    else left.push(index)
  }
  if (left.length > 0) {
    const evaluated = await sandbox(left.map((index) => template.scripts[index] as Script))
    for (const [position, index] of left.entries()) values[index] = evaluated[position] ?? null
  }
  return template.render(values)
}

function bind(template: Template): Pick<Template, 'scripts' | 'local'> {
  return { scripts: template.scripts, local: (index, variables) => template.local(index, variables) }
}

function contextOf(shared: JsonObject | undefined): Record<string, Json> {
  return isJsonObject(shared) ? { context: shared } : {}
}
