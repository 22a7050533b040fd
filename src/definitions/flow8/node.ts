import type { Approval, GraphNode, Retry } from '../../engine/graph.js'
import type { JsonObject } from '../../platform/json.js'
import { conditionOf } from './filters.js'
import { DEFAULT_TIMEOUT_SECONDS, type LayerDefinition, type RetryDefinition } from './layers.js'
import type { Source } from './outline.js'

/** Modules whose work is to wait: how long is theirs to say. */
const WAITING: ReadonlySet<string> = new Set(['delay', 'wait', 'iterator'])
const DEFAULT_DELAY_MS = 1_000
const DEFAULT_BACKOFF = 2
const DEFAULT_JITTER = [0.8, 1.2] as const

/** A layer as a node of the graph that leads nowhere yet. */
export function nodeOf(layer: LayerDefinition, source?: Source): GraphNode {
  const condition = conditionOf(layer.filters ?? [], layer.enabled !== false)
  const approval = approvalOf(layer)
  const timeoutMs = timeoutOf(layer)
  return {
    name: layer.ref,
    type: layer.appId,
    params: paramsOf(layer, source),
    next: {},
    label: { id: layer.id, index: layer.index, ...(layer.name !== undefined && { title: layer.name }) },
    ...(layer.retry && { retry: retryOf(layer.retry) }),
    ...(condition && { condition }),
    ...(approval && { approval }),
    ...(layer.onError && layer.onError !== 'fail' && { onError: layer.onError }),
    ...(timeoutMs !== undefined && { timeoutMs }),
  }
}

/** What the module is given: for an aggregator also the list that it collects from. */
export function paramsOf({ args = {} }: LayerDefinition, source: Source | undefined): JsonObject {
  return source ? { ...args, source: listOf(source) } : args
}

/** A loop that was filtered or skipped has no rounds. */
function listOf(source: Source): JsonObject[string] {
  switch (source.kind) {
    case 'items':
      return source.head.args?.items ?? []
    case 'layer':
      return `{{ toList (index $prev ${text(source.ref)}) }}`
    case 'rounds': {
      const outputs = `(index $prev ${text(source.loop)} "outputs")`
      const [only, ...others] = source.refs.map(text)
      if (others.length === 0) return `{{ default (list) (index ${outputs} ${only}) }}`
      return `{{ rows (pick (default (dict) ${outputs}) ${[only, ...others].join(' ')}) }}`
    }
  }
}

function text(ref: string): string {
  return JSON.stringify(ref)
}

function retryOf({ count, delayMs, backoffMultiplier, jitter = true }: RetryDefinition): Retry {
  const spread = jitter === true ? DEFAULT_JITTER : jitter
  return {
    maxAttempts: count + 1,
    waitMs: delayMs ?? DEFAULT_DELAY_MS,
    backoff: backoffMultiplier ?? DEFAULT_BACKOFF,
    ...(spread && { jitter: spread }),
  }
}

function approvalOf({ needsApproval, approvers = [], onDecline = 'fail', approvalTimeout }: LayerDefinition) {
  if (!needsApproval) return undefined
  const approval: Approval = {
    approvers,
    onDecline,
    ...(approvalTimeout !== undefined && { timeoutMs: Math.ceil(approvalTimeout * 1000) }),
  }
  return approval
}

/** Where the args say how long the work may take, as those of curl and subflow can, that holds unless the layer itself says less. */
function timeoutOf({ timeout, appId, args }: LayerDefinition): number | undefined {
  const saysItself = WAITING.has(appId) || args?.timeout !== undefined
  const seconds = timeout ?? (saysItself ? undefined : DEFAULT_TIMEOUT_SECONDS)
  return seconds === undefined ? undefined : Math.ceil(seconds * 1000)
}
