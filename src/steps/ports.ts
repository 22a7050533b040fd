import type { RunIdentity, Transaction } from '../engine/step.js'
import type { Json, JsonObject } from '../platform/json.js'

export type { Outbound, OutboundInit } from '../platform/outbound/outbound.js'

/** The account's key-value entries behind the `store` step; durable, shared by all flows of the account. */
export interface KeyValueStore {
  /** The same entries, read and written in this transaction. */
  within(transaction: Transaction): KeyValueStore
  get(run: RunIdentity, key: string): Promise<Json | undefined>
  set(run: RunIdentity, key: string, value: Json, expiresAt?: Date): Promise<void>
  delete(run: RunIdentity, key: string): Promise<boolean>
  /** Sorted by key. Expired entries are never seen. */
  entries(run: RunIdentity): Promise<{ key: string; value: Json }[]>
  keys(run: RunIdentity): Promise<string[]>
  clear(run: RunIdentity): Promise<number>
  /** Atomic. Throws `StepError` when the stored value is no number. Returns the new value. */
  increment(run: RunIdentity, key: string, amount: number): Promise<number>
  /** Atomic. A missing key becomes a list of one; throws `StepError` when the stored value is no list. */
  append(run: RunIdentity, key: string, value: Json): Promise<void>
}

/** How far a key-value entry is seen: by all flows of its account, by those of one group, or by one flow; from wide to narrow. */
export const KEY_VALUE_SCOPES = ['global', 'flow_group', 'flow'] as const

export type KeyValueScope = (typeof KEY_VALUE_SCOPES)[number]

/** Which entry a step means. */
export interface KeyValuePlace {
  key: string
  scope: KeyValueScope
  /** The group's or the flow's id; absent means the run's own. */
  scopeKey?: string
}

export interface WrittenKeyValue {
  scope: KeyValueScope
  /** Null for an entry of the whole account. */
  scopeKey: string | null
  /** 1 when the entry is made, one more with every change. */
  version: number
}

/** The scoped key-value entries behind the `kv-…` steps. Those of the scope `global` are the entries of `KeyValueStore`. */
export interface FlowKeyValues {
  /** The same entries, read and written in this transaction. */
  within(transaction: Transaction): FlowKeyValues
  /** Without a scope, what the run's flow sees under the key. The value of a secret entry is masked. */
  get(run: RunIdentity, place: Omit<KeyValuePlace, 'scope'> & Partial<KeyValuePlace>): Promise<Json | undefined>
  /** Throws `StepError` where the scope is not the account's. A secret entry stays one. */
  set(run: RunIdentity, place: KeyValuePlace, value: Json, expiresAt?: Date): Promise<WrittenKeyValue>
  /** Atomic. A missing key becomes a list of one; throws `StepError` when the stored value is no list. */
  append(run: RunIdentity, place: KeyValuePlace, value: Json): Promise<WrittenKeyValue & { length: number }>
}

/** The schedules behind the `cron` step. Making the same schedule twice (by id) replaces it. */
export interface FlowSchedules {
  /** The same schedules, read and written in this transaction. */
  within(transaction: Transaction): FlowSchedules
  schedule(run: RunIdentity, schedule: FlowScheduleInput): Promise<FlowSchedule>
  list(run: RunIdentity): Promise<FlowSchedule[]>
  get(run: RunIdentity, id: string): Promise<(FlowSchedule & { executions: JsonObject[] }) | undefined>
  delete(run: RunIdentity, id: string): Promise<boolean>
}

export interface FlowScheduleInput {
  id?: string
  /** 5 or 6 fields. */
  cron: string
  timezone?: string
  flowId: string
  /** The node to start at; absent means the flow's start. */
  node?: string
  payload?: Json
}

export interface FlowSchedule extends Omit<FlowScheduleInput, 'flowId'> {
  id: string
  /** Absent where it starts something else. */
  flowId?: string
  nextRunAt?: Date
}
