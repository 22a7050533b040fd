const SECRET =
  /(?:passwords?|passphrase|secrets?|token|api[-_]?key|credentials?|authorization|cookie|(?:private|encryption|secret|access)[-_]?keys?)$/i
const CENSORED = '[redacted]'
const DEEPEST = 6
const WIDEST = 100

/** A copy without the values of members whose names say that they are secret, at any depth. Errors keep what says where it failed. */
export function redact(value: unknown, depth = 0): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  if (value instanceof Error) return describeError(value, depth)
  if (depth === DEEPEST) return '[…]'
  if ('toJSON' in value && typeof value.toJSON === 'function') return redact(value.toJSON(), depth + 1)
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`
  if (Array.isArray(value)) return value.slice(0, WIDEST).map((entry) => redact(entry, depth + 1))
  const entries = Object.entries(value).slice(0, WIDEST)
  return Object.fromEntries(
    entries.map(([name, member]) => [name, SECRET.test(name) && member ? CENSORED : redact(member, depth + 1)]),
  )
}

/**
 * What an error may say in a log. Its other members stay out: a failed statement carries its parameters, a failed request its
 * headers.
 */
function describeError(error: Error, depth: number): Record<string, unknown> {
  const { code } = error as { code?: unknown }
  return {
    type: error.name,
    message: error.message,
    stack: error.stack,
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    ...(error.cause && depth < DEEPEST ? { cause: redact(error.cause, depth + 1) } : {}),
  }
}
