import { visitsOf } from '../../../engine/path.js'

/** Behind all nodes of the flow: one that it does not have. */
const NOWHERE = Number.MAX_SAFE_INTEGER

/**
 * The order of a run's visits: that of the flow's nodes, the rounds of a loop right behind it one by one, and repeated visits one after
 * another. It tells nothing of time, so that a visit keeps its place while the run goes on.
 */
export class StepOrder {
  private readonly positions = new Map<string, number>()

  /** `nodes` are the names of all nodes, in the order in which the flow has them. */
  constructor(nodes: Iterable<string>) {
    for (const name of nodes) this.positions.set(name, this.positions.size)
  }

  /** Where a visit stands, or a node that was not visited. */
  placeOf(step: { node: string; path?: string }): number[] {
    if (step.path === undefined) return [this.positionOf(step.node)]
    return visitsOf(step.path).flatMap(({ node, visit, round }) => [
      this.positionOf(node),
      visit,
      ...(round === undefined ? [] : [round]),
    ])
  }

  /** The same things, in their order. */
  sorted<Step extends { node: string; path?: string }>(steps: readonly Step[]): Step[] {
    return steps
      .map((step) => ({ step, place: this.placeOf(step) }))
      .sort((one, other) => compare(one.place, other.place))
      .map(({ step }) => step)
  }

  private positionOf(node: string): number {
    return this.positions.get(node) ?? NOWHERE
  }
}

/** As words are compared, by their letters: what others begin with stands before them. */
function compare(one: readonly number[], other: readonly number[]): number {
  for (const [index, number] of one.entries()) {
    const against = other[index]
    if (against === undefined) return 1
    if (number !== against) return number - against
  }
  return one.length - other.length
}
