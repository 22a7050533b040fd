import type { Language } from '../../engine/language.js'
import { isJsonObject, type JsonObject } from '../../platform/json.js'

/** flwd's jobs: processes, in whose parameters nothing is an expression. */
export const flwdLanguage: Language = {
  variables: () => ({}),
  template: (params) => ({ scripts: [], local: () => undefined, render: () => ({ ...params }) as JsonObject }),
  failure: ({ message, code }) => ({ message, code }),
  /** What the last step, as they were declared, put out that did put out a value. */
  result(node, output) {
    const outputs = isJsonObject(output) ? output : {}
    const values = (node.branches ?? []).flatMap(({ name }) => {
      const own = outputs[name]
      return isJsonObject(own) && own.value !== undefined && own.value !== null ? [own.value] : []
    })
    const value = values.at(-1)
    const result: JsonObject = {}
    if (value !== undefined) result.value = value
    return result
  },
  words: { started: 'Run started', completed: 'Run completed', failed: 'Run failed' },
}
