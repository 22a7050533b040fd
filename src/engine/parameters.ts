import type { Json, JsonObject } from '../platform/json.js'
import type { GraphNode } from './graph.js'
import type { Script } from './host.js'
import type { Language, LookUps, Template } from './language.js'
import type { StepType } from './step.js'

/** A node's parameters, taken apart once. */
export interface Parameters {
  /** What the step is given. */
  readonly step: Template
  /** Code for the step itself to evaluate, passed on as written. */
  readonly verbatim: Readonly<JsonObject>
  /** The list of a batch or a loop, where the node names one. */
  readonly items?: Template
  /** What the node's condition is decided by. */
  readonly condition?: Template
}

const known = new WeakMap<GraphNode, Parameters>()

/** Parses a node's parameters at its first visit; nodes are immutable and shared by all runs of a revision. */
export function parametersOf(node: GraphNode, type: StepType, language: Language): Parameters {
  let parameters = known.get(node)
  if (!parameters) {
    const verbatim = new Set(type.codeParams)
    const hasList = node.batch !== undefined || node.loop !== undefined
    const list = hasList && Object.hasOwn(node.params, 'items') ? node.params.items : undefined
    parameters = {
      step: language.template(only(node, (name) => !verbatim.has(name) && !(hasList && name === 'items'))),
      verbatim: only(node, (name) => verbatim.has(name)),
      items: list === undefined ? undefined : language.template({ items: list }),
      condition: node.condition && language.template(node.condition.params),
    }
    known.set(node, parameters)
  }
  return parameters
}

/**
 * Renders a template. Property paths are answered at once; everything else goes to the sandbox in one evaluation, unless the language has
 * an evaluation of its own.
 */
export async function render(
  template: Template,
  variables: Readonly<Record<string, Json>>,
  lookUps: LookUps,
  sandbox: (scripts: readonly Script[]) => Promise<Json[]>,
): Promise<{ value: JsonObject; computed: boolean }> {
  const values: Json[] = new Array(template.scripts.length).fill(null)
  const left: number[] = []
  for (let index = 0; index < values.length; index++) {
    const local = template.local(index, variables)
    if (local) values[index] = local.value
    else left.push(index)
  }
  if (template.resolve) {
    for (const index of left) values[index] = await template.resolve(index, variables, lookUps)
  } else if (left.length > 0) {
    const evaluated = await sandbox(left.map((index) => template.scripts[index] as Script))
    for (const [position, index] of left.entries()) values[index] = evaluated[position] ?? null
  }
  return { value: template.render(values), computed: left.length > 0 }
}

function only(node: GraphNode, wanted: (name: string) => boolean): JsonObject {
  return Object.fromEntries(Object.entries(node.params).filter(([name]) => wanted(name)))
}
