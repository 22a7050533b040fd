export { type Compilation, compile } from './compile.js'
export { type LayerFault, toDomainError } from './faults.js'
export { flow8Language } from './language.js'
export {
  type FilterDefinition,
  type FlowDefinition,
  type FlowSettings,
  flowDefinitionSchema,
  LAYER_LIMITS,
  type LayerDefinition,
  layerSchema,
  type RetryDefinition,
} from './layers.js'
export { type LayersOfGraph, layersOf } from './layers-of.js'
