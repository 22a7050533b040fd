import { Injectable } from '@nestjs/common'
import {
  type FlowDefinition,
  type FlowSettings,
  type LayerDefinition,
  layersOf,
} from '../../definitions/flow8/index.js'
import type { Principal } from '../../platform/auth/principal.js'
import { DomainError } from '../../platform/errors/domain-error.js'
import { ValidationFailed } from '../../platform/http/faults.js'
import type { Expected } from '../../platform/http/headers.js'
import { newId } from '../../platform/ids.js'
import type { Flow } from './flow.entity.js'
import { FlowNotFound, FlowNotLayered, LayerInUse, LayerNotFound } from './flows.errors.js'
import {
  type FlowFilter,
  FlowsService,
  type FlowTraits,
  type FlowWithDefinition,
  type NewFlow,
} from './flows.service.js'

/** A layer to be made: what is left out is chosen. */
export type NewLayer = Partial<LayerDefinition> & Pick<LayerDefinition, 'appId'>

export type LayerChange = Partial<Omit<LayerDefinition, 'id'>>

/** What a flow asks for its runs; null takes a wish back. */
export type ExecutionChange = { [Member in keyof FlowSettings]?: FlowSettings[Member] | null }

export interface LayeredTraits extends Partial<FlowTraits>, Pick<NewFlow, 'description' | 'tags' | 'permanentId'> {
  execution?: ExecutionChange
}

export interface NewLayeredFlow extends LayeredTraits {
  name: string
  layers?: readonly NewLayer[]
}

export interface LayeredFlowChange extends LayeredTraits {
  name?: string
  /** All of them: what is left out is gone. */
  layers?: readonly NewLayer[]
}

/** A flow as layers, where it can be told in them; where not, why. */
export interface LayeredFlow {
  flow: Flow
  /** True where the layers are what it was written in. */
  isOwn: boolean
  layers: LayerDefinition[]
  reason?: string
  execution: FlowSettings
}

/** Flows of layers: made, changed layer by layer, and read, whatever language they are written in. */
@Injectable()
export class LayeredFlows {
  constructor(private readonly flows: FlowsService) {}

  page(caller: Principal, filter: FlowFilter & { limit: number; offset: number }) {
    return this.flows.page(caller, filter)
  }

  async get(caller: Principal, id: string): Promise<LayeredFlow> {
    return await this.layered(await this.flows.getWithDefinition(caller, id))
  }

  async create(caller: Principal, input: NewLayeredFlow): Promise<LayeredFlow> {
    const { layers, execution, ...traits } = input
    await this.checkRescue(caller, execution)
    const definition: FlowDefinition = { layers: completed(layers ?? []), ...settingsWith(undefined, execution) }
    const flow = await this.flows.create(caller, {
      ...traits,
      language: 'flow8',
      definition: JSON.stringify(definition),
    })
    return await this.get(caller, flow.id)
  }

  /** Members left out stay. What it is written in changes only where layers or execution are said. */
  async update(caller: Principal, id: string, change: LayeredFlowChange, expected?: Expected): Promise<LayeredFlow> {
    const { layers, execution, ...traits } = change
    await this.checkRescue(caller, execution)
    const isOfDefinition = layers !== undefined || execution !== undefined
    await this.flows.update(
      caller,
      id,
      isOfDefinition
        ? (current) => {
            const own = definitionOf(current)
            const next = {
              layers: layers ? completed(layers, own.layers) : own.layers,
              ...settingsWith(own, execution),
            }
            return { ...traits, ...written(next) }
          }
        : traits,
      expected,
    )
    return await this.get(caller, id)
  }

  async remove(caller: Principal, id: string): Promise<void> {
    await this.flows.remove(caller, id)
  }

  /** The layers in the order that they are worked on. Throws `FlowNotLayered` where the flow cannot be told in layers. */
  async layers(caller: Principal, flowId: string): Promise<LayerDefinition[]> {
    const { layers, reason } = await this.get(caller, flowId)
    if (reason !== undefined) throw new FlowNotLayered(flowId, reason)
    return layers
  }

  async addLayer(caller: Principal, flowId: string, layer: NewLayer, expected?: Expected): Promise<LayerDefinition> {
    let added: LayerDefinition | undefined
    let place = 0
    await told(
      () => `/layers/${place}`,
      this.revise(caller, flowId, expected, ({ layers }) => {
        place = layers.length
        const all = completed([...layers, { ...layer, id: undefined }], layers)
        added = all.at(-1)
        return all
      }),
    )
    return added as LayerDefinition
  }

  async changeLayer(
    caller: Principal,
    flowId: string,
    layerId: string,
    change: LayerChange,
    expected?: Expected,
  ): Promise<LayerDefinition> {
    let changed: LayerDefinition | undefined
    let place = 0
    await told(
      () => `/layers/${place}`,
      this.revise(caller, flowId, expected, ({ layers }) => {
        place = layers.findIndex(({ id }) => id === layerId)
        const layer = layers[place]
        if (!layer) throw new LayerNotFound(layerId)
        changed = { ...layer, ...present(change) }
        return layers.with(place, changed)
      }),
    )
    return changed as LayerDefinition
  }

  async removeLayer(caller: Principal, flowId: string, layerId: string, expected?: Expected): Promise<void> {
    try {
      await this.revise(caller, flowId, expected, ({ layers }) => {
        if (!layers.some(({ id }) => id === layerId)) throw new LayerNotFound(layerId)
        return layers.filter(({ id }) => id !== layerId)
      })
    } catch (error) {
      // What is left names what is gone.
      if (error instanceof DomainError && error.kind === 'unprocessable') throw new LayerInUse(layerId, error.faults)
      throw error
    }
  }

  private async revise(
    caller: Principal,
    flowId: string,
    expected: Expected,
    change: (definition: FlowDefinition) => LayerDefinition[],
  ): Promise<void> {
    await this.flows.update(
      caller,
      flowId,
      (current) => {
        const own = definitionOf(current)
        return written({ ...own, layers: change(own) })
      },
      expected,
    )
  }

  private async layered(current: FlowWithDefinition): Promise<LayeredFlow> {
    const { flow, language } = current
    if (language === 'flow8') {
      const { layers, settings = {} } = definitionOf(current)
      return { flow, isOwn: true, layers: inOrder(layers), execution: settings }
    }
    const told = layersOf(await this.flows.graph(flow.id, flow.revision))
    const layers = 'layers' in told ? told.layers : []
    return { flow, isOwn: false, layers, execution: {}, ...('reason' in told && { reason: told.reason }) }
  }

  /** The flow for failures has to be one of the caller's. */
  private async checkRescue(caller: Principal, execution: ExecutionChange | undefined): Promise<void> {
    const id = execution?.onFailFlowId
    if (id === undefined || id === null) return
    try {
      await this.flows.getWithDefinition(caller, id)
    } catch (error) {
      if (!(error instanceof FlowNotFound)) throw error
      throw new ValidationFailed([{ pointer: '#/execution/onFailFlowId', detail: error.message, code: 'unknown_flow' }])
    }
  }
}

/** A request that brings one layer is told of its own members, and of what it broke elsewhere by the whole path. */
async function told(place: () => string, work: Promise<void>): Promise<void> {
  try {
    await work
  } catch (error) {
    if (!(error instanceof DomainError) || error.kind !== 'unprocessable') throw error
    const { kind, slug, title, message } = error
    const below = `#${place()}/`
    const faults = error.faults.map((fault) =>
      fault.pointer.startsWith(below) ? { ...fault, pointer: `#/${fault.pointer.slice(below.length)}` } : fault,
    )
    throw new DomainError(kind, slug, title, message, { faults })
  }
}

function definitionOf({ flow, definition, language }: FlowWithDefinition): FlowDefinition {
  if (language !== 'flow8') throw new FlowNotLayered(flow.id, 'it is written in YAML')
  return JSON.parse(definition) as FlowDefinition
}

function written(definition: FlowDefinition) {
  return { language: 'flow8' as const, definition: JSON.stringify(definition) }
}

function settingsWith(own: FlowDefinition | undefined, change: ExecutionChange = {}): Pick<FlowDefinition, 'settings'> {
  const all = Object.entries({ ...own?.settings, ...change }).filter(
    ([, value]) => value !== null && value !== undefined,
  )
  return all.length === 0 ? {} : { settings: Object.fromEntries(all) }
}

/** Layers by index, those side by side as they were put there. */
function inOrder(layers: readonly LayerDefinition[]): LayerDefinition[] {
  return layers.toSorted((one, other) => one.index - other.index)
}

/** Every layer with an id, a ref and a place: the id of an earlier one only where that is meant. */
function completed(
  layers: readonly (NewLayer | LayerDefinition)[],
  before: readonly LayerDefinition[] = [],
): LayerDefinition[] {
  const known = new Set(before.map(({ id }) => id))
  const refs = new Set(layers.flatMap(({ ref }) => (ref === undefined ? [] : [ref])))
  let last = -1
  return layers.map((layer) => {
    const { id, ref, index = last + 1, ...rest } = layer
    last = Math.max(last, index)
    const own = id !== undefined && known.delete(id) ? id : newId('layer')
    return { id: own, ref: ref ?? freeRef(layer.appId, refs), index, ...present(rest) } as LayerDefinition
  })
}

function freeRef(appId: string, taken: Set<string>): string {
  const word = appId.replace(/[^A-Za-z0-9_]+/g, '_').replace(/^(?![A-Za-z_])/, '_')
  let ref = word
  for (let number = 2; taken.has(ref) || ref === 'args' || ref === 'input'; number++) ref = `${word}_${number}`
  taken.add(ref)
  return ref
}

/** Without members that say nothing. */
function present<T extends object>(members: T): Partial<T> {
  return Object.fromEntries(
    Object.entries(members).filter(([, value]) => value !== undefined && value !== null),
  ) as Partial<T>
}
