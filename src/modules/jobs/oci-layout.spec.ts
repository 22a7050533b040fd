import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { type Header, pack } from 'tar-stream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { OciLayout } from './oci-layout.js'

let folder: string
let layout: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-oci-'))
  layout = join(folder, 'layout')
  await mkdir(join(layout, 'blobs/sha256'), { recursive: true })
})
afterEach(() => rm(folder, { recursive: true, force: true }))

type Entry = string | (Partial<Header> & { content?: string })

async function layerOf(entries: Record<string, Entry>, form: 'tar' | 'tar+gzip' | 'tar+zstd' = 'tar+gzip') {
  const tar = pack()
  for (const [name, entry] of Object.entries(entries)) {
    const { content = '', ...header } = typeof entry === 'string' ? { content: entry } : entry
    tar.entry({ name, ...header }, content)
  }
  tar.finalize()
  const plain = await buffer(tar)
  const bytes = form === 'tar' ? plain : form === 'tar+gzip' ? gzipSync(plain) : zstdCompressSync(plain)
  return await descriptorOf(bytes, `application/vnd.oci.image.layer.v1.${form}`)
}

async function descriptorOf(bytes: string | Buffer, mediaType: string) {
  const hex = createHash('sha256').update(bytes).digest('hex')
  await writeFile(join(layout, 'blobs/sha256', hex), bytes)
  return { mediaType, digest: `sha256:${hex}`, size: bytes.length }
}

async function image(...layers: Awaited<ReturnType<typeof layerOf>>[]): Promise<void> {
  const manifest = await descriptorOf(
    JSON.stringify({ schemaVersion: 2, layers }),
    'application/vnd.oci.image.manifest.v1+json',
  )
  await writeFile(join(layout, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [manifest] }))
}

const current = (limits?: object) =>
  new OciLayout(join(folder, 'unpacked'), layout, {
    document: 4_000_000,
    layers: 200,
    files: 20_000,
    bytes: 2 ** 29,
    read: 2 ** 32,
    ...limits,
  }).current()

const MANIFEST = `
kind: AddOn
version: 2.1.0
jobs:
  - id: backup.daily
    summary: Daily backup
    entrypoint: [./run.sh, it's]
    argspec: {properties: {target: {type: string}}}
  - {id: tools/clean, path: shared, command: ./clean.sh}
`

describe('an image layout', () => {
  it('has the jobs of its manifest, each in a folder of its own', async () => {
    await image(
      await layerOf({
        'etc/passwd': 'root',
        'flwd-addon/manifest.yaml': MANIFEST,
        'flwd-addon/backup/daily/run.sh': { content: 'echo', mode: 0o755 },
        './flwd-addon/shared/clean.sh': 'echo',
      }),
    )
    const at = await current()
    expect((await readdir(at, { recursive: true })).sort()).toEqual([
      'backup',
      'backup/daily',
      'backup/daily/config.yaml',
      'backup/daily/run.sh',
      'tools',
      'tools/clean',
      'tools/clean/clean.sh',
      'tools/clean/config.yaml',
    ])
    expect(JSON.parse(await readFile(join(at, 'backup/daily/config.yaml'), 'utf8'))).toEqual({
      version: '2.1.0',
      description: 'Daily backup',
      command: `'./run.sh' 'it'\\''s'`,
      argspec: { properties: { target: { type: 'string' } } },
    })
    expect((await stat(join(at, 'backup/daily/run.sh'))).mode & 0o111).not.toBe(0)
  })

  it('may do without a manifest, and changes with its image', async () => {
    await image(await layerOf({ 'addon/a/config.yaml': 'command: one' }, 'tar'))
    const first = await current()
    expect(await readFile(join(first, 'a/config.yaml'), 'utf8')).toBe('command: one')
    await image(
      await layerOf({ 'addon/a/config.yaml': 'command: one', 'addon/b/config.yaml': 'command: b' }, 'tar'),
      await layerOf({ 'addon/a/config.yaml': 'command: two', 'addon/.wh.b': '' }, 'tar+zstd'),
    )
    const second = await current()
    expect(await readdir(second)).toEqual(['a'])
    expect(await readFile(join(second, 'a/config.yaml'), 'utf8')).toBe('command: two')
    expect(await readFile(join(first, 'a/config.yaml'), 'utf8')).toBe('command: one')
  })

  it('writes nothing outside, and makes no link or device', async () => {
    await image(
      await layerOf({
        'addon/../../../escaped': 'x',
        '/addon/absolute/config.yaml': 'command: x',
        'addon/link': { type: 'symlink', linkname: '/etc' },
        'addon/hard': { type: 'link', linkname: '/etc/passwd' },
        'addon/link/passwd': 'written',
        'addon/pipe': { type: 'fifo' },
        'addon/../.wh.unpacked': '',
      }),
    )
    const at = await current()
    expect((await readdir(at, { recursive: true })).sort()).toEqual([
      'absolute',
      'absolute/config.yaml',
      'link',
      'link/passwd',
    ])
    expect((await readdir(folder)).sort()).toEqual(['layout', 'unpacked'])
  })

  it.each([
    ['no layout', async () => {}, /no image layout/],
    ['no image', () => writeFile(join(layout, 'index.json'), '{"manifests": []}'), /holds no image/],
    ['no JSON', () => writeFile(join(layout, 'index.json'), '{'), /not JSON/],
    [
      'a hostile digest',
      () => writeFile(join(layout, 'index.json'), '{"manifests":[{"digest":"sha256:../../x"}]}'),
      /not SHA-256/,
    ],
    ['no jobs', async () => await image(await layerOf({ 'etc/passwd': 'x' })), /neither/],
    [
      'a broken manifest',
      async () => await image(await layerOf({ 'addon/manifest.yaml': 'jobs: [{path: x}]' })),
      /line 1/,
    ],
    [
      'a folder that leads out',
      async () => await image(await layerOf({ 'addon/manifest.yaml': 'jobs: [{id: a, path: ../..}]' })),
      /leads out/,
    ],
    [
      'an unknown layer',
      async () => await image({ ...(await layerOf({})), mediaType: 'application/x' }),
      /which is not read/,
    ],
    [
      'a broken layer',
      async () => await image(await descriptorOf('not gzip', 'application/vnd.oci.image.layer.v1.tar+gzip')),
      /cannot be unpacked/,
    ],
  ])('with %s is refused in plain words', async (_, make, words) => {
    await make()
    await expect(current()).rejects.toThrow(words)
    expect(await readdir(join(folder, 'unpacked')).catch(() => [])).toEqual([])
  })

  it('whose blobs were changed is refused', async () => {
    const layer = await layerOf({ 'addon/a/config.yaml': 'command: x' }, 'tar')
    await image(layer)
    const other = await layerOf({ 'addon/a/config.yaml': 'command: y' }, 'tar')
    const path = (digest: string) => join(layout, 'blobs/sha256', digest.slice('sha256:'.length))
    await writeFile(path(layer.digest), await readFile(path(other.digest)))
    await expect(current()).rejects.toThrow(/is not what its name says/)
  })

  it('of few bytes that stand for many is refused', async () => {
    await image(await layerOf({ 'other/zeros': '\0'.repeat(5_000_000), 'addon/a/config.yaml': 'x' }))
    await expect(current({ read: 1_000_000 })).rejects.toThrow(/more than 1000000 bytes/)
    await expect(current({ bytes: 0 })).rejects.toThrow(/adds more than 0 bytes/)
    await expect(current({ files: 0 })).rejects.toThrow(/adds more than 0 files/)
    expect(await readdir(await current())).toEqual(['a'])
  })
})
