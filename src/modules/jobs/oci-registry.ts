import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { newId } from '../../platform/ids.js'
import { isJsonObject, type Json, type JsonObject } from '../../platform/json.js'
import type { Outbound } from '../../platform/outbound/outbound.js'
import { type ImageReference, shownImage } from './image-reference.js'
import type { RegistrySource } from './job-settings.js'
import { chosenOf, type Descriptor, hexOf, listOf, OciLayout, SOURCE_LIMITS } from './oci-layout.js'
import { stillThere } from './old-states.js'
import { UnreadableSource } from './source-tree.js'

const LIMITS = { ...SOURCE_LIMITS, packed: 1024 * 1024 * 1024, document: 4 * 1024 * 1024, token: 256 * 1024 }
const DOCUMENT_MS = 30_000
const BLOB_MS = 600_000
const TYPES = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ')

interface Fetched {
  text: string
  descriptor: Descriptor
}

/**
 * The jobs of one image of a registry (OCI distribution-spec 1.1). What its manifest names is got into an image layout of its own and read
 * from there, under the bounds that all layouts have; every byte has to be what its digest says. A tag is asked for each time; an image
 * that is named by its digest, until it was had once.
 */
export class OciRegistry {
  private readonly image: ImageReference
  private authorization?: string
  private had?: string

  constructor(
    private readonly folder: string,
    private readonly source: Pick<RegistrySource, 'image' | 'plainHttp' | 'credentials'>,
    private readonly outbound: Pick<Outbound, 'fetch'>,
    private readonly limits = LIMITS,
  ) {
    this.image = source.image
  }

  /** The folder with the jobs of the image as it is now. Throws `UnreadableSource`. */
  async current(signal?: AbortSignal): Promise<string> {
    if (this.image.sha256 !== null && this.had !== undefined && (await stillThere(this.had))) return this.had
    // A token may end at any time, and costs one question.
    this.authorization = undefined
    const documents = await this.documents(signal)
    const manifest = documents.at(-1) as Fetched
    const known = join(this.folder, hexOf(manifest.descriptor))
    this.had = (await stillThere(known)) ? known : await this.unpacked(documents, signal)
    return this.had
  }

  /** From what the reference names down to the manifest of the image. */
  private async documents(signal?: AbortSignal): Promise<Fetched[]> {
    const found = [await this.document(this.image.reference, this.image.sha256 ?? undefined, signal)]
    for (let depth = 0; depth < 3; depth++) {
      const document = parsed((found.at(-1) as Fetched).text)
      if (Array.isArray(document.layers)) return found
      const chosen = chosenOf(document.manifests)
      found.push(await this.document(`sha256:${hexOf(chosen)}`, hexOf(chosen), signal))
    }
    throw new UnreadableSource(`${shownImage(this.image)} is no image`)
  }

  private async document(reference: string, sha256: string | undefined, signal?: AbortSignal): Promise<Fetched> {
    const response = await this.ask(
      `manifests/${reference}`,
      { accept: TYPES },
      this.limits.document,
      DOCUMENT_MS,
      signal,
    )
    const bytes = Buffer.from(await response.arrayBuffer())
    const hex = createHash('sha256').update(bytes).digest('hex')
    if (sha256 !== undefined && hex !== sha256)
      throw new UnreadableSource(`the registry answered something else than sha256:${sha256}`)
    const mediaType = response.headers.get('content-type')?.split(';')[0]
    return { text: bytes.toString('utf8'), descriptor: { mediaType, digest: `sha256:${hex}` } }
  }

  private async unpacked(documents: readonly Fetched[], signal?: AbortSignal): Promise<string> {
    const layout = join(this.folder, `.new-${newId('job')}`)
    const blobs = join(layout, 'blobs/sha256')
    try {
      await mkdir(blobs, { recursive: true })
      for (const { text, descriptor } of documents) await writeFile(join(blobs, hexOf(descriptor)), text)
      const [top, manifest] = [documents[0] as Fetched, documents.at(-1) as Fetched]
      await writeFile(join(layout, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [top.descriptor] }))
      await this.layers(listOf(parsed(manifest.text).layers), blobs, signal)
      return await new OciLayout(this.folder, layout, this.limits).current()
    } finally {
      await rm(layout, { recursive: true, force: true })
    }
  }

  private async layers(layers: readonly Descriptor[], blobs: string, signal?: AbortSignal): Promise<void> {
    if (layers.length > this.limits.layers)
      throw new UnreadableSource(`the image has more than ${this.limits.layers} layers`)
    let left = this.limits.packed
    for (const hex of new Set(layers.map(hexOf))) {
      const response = await this.ask(`blobs/sha256:${hex}`, { 'accept-encoding': 'identity' }, left, BLOB_MS, signal)
      const hash = createHash('sha256')
      const counted = async function* (chunks: AsyncIterable<Uint8Array>) {
        for await (const chunk of chunks) {
          hash.update(chunk)
          left -= chunk.length
          yield chunk
        }
      }
      const body = Readable.fromWeb(response.body as Parameters<typeof Readable.fromWeb>[0])
      await this.told(() => pipeline(body, counted, createWriteStream(join(blobs, hex), { flags: 'wx' }), { signal }))
      if (hash.digest('hex') !== hex)
        throw new UnreadableSource(`the registry answered something else than sha256:${hex}`)
    }
  }

  /** Asks, and once more with what the registry wants to see. */
  private async ask(
    path: string,
    headers: Record<string, string>,
    maxResponseBytes: number,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<Response> {
    const url = `${this.source.plainHttp ? 'http' : 'https'}://${this.image.host}/v2/${this.image.name}/${path}`
    const send = async () => {
      const authorization = this.authorization
      const all = authorization === undefined ? headers : { ...headers, authorization }
      return await this.told(() => this.outbound.fetch(url, { headers: all, maxResponseBytes, timeoutMs, signal }))
    }
    let response = await send()
    if (response.status === 401 && this.authorization === undefined) {
      const challenge = response.headers.get('www-authenticate') ?? ''
      await response.body?.cancel()
      this.authorization = await this.authorized(challenge, signal)
      response = await send()
    }
    if (response.status === 200 && response.body) return response
    await response.body?.cancel()
    const why = { 401: 'needs other credentials', 403: 'does not allow it', 404: 'does not know it' }[response.status]
    throw new UnreadableSource(`${shownImage(this.image)}: the registry ${why ?? `answered ${response.status}`}`)
  }

  private async authorized(challenge: string, signal?: AbortSignal): Promise<string> {
    const { credentials } = this.source
    const basic =
      credentials && `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')}`
    if (/^basic\b/i.test(challenge) && basic) return basic
    const realm = /^bearer\b/i.test(challenge) ? URL.parse(word(challenge, 'realm') ?? '') : null
    if (!realm) throw new UnreadableSource(`${shownImage(this.image)}: the registry needs credentials`)
    // Credentials go where the registry says, so not in plain unless the registry itself is asked so.
    if (realm.protocol !== 'https:' && !this.source.plainHttp)
      throw new UnreadableSource(`${shownImage(this.image)}: the registry names no https address for its tokens`)
    const service = word(challenge, 'service')
    if (service !== undefined) realm.searchParams.set('service', service)
    realm.searchParams.set('scope', `repository:${this.image.name}:pull`)
    const limits = { maxResponseBytes: this.limits.token, timeoutMs: DOCUMENT_MS, signal }
    const response = await this.told(() =>
      this.outbound.fetch(realm, { ...limits, headers: basic ? { authorization: basic } : {} }),
    )
    const answer = response.ok ? parsed(await this.told(() => response.text())) : {}
    const token = answer.token ?? answer.access_token
    if (typeof token === 'string' && /^[\x21-\x7e]+$/.test(token)) return `Bearer ${token}`
    await response.body?.cancel().catch(() => {})
    throw new UnreadableSource(`${shownImage(this.image)}: no token was given (${response.status})`)
  }

  /** What goes wrong on the way says nothing of credentials. */
  private async told<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw new UnreadableSource(`${shownImage(this.image)}: ${(error as Error).message}`)
    }
  }
}

/** A parameter of a challenge (RFC 9110, section 11.2). */
function word(challenge: string, name: string): string | undefined {
  const found = new RegExp(`[\\s,]${name}=(?:"([^"]*)"|([^\\s,"]+))`, 'i').exec(challenge.slice(0, 4_096))
  return found?.[1] ?? found?.[2]
}

function parsed(text: string): JsonObject {
  try {
    const value = JSON.parse(text) as Json
    if (isJsonObject(value)) return value
  } catch {
    // Told below.
  }
  throw new UnreadableSource('a document of the registry is not JSON')
}
