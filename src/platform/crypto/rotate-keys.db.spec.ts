import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/support/database.js'
import { type Rotation, rotateKeys, type SealedTable } from './rotate-keys.js'
import { CannotOpen, Sealer } from './sealer.js'

const one = { id: 'one', key: randomBytes(32) }
const two = { id: 'two', key: randomBytes(32) }
const rotating = new Sealer({ encryptionKeys: [two, one] })
const table: SealedTable = { name: 'thing', primaryKey: ['owner', 'name'], columns: ['kind'], place }
let database: TestDatabase

function place(row: Readonly<Record<string, string>>): string[] {
  return [row.kind ?? '', row.owner ?? '', row.name ?? '']
}

beforeAll(async () => {
  database = await testDatabase()
  await database.dataSource.query(
    `create table thing (owner text, name text, kind text, key_id text not null, sealed bytea not null,
       primary key (owner, name))`,
  )
})

afterAll(() => database.drop())

beforeEach(async () => {
  await database.dataSource.query('delete from thing')
  for (let number = 0; number < 25; number++) await insert(new Sealer({ encryptionKeys: [one] }), `n${number}`)
})

async function insert(sealer: Sealer, name: string): Promise<void> {
  const { keyId, sealed } = sealer.seal(`value of ${name}`, place({ owner: 'o', name, kind: 'k' }))
  await database.dataSource.query(`insert into thing values ('o', $1, 'k', $2, $3)`, [name, keyId, sealed])
}

async function rotate(sealer = rotating): Promise<Rotation[]> {
  const rotations: Rotation[] = []
  for await (const rotation of rotateKeys(database.dataSource, sealer, [table], 10)) rotations.push(rotation)
  return rotations
}

async function countUnder(keyId: string): Promise<number> {
  return (await database.dataSource.query('select from thing where key_id = $1', [keyId])).length
}

it('seals all anew, batch by batch, and then has nothing left to do', async () => {
  await insert(rotating, 'new already')
  expect(await rotate()).toEqual([{ table: 'thing', resealed: 25 }])
  expect(await rotate()).toEqual([{ table: 'thing', resealed: 0 }])
  const onlyTwo = new Sealer({ encryptionKeys: [two] })
  const rows = await database.dataSource.query('select owner, name, kind, key_id as "keyId", sealed from thing')
  expect(rows).toHaveLength(26)
  for (const row of rows) expect(onlyTwo.open(row, place(row))).toBe(`value of ${row.name}`)
})

it('goes on after a stop, with the batches before it kept', async () => {
  const three = new Sealer({ encryptionKeys: [{ id: 'three', key: randomBytes(32) }] })
  await insert(three, 'n19a')
  await expect(rotate()).rejects.toThrow(CannotOpen)
  expect([await countUnder('two'), await countUnder('one')]).toEqual([10, 15])
  await database.dataSource.query(`delete from thing where key_id = 'three'`)
  expect(await rotate()).toEqual([{ table: 'thing', resealed: 15 }])
})

it('may be done by two at once', async () => {
  const both = await Promise.all([rotate(), rotate()])
  expect(both.flat().reduce((sum, { resealed }) => sum + resealed, 0)).toBe(25)
  expect(await countUnder('two')).toBe(25)
})
