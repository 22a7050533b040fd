import type { Transaction } from '../../engine/step.js'
import type { SqlSession } from '../../platform/database/sql.js'

/** Where statements run, with a way to have several of them done or none. */
export interface Transactor extends SqlSession {
  transaction<T>(work: (tx: SqlSession) => Promise<T>): Promise<T>
}

const sessions = new WeakMap<Transaction, SqlSession>()

/** A session as the engine hands it to a step, which knows nothing of SQL. */
export function transactionOf(session: SqlSession): Transaction {
  const transaction = {} as Transaction
  sessions.set(transaction, session)
  return transaction
}

/** The session behind a transaction: what is done in it is done when the transaction is. */
export function within(transaction: Transaction): Transactor {
  const session = sessions.get(transaction)
  if (!session) throw new Error('this transaction is none of the platform’s')
  return joined(session)
}

/** Where a transaction is under way already: what is to be done in one is done in that. */
export function joined(session: SqlSession): Transactor {
  return {
    query: (statement, values) => session.query(statement, values),
    transaction: (work) => work(session),
  }
}
