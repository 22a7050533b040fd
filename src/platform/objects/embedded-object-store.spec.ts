import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rename, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { buffer } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { EmbeddedObjectStore } from './embedded-object-store.js'
import { numbered } from './numbered-content.fake.js'
import type { ListedObject } from './object-store.js'
import { ObjectDamaged, ObjectMissing } from './objects.errors.js'

const mine = { area: 'run-values', tenantId: 'tenant_mine' }
const other = { area: 'run-values', tenantId: 'tenant_other' }

let folder: string
let store: EmbeddedObjectStore

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-objects-'))
  store = new EmbeddedObjectStore(folder)
})

afterEach(() => rm(folder, { recursive: true, force: true }))

describe('objects in files', () => {
  it('are found again by their content’s hash and length', async () => {
    const content = Buffer.from('the quick brown fox')
    const stored = await store.put(mine, content)
    const sha256 = createHash('sha256').update(content).digest('hex')
    expect(stored).toEqual({ key: `sha256:${sha256}:19`, sha256, size: 19 })
    expect(await store.read(mine, stored.key)).toEqual(content)
    expect(await buffer(await store.get(mine, stored.key))).toEqual(content)
  })

  it('may come in pieces and be read in pieces', async () => {
    const pieces = Array.from({ length: 40 }, (_, number) => numbered(number))
    const whole = Buffer.concat(pieces)
    const stored = await store.put(
      mine,
      (async function* () {
        yield* pieces
      })(),
    )
    expect(stored.size).toBe(whole.length)
    let chunks = 0
    const read: Buffer[] = []
    for await (const chunk of await store.get(mine, stored.key)) {
      chunks++
      read.push(chunk as Buffer)
    }
    expect(Buffer.concat(read).equals(whole)).toBe(true)
    expect(chunks).toBeGreaterThan(20)
  })

  it('may be read in part, if they have their length', async () => {
    const content = numbered(3)
    const { key, sha256 } = await store.put(mine, content)
    const part = async (first: number, last: number) => buffer(await store.get(mine, key, { first, last }))
    expect(await part(0, 0)).toEqual(content.subarray(0, 1))
    expect(await part(1_000, 69_999)).toEqual(content.subarray(1_000, 70_000))
    expect(await part(content.length - 5, content.length - 1)).toEqual(content.subarray(-5))
    await truncate(pathOf(sha256), 50_000)
    await expect(part(0, 0)).rejects.toThrow(ObjectDamaged)
  })

  it('may come byte by byte, with nothing between', async () => {
    const content = numbered(5).subarray(0, 3_000)
    const stored = await store.put(
      mine,
      (async function* () {
        for (const byte of content) yield* [Buffer.alloc(0), Buffer.of(byte)]
      })(),
    )
    expect(await store.read(mine, stored.key)).toEqual(content)
  })

  it('may be empty', async () => {
    const { key } = await store.put(mine, Buffer.alloc(0))
    expect((await store.read(mine, key)).length).toBe(0)
  })

  it('are kept once however often they are put, also at the same time', async () => {
    const content = numbered(1)
    const stored = await Promise.all(Array.from({ length: 20 }, () => store.put(mine, content)))
    expect(new Set(stored.map(({ key }) => key)).size).toBe(1)
    expect(await listed()).toHaveLength(1)
    expect(await readdir(join(folder, '.incoming'))).toEqual([])
  })

  it('leave nothing of a stream that breaks off', async () => {
    const broken = (async function* () {
      yield numbered(1)
      throw new Error('the source broke')
    })()
    await expect(store.put(mine, broken)).rejects.toThrow('the source broke')
    expect(await listed()).toEqual([])
    expect(await readdir(join(folder, '.incoming'))).toEqual([])
  })

  it('are one tenant’s own: a hash opens nothing elsewhere', async () => {
    const { key } = await store.put(mine, numbered(1))
    await expect(store.read(other, key)).rejects.toThrow(ObjectMissing)
    await expect(store.get({ ...mine, area: 'artifacts' }, key)).rejects.toThrow(ObjectMissing)
    expect(await store.delete(other, key)).toBe(true)
    expect(await store.read(mine, key)).toEqual(numbered(1))
  })

  it.each([
    '',
    '../../../../etc/passwd',
    'sha256:../../../../etc/passwd:1',
    `sha256:${'a'.repeat(62)}..:1`,
    `sha256:${'A'.repeat(64)}:1`,
    `sha256:${'a'.repeat(64)}:-1`,
    `sha256:${'a'.repeat(64)}:01`,
    `sha256:${'a'.repeat(64)}:1\n`,
    `sha256:${'a'.repeat(64)}\0:1`,
    `sha256:${'a'.repeat(64)}:99999999999999999999`,
  ])('have no such key as %j', async (key) => {
    await expect(store.read(mine, key)).rejects.toThrow(ObjectMissing)
    await expect(store.get(mine, key)).rejects.toThrow(ObjectMissing)
    expect(await store.delete(mine, key)).toBe(true)
  })

  it.each(['..', '.incoming', '', 'a/b', 'a\0b', '../x', 'x'.repeat(200)])(
    'belong to no tenant or area called %j',
    async (name) => {
      const { key } = await store.put(mine, numbered(1))
      await expect(store.put({ ...mine, tenantId: name }, numbered(1))).rejects.toThrow('no tenant')
      await expect(store.put({ ...mine, area: name }, numbered(1))).rejects.toThrow('no area')
      await expect(store.read({ ...mine, tenantId: name }, key)).rejects.toThrow(ObjectMissing)
      await expect(store.read({ ...mine, area: name }, key)).rejects.toThrow(ObjectMissing)
    },
  )

  it('tell when they are not what was stored', async () => {
    const [shorter, changed] = await Promise.all([store.put(mine, numbered(1)), store.put(mine, numbered(2))])
    await truncate(pathOf(shorter.sha256), 1_000)
    await writeFile(pathOf(changed.sha256), Buffer.alloc(changed.size))
    await expect(store.read(mine, shorter.key)).rejects.toThrow(ObjectDamaged)
    await expect(store.get(mine, shorter.key)).rejects.toThrow(ObjectDamaged)
    await expect(store.read(mine, changed.key)).rejects.toThrow(ObjectDamaged)
    await expect(buffer(await store.get(mine, changed.key))).rejects.toThrow(ObjectDamaged)
    // One that is too short is written anew.
    await store.put(mine, numbered(1))
    expect(await store.read(mine, shorter.key)).toEqual(numbered(1))
  })

  it('go when they are deleted, unless they were put again meanwhile', async () => {
    const { key, sha256 } = await store.put(mine, numbered(1))
    const before = new Date(Date.now() - 60_000)
    expect(await store.delete(mine, key, before)).toBe(false)
    await utimes(pathOf(sha256), new Date(0), new Date(0))
    await store.put(mine, numbered(1))
    expect(await store.delete(mine, key, before)).toBe(false)
    expect(await store.read(mine, key)).toEqual(numbered(1))
    await utimes(pathOf(sha256), new Date(0), new Date(0))
    expect(await store.delete(mine, key, before)).toBe(true)
    await expect(store.read(mine, key)).rejects.toThrow(ObjectMissing)
    expect(await readdir(join(pathOf(sha256), '..'))).toEqual([])
  })

  it('are there after every put, while they are being swept', async () => {
    const { sha256 } = await store.put(mine, numbered(1))
    let sweeping = true
    const sweep = (async () => {
      let gone = 0
      while (sweeping) {
        await utimes(pathOf(sha256), new Date(0), new Date(0)).catch(() => {})
        for await (const { scope, key } of store.list('run-values'))
          if (await store.delete(scope, key, new Date(1_000))) gone++
      }
      return gone
    })()
    for (let round = 0; round < 100; round++) {
      const { key } = await store.put(mine, numbered(1))
      // From the put on it is new; only this test makes it old again, so what is read may be gone, but never half there.
      const read = await store.read(mine, key).catch((error) => error)
      expect(read instanceof ObjectMissing || numbered(1).equals(read)).toBe(true)
    }
    sweeping = false
    expect(await sweep).toBeGreaterThan(0)
  })

  it('come back when the process that was removing them ended half-way', async () => {
    const { key, sha256 } = await store.put(mine, numbered(1))
    await rename(pathOf(sha256), `${pathOf(sha256)}.leaving`)
    expect(await store.read(mine, key)).toEqual(numbered(1))
    expect((await listed()).map((object) => object.key)).toEqual([key])
    expect((await stat(pathOf(sha256))).size).toBe(numbered(1).length)
  })

  it('are listed with their scope and time, and nothing else is', async () => {
    const before = Date.now() - 1_000
    const first = await store.put(mine, numbered(1))
    const second = await store.put(other, numbered(1))
    await store.put({ ...mine, area: 'artifacts' }, numbered(2))
    await writeFile(join(folder, 'run-values', 'notes.txt'), 'not an object')
    await writeFile(join(pathOf(first.sha256), '..', 'README'), 'not an object either')
    const objects = await listed()
    expect(objects.map(({ scope }) => scope.tenantId).sort()).toEqual(['tenant_mine', 'tenant_other'])
    expect(objects.every(({ key, putAt }) => key === second.key && putAt.getTime() >= before)).toBe(true)
  })

  it('survive that somebody removes empty folders', async () => {
    const { sha256, key } = await store.put(mine, numbered(1))
    await store.delete(mine, key)
    await rm(join(pathOf(sha256), '..'), { recursive: true })
    await store.put(mine, numbered(1))
    await rm(join(folder, '.incoming'), { recursive: true })
    await store.put(mine, numbered(2))
    expect(await listed()).toHaveLength(2)
  })

  it('are whole or absent when two processes on one folder are killed in the middle of their puts', async () => {
    const told = (await Promise.all([killedWhilePutting(0), killedWhilePutting(0), killedWhilePutting(1_000)])).flat()
    expect(told.length).toBeGreaterThan(60)
    for (const { number, key } of told) expect((await store.read(mine2, key)).equals(numbered(number))).toBe(true)
    for (const { scope, key } of await listed()) await store.read(scope, key)
    await store.removeUnfinished(new Date(Date.now() + 60_000))
    expect(await readdir(join(folder, '.incoming'))).toEqual([])
    await store.put(mine, numbered(1))
  })

  it('leave drafts that may still be written', async () => {
    await store.put(mine, numbered(1))
    const draft = join(folder, '.incoming', 'left-behind')
    await writeFile(draft, 'half of')
    expect(await store.removeUnfinished(new Date(Date.now() - 60_000))).toBe(0)
    await utimes(draft, new Date(0), new Date(0))
    expect(await store.removeUnfinished(new Date(Date.now() - 60_000))).toBe(1)
    await expect(readFile(draft)).rejects.toThrow('ENOENT')
  })
})

const mine2 = { area: 'run-values', tenantId: 'default' }

/** Starts a process that puts, kills it once it has said 30 times that an object is durable, and tells what it said. */
async function killedWhilePutting(first: number): Promise<{ number: number; key: string }[]> {
  const root = fileURLToPath(new URL('../../../', import.meta.url))
  const child = spawn(
    process.execPath,
    ['--import', './test/support/typescript.mjs', 'src/platform/objects/putting-process.fake.ts', folder, `${first}`],
    { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const ended = once(child, 'close')
  const told: { number: number; key: string }[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    const [number, key] = line.split(' ')
    if (key?.match(/:\d+$/)) told.push({ number: Number(number), key })
    if (told.length === 30) child.kill('SIGKILL')
  }
  await ended
  return told
}

function pathOf(sha256: string): string {
  return join(folder, mine.area, mine.tenantId, sha256.slice(0, 2), sha256)
}

async function listed(): Promise<ListedObject[]> {
  const objects: ListedObject[] = []
  for await (const object of store.list('run-values')) objects.push(object)
  return objects
}
