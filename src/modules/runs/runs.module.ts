import { Module, type OnModuleInit } from '@nestjs/common'
import { Engine } from '../../engine/interpreter.js'
import { StepRegistry } from '../../engine/step.js'
import { HintsModule } from '../../platform/hints/hints.module.js'
import { SandboxModule } from '../../platform/sandbox/sandbox.module.js'
import { checkParams } from '../../steps/params.js'
import { AccountDependents } from '../accounts/account-dependents.js'
import { AccountsModule } from '../accounts/accounts.module.js'
import { AuditModule } from '../audit/audit.module.js'
import { FlowsModule } from '../flows/flows.module.js'
import { JobsModule } from '../jobs/jobs.module.js'
import { KvModule } from '../kv/kv.module.js'
import { SchedulesModule } from '../schedules/schedules.module.js'
import { SecretsModule } from '../secrets/secrets.module.js'
import { StepsModule } from '../steps/steps.module.js'
import { ApprovalsService } from './approvals/approvals.service.js'
import { QueuesModule } from './dispatch/queues.module.js'
import { AccountRuns } from './events/account-runs.js'
import { RunEvents } from './events/run-events.js'
import { RunFeed } from './feed/run-feed.js'
import { ChildRuns } from './lineage/child-runs.js'
import { JobRestarts } from './lineage/job-restarts.js'
import { LineageQueries } from './lineage/lineage.queries.js'
import { RestartsService } from './lineage/restarts.service.js'
import { StartingPoints } from './lineage/starting-points.js'
import { Housekeeping } from './retention/housekeeping.js'
import { RunEngine } from './run-engine.js'
import { RunsQueries } from './runs.queries.js'
import { RunsService } from './runs.service.js'
import { ScheduleWorker } from './schedule.worker.js'
import { SharedRunsService } from './shared-runs.service.js'
import { SignalsService } from './signals.service.js'
import { RunStepsQueries } from './steps/run-steps.queries.js'
import { RunSteps } from './steps/run-steps.service.js'
import { MeasuredRuns } from './telemetry/measured-runs.js'
import { RunGauges } from './telemetry/run-gauges.js'
import { RUN_TELEMETRY } from './telemetry/run-telemetry.js'
import { RunValues } from './values/run-values.js'
import { WaitingRunsQueries } from './waiting-runs.queries.js'
import { RUN_SUPPLIES } from './worker/active-run.js'
import { RunSuppliesFromModules } from './worker/supplies.js'

/** Runs: accepted, interpreted, recorded, watched. This process's engine, and what fires schedules. */
@Module({
  imports: [
    AccountsModule,
    AuditModule,
    FlowsModule,
    HintsModule,
    JobsModule,
    KvModule,
    QueuesModule,
    SchedulesModule,
    SandboxModule,
    SecretsModule,
    StepsModule,
  ],
  providers: [
    RunEvents,
    AccountRuns,
    RunFeed,
    RunsQueries,
    RunValues,
    SignalsService,
    ApprovalsService,
    StartingPoints,
    ChildRuns,
    LineageQueries,
    JobRestarts,
    RestartsService,
    {
      provide: Engine,
      inject: [StepRegistry],
      useFactory: (registry: StepRegistry) =>
        new Engine({
          registry,
          checkParams: (type, params) => checkParams(type, params, { expressions: 'none' }).map(({ detail }) => detail),
        }),
    },
    { provide: RUN_SUPPLIES, useClass: RunSuppliesFromModules },
    { provide: RUN_TELEMETRY, useClass: MeasuredRuns },
    RunEngine,
    RunGauges,
    Housekeeping,
    RunsService,
    WaitingRunsQueries,
    RunStepsQueries,
    RunSteps,
    SharedRunsService,
    ScheduleWorker,
  ],
  exports: [RunsService, SharedRunsService, RestartsService, RunEvents, RunFeed, AccountRuns, SignalsService],
})
export class RunsModule implements OnModuleInit {
  constructor(
    private readonly dependents: AccountDependents,
    private readonly queries: RunsQueries,
  ) {}

  onModuleInit(): void {
    this.dependents.register('unfinished run', (tx, accountId) => this.queries.countLive(tx, accountId))
  }
}
