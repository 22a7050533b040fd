import { StepError } from '../../engine/step.js'
import { isJsonObject, type Json, type JsonObject } from '../../platform/json.js'

const ACTION = /\{\{(-\s)?\s*(.*?)\s*(\s-)?\}\}/gs
const FIELD = /^\.([\p{L}_][\p{L}\p{N}_]*(?:\.[\p{L}_][\p{L}\p{N}_]*)*)?$/u

/**
 * Fills `{{.name}}` and `{{.a.b}}` as Go's templates do; of these it knows no more than the fields. `{{.}}` is everything; `{{- ` and
 * ` -}}` also take the blanks beside them. `write` turns a value into the text that stands for it. What is filled in is not read again.
 */
export function fillTemplate(template: string, data: JsonObject, write: (value: Json) => string = plainText): string {
  const pieces: string[] = []
  let end = 0
  let trimNext = false
  for (const match of template.matchAll(ACTION)) {
    const [whole, trimBefore, action = '', trimAfter] = match
    let before = template.slice(end, match.index)
    if (trimNext) before = before.trimStart()
    if (trimBefore !== undefined) before = before.trimEnd()
    pieces.push(before, write(lookUp(action, data)))
    trimNext = trimAfter !== undefined
    end = match.index + whole.length
  }
  const rest = template.slice(end)
  return pieces.join('') + (trimNext ? rest.trimStart() : rest)
}

/** Text as it is, anything else as JSON. */
export function plainText(value: Json): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** The names of the members that a template uses, each with what it is a member of. */
export function fieldsOf(template: string): Set<string> {
  return new Set(
    [...template.matchAll(ACTION)].flatMap(([, , action = '']) => FIELD.exec(action)?.[1]?.split('.')[0] ?? []),
  )
}

function lookUp(action: string, data: JsonObject): Json {
  const field = FIELD.exec(action)
  if (!field)
    throw invalid(`the template has {{${action.slice(0, 50)}}}: only fields such as {{.name}} or {{.a.b}} are known`)
  let value: Json = data
  for (const name of field[1]?.split('.') ?? []) {
    if (!isJsonObject(value) || !Object.hasOwn(value, name))
      throw invalid(`the template names {{${action}}}, which has no value`)
    value = value[name] as Json
  }
  return value
}

function invalid(message: string): StepError {
  return new StepError(message, { code: 'template', retryable: false })
}
