import { Injectable } from '@nestjs/common'
import { flowRunnerLanguage } from '../../definitions/flowrunner/index.js'
import type { Evaluation, EvaluationResult } from '../../engine/host.js'
import { SecretMasker } from '../../platform/masking/secret-masker.js'
import { Sandbox } from '../../platform/sandbox/sandbox.js'
import { FlowsService } from '../flows/flows.service.js'
import { SecretsService } from '../secrets/secrets.service.js'
import type { RunSupplies } from './run.worker.js'
import { SignalsService } from './signals.service.js'
import type { TakenRun } from './taken-run.js'

/** A run's graph, its account's secrets and the sandbox, from the modules that have them. */
@Injectable()
export class RunSuppliesFromModules implements RunSupplies {
  constructor(
    private readonly flows: FlowsService,
    private readonly secrets: SecretsService,
    private readonly sandbox: Sandbox,
    private readonly signals: SignalsService,
  ) {}

  async compiled(flowId: string, revision: number) {
    return { graph: await this.flows.graph(flowId, revision), language: flowRunnerLanguage }
  }

  async hostParts(run: TakenRun) {
    const secrets = await this.secrets.reveal(run.tenantId, run.accountId)
    return {
      signals: this.signals,
      secrets,
      masker: new SecretMasker(Object.values(secrets)),
      evaluate: (evaluation: Evaluation, signal: AbortSignal): Promise<EvaluationResult> =>
        this.sandbox.evaluate(evaluation, { tenant: run.accountId, signal }),
    }
  }
}
