import { type RunIdentity, StepError, type Transaction } from '../engine/step.js'
import type { Json } from '../platform/json.js'
import type { FlowKeyValues, KeyValuePlace, WrittenKeyValue } from './ports.js'

/** Scoped entries in memory, apart for each account, for tests. Every flow inherits, is in the group `group_1`, and its own entry wins. */
export class InMemoryFlowKeyValues implements FlowKeyValues {
  private readonly entries = new Map<string, { value: Json; version: number; expiresAt?: Date }>()

  /** What the last call joined. */
  joined?: Transaction

  constructor(private readonly now: () => Date = () => new Date()) {}

  within(transaction: Transaction): this {
    this.joined = transaction
    return this
  }

  async get(
    run: RunIdentity,
    { key, scope, scopeKey }: Omit<KeyValuePlace, 'scope'> & Partial<KeyValuePlace>,
  ): Promise<Json | undefined> {
    const scopes = scope ? [scope] : (['flow', 'flow_group', 'global'] as const)
    return scopes
      .map((one) => this.live(run, { key, scope: one, scopeKey })?.value)
      .find((value) => value !== undefined)
  }

  async set(run: RunIdentity, place: KeyValuePlace, value: Json, expiresAt?: Date): Promise<WrittenKeyValue> {
    const version = (this.live(run, place)?.version ?? 0) + 1
    this.entries.set(idOf(run, place), { value: structuredClone(value), version, expiresAt })
    return { scope: place.scope, scopeKey: scopeKeyOf(run, place), version }
  }

  async append(run: RunIdentity, place: KeyValuePlace, value: Json): Promise<WrittenKeyValue & { length: number }> {
    const entry = this.live(run, place)
    const list = entry?.value ?? []
    if (!Array.isArray(list)) throw new StepError(`the value of '${place.key}' is not a list`, { retryable: false })
    const written = await this.set(run, place, [...list, value], entry?.expiresAt)
    return { ...written, length: list.length + 1 }
  }

  private live(run: RunIdentity, place: KeyValuePlace) {
    const entry = this.entries.get(idOf(run, place))
    return entry?.expiresAt && entry.expiresAt <= this.now() ? undefined : entry
  }
}

function idOf(run: RunIdentity, place: KeyValuePlace): string {
  return JSON.stringify([run.accountId, scopeKeyOf(run, place), place.key])
}

function scopeKeyOf(run: RunIdentity, { scope, scopeKey }: KeyValuePlace): string | null {
  return scope === 'global' ? null : (scopeKey ?? (scope === 'flow' ? run.flowId : 'group_1'))
}
