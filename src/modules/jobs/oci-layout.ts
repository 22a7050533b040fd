import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { extract, type Header } from 'tar-stream'
import { normalPath } from '../../definitions/flwd/index.js'
import { newId } from '../../platform/ids.js'
import { writeAddOn } from './oci-add-on.js'
import { removeOldStates, stillThere } from './old-states.js'
import { UnreadableSource } from './source-tree.js'

/** What one image may cost. */
export const SOURCE_LIMITS = {
  document: 4 * 1024 * 1024,
  layers: 200,
  files: 20_000,
  bytes: 512 * 1024 * 1024,
  read: 4 * 1024 * 1024 * 1024,
}
const DIGEST = /^sha256:([0-9a-f]{64})$/
/** Where an image has what it adds. */
const PLACES = ['flwd-addon/', 'addon/']
const WHITEOUT = '.wh.'

export interface Descriptor {
  mediaType?: string
  digest?: string
  annotations?: Record<string, string>
  platform?: { os?: string }
}

/**
 * The jobs of one image in an image layout (OCI image-spec 1.1) on disk. Of its layers only what lies under `/flwd-addon` or `/addon` is
 * taken, each state into a folder of the image's digest, which is there as a whole or not at all. Every blob has to be what its digest
 * says; links, devices and paths that lead out are left.
 */
export class OciLayout {
  constructor(
    private readonly folder: string,
    private readonly layout: string,
    private readonly limits = SOURCE_LIMITS,
  ) {}

  /** The folder with the jobs of the image as it is now. Throws `UnreadableSource`. */
  async current(): Promise<string> {
    const { digest, layers } = await this.manifest()
    const target = join(this.folder, digest)
    if (await stillThere(target)) return target
    const unfinished = join(this.folder, `.new-${newId('job')}`)
    try {
      await mkdir(join(unfinished, 'image'), { recursive: true })
      const budget = { files: 0, bytes: 0, read: 0 }
      for (const layer of layers) await this.unpack(layer, join(unfinished, 'image'), budget)
      await writeAddOn(join(unfinished, 'image'), join(unfinished, 'jobs'))
      await rename(join(unfinished, 'jobs'), target).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
      })
      await removeOldStates(this.folder, digest, (name) => /^[0-9a-f]{64}$|^\.new-/.test(name))
      return target
    } finally {
      await rm(unfinished, { recursive: true, force: true })
    }
  }

  /** Of the only image of the layout, or of its first for Linux. */
  private async manifest(): Promise<{ digest: string; layers: Descriptor[] }> {
    let index = await this.json(await this.document(join(this.layout, 'index.json')))
    for (let depth = 0; depth < 4; depth++) {
      const chosen = chosenOf(index.manifests)
      const text = await this.blob(chosen)
      const found = await this.json(text)
      if (Array.isArray(found.layers)) {
        const layers = listOf(found.layers)
        if (layers.length > this.limits.layers)
          throw new UnreadableSource(`the image has more than ${this.limits.layers} layers`)
        return { digest: hexOf(chosen), layers }
      }
      index = found
    }
    throw new UnreadableSource('the image layout holds no image')
  }

  private async blob(descriptor: Descriptor): Promise<string> {
    const hex = hexOf(descriptor)
    const text = await this.document(join(this.layout, 'blobs/sha256', hex))
    if (createHash('sha256').update(text).digest('hex') !== hex)
      throw new UnreadableSource(`the blob ${hex} is not what its name says`)
    return text
  }

  private async document(path: string): Promise<string> {
    const known = await stat(path).catch(() => undefined)
    if (!known?.isFile()) throw new UnreadableSource(`${path} is not there: this is no image layout`)
    if (known.size > this.limits.document) throw new UnreadableSource(`${path} is too large`)
    return await readFile(path, 'utf8')
  }

  private async json(text: string): Promise<{ manifests?: unknown; layers?: unknown }> {
    try {
      const value: unknown = JSON.parse(text)
      if (typeof value === 'object' && value !== null) return value
    } catch {
      // Told below.
    }
    throw new UnreadableSource('a document of the image layout is not JSON')
  }

  private async unpack(layer: Descriptor, target: string, budget: Budget): Promise<void> {
    const hex = hexOf(layer)
    const steps = decompressionOf(layer)
    const path = join(this.layout, 'blobs/sha256', hex)
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch(() => {
      throw new UnreadableSource(`the layer ${hex} is not there`)
    })
    if (!(await file.stat()).isFile()) {
      await file.close()
      throw new UnreadableSource(`the layer ${hex} is not a file`)
    }
    const hash = createHash('sha256')
    const bytes = async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        hash.update(chunk)
        yield chunk
      }
    }
    const entries = extract()
    const taken = this.take(entries, target, budget)
    // Whichever of the two fails first says why.
    taken.catch((error) => entries.destroy(error))
    const source = file.createReadStream()
    const counted = counting(budget, this.limits.read)
    try {
      if (steps) await pipeline(source, bytes, steps, counted, entries)
      else await pipeline(source, bytes, counted, entries)
      await taken
    } catch (error) {
      const own = await taken.then(
        () => error,
        (thrown) => thrown,
      )
      for (const known of [own, error]) if (known instanceof UnreadableSource) throw known
      throw new UnreadableSource(`the layer ${hex} cannot be unpacked: ${(error as Error).message}`)
    }
    if (hash.digest('hex') !== hex) throw new UnreadableSource(`the layer ${hex} is not what its name says`)
  }

  private async take(entries: ReturnType<typeof extract>, target: string, budget: Budget): Promise<void> {
    for await (const entry of entries) {
      const path = normalPath(entry.header.name.replace(/^(\.?\/)+/, ''))
      if (path !== undefined && PLACES.some((place) => `${path}/`.startsWith(place)))
        await this.put(path, entry, target, budget)
      entry.resume()
    }
  }

  private async put(
    path: string,
    entry: AsyncIterable<unknown> & { header: Header },
    target: string,
    budget: Budget,
  ): Promise<void> {
    const { type, mode = 0, size = 0 } = entry.header
    const name = path.slice(path.lastIndexOf('/') + 1)
    const full = join(target, path)
    if (name.startsWith(WHITEOUT)) {
      const gone =
        name === `${WHITEOUT}${WHITEOUT}.opq` ? dirname(full) : join(dirname(full), name.slice(WHITEOUT.length))
      if (gone.startsWith(`${target}/`)) await rm(gone, { recursive: true, force: true })
      return
    }
    if (type !== 'file' && type !== 'contiguous-file') return
    budget.files++
    budget.bytes += size
    if (budget.files > this.limits.files)
      throw new UnreadableSource(`the image adds more than ${this.limits.files} files`)
    if (budget.bytes > this.limits.bytes)
      throw new UnreadableSource(`the image adds more than ${this.limits.bytes} bytes`)
    await mkdir(dirname(full), { recursive: true })
    await rm(full, { recursive: true, force: true })
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
    const file = await open(full, flags, (mode & 0o111) === 0 ? 0o644 : 0o755)
    await pipeline(entry as AsyncIterable<Buffer>, file.createWriteStream())
  }
}

interface Budget {
  files: number
  bytes: number
  /** Bytes of the layers once they are decompressed: a few may stand for endlessly many. */
  read: number
}

function counting(budget: Budget, most: number) {
  return async function* (chunks: AsyncIterable<Buffer>) {
    for await (const chunk of chunks) {
      budget.read += chunk.length
      if (budget.read > most) throw new UnreadableSource(`the image has more than ${most} bytes`)
      yield chunk
    }
  }
}

function decompressionOf({ mediaType = '' }: Descriptor) {
  if (/\+gzip$|\.gzip$/.test(mediaType)) return createGunzip()
  if (/\+zstd$/.test(mediaType)) return createZstdDecompress()
  if (/tar$/.test(mediaType)) return undefined
  throw new UnreadableSource(`a layer is of the type '${mediaType.slice(0, 100)}', which is not read`)
}

/** Of several the first for Linux. */
export function chosenOf(manifests: unknown): Descriptor {
  const chosen = listOf(manifests).find(({ platform }) => (platform?.os ?? 'linux') === 'linux')
  if (!chosen) throw new UnreadableSource('the image layout holds no image')
  return chosen
}

export function listOf(value: unknown): Descriptor[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === 'object' && one !== null) : []
}

export function hexOf({ digest }: Descriptor): string {
  const hex = DIGEST.exec(String(digest))?.[1]
  if (!hex) throw new UnreadableSource('the image layout has a digest that is not SHA-256')
  return hex
}
