import { execFile, spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { contentOf, hostileNames } from '../../../test/support/hostile-names.js'
import { type S3InUse, s3InUse } from './s3-in-use.fake.js'

/** Names come from here; another seed is another thousand. */
const SEED = Number(process.env.HOSTILE_SEED ?? 20_260)
const COUNT = 1_000
/** A shared machine may be slow; each takes some ten seconds of two cores of its own. */
const PATIENCE_MS = 300_000

let s3: S3InUse
let client: S3Client
let folder: string

beforeAll(async () => {
  s3 = await s3InUse()
  client = s3.client()
  folder = await mkdtemp(join(tmpdir(), 'millrace-s3-clients-'))
}, PATIENCE_MS)

afterAll(async () => {
  client.destroy()
  await s3.api.close()
  await rm(folder, { recursive: true, force: true })
})

describe('a thousand objects with hostile names are put, listed, read and deleted', () => {
  it(
    'by the AWS SDK',
    async () => {
      const Bucket = 'by-the-sdk'
      const names = hostileNames(COUNT, SEED)
      await client.send(new CreateBucketCommand({ Bucket }))
      await inTurns(names, (Key) => client.send(new PutObjectCommand({ Bucket, Key, Body: contentOf(Key) })))
      expect(await listed(Bucket)).toEqual(sorted(names))
      await inTurns(names, async (Key) => {
        const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }))
        expect(await Body?.transformToString()).toBe(contentOf(Key))
      })
      const Objects = names.map((Key) => ({ Key }))
      const { Deleted, Errors } = await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }))
      expect(Errors ?? []).toEqual([])
      expect(Deleted).toHaveLength(COUNT)
      expect(await listed(Bucket)).toEqual([])
      await client.send(new DeleteBucketCommand({ Bucket }))
    },
    PATIENCE_MS,
  )

  it.skipIf(missing('rclone'))(
    'by rclone',
    async () => {
      const names = forFiles(hostileNames(4 * COUNT, SEED))
        .filter(isForRclone)
        .slice(0, COUNT)
      expect(names).toHaveLength(COUNT)
      const from = await files('rclone-from', names)
      const to = join(folder, 'rclone-to')
      const rclone = (...words: string[]) =>
        run('rclone', ['--config=', '--transfers=16', '--retries=1', '--no-unicode-normalization', ...words], {
          RCLONE_CONFIG_IT_TYPE: 's3',
          RCLONE_CONFIG_IT_PROVIDER: 'Other',
          // Without it, lists of names that XML 1.0 cannot hold are not understood.
          RCLONE_CONFIG_IT_LIST_URL_ENCODE: 'true',
          RCLONE_CONFIG_IT_ENDPOINT: s3.endpoint,
          RCLONE_CONFIG_IT_ACCESS_KEY_ID: s3.accessKey,
          RCLONE_CONFIG_IT_SECRET_ACCESS_KEY: s3.secretKey,
        })
      await rclone('mkdir', 'it:by-rclone')
      await rclone('copy', from, 'it:by-rclone')
      expect(await listed('by-rclone')).toEqual(sorted(names))
      await rclone('copy', 'it:by-rclone', to)
      await expectFiles(to, names)
      await rclone('check', '--download', from, 'it:by-rclone')
      await rclone('delete', 'it:by-rclone')
      expect(await listed('by-rclone')).toEqual([])
      await rclone('rmdir', 'it:by-rclone')
    },
    PATIENCE_MS,
  )

  it.skipIf(missing('s3cmd'))(
    'by s3cmd',
    async () => {
      const names = forFiles(hostileNames(4 * COUNT, SEED))
        .filter(isForS3cmd)
        .slice(0, COUNT)
      expect(names).toHaveLength(COUNT)
      const from = await files('s3cmd-from', names)
      const to = join(folder, 's3cmd-to')
      const config = join(folder, 's3cmd.conf')
      const host = s3.endpoint.replace('http://', '')
      await writeFile(
        config,
        `[default]\naccess_key = ${s3.accessKey}\nsecret_key = ${s3.secretKey}\nhost_base = ${host}\nhost_bucket = ${host}\nuse_https = False\n`,
      )
      const s3cmd = (...words: string[]) =>
        run('s3cmd', ['--config', config, '--no-progress', '--quiet', ...words], { LC_ALL: 'C.UTF-8' })
      await s3cmd('mb', 's3://by-s3cmd')
      await s3cmd('put', '--recursive', `${from}/`, 's3://by-s3cmd/')
      expect(await listed('by-s3cmd')).toEqual(sorted(names))
      await mkdir(to)
      await s3cmd('get', '--recursive', 's3://by-s3cmd/', `${to}/`)
      await expectFiles(to, names)
      await s3cmd('del', '--recursive', '--force', 's3://by-s3cmd/')
      expect(await listed('by-s3cmd')).toEqual([])
      await s3cmd('rb', 's3://by-s3cmd')
    },
    PATIENCE_MS,
  )
})

/** Clients that copy folders know only what files can be called, and one name is not both a file and a folder. */
function forFiles(names: readonly string[]): string[] {
  const files = new Set<string>()
  const folders = new Set<string>()
  for (const name of names) {
    const segments = name.split('/')
    const above = segments.map((_, index) => segments.slice(0, index).join('/')).slice(1)
    const isFile = segments.every((one) => !['', '.', '..'].includes(one) && Buffer.byteLength(one) <= 200)
    if (!isFile || folders.has(name) || above.some((one) => files.has(one))) continue
    files.add(name)
    for (const one of above) folders.add(one)
  }
  return [...files]
}

/** Its own quoting sign comes back doubled from names of files. */
function isForRclone(name: string): boolean {
  return !name.includes('‛')
}

/**
 * It writes characters that do not print in its own way (`^J`) and U+FFFD as a question mark, takes blank names for none, and never asks for
 * `encoding-type=url`, so that it cannot read lists of names that XML 1.0 cannot hold.
 */
function isForS3cmd(name: string): boolean {
  return !/[\p{Cc}\ufffd\ufffe]/u.test(name) && name.trim() !== ''
}

async function listed(Bucket: string): Promise<string[]> {
  const keys: string[] = []
  let ContinuationToken: string | undefined
  do {
    const page = await client.send(
      new ListObjectsV2Command({ Bucket, EncodingType: 'url', MaxKeys: 300, ContinuationToken }),
    )
    keys.push(...(page.Contents ?? []).map(({ Key }) => decodeURIComponent(Key ?? '')))
    ContinuationToken = page.NextContinuationToken
  } while (ContinuationToken !== undefined)
  return keys
}

/** As their bytes are. */
function sorted(names: readonly string[]): string[] {
  return [...names].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
}

async function inTurns<T>(all: readonly T[], work: (one: T) => Promise<unknown>): Promise<void> {
  const waiting = [...all]
  const lane = async () => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) await work(next)
  }
  await Promise.all(Array.from({ length: 16 }, lane))
}

async function files(name: string, names: readonly string[]): Promise<string> {
  const root = join(folder, name)
  for (const one of names) {
    await mkdir(dirname(join(root, one)), { recursive: true })
    await writeFile(join(root, one), contentOf(one))
  }
  return root
}

async function expectFiles(root: string, names: readonly string[]): Promise<void> {
  const found = (await readdir(root, { recursive: true, withFileTypes: true })).filter((one) => one.isFile())
  expect(found).toHaveLength(names.length)
  for (const name of names) expect(await readFile(join(root, name), 'utf8')).toBe(contentOf(name))
}

function missing(program: string): boolean {
  return spawnSync(program, ['--version']).status !== 0
}

async function run(program: string, words: string[], more: Record<string, string>): Promise<string> {
  const env = { PATH: process.env.PATH, HOME: folder, ...more }
  const { stdout } = await promisify(execFile)(program, words, { env, maxBuffer: 64 * 1024 * 1024 })
  return stdout
}
