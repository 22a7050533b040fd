import { expect, it } from 'vitest'
import { PasswordHasher } from './password-hasher.js'

const hasher = new PasswordHasher({ memoryCost: 64, timeCost: 1 })

it('verifies by argon2id, with a salt per hash', async () => {
  const hash = await hasher.hash('correct horse')
  expect(hash).toMatch(/^\$argon2id\$v=19\$m=64,t=1,p=1\$/)
  expect(await hasher.hash('correct horse')).not.toBe(hash)
  expect(await hasher.verify(hash, 'correct horse')).toBe(true)
  expect(await hasher.verify(hash, 'correct horsf')).toBe(false)
})

it('refuses every password of nobody, its own decoy included', async () => {
  expect(await hasher.verify(undefined, 'correct horse')).toBe(false)
  expect(await hasher.verify(undefined, 'nobody has this password')).toBe(false)
})

it('verifies hashes of another cost', async () => {
  const cheap = await hasher.hash('correct horse')
  expect(await new PasswordHasher({ memoryCost: 128, timeCost: 2 }).verify(cheap, 'correct horse')).toBe(true)
})

it('costs 19 MiB and two passes unless told otherwise', async () => {
  expect(await new PasswordHasher().hash('correct horse')).toContain('$m=19456,t=2,p=1$')
})
