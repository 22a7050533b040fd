import { describe, expect, it } from 'vitest'
import { timeOf } from '../../platform/ids.js'
import { AuditSigner, type SealedContent, START, type Statements } from './audit-signer.js'

const KEY = Buffer.alloc(32, 7)
const signer = new AuditSigner(KEY)
const said: Statements = {
  tenantId: 'tenant_1',
  actorId: 'account_1',
  actorEmail: 'a@example.com',
  action: 'flow.update',
  resourceType: 'flow',
  resourceId: 'flow_1',
  outcome: 'success',
  ip: '192.0.2.7',
  requestId: 'req_1',
  before: { name: 'One', nested: { a: 1, b: [1, { c: null }] } },
  after: null,
}

function written(entry: Statements, id: string = signer.idOf(entry)): SealedContent {
  const { before, after, ...rest } = entry
  return {
    ...rest,
    seq: '1',
    id,
    at: '1760000000.000',
    before: before ? JSON.stringify(before) : null,
    after: after ? JSON.stringify(after) : null,
  }
}

describe('the id of an entry', () => {
  it('is shaped as any other, and tells when it was made', () => {
    const id = signer.idOf(said)
    expect(id).toMatch(/^audit_[0-9A-HJKMNP-TV-Z]{26}$/)
    expect(Math.abs(timeOf(id) - Date.now())).toBeLessThan(1_000)
  })

  it('is another each time, also for the same said in the same moment', () => {
    const ids = Array.from({ length: 10_000 }, () => signer.idOf(said))
    expect(new Set(ids).size).toBe(ids.length)
  })

  it('is genuine for what was said, however that is spelled, and for any process with the key', () => {
    const id = signer.idOf(said)
    const respelled = { ...written(said, id), before: '{ "nested":{"b":[1,{"c":null}],"a":1.0}, "name":"One"}' }
    expect(new AuditSigner(KEY).isGenuine(respelled)).toBe(true)
    expect(new AuditSigner(Buffer.alloc(32, 8)).isGenuine(respelled)).toBe(false)
  })

  it('is not for anything else', () => {
    const id = signer.idOf(said)
    const others: Partial<Statements>[] = [
      { tenantId: 'tenant_2' },
      { actorId: null },
      { actorEmail: 'b@example.com' },
      { action: 'flow.delete' },
      { resourceType: 'run' },
      { resourceId: 'flow_2' },
      { outcome: 'failure' },
      { ip: null },
      { requestId: 'req_2' },
      { before: null },
      { before: null, after: said.before },
      { before: { name: 'One', nested: { a: 1, b: [1, { c: 0 }] } } },
      { before: { name: 'One', nested: { a: 1, b: { 0: 1, 1: { c: null } } } } },
    ]
    expect(others.filter((other) => signer.isGenuine(written({ ...said, ...other }, id)))).toEqual([])
    expect(signer.isGenuine({ ...written(said, id), before: '{oops' })).toBe(false)
    for (const broken of ['', 'audit_', id.slice(1), `${id}0`, id.toLowerCase(), `audit_${'0'.repeat(26)}`])
      expect(signer.isGenuine(written(said, broken)), broken).toBe(false)
  })
})

describe('a seal', () => {
  it('is over the entry as it stands in the database, its place, and the seal before it', () => {
    const entry = written(said)
    const first = signer.seal(START, entry)
    expect(first.position).toBe(1)
    expect(signer.seal(START, entry)).toEqual(first)
    const others: SealedContent[] = [
      { ...entry, seq: '2' },
      { ...entry, at: '1760000000.001' },
      { ...entry, before: `${entry.before} ` },
      { ...entry, id: signer.idOf(said) },
    ]
    for (const other of others) expect(signer.seal(START, other).hash).not.toEqual(first.hash)
    expect(signer.seal(first, entry).hash).not.toEqual(first.hash)
    expect(signer.seal({ ...START, position: 1 }, entry).hash).not.toEqual(first.hash)
  })
})
