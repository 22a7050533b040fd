import { isJsonObject, type Json, type JsonObject } from '../platform/json.js'
import type { Script } from './host.js'
import type { Language, Template } from './language.js'

const PATH = /^[A-Za-z_$][\w$]*(\.[\w$]+)*$/

/** A small language for tests: a value that is `${…}` as a whole is an expression. */
export const fakeLanguage: Language = {
  words: { started: 'Run started', completed: 'Run completed', failed: 'Run failed' },
  rescueInput: ({ runInput, error }) => ({
    input: runInput,
    error: { message: error.message, node: error.node ?? null },
  }),
  failure: (error) => ({ message: error.message, code: error.code, output: error.output ?? null }),
  variables: (moment) => ({
    input: moment.input,
    runInput: moment.runInput,
    results: { ...moment.results },
    shared: { ...moment.shared },
    result: moment.result,
    error: moment.error ? ({ ...moment.error, output: moment.error.output ?? null } as JsonObject) : null,
    secrets: { ...moment.secrets },
    ...(moment.item ? { item: moment.item.value, index: moment.item.index } : {}),
  }),
  template(params): Template {
    const scripts: Script[] = []
    const parse = (value: Json): ((values: readonly Json[]) => Json) => {
      if (typeof value === 'string' && value.startsWith('${') && value.endsWith('}')) {
        const index = scripts.push({ code: value.slice(2, -1), form: 'expression' }) - 1
        return (values) => values[index] ?? null
      }
      if (Array.isArray(value)) {
        const items = value.map(parse)
        return (values) => items.map((item) => item(values))
      }
      if (!isJsonObject(value)) return () => value
      const members = Object.entries(value).map(([name, member]) => [name, parse(member)] as const)
      return (values) => Object.fromEntries(members.map(([name, member]) => [name, member(values)]))
    }
    const render = parse(params as JsonObject)
    return {
      scripts,
      local: (index, variables) => property(scripts[index]?.code ?? '', variables),
      render: (values) => render(values) as JsonObject,
    }
  },
}

function property(code: string, variables: Readonly<Record<string, Json>>): { value: Json } | undefined {
  if (!PATH.test(code)) return undefined
  let value: Json = variables as JsonObject
  for (const name of code.split('.')) {
    if (!isJsonObject(value) || !Object.hasOwn(value, name)) return undefined
    value = value[name] ?? null
  }
  return { value }
}
