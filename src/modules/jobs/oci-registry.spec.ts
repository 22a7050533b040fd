import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { pack } from 'tar-stream'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { hasDockerRegistry, REGISTRY_USER, startDockerRegistry } from '../../../test/support/peers/docker-registry.js'
import { GuardedOutbound } from '../../platform/outbound/guarded-outbound.js'
import { imageOf } from './image-reference.js'
import type { RegistrySource } from './job-settings.js'
import { OciRegistry } from './oci-registry.js'

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
const INDEX = 'application/vnd.oci.image.index.v1+json'
const CREDENTIALS = { ...REGISTRY_USER, variable: 'REGISTRY_PASSWORD' }

let folder: string
const outbounds: GuardedOutbound[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-registry-spec-'))
})

afterEach(async () => {
  await Promise.all(outbounds.splice(0).map((one) => one.close()))
  await rm(folder, { recursive: true, force: true })
})

const digestOf = (bytes: Buffer) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

interface Image {
  layer: Buffer
  config: Buffer
  manifest: Buffer
  digest: string
}

async function imageWith(
  files: Record<string, string>,
  mediaType = 'application/vnd.oci.image.layer.v1.tar+gzip',
): Promise<Image> {
  const tar = pack()
  for (const [name, content] of Object.entries(files)) tar.entry({ name }, content)
  tar.finalize()
  const layer = gzipSync(await buffer(tar))
  const config = Buffer.from('{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}')
  const described = (bytes: Buffer, type: string) => ({ mediaType: type, digest: digestOf(bytes), size: bytes.length })
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: described(config, 'application/vnd.oci.image.config.v1+json'),
      layers: [described(layer, mediaType)],
    }),
  )
  return { layer, config, manifest, digest: digestOf(manifest) }
}

const jobs = (text: string) => ({ 'flwd-addon/backup/config.yaml': `command: echo ${text}\n`, 'etc/passwd': 'no job' })

/** The registry is the operator's choice, and nothing else of this host may be reached. */
function registry(
  image: string,
  { allow = '', limits, ...source }: Partial<RegistrySource> & { allow?: string; limits?: object } = {},
) {
  const reference = imageOf(image)
  if (!reference) throw new Error(`${image} is no image`)
  const outbound = new GuardedOutbound({ allow: [reference.host, allow].filter(Boolean).join(',') })
  outbounds.push(outbound)
  const all = {
    layers: 200,
    files: 100,
    bytes: 1_000_000,
    read: 10_000_000,
    packed: 1_000_000,
    document: 100_000,
    token: 10_000,
  }
  return new OciRegistry(
    join(folder, 'oci'),
    { image: reference, plainHttp: true, credentials: null, ...source },
    outbound,
    {
      ...all,
      ...limits,
    },
  )
}

const command = async (root: string) => await readFile(join(root, 'backup/config.yaml'), 'utf8')

describe.skipIf(!hasDockerRegistry)('a registry as Debian has it', () => {
  let peer: Awaited<ReturnType<typeof startDockerRegistry>>

  beforeAll(async () => {
    peer = await startDockerRegistry()
  })
  afterAll(() => peer?.stop())

  async function pushed(name: string, tag: string, image: Image): Promise<void> {
    for (const blob of [image.layer, image.config]) await peer.push(name, digestOf(blob), blob)
    await peer.tag(name, tag, image.manifest, MANIFEST)
  }

  it('gives the jobs of an image by its tag, which may be moved, and by its digest', async () => {
    const [one, two] = [await imageWith(jobs('one')), await imageWith(jobs('two'))]
    await pushed('team/jobs', 'stable', one)
    const byTag = registry(`${peer.host}/team/jobs:stable`, { credentials: CREDENTIALS })
    const first = await byTag.current()
    expect(await command(first)).toBe('command: echo one\n')
    expect(await readdir(first)).toEqual(['backup'])
    await pushed('team/jobs', 'stable', two)
    expect(await command(await byTag.current())).toBe('command: echo two\n')
    const byDigest = registry(`${peer.host}/team/jobs@${one.digest}`, { credentials: CREDENTIALS })
    expect(await command(await byDigest.current())).toBe('command: echo one\n')
    expect((await readdir(join(folder, 'oci'))).filter((name) => name.startsWith('.'))).toEqual([])
  })

  it('gives that for Linux of several', async () => {
    const image = await imageWith(jobs('linux'))
    await pushed('team/many', 'linux', image)
    const index = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: INDEX,
        manifests: [
          {
            mediaType: MANIFEST,
            digest: image.digest,
            size: image.manifest.length,
            platform: { os: 'linux', architecture: 'arm64' },
          },
        ],
      }),
    )
    await peer.tag('team/many', 'all', index, INDEX)
    const root = await registry(`${peer.host}/team/many:all`, { credentials: CREDENTIALS }).current()
    expect(await command(root)).toBe('command: echo linux\n')
  })

  it('says what is wrong without saying the password', async () => {
    const wrong = { ...CREDENTIALS, password: 'quite another password' }
    await expect(registry(`${peer.host}/team/none:1`, { credentials: CREDENTIALS }).current()).rejects.toThrow(
      'does not know it',
    )
    await expect(registry(`${peer.host}/team/none:1`).current()).rejects.toThrow('needs credentials')
    const refused = registry(`${peer.host}/team/jobs:stable`, { credentials: wrong }).current()
    await expect(refused).rejects.toThrow('needs other credentials')
    await expect(refused).rejects.not.toThrow(wrong.password)
  })
})

describe('a registry that', () => {
  const servers: Server[] = []

  afterEach(async () => {
    for (const server of servers.splice(0)) {
      server.closeAllConnections()
      server.close()
    }
  })

  async function serve(handle: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
    const server = createServer(handle).listen(0, '127.0.0.1')
    servers.push(server)
    await once(server, 'listening')
    return `127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  /** Answers what a pull asks for. */
  function answer(
    { url }: IncomingMessage,
    response: ServerResponse,
    { manifest, layer }: Pick<Image, 'manifest' | 'layer'>,
  ): void {
    if (url?.includes('/manifests/')) response.writeHead(200, { 'content-type': MANIFEST }).end(manifest)
    else if (url?.includes('/blobs/')) response.end(layer)
    else response.writeHead(404).end()
  }

  it('wants a token is given one that it named the place of', async () => {
    const image = await imageWith(jobs('token'))
    const asked: string[] = []
    const tokens = await serve((request, response) => {
      asked.push(`${request.headers.authorization} ${request.url}`)
      response.end(JSON.stringify({ access_token: 'a-token' }))
    })
    const host = await serve((request, response) => {
      if (request.headers.authorization === 'Bearer a-token') return answer(request, response, image)
      const challenge = `Bearer realm="http://${tokens}/token?of=registry",service="jobs, and more",scope="repository:all:push"`
      response.writeHead(401, { 'www-authenticate': challenge }).end()
    })
    const root = await registry(`${host}/team/jobs:1`, { allow: tokens, credentials: CREDENTIALS }).current()
    expect(await command(root)).toBe('command: echo token\n')
    const basic = Buffer.from('robot:correct horse').toString('base64')
    expect(asked).toEqual([
      `Basic ${basic} /token?of=registry&service=jobs%2C+and+more&scope=repository%3Ateam%2Fjobs%3Apull`,
    ])
  })

  it.each([
    ['a place inside', 'Bearer realm="http://169.254.169.254/token"', /refused|not allowed/],
    ['no place', 'Bearer service="x"', 'needs credentials'],
    ['a file', 'Bearer realm="file:///etc/passwd"', 'only http and https'],
    ['nothing', '', 'needs credentials'],
  ])('wants a token from %s gets nothing', async (_, challenge, why) => {
    const host = await serve((_request, response) => response.writeHead(401, { 'www-authenticate': challenge }).end())
    await expect(registry(`${host}/a:1`, { credentials: CREDENTIALS }).current()).rejects.toThrow(why)
  })

  it('would have the password sent in plain gets nothing', async () => {
    const image = registry('registry.example.com/a:1', { plainHttp: false, credentials: CREDENTIALS })
    const fetch = async () =>
      new Response('', {
        status: 401,
        headers: { 'www-authenticate': 'Bearer realm="http://registry.example.com/token"' },
      })
    Object.assign(image, { outbound: { fetch } })
    await expect(image.current()).rejects.toThrow('no https address')
  })

  it('sends blobs from elsewhere is followed without what opens it, and to nowhere inside', async () => {
    const image = await imageWith(jobs('elsewhere'))
    const seen: (string | undefined)[] = []
    const store = await serve((request, response) => {
      seen.push(request.headers.authorization)
      response.end(image.layer)
    })
    const host = await serve((request, response) => {
      if (request.headers.authorization === undefined) response.writeHead(401, { 'www-authenticate': 'Basic' }).end()
      else if (request.url?.includes('/blobs/')) response.writeHead(307, { location: `http://${store}/signed` }).end()
      else answer(request, response, image)
    })
    const root = await registry(`${host}/a:1`, { allow: store, credentials: CREDENTIALS }).current()
    expect(await command(root)).toBe('command: echo elsewhere\n')
    expect(seen).toEqual([undefined])
    await rm(join(folder, 'oci'), { recursive: true })
    await expect(registry(`${host}/a:1`, { credentials: CREDENTIALS }).current()).rejects.toThrow(/not allowed|refused/)
  })

  it.each<[string, (image: Image) => Partial<Image>, object, string | RegExp]>([
    ['another layer', () => ({ layer: gzipSync('other') }), {}, 'something else than sha256:'],
    ['no JSON', () => ({ manifest: Buffer.from('<html>') }), {}, 'is not JSON'],
    ['no image', () => ({ manifest: Buffer.from('{"manifests":[]}') }), {}, 'holds no image'],
    [
      'a digest of another kind',
      () => ({ manifest: Buffer.from('{"layers":[{"digest":"md5:1"}]}') }),
      {},
      'not SHA-256',
    ],
    [
      'a digest that is a path',
      () => ({ manifest: Buffer.from('{"layers":[{"digest":"sha256:../../x"}]}') }),
      {},
      'not SHA-256',
    ],
    ['too long a manifest', () => ({}), { document: 100 }, /limit|larger|bytes/],
    ['too much', () => ({}), { packed: 100 }, /limit|larger|bytes/],
    ['too many layers', () => ({}), { layers: 0 }, 'more than 0 layers'],
    ['too many files', () => ({}), { files: 0 }, 'more than 0 files'],
  ])('answers with %s is refused, and leaves nothing', async (_, change, limits, why) => {
    const image = await imageWith(jobs('x'))
    const host = await serve((request, response) => answer(request, response, { ...image, ...change(image) }))
    await expect(registry(`${host}/a:1`, { limits }).current()).rejects.toThrow(why)
    expect(await readdir(join(folder, 'oci')).catch(() => [])).toEqual([])
  })

  it('answers another manifest than that of the digest is refused', async () => {
    const [image, other] = [await imageWith(jobs('x')), await imageWith(jobs('y'))]
    const host = await serve((request, response) => answer(request, response, image))
    await expect(registry(`${host}/a@${other.digest}`).current()).rejects.toThrow('something else than sha256:')
    let asked = 0
    const right = await serve((request, response) => {
      asked++
      answer(request, response, image)
    })
    const pinned = registry(`${right}/a@${image.digest}`)
    expect(await pinned.current()).toBe(await pinned.current())
    expect(asked).toBe(2)
  })

  it('does not answer at all is given up when the server stops', async () => {
    const host = await serve(() => {})
    const stopping = new AbortController()
    const asked = registry(`${host}/a:1`).current(stopping.signal)
    stopping.abort()
    await expect(asked).rejects.toThrow()
  })
})

describe('an image', () => {
  it.each([
    ['ghcr.io/team/jobs:1.2', { host: 'ghcr.io', name: 'team/jobs', reference: '1.2', sha256: null }],
    ['localhost/jobs', { host: 'localhost', name: 'jobs', reference: 'latest', sha256: null }],
    [
      `r:5000/a/b:x@sha256:${'0a'.repeat(32)}`,
      { host: 'r:5000', name: 'a/b', reference: `sha256:${'0a'.repeat(32)}`, sha256: '0a'.repeat(32) },
    ],
    ['[::1]:5000/a', { host: '[::1]:5000', name: 'a', reference: 'latest', sha256: null }],
  ])('is read: %s', (text, expected) => expect(imageOf(text)).toEqual(expected))

  it.each([
    'alpine',
    'team/jobs',
    'http://r.io/a',
    'r.io/A',
    'r.io/a@sha256:12',
    'r.io/../a',
    'r.io/a?x',
    'u:p@r.io/a',
    'r.io/a b',
    `r.io/${'a'.repeat(300)}`,
  ])('is none: %s', (text) => expect(imageOf(text)).toBeUndefined())
})
