import { Injectable } from '@nestjs/common'
import type { Graph, GraphNode } from '../../../engine/graph.js'
import type { Evaluation, EvaluationResult } from '../../../engine/host.js'
import { isJsonObject } from '../../../platform/json.js'
import { SecretMasker } from '../../../platform/masking/secret-masker.js'
import { Sandbox } from '../../../platform/sandbox/sandbox.js'
import { FlowsService } from '../../flows/flows.service.js'
import { FlowKv } from '../../kv/flow-kv.js'
import { KvSecrets, textsOf } from '../../kv/kv-secrets.js'
import { SealedRunSecrets } from '../../secrets/run-secrets.js'
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
    private readonly runSecrets: SealedRunSecrets,
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
    const [secrets, secretEntries, ownSecrets] = await Promise.all([
      this.secrets.reveal(run.tenantId, run.accountId),
      this.kvSecrets.texts(run.tenantId, run.accountId),
      this.secretsOf(run),
    ])
    const masker = new RunMasker(this.maskingFor(run.accountId, [...Object.values(secrets), ...secretEntries]))
    masker.learn(ownSecrets)
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

  /** Those among the run's own arguments; only runs whose steps take some are asked for them. */
  private async secretsOf(run: TakenRun): Promise<string[]> {
    if (!takesSecrets(await this.flows.graph(run.flowId, run.revision))) return []
    return Object.values(await this.runSecrets.of(run))
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

const known = new WeakMap<Graph, boolean>()

/** Whether a step of this graph takes arguments that are secrets. */
function takesSecrets(graph: Graph): boolean {
  let takes = known.get(graph)
  if (takes === undefined) {
    takes = [...graph.nodes.values()].some(takesSome)
    known.set(graph, takes)
  }
  return takes
}

function takesSome({ params, branches = [] }: GraphNode): boolean {
  const names = isJsonObject(params) ? params.secretArgs : undefined
  return (Array.isArray(names) && names.length > 0) || branches.some(takesSome)
}
