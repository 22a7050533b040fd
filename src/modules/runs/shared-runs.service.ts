import { Injectable } from '@nestjs/common'
import type { Principal } from '../../platform/auth/principal.js'
import { ApprovalsService, deciderOf } from './approvals/approvals.service.js'
import { RunEvents } from './events/run-events.js'
import { RunEngine } from './run-engine.js'
import { isFinal, type RunState } from './run-state.js'
import { RunNotFound } from './runs.errors.js'
import { type Page, type Run, type RunSummary, RunsQueries } from './runs.queries.js'
import { type RunStep, RunSteps } from './steps/run-steps.service.js'
import type { WaitsFor } from './steps/step-state.js'
import { WaitingRunsQueries } from './waiting-runs.queries.js'

export interface SharedRunFilter {
  flowId?: string
  states?: readonly RunState[]
  waitsFor?: WaitsFor
  /** Only runs that wait for the caller's word, whosever they are. */
  awaitsCaller?: boolean
}

/** A run, and what it waits for where it does. */
export type Standing<Of> = Of & { waitsFor?: WaitsFor }

export interface Verdict {
  /** The node, by its label's id or by its name. */
  node: string
  approved: boolean
  note?: string
}

/** Runs as their account sees them, and whoever may decide on something of them. */
@Injectable()
export class SharedRunsService {
  constructor(
    private readonly queries: RunsQueries,
    private readonly waiting: WaitingRunsQueries,
    private readonly approvals: ApprovalsService,
    private readonly steps: RunSteps,
    private readonly events: RunEvents,
    private readonly engine: RunEngine,
  ) {}

  async get(caller: Principal, id: string): Promise<Standing<Run>> {
    const run = await this.visible(caller, id, (accountId) => this.queries.find(accountId, id))
    const [standing] = await this.standing([run])
    return standing ?? run
  }

  /** Newest first; the caller's own unless those are asked for that wait for the caller. */
  async page(
    caller: Principal,
    filter: SharedRunFilter,
    { limit, offset }: { limit: number; offset: number },
  ): Promise<Page<Standing<RunSummary>>> {
    const { waitsFor, awaitsCaller, ...plain } = filter
    const { accountId } = caller
    const page =
      awaitsCaller || waitsFor
        ? await this.waiting.page(
            {
              ...plain,
              waitsFor,
              ...(awaitsCaller ? { decider: deciderOf(caller) } : { accountId }),
            },
            limit,
            offset,
          )
        : await this.queries.page({ ...plain, accountId }, limit, offset)
    return { ...page, items: await this.standing(page.items) }
  }

  /** One visit to a node after another, those that have only begun among them. */
  async stepsOf(
    caller: Principal,
    id: string,
    { limit, offset }: { limit: number; offset: number },
  ): Promise<Page<RunStep>> {
    const run = await this.visible(caller, id, (accountId) => this.queries.findSummary(accountId, id))
    await this.engine.writeEventsOf(id)
    // Another process that has the run writes what it has not told yet: who asks again soon reads it.
    if (!isFinal(run.state)) this.events.ask(id)
    return await this.steps.page({ ...run, tenantId: caller.tenantId }, limit, offset)
  }

  /** The caller's word on a node that waits for it. Resolves with the run as it stands then. */
  async decide(caller: Principal, id: string, { node: word, ...verdict }: Verdict): Promise<Standing<Run>> {
    const run = await this.visible(caller, id, (accountId) => this.queries.findSummary(accountId, id))
    const node = await this.steps.nodeFor(run, word)
    await this.approvals.decide(caller, id, { node, ...verdict })
    this.engine.due()
    return await this.get(caller, id)
  }

  /** The caller's own run, or one that the caller may decide on something of. */
  private async visible<Of>(
    caller: Principal,
    id: string,
    find: (accountId: string) => Promise<Of | undefined>,
  ): Promise<Of> {
    const own = await find(caller.accountId)
    if (own) return own
    const owner = await this.approvals.accountFor(caller, id)
    const run = owner === undefined ? undefined : await find(owner)
    if (!run) throw new RunNotFound(id)
    return run
  }

  private async standing<Of extends RunSummary>(runs: readonly Of[]): Promise<Standing<Of>[]> {
    const waiting = runs.filter(({ state }) => state === 'waiting').map(({ id }) => id)
    const reasons = await this.waiting.reasons(waiting)
    return runs.map((run) => ({ ...run, waitsFor: reasons.get(run.id) }))
  }
}
