import { Inject, Module, type OnModuleInit } from '@nestjs/common'
import { CLOCK, type Clock } from '../../platform/clock/clock.js'
import { sessionOf } from '../../platform/database/typeorm-session.js'
import { AccountDependents } from '../accounts/account-dependents.js'
import { AccountsModule } from '../accounts/accounts.module.js'
import { AuditModule } from '../audit/audit.module.js'
import { StorageModule } from '../storage/storage.module.js'
import { ArtifactRemoval } from './artifact-removal.js'
import { ArtifactStates } from './artifact-states.js'
import { ArtifactSweep } from './artifact-sweep.js'
import { ArtifactsQueries } from './artifacts.queries.js'
import { ArtifactsService } from './artifacts.service.js'
import { RunArtifacts } from './run-artifacts.js'

/** Files that runs leave: kept in object storage, given back, and removed when they are over. */
@Module({
  imports: [AccountsModule, AuditModule, StorageModule],
  providers: [ArtifactsQueries, ArtifactStates, ArtifactRemoval, ArtifactsService, RunArtifacts, ArtifactSweep],
  exports: [ArtifactsService, RunArtifacts],
})
export class ArtifactsModule implements OnModuleInit {
  constructor(
    private readonly dependents: AccountDependents,
    private readonly states: ArtifactStates,
    @Inject(CLOCK) private readonly clock: Pick<Clock, 'now'>,
  ) {}

  onModuleInit(): void {
    this.dependents.registerRemoval((tx, accountId) =>
      this.states.withdrawAll(sessionOf(tx), accountId, this.clock.now()),
    )
  }
}
