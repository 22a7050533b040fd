/**
 * A documented example and an answer, made comparable: ids, dates, durations, host names and ports aside, what the reference shows must
 * be what the server answers, with no member more or less.
 */
export function likeReference(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(likeReference)
  if (typeof value === 'string') return aside(value)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [
      name,
      name === 'duration' && Number.isInteger(member) ? '(ms)' : likeReference(member),
    ]),
  )
}

const DATE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z$/
/** `flow-123` or `run_01HX...` in the references, `flow_01JD…` here. */
const ID = /^(?<kind>flow|exec|run|account|artifact)[-_][0-9A-Za-z]+(\.\.\.)?$/
const ORIGIN = /https?:\/\/[a-z0-9.]+(:\d+)?\//g

function aside(text: string): string {
  if (DATE.test(text)) return '(date)'
  const kind = ID.exec(text)?.groups?.kind
  if (kind) return `(${kind === 'run' ? 'exec' : kind} id)`
  return text.replace(ORIGIN, '(origin)/')
}
