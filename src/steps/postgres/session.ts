import { connect } from 'node:net'
import pg from 'pg'
import { StepError } from '../../engine/step.js'
import type { Json, JsonObject } from '../../platform/json.js'
import type { Outbound } from '../ports.js'
import { tcpTarget, tlsOptions } from '../tcp-target.js'
import { typeParsers } from './values.js'

export interface SessionOptions extends JsonObject {
  host: string
  port: number
  user: string
  password: string
  dbname: string
}

export interface SqlResult {
  rows: JsonObject[]
  /** False for statements that return no rows by their nature. */
  returnsRows: boolean
  rowsAffected: number
}

/** What one step may read from a server, answers to all its statements together. */
const MAX_BYTES = 32 * 1024 * 1024
export const UNDEFINED_TABLE = '42P01'
/** Two sessions that create the same table, and the type of its rows, at once: one of them meets one of these. */
export const CREATED_MEANWHILE: ReadonlySet<string> = new Set(['23505', '42P07', '42710'])

/** PostgreSQL's code for a CancelRequest. */
const CANCEL_REQUEST = 80_877_102

interface Wire {
  processID: number | null
  secretKey: number | null
  connection: NodeJS.EventEmitter & { stream: NodeJS.EventEmitter & { destroy(error?: Error): void } }
}

/**
 * One connection to a PostgreSQL server, made for one step. It takes nothing from the environment or a password file. When its signal
 * aborts, the server is told to cancel the running statement, and the connection is closed.
 */
export class PostgresSession {
  private inTransaction = false

  private constructor(private readonly client: pg.Client) {}

  static async with<T>(
    outbound: Outbound,
    options: SessionOptions,
    timeoutMs: number,
    signal: AbortSignal,
    work: (session: PostgresSession) => Promise<T>,
  ): Promise<T> {
    const target = await tcpTarget(outbound, options.host, options.port)
    signal.throwIfAborted()
    const client = new pg.Client({
      host: target.address,
      port: options.port,
      user: options.user,
      // As a function, so that an absent password is not looked for in the environment or in ~/.pgpass.
      password: () => options.password,
      database: options.dbname,
      application_name: 'millrace',
      ssl: ssl(options.ssl, target),
      connectionTimeoutMillis: timeoutMs,
      statement_timeout: Math.ceil(timeoutMs),
      types: typeParsers,
    })
    // What fails is told by the call that failed; without a listener the event would end the process.
    client.on('error', () => {})
    const wire = client as unknown as Wire
    limit(wire)
    const stop = () => {
      cancel(target.address, options.port, wire)
      wire.connection.stream.destroy()
    }
    signal.addEventListener('abort', stop, { once: true })
    try {
      await client.connect()
      return await work(new PostgresSession(client))
    } finally {
      signal.removeEventListener('abort', stop)
      if (!signal.aborted) await client.end().catch(() => {})
    }
  }

  /**
   * Runs one statement. Values are bound, never written into the text: a list as an SQL array, an object as JSON. Several statements in
   * one text are refused by the server.
   */
  async query(text: string, values: readonly Json[] = []): Promise<SqlResult> {
    const query = { text, values: [...values], queryMode: 'extended' }
    const result = await this.client.query(query as pg.QueryConfig)
    return { rows: result.rows, returnsRows: result.fields.length > 0, rowsAffected: result.rowCount ?? 0 }
  }

  /** All or nothing; within a transaction a part of it. */
  async transaction<T>(work: () => Promise<T>, begin: 'BEGIN' | 'BEGIN READ ONLY' = 'BEGIN'): Promise<T> {
    if (this.inTransaction) return await work()
    await this.query(begin)
    this.inTransaction = true
    try {
      const result = await work()
      await this.query('COMMIT')
      return result
    } catch (error) {
      await this.query('ROLLBACK').catch(() => {})
      throw error
    } finally {
      this.inTransaction = false
    }
  }

  /** A statement that may fail: a transaction goes on after it as if it had never been. */
  async attempt(text: string, values: readonly Json[] = []): Promise<SqlResult> {
    if (!this.inTransaction) return await this.query(text, values)
    await this.query('SAVEPOINT millrace')
    try {
      const result = await this.query(text, values)
      await this.query('RELEASE millrace')
      return result
    } catch (error) {
      await this.query('ROLLBACK TO millrace')
      throw error
    }
  }
}

export function sqlState(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined
}

function ssl(wanted: Json | undefined, target: Awaited<ReturnType<typeof tcpTarget>>) {
  if (!wanted) return false
  return {
    ...tlsOptions(target, wanted === true ? {} : (wanted as JsonObject)),
    host: target.servername ?? target.address,
  }
}

/** A server that sends without end, on purpose or by an unbounded SELECT, must not fill the memory. */
function limit(wire: Wire): void {
  let received = 0
  const watch = () => {
    const { stream } = wire.connection
    stream.on('data', (chunk: Buffer) => {
      received += chunk.length
      if (received <= MAX_BYTES) return
      stream.destroy(
        new StepError(`the database answered with more than ${MAX_BYTES} bytes: narrow the query`, {
          code: 'too_large',
          retryable: false,
        }),
      )
    })
  }
  wire.connection.once('connect', watch)
  wire.connection.once('sslconnect', watch)
}

/** Asks the server, over a connection of its own as the protocol has it, to stop what this session is doing. */
function cancel(address: string, port: number, { processID, secretKey }: Wire): void {
  if (processID === null || secretKey === null) return
  const request = Buffer.alloc(16)
  request.writeInt32BE(16, 0)
  request.writeInt32BE(CANCEL_REQUEST, 4)
  request.writeInt32BE(processID, 8)
  request.writeInt32BE(secretKey, 12)
  const socket = connect({ host: address, port, timeout: 5_000 })
  socket.on('error', () => {})
  socket.on('timeout', () => socket.destroy())
  socket.on('connect', () => socket.end(request))
}
