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
  private readonly keys = new Set<string>()

  saw({ method, operation: { operationId } }: Published, response: Response): void {
    const { status, headers } = response
    if (READS.includes(method) || status >= 300 || operationId in UNAUDITED) return
    if (this.isRepeated(operationId, response)) return
    this.calls.set(String(headers['x-request-id']), `${operationId} answered ${status}, ${headers['x-request-id']}`)
  }

  /** The calls without an entry. Where the database is gone, nothing is held against anybody. */
  async missing(databaseUrl: string): Promise<string[]> {
    const client = new pg.Client({ connectionString: databaseUrl })
    client.on('error', () => {})
    try {
      await client.connect()
      const { rows } = await client.query<{ id: string }>(
        'select id from unnest($1::text[]) as asked (id) where not exists (select from audit_entry where request_id = asked.id)',
        [[...this.calls.keys()]],
      )
      return rows.map(({ id }) => this.calls.get(id) ?? id)
    } catch (error) {
      if ((error as { code?: string }).code === '3D000') return []
      throw error
    } finally {
      await client.end()
    }
  }

  /** The same answer again for a key that was used before: what was done is in the trail already. */
  private isRepeated(operationId: string, response: Response): boolean {
    const { req } = response as unknown as { req: { getHeader(name: string): unknown; path: string } }
    const key = req.getHeader('Idempotency-Key')
    if (key === undefined) return false
    const call = `${operationId} ${req.path} ${req.getHeader('Authorization')} ${key}`
    const isKnown = this.keys.has(call)
    this.keys.add(call)
    return isKnown
  }
}
