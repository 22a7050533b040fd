import { setTimeout as delay } from 'node:timers/promises'
import type { Client } from 'pg'
import type { Sql } from '../database/sql.js'
import type { HintRoute } from './hints.js'

const CHANNEL = 'millrace_hints'
const RECONNECT_MS = 250

/**
 * LISTEN and NOTIFY on a connection of its own. A transaction that notifies holds a lock of the whole server until it has committed, so
 * it never is one that does work, it does not wait for the disk, and there are few of them.
 */
export class PostgresHints implements HintRoute {
  readonly name = 'Postgres'
  readonly everyMs = 50
  private client?: Client
  private isClosed = false
  private heard: (payload: string) => void = () => {}
  private onError: (error: unknown) => void = () => {}

  constructor(private readonly sql: Pick<Sql, 'client'>) {}

  get isOpen(): boolean {
    return this.client !== undefined
  }

  async open(heard: (payload: string) => void, onError: (error: unknown) => void): Promise<void> {
    this.heard = heard
    this.onError = onError
    try {
      await this.connect()
    } catch (error) {
      onError(error)
      void this.comeBack()
    }
  }

  async send(payloads: readonly string[]): Promise<void> {
    const text = 'select pg_notify($1, payload) from unnest($2::text[]) as payload'
    await this.client?.query({ name: 'hint', text, values: [CHANNEL, payloads] })
  }

  async close(): Promise<void> {
    this.isClosed = true
    const { client } = this
    this.client = undefined
    await client?.end().catch(() => {})
  }

  private async connect(): Promise<void> {
    const client = this.sql.client('millrace hints')
    client.on('notification', ({ payload }) => this.heard(payload ?? ''))
    client.on('end', () => this.broke(client))
    client.on('error', (error) => this.broke(client, error))
    try {
      await client.connect()
      await client.query('set synchronous_commit = off')
      await client.query(`listen ${CHANNEL}`)
    } catch (error) {
      await client.end().catch(() => {})
      throw error
    }
    if (this.isClosed) await client.end()
    else this.client = client
  }

  private broke(client: Client, error?: Error): void {
    if (this.client !== client || this.isClosed) return
    this.client = undefined
    this.onError(error ?? new Error('the connection for hints has ended'))
    client.end().catch(() => {})
    void this.comeBack()
  }

  /** What is hinted meanwhile is lost. */
  private async comeBack(): Promise<void> {
    while (!this.isClosed && !this.client) {
      await delay(RECONNECT_MS)
      // The error that began this was told; the database stays away.
      if (!this.isClosed) await this.connect().catch(() => {})
    }
  }
}
