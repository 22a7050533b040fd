import type { Graph, GraphNode } from '../../engine/graph.js'
import { quote } from './faults.js'
import type { LayerDefinition } from './layers.js'

/** A graph as layers, or in a plain sentence why it cannot be said in them. */
export type LayersOfGraph = { layers: LayerDefinition[] } | { reason: string }

/**
 * What a flow that was written in another language looks like as layers: a chain of nodes, each a layer, with its parameters as they are
 * written there. Layers know neither ways that part nor hooks, and only their own kind of loop.
 */
export function layersOf(graph: Graph): LayersOfGraph {
  const layers: LayerDefinition[] = []
  const seen = new Set<string>()
  for (let node = graph.nodes.get(graph.start); node; node = following(graph, node)) {
    if (seen.has(node.name)) return { reason: `the flow comes back to node ${quote(node.name)}` }
    const reason = whyNoLayer(node)
    if (reason) return { reason: `node ${quote(node.name)} ${reason}` }
    seen.add(node.name)
    if (node.branches?.length !== 0) layers.push(layerOf(node, layers.length))
  }
  const beside = [...graph.nodes.keys()].find((name) => !seen.has(name))
  return beside === undefined ? { layers } : { reason: `node ${quote(beside)} stands beside the way from the start` }
}

function following(graph: Graph, { next }: GraphNode): GraphNode | undefined {
  return Object.hasOwn(next, 'default') ? graph.nodes.get(next.default as string) : undefined
}

function whyNoLayer({ next, batch, hooks, loop, branches, guarantee }: GraphNode): string | undefined {
  const ways = Object.keys(next).filter((action) => action !== 'default')
  if (ways.length > 0) return `leads on by its action (${ways.slice(0, 5).map(quote).join(', ')})`
  if (batch) return 'runs once for each item of a batch'
  if (hooks) return 'has hooks'
  if (guarantee) return 'runs at most once'
  if (loop || (branches && branches.length > 0)) return 'holds other nodes'
  return undefined
}

function layerOf({ name, type, params, retry, onError, timeoutMs }: GraphNode, index: number): LayerDefinition {
  return {
    id: name,
    name,
    ref: name,
    appId: type,
    index,
    args: { ...params },
    ...(timeoutMs !== undefined && { timeout: timeoutMs / 1000 }),
    ...(retry &&
      retry.maxAttempts > 1 && {
        retry: {
          count: retry.maxAttempts - 1,
          delayMs: retry.waitMs,
          backoffMultiplier: retry.backoff ?? 1,
          jitter: retry.jitter ? [retry.jitter[0], retry.jitter[1]] : false,
        },
      }),
    ...(onError && { onError }),
  }
}
