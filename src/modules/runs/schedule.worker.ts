import { type BeforeApplicationShutdown, Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common'
import { Interval } from '@nestjs/schedule'
import { CLOCK, type Clock } from '../../platform/clock/clock.js'
import { FlowsService } from '../flows/flows.service.js'
import { DueSchedules } from '../schedules/due-schedules.js'
import { placementIn } from './dispatch/run-placement.js'
import { RunEvents } from './events/run-events.js'
import { RunEngine } from './run-engine.js'
import { RUN_TELEMETRY, type RunTelemetry } from './telemetry/run-telemetry.js'

/** How often schedules are looked at. A slot that comes before the next look is looked at when it comes. */
const LOOK_MS = 1_000

/** Fires the schedules that are due. Every process does; each slot is taken by one of them. */
@Injectable()
export class ScheduleWorker implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(ScheduleWorker.name)
  private running = false
  private looking?: Promise<void>
  private forget: () => void = () => {}

  constructor(
    private readonly schedules: DueSchedules,
    private readonly flows: FlowsService,
    private readonly engine: RunEngine,
    private readonly events: RunEvents,
    @Inject(RUN_TELEMETRY) private readonly telemetry: RunTelemetry,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  onApplicationBootstrap(): void {
    this.running = true
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.running = false
    this.forget()
    await this.looking
    this.forget()
  }

  @Interval(LOOK_MS)
  look(): void {
    if (!this.running || this.looking !== undefined) return
    this.forget()
    this.looking = this.fire().finally(() => {
      this.looking = undefined
    })
  }

  private async fire(): Promise<void> {
    try {
      const { runs, accounts, cancelled } = await this.schedules.fire((flowId, revision, input) =>
        placementIn(this.flows, flowId, revision, input),
      )
      if (cancelled.length > 0) await this.engine.cancelled(cancelled)
      if (runs > 0) {
        this.telemetry.fired(runs)
        this.engine.due()
        for (const accountId of accounts) this.events.accounts.changed(accountId)
      }
      await this.lookWhenDue()
    } catch (error) {
      this.logger.error({ err: error }, 'the schedules that are due could not be fired')
    }
  }

  private async lookWhenDue(): Promise<void> {
    const next = await this.schedules.nextDueAt()
    const soon = this.clock.now().getTime() + LOOK_MS
    if (this.running && next && next.getTime() < soon) this.forget = this.clock.at(next, () => this.look())
  }
}
