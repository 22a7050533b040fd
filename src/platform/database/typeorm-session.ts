import type { EntityManager } from 'typeorm'
import type { SqlSession } from './sql.js'

/** Statements in a transaction that belongs to TypeORM. */
export function sessionOf(tx: EntityManager): SqlSession {
  const { queryRunner } = tx
  if (!queryRunner) throw new Error('statements join a transaction: this manager has none')
  return { query: async ({ text }, values) => (await queryRunner.query(text, values, true)).records }
}
