import type { LookupFunction } from 'node:net'
import type { RunIdentity } from '../engine/step.js'
import type { Json, JsonObject } from '../platform/json.js'

/**
 * The way out of the process for everything that a user can steer. Private, loopback and link-local targets are refused unless the
 * configuration allows them; checked after DNS and again on every redirect.
 */
export interface Outbound {
  /** `fetch` behind the guard. The response's body ends with an error once it exceeds the size limit. */
  fetch(url: string | URL, init?: OutboundInit): Promise<Response>
  /** For clients that open their own sockets by name (`net.connect({lookup})`): answers only addresses that may be reached. */
  readonly lookup: LookupFunction
  /** Resolves and vets a host for clients that connect by address. Throws `OutboundRefused`. */
  resolve(host: string, port: number): Promise<{ address: string; family: 4 | 6 }>
}

export interface OutboundInit extends RequestInit {
  /** Whole exchange, body included. Default 30 s. */
  timeoutMs?: number
  maxResponseBytes?: number
}

/** The account's key-value entries behind the `store` step; durable, shared by all flows of the account. */
export interface KeyValueStore {
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

/** The schedules behind the `cron` step. Making the same schedule twice (by id) replaces it. */
export interface FlowSchedules {
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

export interface FlowSchedule extends FlowScheduleInput {
  id: string
  nextRunAt?: Date
}
