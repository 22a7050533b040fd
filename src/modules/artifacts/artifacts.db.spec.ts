import { createHash, randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer, text } from 'node:stream/consumers'
import { Logger } from '@nestjs/common'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/support/database.js'
import type { RunIdentity } from '../../engine/step.js'
import type { LeftFile } from '../../steps/process/ports.js'
import { artifactsBucket } from '../storage/bucket-access.js'
import { ProviderFailed } from '../storage/storage.errors.js'
import { ArtifactsUnderTest, callerOf, fileOf, MEBIBYTE, someRun } from './artifacts.fake.js'

const DAY_MS = 86_400_000
const never = new AbortController().signal

let database: TestDatabase
let artifacts: ArtifactsUnderTest

beforeAll(async () => {
  Logger.overrideLogger(false)
  database = await testDatabase()
})

beforeAll(async () => {
  artifacts = await ArtifactsUnderTest.on(database)
})

afterEach(async () => {
  artifacts.disturb = undefined
  Object.assign(artifacts.limits, { artifactQuotaBytes: 10 * MEBIBYTE, artifactRetentionDays: 7 })
  await database.dataSource.query('truncate artifact, artifact_usage, chore, bucket cascade')
})

afterAll(async () => {
  await artifacts.close()
  await database.drop()
})

const get = (run: RunIdentity, id: string) => artifacts.service.get(callerOf(run), id)

async function read(run: RunIdentity, id: string, range?: { first: number; last: number }): Promise<Buffer> {
  return await buffer(await artifacts.service.content(await get(run, id), range, never))
}

/** The keys of the objects that an account's runs have left. */
async function keys({ tenantId, accountId }: RunIdentity): Promise<string[]> {
  const bucket = artifactsBucket(accountId)
  if (!(await artifacts.storage(tenantId).hasBucket(bucket))) return []
  const { objects } = await artifacts.storage(tenantId).listObjects(bucket, { limit: 1_000 })
  return objects.map(({ key }) => key)
}

async function used({ tenantId }: RunIdentity): Promise<number> {
  const [row] = await database.dataSource.query('select bytes::float8 from artifact_usage where tenant_id = $1', [
    tenantId,
  ])
  return row?.bytes ?? 0
}

async function rows(): Promise<{ state: string }[]> {
  return await database.dataSource.query('select state from artifact')
}

const failing = (call: string) => (called: string) => {
  if (called === call) throw new ProviderFailed('The storage does not answer')
}

describe('a file that a run leaves', () => {
  it('is kept as it is, in the bucket of its account, and never changes', async () => {
    const run = someRun()
    const content = randomBytes(2 * MEBIBYTE + 7)
    const id = await artifacts.kept.keep(run, fileOf('/workspace/out/a b%2F.bin', content, 'application/x-thing'))
    const sha256 = createHash('sha256').update(content).digest('hex')
    expect(await get(run, id)).toMatchObject({
      runId: run.id,
      name: 'a b%2F.bin',
      path: '/workspace/out/a b%2F.bin',
      mediaType: 'application/x-thing',
      size: content.length,
      sha256,
      expiresAt: new Date(artifacts.clock.now().getTime() + 7 * DAY_MS),
    })
    expect(await keys(run)).toEqual([`${run.id}/out/a b%2F.bin`])
    expect((await read(run, id)).equals(content)).toBe(true)
    expect((await read(run, id, { first: 5, last: 8 })).equals(content.subarray(5, 9))).toBe(true)
    expect(await used(run)).toBe(content.length)
  })

  it('is the same artifact when it is left again; another content is refused', async () => {
    const run = someRun()
    const id = await artifacts.kept.keep(run, fileOf('/workspace/a', 'one'))
    expect(await artifacts.kept.keep(run, fileOf('/workspace/a', 'one'))).toBe(id)
    for (const other of ['two', 'three'])
      await expect(artifacts.kept.keep(run, fileOf('/workspace/a', other))).rejects.toMatchObject({
        code: 'artifact-exists',
        retryable: false,
      })
    expect(await text(Readable.from([await read(run, id)]))).toBe('one')
    expect(await artifacts.kept.keep(someRun(run.tenantId, run.accountId), fileOf('/workspace/a', 'two'))).not.toBe(id)
    expect(await used(run)).toBe(6)
  })

  it('may be empty, and be called anything that Unicode has', async () => {
    const run = someRun()
    const paths = [
      '/workspace/leer',
      '/workspace/../etc/passwd',
      '/workspace//x',
      '/workspace/😀\n"\\;',
      '/workspace/a/',
    ]
    for (const path of paths) await artifacts.kept.keep(run, fileOf(path, ''))
    const page = await artifacts.service.page(callerOf(run), { runId: run.id, limit: 100, offset: 0 })
    expect(page.map(({ path }) => path)).toEqual(paths.toReversed())
    expect(await keys(run)).toHaveLength(5)
    for (const { id } of page) expect(await read(run, id)).toHaveLength(0)
  })

  it.each([
    '/etc/passwd',
    'a',
    '/workspace/',
    '/workspace',
    `/workspace/${'ä'.repeat(600)}`,
    '/workspace/\ud800',
    '/workspace/\0',
  ])('is refused where its path is %j', async (path) => {
    const run = someRun()
    await expect(artifacts.kept.keep(run, fileOf(path, 'x'))).rejects.toMatchObject({
      code: 'artifact-path-invalid',
      retryable: false,
    })
    expect(await rows()).toEqual([])
  })

  it.each(['text/html\r\nX-Evil: 1', '', 'nonsense', 'text/plain; charset=\u0001'])(
    'of the media type %j is a file of bytes',
    async (mediaType) => {
      const run = someRun()
      const id = await artifacts.kept.keep(run, fileOf('/workspace/a', 'x', mediaType))
      expect((await get(run, id)).mediaType).toBe('application/octet-stream')
    },
  )

  it('is refused where it is too large, before anything is read of it', async () => {
    const run = someRun()
    const file = { ...fileOf('/workspace/a', ''), size: 8 * MEBIBYTE + 1, content: () => expect.fail('it was read') }
    const refusal = artifacts.kept.keep(run, file)
    await expect(refusal).rejects.toMatchObject({ code: 'artifact-too-large', retryable: false })
    await expect(refusal).rejects.toThrow("The file '/workspace/a' has 8 MiB, and an artifact may have at most 8 MiB")
    expect(await used(run)).toBe(0)
  })

  it('that is shorter or longer than it was said to be leaves nothing', async () => {
    const run = someRun()
    for (const size of [2, 4]) {
      const file: LeftFile = { ...fileOf('/workspace/a', 'abc'), size }
      await expect(artifacts.kept.keep(run, file)).rejects.toMatchObject({ code: 'size-mismatch' })
    }
    expect([await rows(), await keys(run), await used(run)]).toEqual([[], [], 0])
  })

  it('that cannot be read leaves nothing', async () => {
    const run = someRun()
    const content = () =>
      Readable.from(
        (async function* () {
          yield Buffer.from('ab')
          throw new Error('the disk is gone')
        })(),
      )
    await expect(artifacts.kept.keep(run, { ...fileOf('/workspace/a', 'abc'), content })).rejects.toThrow(
      'the disk is gone',
    )
    expect([await rows(), await keys(run), await used(run)]).toEqual([[], [], 0])
  })
})

describe('the quota of a tenant', () => {
  it('is told in plain words where it is used up, and does not bind another', async () => {
    const run = someRun()
    await artifacts.kept.keep(run, fileOf('/workspace/a', Buffer.alloc(7 * MEBIBYTE)))
    const refusal = artifacts.kept.keep(someRun(run.tenantId), fileOf('/workspace/b', Buffer.alloc(4 * MEBIBYTE)))
    await expect(refusal).rejects.toMatchObject({ code: 'storage-quota-exceeded', retryable: false })
    await expect(refusal).rejects.toThrow(/no room for the file '\/workspace\/b' of 4 MiB.*at most 10 MiB/)
    await artifacts.kept.keep(someRun(run.tenantId), fileOf('/workspace/b', Buffer.alloc(3 * MEBIBYTE)))
    await artifacts.kept.keep(someRun(), fileOf('/workspace/b', Buffer.alloc(4 * MEBIBYTE)))
    expect(await used(run)).toBe(10 * MEBIBYTE)
    expect(await rows()).toHaveLength(3)
  })

  it('holds for files that come at the same time', async () => {
    const run = someRun()
    const content = Buffer.alloc(MEBIBYTE)
    const kept = await Promise.allSettled(
      Array.from({ length: 16 }, (_, n) => artifacts.kept.keep(run, fileOf(`/workspace/${n}`, content))),
    )
    expect(kept.filter(({ status }) => status === 'fulfilled')).toHaveLength(10)
    expect(await used(run)).toBe(10 * MEBIBYTE)
  })

  it('is free again once artifacts are deleted', async () => {
    const run = someRun()
    const content = Buffer.alloc(6 * MEBIBYTE)
    const id = await artifacts.kept.keep(run, fileOf('/workspace/a', content))
    await expect(artifacts.kept.keep(run, fileOf('/workspace/b', content))).rejects.toThrow('no room')
    await artifacts.service.delete(callerOf(run), id)
    await artifacts.kept.keep(run, fileOf('/workspace/b', content))
  })

  it('is none where it is 0', async () => {
    artifacts.limits.artifactQuotaBytes = 0
    const run = someRun()
    for (const name of ['a', 'b'])
      await artifacts.kept.keep(run, fileOf(`/workspace/${name}`, Buffer.alloc(6 * MEBIBYTE)))
    expect(await used(run)).toBe(12 * MEBIBYTE)
  })
})

describe('an interruption', () => {
  const crash = () => new Promise<never>(() => {})

  it('before the object is there leaves a row, which the next attempt takes over', async () => {
    const run = someRun()
    artifacts.disturb = (call) => (call === 'putObject' ? crash() : undefined)
    void artifacts.kept.keep(run, fileOf('/workspace/a', 'longer than the second'))
    await expect.poll(rows).toEqual([{ state: 'uploading' }])
    expect(await used(run)).toBe(22)
    artifacts.disturb = undefined
    const id = await artifacts.kept.keep(run, fileOf('/workspace/a', 'second'))
    expect(String(await read(run, id))).toBe('second')
    expect(await used(run)).toBe(6)
  })

  it('after the object is there leaves both, and the next attempt puts the object out of the way', async () => {
    const run = someRun()
    const first = artifacts.kept.keep(run, {
      ...fileOf('/workspace/a', 'first'),
      content: () => Readable.from([Buffer.from('first')]),
    })
    const id = await first
    await database.dataSource.query(
      `update artifact set state = 'uploading', sha256 = null, claim = 'of a process that died',
      claimed_at = $1`,
      [artifacts.clock.now()],
    )
    await expect(get(run, id)).rejects.toMatchObject({ slug: 'artifact-not-found' })
    expect(await artifacts.kept.keep(run, fileOf('/workspace/a', 'second'))).toBe(id)
    expect(String(await read(run, id))).toBe('second')
    expect(await used(run)).toBe(6)
  })

  it('that nobody comes back from is swept after a day, row, object and bytes', async () => {
    const run = someRun()
    await artifacts.kept.keep(run, fileOf('/workspace/a', 'first'))
    await database.dataSource.query(
      `update artifact set state = 'uploading', sha256 = null, claim = 'x', claimed_at = $1`,
      [artifacts.clock.now()],
    )
    artifacts.clock.advance(DAY_MS - 1)
    await artifacts.sweep().look()
    expect(await rows()).toEqual([{ state: 'uploading' }])
    artifacts.clock.advance(DAY_MS)
    await artifacts.sweep().look()
    expect([await rows(), await keys(run), await used(run)]).toEqual([[], [], 0])
  })

  it('of an upload that was taken over finishes nothing: whoever came last has it', async () => {
    const run = someRun()
    const gate = Promise.withResolvers<void>()
    const reached = Promise.withResolvers<void>()
    artifacts.disturb = (call) => {
      if (call !== 'putObject') return undefined
      reached.resolve()
      return gate.promise
    }
    const late = artifacts.kept.keep(run, fileOf('/workspace/a', 'late'))
    await reached.promise
    artifacts.disturb = undefined
    const id = await artifacts.kept.keep(run, fileOf('/workspace/a', 'early'))
    gate.resolve()
    await expect(late).rejects.toThrow()
    expect(String(await read(run, id))).toBe('early')
    expect([await used(run), await keys(run)]).toEqual([5, [`${run.id}/a`]])
  })

  it('of a removal is finished by the next one', async () => {
    const run = someRun()
    const id = await artifacts.kept.keep(run, fileOf('/workspace/a', 'x'))
    artifacts.disturb = failing('deleteObject')
    await artifacts.service.delete(callerOf(run), id)
    await expect(get(run, id)).rejects.toMatchObject({ slug: 'artifact-not-found' })
    expect(await rows()).toEqual([{ state: 'removing' }])
    expect(await used(run)).toBe(1)
    await expect(artifacts.kept.keep(run, fileOf('/workspace/a', 'y'))).rejects.toMatchObject({ code: 'artifact-busy' })
    artifacts.disturb = undefined
    artifacts.clock.advance(10 * 60_000)
    await artifacts.sweep().look()
    expect([await rows(), await keys(run), await used(run)]).toEqual([[], [], 0])
  })
})

describe('a storage that fails', () => {
  it('fails the step in its words, and leaves nothing once it is back', async () => {
    const run = someRun()
    artifacts.disturb = () => {
      throw new ProviderFailed('The storage does not answer')
    }
    await expect(artifacts.kept.keep(run, fileOf('/workspace/a', 'x'))).rejects.toMatchObject({
      name: 'StepError',
      code: 'storage-provider-failed',
      message: "The artifact '/workspace/a' could not be stored: The storage does not answer",
      retryable: true,
    })
    artifacts.disturb = undefined
    artifacts.clock.advance(10 * 60_000)
    await artifacts.sweep().look()
    expect([await rows(), await used(run)]).toEqual([[], 0])
  })

  it('is told to who reads; so is a content that is gone, or another one', async () => {
    const run = someRun()
    const id = await artifacts.kept.keep(run, fileOf('/workspace/a', 'x'))
    artifacts.disturb = failing('getObject')
    await expect(read(run, id)).rejects.toThrow('The storage does not answer')
    artifacts.disturb = undefined
    const [bucket, key] = [artifactsBucket(run.accountId), `${run.id}/a`]
    await artifacts.storage(run.tenantId).putObject(bucket, key, Readable.from([Buffer.from('y')]))
    await expect(read(run, id)).rejects.toThrow('not what was stored')
    await artifacts.storage(run.tenantId).deleteObject(bucket, key)
    await expect(read(run, id)).rejects.toMatchObject({ kind: 'bad_gateway' })
  })
})

describe('artifacts whose time is over', () => {
  it('are seen by nobody any more, and are removed with their objects', async () => {
    const run = someRun()
    const old = await artifacts.kept.keep(run, fileOf('/workspace/old', 'x'))
    artifacts.clock.advance(4 * DAY_MS)
    const young = await artifacts.kept.keep(run, fileOf('/workspace/young', 'y'))
    artifacts.clock.advance(3 * DAY_MS)
    await expect(get(run, old)).rejects.toMatchObject({ slug: 'artifact-not-found' })
    expect(await artifacts.service.page(callerOf(run), { limit: 9, offset: 0 })).toMatchObject([{ id: young }])
    await artifacts.sweep().look()
    expect([await keys(run), await used(run)]).toEqual([[`${run.id}/young`], 1])
  })

  it('are removed by one process, in more batches than one, past those that cannot be', async () => {
    const run = someRun()
    await artifacts.kept.keep(run, fileOf('/workspace/0', 'x'))
    await database.dataSource.query(
      `insert into artifact select 'artifact_' || lpad(n::text, 26, '0'), run_id, tenant_id, account_id, name, '/workspace/' || n,
         media_type, 0, sha256, provider_id, bucket, key || n, state, null, null, created_at, expires_at
       from artifact, generate_series(1, 250) as n`,
    )
    artifacts.clock.advance(8 * DAY_MS)
    const asked: unknown[] = []
    artifacts.disturb = (call, args) => {
      if (call !== 'deleteObject') return
      asked.push(args[1])
      if (String(args[1]).endsWith('7')) throw new ProviderFailed('The storage does not answer')
    }
    await Promise.all([artifacts.sweep().look(), artifacts.sweep().look()])
    expect(asked).toHaveLength(251)
    expect(new Set(asked).size).toBe(251)
    expect(await rows()).toHaveLength(25)
  })

  it('are none where they are kept as long as their runs', async () => {
    artifacts.limits.artifactRetentionDays = 0
    const run = someRun()
    const id = await artifacts.kept.keep(run, fileOf('/workspace/a', 'x'))
    artifacts.clock.advance(4_000 * DAY_MS)
    await artifacts.sweep().look()
    expect((await get(run, id)).expiresAt).toBeUndefined()
  })
})

it('what an account has left goes with it', async () => {
  const [one, other] = [someRun(), someRun()]
  await artifacts.kept.keep(one, fileOf('/workspace/a', 'x'))
  await artifacts.kept.keep(other, fileOf('/workspace/a', 'x'))
  await artifacts.states.withdrawAll(database.sql, one.accountId, artifacts.clock.now())
  await artifacts.sweep().look()
  expect([await keys(one), await keys(other)]).toEqual([[], [`${other.id}/a`]])
})
