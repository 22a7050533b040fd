import { compile as compileFlow8, flow8Language, toDomainError as toLayerError } from '../../definitions/flow8/index.js'
import {
  compile as compileFlowRunner,
  flowRunnerLanguage,
  type StepTypes,
  toDomainError,
} from '../../definitions/flowrunner/index.js'
import { compile as compileJob, flwdLanguage, type JobDefinition } from '../../definitions/flwd/index.js'
import type { Graph } from '../../engine/graph.js'
import type { Language } from '../../engine/language.js'
import type { DomainError } from '../../platform/errors/domain-error.js'
import type { FlowLanguage } from './flow-revision.entity.js'

/** A definition as the engine runs it, with what it says of itself; or why it cannot be run. */
export type Reading =
  | { ok: true; graph: Graph; description?: string; version?: string }
  | { ok: false; error: DomainError }

/** A language that flows are written in. */
export interface WrittenLanguage {
  /** How its expressions are read while a flow runs, and its words. */
  readonly engine: Language
  read(definition: string, types: StepTypes): Reading
}

export const LANGUAGES: Readonly<Record<FlowLanguage, WrittenLanguage>> = {
  flowrunner: {
    engine: flowRunnerLanguage,
    read(definition, types) {
      const compilation = compileFlowRunner(definition, types)
      if (!compilation.ok) return { ok: false, error: toDomainError(compilation.faults) }
      const { graph, metadata } = compilation
      return { ok: true, graph, description: metadata.description, version: metadata.version }
    },
  },
  flow8: {
    engine: flow8Language,
    read(definition, types) {
      const compilation = compileFlow8(definition, types)
      return compilation.ok
        ? { ok: true, graph: compilation.graph }
        : { ok: false, error: toLayerError(compilation.faults) }
    },
  },
  /** A job's definition is not written by hand: it is what its folder was read into. */
  flwd: {
    engine: flwdLanguage,
    read(definition) {
      const job: JobDefinition = JSON.parse(definition)
      const { description, version } = job.config
      return { ok: true, graph: compileJob(job), description, version }
    },
  },
}
