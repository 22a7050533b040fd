export { type Compilation, type CompileOptions, compile } from './compile.js'
export { type DefinitionFault, toDomainError } from './faults.js'
export type { Metadata } from './metadata.js'
export type { ParamFault, StepTypes } from './step-types.js'
