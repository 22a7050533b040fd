import { Injectable } from '@nestjs/common'
import type { Evaluation, EvaluationResult } from '../../../engine/host.js'
import { SecretMasker } from '../../../platform/masking/secret-masker.js'
import { Sandbox } from '../../../platform/sandbox/sandbox.js'
import { FlowsService } from '../../flows/flows.service.js'
import { FlowKv } from '../../kv/flow-kv.js'
import { KvSecrets, textsOf } from '../../kv/kv-secrets.js'
import { SecretsService } from '../../secrets/secrets.service.js'
import { ApprovalsService } from '../approvals/approvals.service.js'
import { ChildRuns } from '../lineage/child-runs.js'
import { SignalsService } from '../signals.service.js'
import { RunValues } from '../values/run-values.js'
import type { RunSupplies } from './active-run.js'
import { type Masking, RunMasker } from './run-masker.js'
import type { TakenRun } from './taken-run.js'

/** Accounts whose masker is kept: building one costs far more than using it. */
const KEPT_MASKERS = 100

/** A run's graph, its account's secrets and the sandbox, from the modules that have them. */
@Injectable()
export class RunSuppliesFromModules implements RunSupplies {
  private readonly maskers = new Map<string, Masking>()

  constructor(
    private readonly flows: FlowsService,
    private readonly secrets: SecretsService,
    private readonly kvSecrets: KvSecrets,
    private readonly sandbox: Sandbox,
    private readonly signals: SignalsService,
    private readonly approvals: ApprovalsService,
    private readonly flowKv: FlowKv,
    readonly children: ChildRuns,
    readonly values: RunValues,
  ) {}

  compiled(flowId: string, revision: number) {
    return this.flows.compiledFlow(flowId, revision)
  }

  /** The secrets are those of this moment; the run keeps them until it is parked. Of entries it sees what they are when it asks. */
  async hostParts(run: TakenRun) {
    const [secrets, secretEntries] = await Promise.all([
      this.secrets.reveal(run.tenantId, run.accountId),
      this.kvSecrets.texts(run.tenantId, run.accountId),
    ])
    const masker = new RunMasker(this.maskingFor(run.accountId, [...Object.values(secrets), ...secretEntries]))
    return {
      signals: this.signals,
      approvals: this.approvals,
      keyValue: async (key: string, scope: 'flow' | 'global') => {
        const seen = await (scope === 'flow' ? this.flowKv.resolve(run, key) : this.flowKv.getGlobal(run, key))
        if (seen?.secret) masker.learn(textsOf(seen.value).map(({ text }) => text))
        return seen?.value
      },
      secrets,
      masker,
      evaluate: (evaluation: Evaluation, signal: AbortSignal): Promise<EvaluationResult> =>
        this.sandbox.evaluate(evaluation, { tenant: run.accountId, signal }),
    }
  }

  private maskingFor(accountId: string, values: string[]): Masking {
    const known = this.maskers.get(accountId)
    this.maskers.delete(accountId)
    const kept = known && sameTexts(known.values, values) ? known : { values, masker: new SecretMasker(values) }
    this.maskers.set(accountId, kept)
    if (this.maskers.size > KEPT_MASKERS) this.maskers.delete(this.maskers.keys().next().value as string)
    return kept
  }
}

function sameTexts(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((text, index) => text === other[index])
}
