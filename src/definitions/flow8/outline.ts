import { type LayerFaults, quote } from './faults.js'
import type { LayerDefinition } from './layers.js'

/** A layer, and where it stands in the definition. */
export interface PlacedLayer extends LayerDefinition {
  readonly at: number
}

/** What is gone through one after the other: layers side by side, or a loop with what is inside. */
export type Section =
  | { readonly kind: 'stage'; readonly index: number; readonly layers: readonly PlacedLayer[] }
  | { readonly kind: 'loop'; readonly head: PlacedLayer; readonly body: Level }

/** A flow, or the body of a loop. */
export class Level {
  readonly sections: Section[] = []
  /** The layers that stand here themselves, heads of loops included. */
  readonly refs = new Set<string>()
  /** Layers in loops of this level that are closed: the loop, and those directly inside. */
  private readonly closed = new Map<string, Level>()
  /** Those whose outputs are asked for from behind the loop. */
  readonly collected = new Set<string>()

  constructor(readonly head?: PlacedLayer) {}

  add(section: Section): void {
    this.sections.push(section)
    for (const { ref } of section.kind === 'stage' ? section.layers : [section.head]) this.refs.add(ref)
  }

  close(loop: Level): void {
    if (loop.head) this.closed.set(loop.head.ref, loop)
    for (const ref of loop.refs) this.closed.set(ref, loop)
  }

  /** The closed loop that this layer heads, or stands in. */
  loopOf(ref: string): Level | undefined {
    return this.closed.get(ref)
  }
}

/** Where an aggregator takes its list from. */
export type Source =
  /** What these layers of a loop put out in each round; of several, objects of theirs. */
  | { readonly kind: 'rounds'; readonly loop: string; readonly refs: readonly string[] }
  /** The items of a loop that has nothing inside. */
  | { readonly kind: 'items'; readonly head: PlacedLayer }
  /** The list that a layer put out. */
  | { readonly kind: 'layer'; readonly ref: string }

export interface Outline {
  readonly root: Level
  /** By the refs of aggregators. */
  readonly sources: ReadonlyMap<string, Source>
  /** By the refs of layers: those that it can name. */
  readonly visible: ReadonlyMap<string, ReadonlySet<string>>
}

export const ITERATOR = 'iterator'
export const AGGREGATOR = 'aggregator'

/**
 * How the layers of a flow lie: stages by their index, and what the iterators among them loop over. An iterator's loop reaches to the next
 * aggregator that collects from it or from a layer inside, and without one to the end of what is around it. Inside each other, the
 * innermost loop that the aggregator speaks of is the one that ends, and those inside it with it.
 */
export function outlineOf(layers: readonly PlacedLayer[], faults: LayerFaults): Outline {
  const outline = new Outliner(layers, faults)
  for (const stage of stagesOf(layers)) outline.take(stage)
  return outline.end()
}

type Stage = readonly [PlacedLayer, ...PlacedLayer[]]

function stagesOf(layers: readonly PlacedLayer[]): Stage[] {
  const stages = new Map<number, [PlacedLayer, ...PlacedLayer[]]>()
  for (const layer of layers) {
    const stage = stages.get(layer.index)
    if (stage) stage.push(layer)
    else stages.set(layer.index, [layer])
  }
  return [...stages.values()].sort(([one], [other]) => one.index - other.index)
}

class Outliner {
  private readonly root = new Level()
  /** The levels that are open, the innermost last. */
  private readonly open: Level[] = [this.root]
  private readonly sources = new Map<string, Source>()
  private readonly visible = new Map<string, ReadonlySet<string>>()
  private readonly byRef: ReadonlyMap<string, PlacedLayer>

  constructor(
    layers: readonly PlacedLayer[],
    private readonly faults: LayerFaults,
  ) {
    this.byRef = new Map(layers.map((layer) => [layer.ref, layer]))
  }

  take(stage: Stage): void {
    const aggregators = stage.filter((layer) => layer.appId === AGGREGATOR && sourceRefOf(layer) !== undefined)
    for (const aggregator of aggregators) this.closeFor(sourceRefOf(aggregator) as string)
    const visible = new Set(this.open.flatMap((level) => [...level.refs]))
    for (const layer of stage) this.visible.set(layer.ref, visible)
    for (const aggregator of aggregators) this.sources.set(aggregator.ref, this.sourceFor(aggregator, visible))
    this.place(stage)
  }

  end(): Outline {
    this.closeTo(1)
    return { root: this.root, sources: this.sources, visible: this.visible }
  }

  private place(stage: Stage): void {
    const [head, ...others] = stage.filter(({ appId }) => appId === ITERATOR)
    for (const { at, ref } of others) {
      const detail = `the layers ${quote(head?.ref ?? '')} and ${quote(ref)} have the same index, and only one of them can be an iterator`
      this.faults.add(['layers', at, 'index'], 'two_iterators', detail)
    }
    const layers = stage.filter(({ appId }) => appId !== ITERATOR)
    const level = this.innermost
    if (layers.length > 0) level.add({ kind: 'stage', index: stage[0].index, layers })
    // What is inside a loop comes later than all that has the iterator's index.
    for (const one of [head, ...others]) {
      if (!one) continue
      const body = new Level(one)
      level.add({ kind: 'loop', head: one, body })
      if (one === head) this.open.push(body)
    }
  }

  /** Closes the innermost open loop that this layer heads, or stands in. */
  private closeFor(ref: string): void {
    for (let at = this.open.length - 1; at > 0; at--) {
      const level = this.open[at] as Level
      if (level.loopOf(ref)) return
      if (level.head?.ref !== ref && !level.refs.has(ref)) continue
      this.closeTo(at)
      return
    }
  }

  private closeTo(count: number): void {
    while (this.open.length > count) {
      const loop = this.open.pop() as Level
      this.innermost.close(loop)
    }
  }

  private sourceFor(aggregator: PlacedLayer, visible: ReadonlySet<string>): Source {
    const ref = sourceRefOf(aggregator) as string
    for (const level of this.open.toReversed()) {
      const loop = level.loopOf(ref)
      if (loop?.head) return loop.head.ref === ref ? wholeRounds(loop, loop.head) : rounds(loop, loop.head, [ref])
    }
    if (!visible.has(ref)) {
      const { code, detail } = whyNotVisible(aggregator, ref, this.byRef)
      this.faults.add(['layers', aggregator.at, 'args', 'sourceRef'], code, detail)
    }
    return { kind: 'layer', ref }
  }

  private get innermost(): Level {
    return this.open.at(-1) as Level
  }
}

/** What is wrong with a name, in words. */
export interface Objection {
  code: string
  detail: string
}

/** Why a layer cannot name another. */
export function whyNotVisible(layer: PlacedLayer, ref: string, byRef: ReadonlyMap<string, PlacedLayer>): Objection {
  const other = byRef.get(ref)
  const named = `the layer ${quote(ref)}`
  if (!other) return { code: 'unknown_ref', detail: `there is no layer ${quote(ref)}` }
  if (other.ref === layer.ref) return { code: 'later_ref', detail: `${named} cannot name itself` }
  if (other.index === layer.index)
    return { code: 'later_ref', detail: `${named} has the same index, so that both run at the same time` }
  if (other.index > layer.index) return { code: 'later_ref', detail: `${named} comes later` }
  return { code: 'inner_ref', detail: `${named} is inside a loop: only an aggregator can collect what it puts out` }
}

/** What an aggregator collects from, where it says so by a name. */
function sourceRefOf({ args }: PlacedLayer): string | undefined {
  const ref = args?.sourceRef
  return typeof ref === 'string' && args?.source === undefined ? ref : undefined
}

function rounds(loop: Level, head: PlacedLayer, refs: readonly string[]): Source {
  for (const ref of refs) loop.collected.add(ref)
  return { kind: 'rounds', loop: head.ref, refs }
}

/** Of the loop itself: what comes last in each round. */
function wholeRounds(loop: Level, head: PlacedLayer): Source {
  const last = loop.sections.at(-1)
  if (!last) return { kind: 'items', head }
  return rounds(loop, head, last.kind === 'stage' ? last.layers.map(({ ref }) => ref) : [last.head.ref])
}
