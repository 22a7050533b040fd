import pg from 'pg'
import type { StepContext } from '../../engine/step.js'
import type { Json } from '../../platform/json.js'
import { converse, type Explanation } from '../conversation.js'
import type { Outbound } from '../ports.js'
import { exactlyOnce, persistently } from './exactly-once.js'
import { PostgresSession, type SessionOptions } from './session.js'

/** What is done on a connection that is there. */
export type Work = (session: PostgresSession) => Promise<Json>

export interface DatabaseConversation {
  outbound: Outbound
  connection: SessionOptions
  timeoutMs: number
  /** Commits the work together with a mark of it, so that no attempt does it again. */
  exactlyOnce: boolean
}

/** Does one step's work on a PostgreSQL server, on a connection of its own. */
export async function converseWithDatabase(
  { outbound, connection, timeoutMs, exactlyOnce: once }: DatabaseConversation,
  step: StepContext,
  work: Work,
): Promise<Json> {
  const service = {
    name: `the database ${connection.host}:${connection.port}`,
    timeoutMs,
    secrets: [connection.password],
    explain,
  }
  return await converse(service, step, async (signal) => {
    const withSession = (talk: Work) => PostgresSession.with(outbound, connection, timeoutMs, signal, talk)
    if (!once) return await withSession(work)
    const marked: Work = (session) =>
      exactlyOnce(session, step.idempotencyKey, async () => step.mask(await work(session)))
    return await persistently(signal, () => withSession(marked))
  })
}

/** SQLSTATE classes: 28 the login, 3D no such database, 57014 cancelled by the statement timeout, 40 serialisation, 53 resources. */
function explain(error: Error): Explanation | undefined {
  if (/client password must be a/.test(error.message)) {
    return {
      message: 'the database asks for a password: set the password parameter',
      code: 'login_refused',
      retryable: false,
    }
  }
  if (!(error instanceof pg.DatabaseError)) return undefined
  const state = error.code ?? ''
  if (state.startsWith('28'))
    return { message: 'the database refused the user or password', code: 'login_refused', retryable: false }
  if (state === '57014') return { message: 'the statement took too long and was cancelled', code: 'timeout' }
  const detail = error.detail && !state.startsWith('23') ? ` (${error.detail})` : ''
  return {
    message: `the database said: ${error.message}${detail}`,
    code: 'sql_error',
    retryable: /^(40|53|55|57|58|08)/.test(state),
  }
}
