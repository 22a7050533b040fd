import { type RunIdentity, StepError, type Transaction } from '../engine/step.js'
import type { Json } from '../platform/json.js'
import type { KeyValueStore } from './ports.js'

/** Entries in memory, apart for each account, for tests. Time is what `now` says. */
export class InMemoryKeyValues implements KeyValueStore {
  private readonly accounts = new Map<string, Map<string, { value: Json; expiresAt?: Date }>>()

  /** What the last call joined. */
  joined?: Transaction

  constructor(private readonly now: () => Date = () => new Date()) {}

  within(transaction: Transaction): this {
    this.joined = transaction
    return this
  }

  async get(run: RunIdentity, key: string): Promise<Json | undefined> {
    return this.live(run).get(key)?.value
  }

  async set(run: RunIdentity, key: string, value: Json, expiresAt?: Date): Promise<void> {
    this.live(run).set(key, { value: structuredClone(value), expiresAt })
  }

  async delete(run: RunIdentity, key: string): Promise<boolean> {
    return this.live(run).delete(key)
  }

  async entries(run: RunIdentity): Promise<{ key: string; value: Json }[]> {
    return [...this.live(run)].map(([key, { value }]) => ({ key, value })).sort((a, b) => (a.key < b.key ? -1 : 1))
  }

  async keys(run: RunIdentity): Promise<string[]> {
    return (await this.entries(run)).map(({ key }) => key)
  }

  async clear(run: RunIdentity): Promise<number> {
    const entries = this.live(run)
    const { size } = entries
    entries.clear()
    return size
  }

  async increment(run: RunIdentity, key: string, amount: number): Promise<number> {
    const value = (await this.get(run, key)) ?? 0
    if (typeof value !== 'number') throw new StepError(`the value of '${key}' is no number`, { retryable: false })
    await this.set(run, key, value + amount)
    return value + amount
  }

  async append(run: RunIdentity, key: string, value: Json): Promise<void> {
    const list = (await this.get(run, key)) ?? []
    if (!Array.isArray(list)) throw new StepError(`the value of '${key}' is no list`, { retryable: false })
    await this.set(run, key, [...list, value])
  }

  private live(run: RunIdentity) {
    const entries = this.accounts.get(run.accountId) ?? new Map<string, { value: Json; expiresAt?: Date }>()
    this.accounts.set(run.accountId, entries)
    for (const [key, { expiresAt }] of entries) if (expiresAt && expiresAt <= this.now()) entries.delete(key)
    return entries
  }
}
