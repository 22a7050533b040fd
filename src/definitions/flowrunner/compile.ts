import { LineCounter } from 'yaml'
import type { Graph, GraphNode } from '../../engine/graph.js'
import type { StepTypes } from '../step-types.js'
import { Cursor } from '../yaml/cursor.js'
import { type DefinitionFault, FaultList, quote } from '../yaml/faults.js'
import { defaultLimits, type Limits } from '../yaml/limits.js'
import { Walk } from '../yaml/walk.js'
import { parseYaml, UnreadableYaml } from '../yaml/yaml-text.js'
import { type Metadata, readMetadata } from './metadata.js'
import { readNode } from './node.js'
import { readRunSettings, SETTINGS_KEY } from './run-settings.js'
import { findStart } from './start.js'

export type Compilation =
  | { ok: true; metadata: Metadata; graph: Graph; warnings: DefinitionFault[] }
  | { ok: false; faults: DefinitionFault[] }

export interface CompileOptions {
  limits?: Partial<Limits>
}

/**
 * A FlowRunner definition, YAML text, to the graph that the engine runs; or all of its faults at once, in the order of the text. Safe
 * for hostile text: time and memory are bounded by the limits.
 */
export function compile(definition: string, types: StepTypes, options: CompileOptions = {}): Compilation {
  const limits = { ...defaultLimits, ...options.limits }
  const faults = new FaultList(limits.faults)
  const warnings = new FaultList(limits.faults)
  const lines = new LineCounter()
  const position = (offset: number) => {
    const { line, col } = lines.linePos(offset)
    return { line, column: col }
  }

  const flow = read(definition, types, { limits, lines, faults, warnings })
  if (!flow || !faults.isEmpty) return { ok: false, faults: faults.inOrder(position) }
  return { ok: true, ...flow, warnings: warnings.inOrder(position) }
}

interface Reading {
  limits: Limits
  lines: LineCounter
  faults: FaultList
  warnings: FaultList
}

function read(text: string, types: StepTypes, reading: Reading): { metadata: Metadata; graph: Graph } | undefined {
  const { limits, lines, faults, warnings } = reading
  try {
    const document = parseYaml(text, lines, limits)
    const root = Cursor.root(new Walk(limits, faults, warnings).root(document))
    if (root.isUnusable) return undefined
    if (root.value && !root.isMapping) {
      root.complain(faults, 'invalid_yaml', "invalid YAML: a flow definition is a mapping with 'metadata' and 'nodes'")
      return undefined
    }
    refuseUnknownKeys(root, faults)
    const metadata = readMetadata(root.member('metadata'), faults, warnings)
    const settings = readRunSettings(root.member(SETTINGS_KEY), faults)
    const graph = readNodes(root.member('nodes'), types, reading)
    return metadata && graph && { metadata, graph: settings ? { ...graph, settings } : graph }
  } catch (error) {
    if (!(error instanceof UnreadableYaml)) throw error
    for (const fault of error.faults) faults.add(fault)
    return undefined
  }
}

/** Keys that start with `x-` or `.` are the author's own, but for `x-run`: they hold what anchors share. */
function refuseUnknownKeys(root: Cursor, faults: FaultList): void {
  for (const [name, member] of root.members) {
    if (name === 'metadata' || name === 'nodes' || name.startsWith('x-') || name.startsWith('.')) continue
    const detail = `unknown key ${quote(name)} (a flow has 'metadata' and 'nodes'; keys of your own start with 'x-' or '.')`
    member.complain(faults, 'unknown_key', detail, 'key')
  }
}

function readNodes(cursor: Cursor, types: StepTypes, { limits, faults, warnings }: Reading): Graph | undefined {
  if (cursor.isUnusable) return undefined
  if (cursor.value && !cursor.isMapping) {
    cursor.complain(faults, 'type', 'nodes must be a mapping of node names to nodes')
    return undefined
  }
  const names = new Set(cursor.names)
  if (names.size === 0) {
    cursor.complain(faults, 'required', 'flow must have at least one node')
    return undefined
  }
  if (names.size > limits.nodes) {
    cursor.complain(faults, 'too_many_nodes', `a flow may have at most ${limits.nodes} nodes`, 'key')
    return undefined
  }

  const nodes = new Map<string, GraphNode>()
  for (const [name, member] of cursor.members) {
    const node = readNode(name, member, { types, names, faults })
    if (node) nodes.set(name, node)
  }
  // Where an edge could not be read, every statement about the ways through the flow would be a guess.
  if (nodes.size < names.size) return undefined
  const start = findStart(nodes, cursor, faults, warnings)
  return start === undefined ? undefined : { start, nodes }
}
