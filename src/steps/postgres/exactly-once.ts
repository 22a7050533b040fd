import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { StepError } from '../../engine/step.js'
import type { Json } from '../../platform/json.js'
import { CREATED_MEANWHILE, type PostgresSession, sqlState, UNDEFINED_TABLE } from './session.js'

/**
 * Marks in the database of a flow's author which steps have taken effect there, each with what it answered. Rows older than the longest
 * run, its retries and restarts included, may be deleted.
 */
export const OUTCOMES_TABLE = 'millrace_outcome'

const CREATE = `CREATE TABLE IF NOT EXISTS ${OUTCOMES_TABLE} (
  key text PRIMARY KEY,
  output text,
  created_at timestamptz NOT NULL DEFAULT now()
)`
/** Waits for a transaction with the same key, such as one whose connection is gone and whose commit is still under way. */
const MARK = `INSERT INTO ${OUTCOMES_TABLE} (key) VALUES ($1) ON CONFLICT DO NOTHING RETURNING key`
const FIND = `SELECT output FROM ${OUTCOMES_TABLE} WHERE key = $1`
/** Only in the transaction that made the mark. */
const KEEP = `UPDATE ${OUTCOMES_TABLE} SET output = $2 WHERE key = $1 AND xmin::text::bigint = txid_current() & 4294967295`

const PAUSES_MS = [100, 400, 1_600]

/** Does the work, and marks its key with what it came to, in one transaction. Where there is a mark already, answers what it says. */
export async function exactlyOnce(session: PostgresSession, key: string, work: () => Promise<Json>): Promise<Json> {
  try {
    return await marked(session, key, work)
  } catch (error) {
    if (!(error instanceof NoTable)) throw error
    await create(session)
    return await marked(session, key, work)
  }
}

/**
 * Converses once more when the connection breaks: it may have done so in the middle of a commit, and what has a mark is not done again.
 * What the server answers, or a step's own failure, is final.
 */
export async function persistently<T>(signal: AbortSignal, converse: () => Promise<T>): Promise<T> {
  for (const pause of PAUSES_MS) {
    try {
      return await converse()
    } catch (error) {
      if (signal.aborted || !mayBeCommitted(error)) throw error
      await delay(pause, undefined, { signal }).catch(() => {})
    }
  }
  return await converse()
}

async function marked(session: PostgresSession, key: string, work: () => Promise<Json>): Promise<Json> {
  return await session.transaction(async () => {
    const mark = await session.query(MARK, [key]).catch((error) => {
      throw sqlState(error) === UNDEFINED_TABLE ? new NoTable() : error
    })
    if (mark.rows.length === 0) return await answered(session, key)
    const output = await work()
    const { rowsAffected } = await session.query(KEEP, [key, JSON.stringify(output)])
    if (rowsAffected === 0) throw transactionEnded()
    return output
  })
}

async function answered(session: PostgresSession, key: string): Promise<Json> {
  const { rows } = await session.query(FIND, [key])
  const output = rows[0]?.output
  // A mark without an answer: the statements had committed by themselves.
  if (typeof output !== 'string') throw transactionEnded()
  return JSON.parse(output) as Json
}

async function create(session: PostgresSession): Promise<void> {
  try {
    await session.query(CREATE)
  } catch (error) {
    if (!CREATED_MEANWHILE.has(sqlState(error) ?? '')) throw error
  }
}

function mayBeCommitted(error: unknown): boolean {
  if (error instanceof pg.DatabaseError) return /^(08|57P)/.test(error.code ?? '')
  return error instanceof Error && !(error instanceof StepError)
}

function transactionEnded(): StepError {
  return new StepError('with exactly_once the statements must not begin, commit or roll back a transaction', {
    code: 'transaction_ended',
    retryable: false,
  })
}

/** Known to this file only: the marks have no table yet. */
class NoTable extends Error {}
