import {
  type ChildEnd,
  type ChildRequest,
  type ChildStart,
  type LogLevel,
  type RunIdentity,
  type StepContext,
  StepError,
  type StepResult,
  type StepType,
  type Transaction,
} from '../engine/step.js'
import type { Json, JsonObject } from '../platform/json.js'
import { invalidParams } from './invalid-params.js'
import { checkParams } from './params.js'

export interface FakeStepOptions {
  input?: Json
  runInput?: Json
  /** The account's secrets. */
  secrets?: readonly string[]
  /** Those of them that the step may ask for, by name. */
  namedSecrets?: Readonly<Record<string, string>>
  /** More variables for scripts and expressions. */
  variables?: Readonly<Record<string, Json>>
  nextNode?: string
  attempt?: number
  signal?: AbortSignal
  now?: Date
  run?: Partial<RunIdentity>
  transaction?: Transaction
}

/**
 * A step's surroundings for tests: scripts run unprotected in this process, time passes only when the step sleeps, and everything that the
 * step said or slept is kept to be looked at. Signals are laid in with `signals`, the ends of children with `ends`, by flow.
 */
export class FakeStepContext implements StepContext {
  readonly run: RunIdentity
  readonly node = 'node'
  nodeType = ''
  readonly nextNode?: string
  readonly attempt: number
  readonly transaction?: Transaction
  readonly idempotencyKey: string
  readonly input: Json
  readonly runInput: Json
  readonly signal: AbortSignal
  readonly logs: { level: LogLevel; message: string; data?: JsonObject }[] = []
  readonly sleeps: Date[] = []
  readonly signals = new Map<string, Json>()
  readonly waits: { key: string; deadline?: Date }[] = []
  readonly children: ChildRequest[] = []
  readonly ends = new Map<string, ChildEnd>()
  /** How long each wait for a child was to take at most. */
  readonly childWaits: (number | undefined)[] = []
  /** What the next start of a child is answered, where it is not started. */
  refusal?: ChildStart
  private readonly secrets: readonly string[]
  private readonly namedSecrets: Readonly<Record<string, string>>
  private time: Date
  private readonly given: Readonly<Record<string, Json>>

  constructor(options: FakeStepOptions = {}) {
    this.run = { id: 'run_1', flowId: 'flow_1', tenantId: 'tenant_1', accountId: 'account_1', ...options.run }
    this.nextNode = options.nextNode
    this.attempt = options.attempt ?? 1
    this.transaction = options.transaction
    this.idempotencyKey = `${this.run.id}:node`
    this.input = options.input ?? null
    this.runInput = options.runInput ?? null
    this.signal = options.signal ?? new AbortController().signal
    this.namedSecrets = options.namedSecrets ?? {}
    this.secrets = [...(options.secrets ?? []), ...Object.values(this.namedSecrets)]
    this.given = options.variables ?? {}
    this.time = options.now ?? new Date('2026-01-01T00:00:00Z')
  }

  readonly now = (): Date => new Date(this.time)

  log(level: LogLevel, message: string, data?: JsonObject): void {
    this.logs.push({ level, message, data })
  }

  mask(value: Json): Json {
    return JSON.parse(this.secrets.reduce((text, secret) => text.replaceAll(secret, '***'), JSON.stringify(value)))
  }

  async secret(name: string): Promise<string | undefined> {
    return Object.hasOwn(this.namedSecrets, name) ? this.namedSecrets[name] : undefined
  }

  async variables(): Promise<Readonly<Record<string, Json>>> {
    return { input: this.input, ...this.given }
  }

  async script(code: string, extra: Readonly<Record<string, Json>> = {}): Promise<Json> {
    const scope = { ...(await this.variables()), ...extra }
    const body = /\b(return|throw)\b/.test(code) ? code : `return (${code})`
    return (new Function(...Object.keys(scope), body)(...Object.values(scope)) ?? null) as Json
  }

  checkClaim(): void {}

  async sleepUntil(at: Date): Promise<void> {
    this.signal.throwIfAborted()
    this.sleeps.push(at)
    if (at > this.time) this.time = at
  }

  async waitForSignal(key: string, deadline?: Date): Promise<{ data: Json } | undefined> {
    this.waits.push({ key, deadline })
    const data = this.signals.get(key)
    if (data !== undefined) return { data }
    if (deadline) this.time = deadline
    return undefined
  }

  async startChild(child: ChildRequest): Promise<ChildStart> {
    if (this.refusal) return this.refusal
    return { id: `run_child_${this.children.push(child)}` }
  }

  async childEnd(id: string, withinMs?: number): Promise<ChildEnd> {
    this.childWaits.push(withinMs)
    const child = this.children[Number(id.slice('run_child_'.length)) - 1]
    const end = child && this.ends.get(child.flowId)
    if (!end) throw new Error(`the test says nothing of how ${id} ends`)
    return end
  }
}

/** Runs a step as the engine does: parameters checked and completed by their defaults first. */
export async function runStep(type: StepType, params: JsonObject, step = new FakeStepContext()): Promise<StepResult> {
  const faults = checkParams(type, params, { expressions: 'none' })
  if (faults.length > 0) {
    const message = faults.map(({ detail }) => detail).join('; ')
    throw invalidParams(message)
  }
  step.nodeType = type.name
  return await type.run(params, step)
}

/** The `StepError` that a promise is rejected with. */
export async function failure(running: Promise<unknown>): Promise<StepError> {
  const error = await running.then(
    () => new Error('the step did not fail'),
    (thrown: unknown) => thrown,
  )
  if (error instanceof StepError) return error
  throw error
}
