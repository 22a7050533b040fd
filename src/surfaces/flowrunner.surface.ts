import { Module } from '@nestjs/common'
import { AccountsModule } from '../modules/accounts/accounts.module.js'
import { FlowRunnerAccountsController } from '../modules/accounts/flowrunner/accounts.controller.js'
import { AuthModule } from '../modules/auth/auth.module.js'
import { FlowRunnerAuthController } from '../modules/auth/flowrunner/auth.controller.js'
import { FlowRunnerFlowsController } from '../modules/flows/flowrunner/flows.controller.js'
import { FlowsModule } from '../modules/flows/flows.module.js'
import { ExecutionSocket } from '../modules/runs/flowrunner/execution-socket.js'
import { FlowRunnerExecutionsController } from '../modules/runs/flowrunner/executions.controller.js'
import { FlowRunnerFlowExecutionsController } from '../modules/runs/flowrunner/flow-executions.controller.js'
import { FlowRunnerRestartsController } from '../modules/runs/flowrunner/restarts.controller.js'
import { FlowRunnerSignalsController } from '../modules/runs/flowrunner/signals.controller.js'
import { RunsModule } from '../modules/runs/runs.module.js'
import { FlowRunnerSecretsController } from '../modules/secrets/flowrunner/secrets.controller.js'
import { SecretsModule } from '../modules/secrets/secrets.module.js'

/** FlowRunner: YAML flows of nodes; executions with their logs and WebSocket; accounts and their secrets. */
@Module({
  imports: [AuthModule, AccountsModule, SecretsModule, FlowsModule, RunsModule],
  controllers: [
    FlowRunnerAuthController,
    FlowRunnerFlowsController,
    FlowRunnerFlowExecutionsController,
    FlowRunnerExecutionsController,
    FlowRunnerRestartsController,
    FlowRunnerSignalsController,
    FlowRunnerAccountsController,
    FlowRunnerSecretsController,
  ],
  providers: [ExecutionSocket],
})
export class FlowRunnerSurface {}
