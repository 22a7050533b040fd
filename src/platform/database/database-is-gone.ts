/** Connections that fail (class 08), are refused (28, 3D000, 53300) or ended (57P), read-only servers (25006), and what sockets say. */
const CODES = /^(08\w{3}|28000|28P01|3D000|25006|57P0[1-5]|53300|ECONNREFUSED|ECONNRESET|EPIPE|ENOENT|ETIMEDOUT)$/
const MESSAGES =
  /^(Connection terminated|Client has encountered a connection error|timeout exceeded when trying to connect|Driver not Connected)/

/** Whether the database could not be asked, or broke off: what was asked may succeed when it is there again. */
export function isDatabaseGone(error: unknown): boolean {
  const code = driverCodeOf(error)
  return (code !== undefined && CODES.test(code)) || (error instanceof Error && MESSAGES.test(error.message))
}

/** The code that the driver gave. TypeORM wraps what the driver threw; pools throw it bare. */
export function driverCodeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  const driver = 'driverError' in error ? error.driverError : error
  const code = (driver as { code?: unknown } | null)?.code
  return typeof code === 'string' ? code : undefined
}
