import { isDeepStrictEqual } from 'node:util'
import { isJsonObject, type Json, type JsonObject } from '../platform/json.js'
import type { UserCode } from './user-code.js'

const RETURNS = /\breturn\b/

/**
 * The hooks of one attempt. All three see `params` and `context` (a copy of `shared`), and what they change in place is kept. What the
 * last statement of a hook without `return` amounts to is its value only if it changed nothing in place: `context.total = 3` sets a
 * member, it does not answer 3.
 */
export class HookRun {
  private constructor(
    private readonly code: UserCode,
    /** The step's parameters, as the hooks leave them. */
    public params: JsonObject,
    private readonly before: Readonly<JsonObject>,
    private context: JsonObject,
  ) {}

  static begin(code: UserCode, params: JsonObject): HookRun {
    const before = code.shared()
    return new HookRun(code, params, before, { ...before })
  }

  /** Hooks that go on from this moment, and leave it as it is: for work that may have to be begun again. */
  fork(): HookRun {
    this.code.overlay = this.changes()
    return new HookRun(this.code, this.params, this.before, this.context)
  }

  /**
   * Before the work. A returned object with no members but `params` and `context` is laid over these two; any other returned object is
   * laid over `context`.
   */
  async prep(code: string): Promise<void> {
    const { said } = await this.run(code)
    if (!isJsonObject(said) || isDeepStrictEqual(said, this.context)) return
    if (speaksOfBoth(said)) {
      if (isJsonObject(said.params)) this.params = { ...this.params, ...said.params }
      if (isJsonObject(said.context)) this.context = { ...this.context, ...said.context }
    } else this.context = { ...this.context, ...said }
  }

  /** Instead of the work: its value is the output. */
  async exec(code: string): Promise<Json> {
    const { said } = await this.run(code)
    return said
  }

  /** After the work: the output as returned, or as changed in place. */
  async post(code: string, output: Json): Promise<Json> {
    const { said, captured } = await this.run(code, { result: output })
    return said ?? captured.result ?? output
  }

  /** The members of `context` that the hooks added or changed. */
  changes(): JsonObject | undefined {
    const changed = Object.entries(this.context).filter(
      ([name, value]) => !Object.hasOwn(this.before, name) || !isDeepStrictEqual(this.before[name], value),
    )
    return changed.length > 0 ? Object.fromEntries(changed) : undefined
  }

  private async run(code: string, extra: Record<string, Json> = {}): Promise<{ said: Json; captured: JsonObject }> {
    const scope: JsonObject = { params: this.params, context: this.context, ...extra }
    const names = Object.keys(scope)
    const { values, captured } = await this.code.evaluate([{ code, form: 'body' }], scope, names)
    const inPlace = names.some(
      (name) => Object.hasOwn(captured, name) && !isDeepStrictEqual(captured[name], scope[name]),
    )
    if (isJsonObject(captured.params)) this.params = captured.params
    if (isJsonObject(captured.context)) this.context = captured.context
    this.code.overlay = this.changes()
    return { said: inPlace && !RETURNS.test(code) ? null : (values[0] ?? null), captured }
  }
}

function speaksOfBoth(said: JsonObject): boolean {
  return Object.keys(said).every((name) => (name === 'params' || name === 'context') && isJsonObject(said[name]))
}
