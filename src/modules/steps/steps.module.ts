import { isIPv6 } from 'node:net'
import { Module } from '@nestjs/common'
import { StepRegistry } from '../../engine/step.js'
import { Config } from '../../platform/config/config.js'
import { GuardedOutbound } from '../../platform/outbound/guarded-outbound.js'
import { OutboundModule } from '../../platform/outbound/outbound.module.js'
import { coreSteps } from '../../steps/core.js'
import type { MailRelay } from '../../steps/email/deliver.js'
import { mailServerOf } from '../../steps/email/mail-server.js'
import { externalSteps } from '../../steps/external.js'
import { flow8Steps } from '../../steps/flow8.js'
import { ArtifactsModule } from '../artifacts/artifacts.module.js'
import { RunArtifacts } from '../artifacts/run-artifacts.js'
import { ContainersModule } from '../containers/containers.module.js'
import { BundleStore } from '../jobs/bundle-store.js'
import { JobSettings } from '../jobs/job-settings.js'
import { JobSettingsModule } from '../jobs/job-settings.module.js'
import { FlowKv } from '../kv/flow-kv.js'
import { KvModule } from '../kv/kv.module.js'
import { KvStore } from '../kv/kv-store.js'
import { SchedulesOfFlows } from '../schedules/flow-schedules.js'
import { SchedulesModule } from '../schedules/schedules.module.js'
import { SealedRunSecrets } from '../secrets/run-secrets.js'
import { SecretsModule } from '../secrets/secrets.module.js'
import { JobProcesses } from './job-processes.js'
import { StepCatalogue } from './step-catalogue.js'

/** The operator's mail server is the operator's choice, so its address need not be public; it is no way to others. */
function mailRelayOf({ mail }: Config): MailRelay | undefined {
  if (!mail) return undefined
  const server = mailServerOf(new URL(mail.url))
  const host = isIPv6(server.host) ? `[${server.host}]` : server.host
  const outbound = new GuardedOutbound({ allow: `${host}:${server.port}` })
  return { outbound, server, from: mail.from }
}

/** The step types that flows may use, with the ports that they reach the world by. */
@Module({
  imports: [
    ArtifactsModule,
    ContainersModule,
    JobSettingsModule,
    KvModule,
    SchedulesModule,
    SecretsModule,
    OutboundModule,
  ],
  providers: [
    StepCatalogue,
    JobProcesses,
    {
      provide: StepRegistry,
      inject: [
        Config,
        GuardedOutbound,
        KvStore,
        FlowKv,
        SchedulesOfFlows,
        JobProcesses,
        BundleStore,
        JobSettings,
        SealedRunSecrets,
        RunArtifacts,
      ],
      useFactory: (
        config: Config,
        outbound: GuardedOutbound,
        keyValues: KvStore,
        flowKeyValues: FlowKv,
        schedules: SchedulesOfFlows,
        jobs: JobProcesses,
        bundles: BundleStore,
        settings: JobSettings,
        secrets: SealedRunSecrets,
        artifacts: RunArtifacts,
      ) =>
        new StepRegistry([
          ...coreSteps({ outbound, keyValues, schedules }),
          ...externalSteps({ outbound, mcpCommands: config.mcpCommands }),
          ...flow8Steps({ outbound, flowKeyValues, mailRelay: mailRelayOf(config) }),
          ...jobs.steps(
            { bundles, secrets, artifacts, limits: (profile) => settings.limits[profile] },
            settings.secretVariables,
          ),
        ]),
    },
  ],
  exports: [JobProcesses, StepCatalogue, StepRegistry, OutboundModule, SchedulesModule],
})
export class StepsModule {}
