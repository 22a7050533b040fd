import { type Graph, type GraphNode, STAGE } from '../../engine/graph.js'
import type { RunSettings } from '../../engine/run-settings.js'
import type { Mention } from '../../platform/expressions/go-template.js'
import { sizeOfPattern } from '../../platform/expressions/regex.js'
import type { Json, JsonObject } from '../../platform/json.js'
import { pointerOf } from '../../platform/json-pointer.js'
import type { StepTypes } from '../step-types.js'
import { checkExpressions, holdsExpression, MARK } from './expressions.js'
import { type LayerFault, LayerFaults, quote } from './faults.js'
import { patternFault } from './filters.js'
import { type FlowDefinition, type FlowSettings, RESERVED_REFS } from './layers.js'
import { nodeOf, paramsOf } from './node.js'
import {
  type Level,
  type Objection,
  type Outline,
  outlineOf,
  type PlacedLayer,
  type Section,
  whyNotVisible,
} from './outline.js'
import { readDefinition } from './read.js'

export type Compilation = { ok: true; graph: Graph; definition: FlowDefinition } | { ok: false; faults: LayerFault[] }

/**
 * A flow of layers, JSON text, to the graph that the engine runs; or all of its faults at once, in the order of its layers. A flow without
 * layers is legal, and completes at once.
 */
export function compile(text: string, types: StepTypes): Compilation {
  const faults = new LayerFaults()
  const definition = readDefinition(text, faults)
  if (!definition) return { ok: false, faults: faults.all() }
  const layers = definition.layers.map((layer, at): PlacedLayer => ({ ...layer, at }))
  const outline = outlineOf(layers, faults)
  const checks = new LayerChecks(outline, layers, types, faults)
  for (const layer of layers) checks.check(layer)
  if (!faults.isEmpty) return { ok: false, faults: faults.all() }
  const settings = settingsOf(definition.settings)
  const graph = graphOf(outline.root, outline)
  return { ok: true, graph: settings ? { ...graph, settings } : graph, definition }
}

/** Instructions of all patterns of a flow together, and what each costs besides. */
const MOST_PATTERNS = 50_000
const EACH_PATTERN = 50

/** What is checked of each layer by itself, once it is known where it lies. */
class LayerChecks {
  private readonly byRef: ReadonlyMap<string, PlacedLayer>
  private patterns = 0

  constructor(
    private readonly outline: Outline,
    layers: readonly PlacedLayer[],
    private readonly types: StepTypes,
    private readonly faults: LayerFaults,
  ) {
    this.byRef = new Map(layers.map((layer) => [layer.ref, layer]))
  }

  check(layer: PlacedLayer): void {
    const here = pointerOf(['layers', String(layer.at)])
    const fault = (mention: Mention) => this.mentionFault(layer, mention)
    for (const [at, { leftValue, rightValue = null, operator }] of (layer.filters ?? []).entries()) {
      const filter = `${here}/filters/${at}`
      checkExpressions(leftValue, `${filter}/leftValue`, fault, this.faults)
      checkExpressions(rightValue, `${filter}/rightValue`, fault, this.faults)
      if (operator === 'regex') this.checkPattern(rightValue, `${filter}/rightValue`)
    }
    if (!this.types.has(layer.appId)) {
      this.faults.add(`${here}/appId`, 'unknown_module', `there is no module ${quote(layer.appId)}`)
      return
    }
    this.checkArgs(layer, here, fault)
  }

  /** One that is literal. Compiling patterns takes time, which all of a flow's share. */
  private checkPattern(pattern: Json, pointer: string): void {
    if (typeof pattern === 'string') {
      if (holdsExpression(pattern)) return
      this.patterns += EACH_PATTERN + sizeOfPattern(pattern)
      if (this.patterns > MOST_PATTERNS) {
        this.faults.add(pointer, 'too_complex', 'the patterns of all filters together repeat too much')
        return
      }
    }
    const wrong = patternFault(pattern)
    if (wrong) this.faults.add(pointer, 'pattern', wrong)
  }

  private checkArgs(layer: PlacedLayer, here: string, fault: (mention: Mention) => Objection | undefined) {
    const { args = {}, appId } = layer
    const code = new Set(this.types.codeParams(appId))
    const own = Object.fromEntries(Object.entries(args).filter(([name]) => !code.has(name))) as JsonObject
    checkExpressions(own, `${here}/args`, fault, this.faults)
    const params = paramsOf(layer, this.outline.sources.get(layer.ref))
    for (const { path, detail, code } of this.types.checkParams(appId, params, MARK))
      this.faults.add(`${here}/args${path.slice('/params'.length)}`, code, detail)
  }

  private mentionFault(layer: PlacedLayer, { name, steps }: Mention): Objection | undefined {
    const [member] = steps
    if (member === undefined) return undefined
    if (name === '$date' && member !== 'now') return { code: 'unknown_ref', detail: `there is no $date.${member}` }
    if (name === '$flowId' || name === '$playId')
      return { code: 'unknown_ref', detail: `${name} is a text without members` }
    if (name !== '$prev' || RESERVED_REFS.includes(String(member))) return undefined
    if (this.outline.visible.get(layer.ref)?.has(String(member))) return undefined
    return whyNotVisible(layer, String(member), this.byRef)
  }
}

const NO_STAGE = `${STAGE}:none`

function graphOf(level: Level, outline: Outline): Graph {
  const nodes = new Map<string, GraphNode>()
  let next: string | undefined
  for (const section of level.sections.toReversed()) {
    const node = sectionNode(section, outline)
    nodes.set(node.name, next === undefined ? node : { ...node, next: { default: next } })
    next = node.name
  }
  if (next !== undefined) return { start: next, nodes: new Map([...nodes].reverse()) }
  // A stage of no branches is over as soon as it is begun.
  const nothing: GraphNode = { name: NO_STAGE, type: STAGE, params: {}, next: {}, branches: [] }
  return { start: NO_STAGE, nodes: new Map([[NO_STAGE, nothing]]) }
}

/** Names of stages have a colon, which refs have not. */
function sectionNode(section: Section, outline: Outline): GraphNode {
  if (section.kind === 'loop') {
    const { head, body } = section
    const loop = { body: graphOf(body, outline), collect: [...body.collected], maxParallel: 1 }
    return { ...nodeOf(head), loop }
  }
  const branches = section.layers.map((layer) => nodeOf(layer, outline.sources.get(layer.ref)))
  const [only, ...others] = branches
  if (only && others.length === 0) return only
  return { name: `${STAGE}:${section.index}`, type: STAGE, params: {}, next: {}, branches }
}

function settingsOf(settings: FlowSettings | undefined): RunSettings | undefined {
  if (!settings) return undefined
  const { priority, queue, concurrency, timeout, onFailFlowId } = settings
  return {
    ...(priority !== undefined && { priority }),
    ...(queue !== undefined && { tag: queue }),
    ...(concurrency !== undefined && { concurrency: { limit: concurrency, key: () => '' } }),
    ...(timeout !== undefined && { timeoutMs: timeout * 1_000 }),
    ...(onFailFlowId !== undefined && { onFailFlowId }),
  }
}
