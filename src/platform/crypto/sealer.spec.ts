import { randomBytes } from 'node:crypto'
import { expect, it } from 'vitest'
import { CannotOpen, Sealer } from './sealer.js'

const one = { id: 'one', key: randomBytes(32) }
const two = { id: 'two', key: randomBytes(32) }
const place = ['secret', 'account_1', 'KEY']

it('opens what it sealed, and never seals the same twice', () => {
  const sealer = new Sealer({ encryptionKeys: [one] })
  for (const text of ['', 'x', 'grüße 🔑', 'a'.repeat(70_000)]) {
    const first = sealer.seal(text, place)
    expect(first.keyId).toBe('one')
    expect(first.sealed).toHaveLength(Buffer.byteLength(text) + 28)
    expect(sealer.open(first, place)).toBe(text)
    expect(sealer.seal(text, place).sealed.equals(first.sealed)).toBe(false)
  }
})

it('opens nothing that was changed, moved or cut', () => {
  const sealer = new Sealer({ encryptionKeys: [one] })
  const { keyId, sealed } = sealer.seal('value', place)
  for (let at = 0; at < sealed.length; at++) {
    const changed = Buffer.from(sealed)
    changed[at] = (changed[at] as number) ^ 1
    expect(() => sealer.open({ keyId, sealed: changed }, place)).toThrow(CannotOpen)
  }
  for (const length of [0, 1, 11, 12, 20, sealed.length - 1]) {
    expect(() => sealer.open({ keyId, sealed: sealed.subarray(0, length) }, place)).toThrow(CannotOpen)
  }
  for (const other of [['secret', 'account_2', 'KEY'], ['secret', 'account_1/KEY'], []]) {
    expect(() => sealer.open({ keyId, sealed }, other)).toThrow(CannotOpen)
  }
})

it('seals with the first key and opens with all', () => {
  const before = new Sealer({ encryptionKeys: [one] }).seal('value', place)
  const rotating = new Sealer({ encryptionKeys: [two, one] })
  expect(rotating.open(before, place)).toBe('value')
  expect(rotating.seal('value', place).keyId).toBe('two')
  expect(() => new Sealer({ encryptionKeys: [two] }).open(before, place)).toThrow("key 'one' is not configured")
})

it('tells no secret and no key in its errors', () => {
  const sealer = new Sealer({ encryptionKeys: [one] })
  const { keyId, sealed } = sealer.seal('hunter22', place)
  try {
    sealer.open({ keyId, sealed }, ['elsewhere'])
    expect.unreachable()
  } catch (error) {
    expect(String(error)).not.toContain('hunter22')
    expect(String(error)).not.toContain(one.key.toString('hex'))
  }
})
