import type { FlowError } from '../../engine/host.js'
import type { Language, Moment } from '../../engine/language.js'
import { compileTemplate } from '../../platform/expressions/template.js'
import type { Json, JsonObject } from '../../platform/json.js'

/** FlowRunner's variables, expressions and words. */
export const flowRunnerLanguage: Language = {
  variables,
  template: (params) => compileTemplate(params as JsonObject),
  failure,
  words: { started: 'Execution started', completed: 'Execution completed', failed: 'Execution failed' },
}

/**
 * What user code sees: `input` (the previous node's output), `shared` (the run's input and what steps shared), `results` by node, `result`
 * (the last output), `execution`, `secrets`, `error` behind an error edge, and `item` and `index` in a batch.
 */
function variables(moment: Moment): Record<string, Json> {
  return {
    input: moment.input,
    shared: moment.shared as JsonObject,
    results: moment.results as JsonObject,
    result: moment.result,
    execution: { id: moment.run.id, flow_id: moment.run.flowId },
    secrets: moment.secrets as JsonObject,
    error: moment.error ? failure(moment.error) : null,
    ...(moment.item && { item: moment.item.value, index: moment.item.index }),
  }
}

/** What a failed node leaves to the one behind its error edge. */
function failure(error: FlowError): JsonObject {
  return {
    message: error.message,
    code: error.code,
    node_id: error.node ?? null,
    node_type: error.nodeType ?? null,
    output: error.output ?? null,
  }
}
