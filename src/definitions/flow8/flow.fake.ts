import { StepRegistry } from '../../engine/step.js'
import { coreSteps } from '../../steps/core.js'
import { InMemoryFlowKeyValues } from '../../steps/flow-key-values.fake.js'
import { InMemoryFlowSchedules } from '../../steps/flow-schedules.fake.js'
import { flow8Steps } from '../../steps/flow8.js'
import { InMemoryKeyValues } from '../../steps/key-value-store.fake.js'
import { loopbackOutbound } from '../../steps/loopback.fake.js'
import { stepTypesOf } from '../step-types.js'
import { compile } from './compile.js'
import type { LayerDefinition } from './layers.js'

/** The modules as they are served, for specs of the language. */
export const registry = new StepRegistry([
  ...coreSteps({
    outbound: loopbackOutbound,
    keyValues: new InMemoryKeyValues(),
    schedules: new InMemoryFlowSchedules(),
  }),
  ...flow8Steps({ flowKeyValues: new InMemoryFlowKeyValues(), outbound: loopbackOutbound }),
])
export const stepTypes = stepTypesOf(registry)

/** Layers with as little as a spec has to say of them: `var` layers, one behind the other. */
export function layers(...given: Partial<LayerDefinition>[]): LayerDefinition[] {
  return given.map((layer, at) => ({
    id: `layer_${at}`,
    ref: `l${at}`,
    appId: 'var',
    index: at,
    ...(layer.appId === undefined && { args: { values: {} } }),
    ...layer,
  }))
}

export function compiled(...given: Partial<LayerDefinition>[]) {
  return compile(JSON.stringify({ layers: layers(...given) }), stepTypes)
}
