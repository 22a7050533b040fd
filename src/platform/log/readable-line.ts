const COLOURS: Record<string, number> = { fatal: 31, error: 31, warn: 33, info: 36, debug: 90, trace: 90 }

/** A JSON line as a person reads it: `12:30:01.250 info  Database  starting the database  port=5432`, an error's stack below. */
export function readableLine(json: string, colour = process.stdout.isTTY === true): string {
  const { level, time, msg, context, err, ...members } = JSON.parse(json) as Record<string, unknown>
  const paint = (code: number, text: string) => (colour && text ? `\u001b[${code}m${text}\u001b[0m` : text)
  const parts = [
    paint(90, String(time).slice(11, 23)),
    paint(COLOURS[String(level)] ?? 0, String(level).padEnd(5)),
    context ? paint(1, String(context)) : '',
    oneLine(msg ?? ''),
    ...Object.entries(members).map(([name, value]) => paint(90, `${name}=${oneLine(value)}`)),
  ]
  return `${parts.filter((part) => part !== '').join('  ')}\n${stackOf(err)}`
}

function oneLine(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  // Control characters in what users send must not move the cursor or begin a line of their own.
  return text.replace(/[\p{Cc}\u2028\u2029]/gu, (character) => JSON.stringify(character).slice(1, -1))
}

function stackOf(err: unknown): string {
  if (typeof err !== 'object' || err === null) return ''
  const { stack, message, cause } = err as { stack?: unknown; message?: unknown; cause?: unknown }
  const lines = String(stack ?? message ?? JSON.stringify(err)).split('\n')
  return lines.map((line) => `    ${oneLine(line)}\n`).join('') + stackOf(cause)
}
