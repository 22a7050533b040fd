import pg from 'pg'
import type { Response } from 'supertest'
import type { Published } from './published.js'

const READS = ['get', 'head']

/**
 * Operations that change nothing although their method could, or whose changes the trail does not keep. It should only ever shrink: each
 * says why.
 */
export const UNAUDITED: Readonly<Record<string, string>> = {}

/** Remembers the calls that changed something, to hold them against the audit trail: each has left an entry under its request's id. */
export class AuditWitness {
  private readonly calls = new Map<string, string>()
  /** The calls with the same key, of which one is enough. */
  private readonly keys = new Map<string, string[]>()

  saw({ method, operation: { operationId } }: Published, response: Response): void {
    const { status, headers } = response
    if (READS.includes(method) || status >= 300 || operationId in UNAUDITED) return
    const requestId = String(headers['x-request-id'])
    const sameKey = this.withSameKey(operationId, response)
    sameKey.push(requestId)
    if (sameKey.length === 1) this.calls.set(requestId, `${operationId} answered ${status}, ${requestId}`)
  }

  /** The calls without an entry. Where the database is gone, nothing is held against anybody. */
  async missing(databaseUrl: string): Promise<string[]> {
    const client = new pg.Client({ connectionString: databaseUrl })
    client.on('error', () => {})
    try {
      await client.connect()
      const { rows } = await client.query<{ id: string }>(
        'select id from unnest($1::text[]) as asked (id) where not exists (select from audit_entry where request_id = asked.id)',
        [[...this.calls.keys(), ...[...this.keys.values()].flat()]],
      )
      const missing = new Set(rows.map(({ id }) => id))
      const done = [...this.keys.values()].filter((calls) => calls.some((id) => !missing.has(id)))
      const besides = new Set(done.flat())
      return [...this.calls].flatMap(([id, words]) => (missing.has(id) && !besides.has(id) ? [words] : []))
    } catch (error) {
      if ((error as { code?: string }).code === '3D000') return []
      throw error
    } finally {
      await client.end()
    }
  }

  /** Those with the key of this call, whoever of them did what was asked; a call without one is alone. */
  private withSameKey(operationId: string, response: Response): string[] {
    const { req, request } = response as unknown as {
      req: { getHeader(name: string): unknown; path: string }
      request: { _data?: { idempotencyKey?: unknown } }
    }
    const key = request._data?.idempotencyKey ?? req.getHeader('Idempotency-Key')
    if (key === undefined) return []
    const call = `${operationId} ${req.path} ${req.getHeader('Authorization')} ${key}`
    const known = this.keys.get(call) ?? []
    this.keys.set(call, known)
    return known
  }
}
