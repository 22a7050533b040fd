import type { RunIdentity, Transaction } from '../engine/step.js'
import type { JsonObject } from '../platform/json.js'
import type { FlowSchedule, FlowScheduleInput, FlowSchedules } from './ports.js'

/** Schedules in memory, apart for each account, for tests. They never fire; `executions` lays in what get shows. */
export class InMemoryFlowSchedules implements FlowSchedules {
  readonly executions = new Map<string, JsonObject[]>()
  private readonly accounts = new Map<string, Map<string, FlowSchedule>>()

  /** What the last call joined. */
  joined?: Transaction

  within(transaction: Transaction): this {
    this.joined = transaction
    return this
  }

  async schedule(run: RunIdentity, input: FlowScheduleInput): Promise<FlowSchedule> {
    const made = { ...input, id: input.id ?? `schedule_${this.of(run).size + 1}` }
    this.of(run).set(made.id, made)
    return made
  }

  async list(run: RunIdentity): Promise<FlowSchedule[]> {
    return [...this.of(run).values()]
  }

  async get(run: RunIdentity, id: string): Promise<(FlowSchedule & { executions: JsonObject[] }) | undefined> {
    const found = this.of(run).get(id)
    return found && { ...found, executions: this.executions.get(id) ?? [] }
  }

  async delete(run: RunIdentity, id: string): Promise<boolean> {
    return this.of(run).delete(id)
  }

  private of(run: RunIdentity): Map<string, FlowSchedule> {
    const schedules = this.accounts.get(run.accountId) ?? new Map<string, FlowSchedule>()
    this.accounts.set(run.accountId, schedules)
    return schedules
  }
}
