import { createHash, type Hash, hash, randomUUID } from 'node:crypto'
import { constants, type Stats } from 'node:fs'
import { type FileHandle, link, mkdir, open, opendir, rename, rm, stat, utimes } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { contentAddress, objectKey } from './object-key.js'
import {
  type ListedObject,
  type ObjectContent,
  type ObjectPart,
  type ObjectScope,
  ObjectStore,
  type StoredObject,
} from './object-store.js'
import { ObjectDamaged, ObjectMissing } from './objects.errors.js'

/** Objects that are written or read whole at the same time; the rest waits, so that a storm of them does not use up all descriptors. */
const MOST_OPEN = 64
/** Folders that are known to be there, so that they are not asked for with every put. */
const KNOWN_FOLDERS = 10_000
const CHUNK_BYTES = 64 * 1024
/** Of what comes in smaller chunks. */
const WRITE_BYTES = 1024 * 1024
/** However small they are: each costs memory of its own. */
const WRITE_CHUNKS = 256

const INCOMING = '.incoming'
/** Behind the name of an object that is on its way out. */
const LEAVING = '.leaving'

const AREA = /^[a-z][a-z0-9-]{0,62}$/
const SHA256 = /^[0-9a-f]{64}$/
const TENANT = /^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$/

/**
 * Objects as files, `<folder>/<area>/<tenant>/<first two letters of the hash>/<hash>`, for any number of processes that share the folder.
 *
 * A put writes under a name of its own in `.incoming`, waits until the disk has it, renames it, and waits until the disk has the name: an
 * object is whole or absent, whenever the process ends. A delete that minds later puts first renames the object to `….leaving`; one that
 * turns out to be new again goes back, and a reader looks in both places meanwhile.
 */
export class EmbeddedObjectStore extends ObjectStore {
  private readonly turns = new Turns(MOST_OPEN)
  private readonly known = new Set<string>()

  constructor(private readonly folder: string) {
    super()
  }

  async put(scope: ObjectScope, content: ObjectContent): Promise<StoredObject> {
    checkScope(scope)
    // A stream lasts as long as its source does: it holds up nobody's turn.
    if (!(content instanceof Uint8Array)) return this.putStream(scope, content)
    return this.turns.take(() => this.putBytes(scope, content))
  }

  async get(scope: ObjectScope, key: string, part?: ObjectPart): Promise<Readable> {
    const { handle, address } = await this.found(scope, key)
    if (part) return handle.createReadStream({ start: part.first, end: part.last, highWaterMark: CHUNK_BYTES })
    const stream = Readable.from(checked(handle, address.sha256, key), { objectMode: false })
    // A generator that was never asked for anything never comes to its end.
    return stream.once('close', () => void handle.close().catch(() => {}))
  }

  read(scope: ObjectScope, key: string): Promise<Buffer> {
    return this.turns.take(async () => {
      const { handle, address } = await this.found(scope, key)
      try {
        const content = await handle.readFile()
        if (hash('sha256', content) !== address.sha256) throw new ObjectDamaged(key)
        return content
      } finally {
        await handle.close()
      }
    })
  }

  async has(scope: ObjectScope, key: string): Promise<boolean> {
    const path = this.pathOf(scope, key)
    if (!path) return false
    return [path, path + LEAVING, path].reduce(
      async (found, one) => (await found) || (await ifThere(stat(one))) !== undefined,
      Promise.resolve(false),
    )
  }

  async delete(scope: ObjectScope, key: string, unlessPutSince?: Date): Promise<boolean> {
    const path = this.pathOf(scope, key)
    if (!path) return true
    const leaving = path + LEAVING
    if (!unlessPutSince) {
      await Promise.all([rm(path, { force: true }), rm(leaving, { force: true })])
      return true
    }
    const isNew = (found: Stats) => found.mtime >= unlessPutSince
    const found = await ifThere(stat(path))
    if (!found) return true
    if (isNew(found)) return false
    // A put that comes after this finds nothing and writes anew; one that came before it has left its time in the file.
    await ifThere(rename(path, leaving))
    const moved = await ifThere(stat(leaving))
    if (moved && isNew(moved)) {
      await putBack(leaving, path)
      return false
    }
    await rm(leaving, { force: true })
    return true
  }

  async *list(area: string): AsyncIterable<ListedObject> {
    if (!AREA.test(area)) return
    for await (const tenantId of namesIn(join(this.folder, area)))
      for await (const start of namesIn(join(this.folder, area, tenantId)))
        for await (const name of namesIn(join(this.folder, area, tenantId, start))) {
          const path = join(this.folder, area, tenantId, start, name)
          const isLeaving = name.endsWith(LEAVING)
          const sha256 = isLeaving ? name.slice(0, -LEAVING.length) : name
          const found = await ifThere(stat(path))
          // What somebody else has put into the folder is left alone.
          if (!found?.isFile() || !SHA256.test(sha256)) continue
          // Whoever was removing it is gone, or is told by the missing file that it stays.
          if (isLeaving) await putBack(path, path.slice(0, -LEAVING.length))
          yield { scope: { area, tenantId }, key: objectKey({ sha256, size: found.size }), putAt: found.mtime }
        }
  }

  async removeUnfinished(before: Date): Promise<number> {
    let removed = 0
    for await (const name of namesIn(join(this.folder, INCOMING))) {
      const path = join(this.folder, INCOMING, name)
      const found = await ifThere(stat(path))
      if (!found || found.mtime >= before) continue
      await rm(path, { force: true })
      removed++
    }
    return removed
  }

  private async putBytes(scope: ObjectScope, content: Uint8Array): Promise<StoredObject> {
    const stored = described(hash('sha256', content), content.length)
    if (await this.renewed(scope, stored)) return stored
    await this.write([content], () => this.pathOf(scope, stored.key) as string)
    return stored
  }

  private async putStream(scope: ObjectScope, content: AsyncIterable<Uint8Array>): Promise<StoredObject> {
    const sum = createHash('sha256')
    let stored: StoredObject | undefined
    let size = 0
    const counted = (async function* () {
      for await (const chunk of content) {
        sum.update(chunk)
        size += chunk.length
        yield chunk
      }
    })()
    await this.write(counted, () => {
      stored = described(sum.digest('hex'), size)
      return this.pathOf(scope, stored.key) as string
    })
    return stored as unknown as StoredObject
  }

  /** Makes an object that is there new. The put that made it may not have come to its end, so its name is made durable here too. */
  private async renewed(scope: ObjectScope, stored: StoredObject): Promise<boolean> {
    const path = this.pathOf(scope, stored.key) as string
    const found = await ifThere(stat(path))
    if (found?.size !== stored.size) return false
    const now = new Date()
    const touched = await ifThere(utimes(path, now, now).then(() => true))
    if (!touched) return false
    await sync(dirname(path))
    return true
  }

  /** Writes a file whole or not at all; its name may depend on what was written. */
  private async write(
    content: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
    destination: () => string,
  ): Promise<void> {
    const draft = join(this.folder, INCOMING, randomUUID())
    await this.ensureFolder(dirname(draft))
    try {
      const handle = await this.create(draft)
      try {
        await writeAll(handle, content)
        await handle.sync()
      } finally {
        await handle.close()
      }
      const path = destination()
      await this.ensureFolder(dirname(path))
      await this.withFolder(dirname(path), () => rename(draft, path))
      await sync(dirname(path))
    } catch (error) {
      await rm(draft, { force: true })
      throw error
    }
  }

  private create(draft: string): Promise<FileHandle> {
    return this.withFolder(dirname(draft), () => open(draft, 'wx', 0o600))
  }

  /** Once more with a new folder where somebody has removed the one that is known. */
  private async withFolder<T>(folder: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (!isAbsence(error)) throw error
      this.known.delete(folder)
      await this.ensureFolder(folder)
      return await work()
    }
  }

  /** Makes a folder with those above it, durably. */
  private async ensureFolder(folder: string): Promise<void> {
    if (this.known.has(folder)) return
    const first = await mkdir(folder, { recursive: true, mode: 0o700 })
    // The folder that holds the first new one, and every new one that holds another.
    for (let made = folder; first && made.length >= first.length; made = dirname(made)) await sync(dirname(made))
    if (this.known.size >= KNOWN_FOLDERS) this.known.clear()
    this.known.add(folder)
  }

  private async found(scope: ObjectScope, key: string) {
    const address = contentAddress(key)
    const path = this.pathOf(scope, key)
    if (!address || !path) throw new ObjectMissing(key)
    const handle = (await opened(path)) ?? (await opened(path + LEAVING)) ?? (await opened(path))
    if (!handle) throw new ObjectMissing(key)
    const { size } = await handle.stat()
    if (size === address.size) return { handle, address }
    await handle.close()
    throw new ObjectDamaged(key)
  }

  /** Undefined where there can be no such object. Nothing that a caller says becomes part of a path unless it was looked at. */
  private pathOf(scope: ObjectScope, key: string): string | undefined {
    const address = contentAddress(key)
    if (!address || !AREA.test(scope.area) || !TENANT.test(scope.tenantId)) return undefined
    return join(this.folder, scope.area, scope.tenantId, address.sha256.slice(0, 2), address.sha256)
  }
}

/** Lets so many at a time work, the others in the order of their coming. */
class Turns {
  private readonly waiting: (() => void)[] = []

  constructor(private left: number) {}

  async take<T>(work: () => Promise<T>): Promise<T> {
    if (this.left > 0) this.left--
    else await new Promise<void>((resolve) => this.waiting.push(resolve))
    try {
      return await work()
    } finally {
      const next = this.waiting.shift()
      if (next) next()
      else this.left++
    }
  }
}

function checkScope({ area, tenantId }: ObjectScope): void {
  if (!AREA.test(area)) throw new Error(`no area of the object store can be called ${JSON.stringify(area)}`)
  if (!TENANT.test(tenantId)) throw new Error(`no tenant of the object store can be called ${JSON.stringify(tenantId)}`)
}

function described(sha256: string, size: number): StoredObject {
  return { key: objectKey({ sha256, size }), sha256, size }
}

async function* checked(handle: FileHandle, sha256: string, key: string): AsyncGenerator<Buffer> {
  const sum: Hash = createHash('sha256')
  // The last of it is held back until the whole is known to be right: who has got all bytes would take them for it.
  let last: Buffer | undefined
  try {
    for await (const chunk of handle.createReadStream({ autoClose: false, highWaterMark: CHUNK_BYTES })) {
      sum.update(chunk)
      if (last) yield last
      last = chunk
    }
    if (sum.digest('hex') !== sha256) throw new ObjectDamaged(key)
    if (last) yield last
  } finally {
    await handle.close()
  }
}

/** Writes many small chunks as one: each write costs a turn of another thread. */
async function writeAll(handle: FileHandle, content: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void> {
  let chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of content) {
    chunks.push(chunk)
    size += chunk.length
    if (size < WRITE_BYTES && chunks.length < WRITE_CHUNKS) continue
    await writeWhole(handle, chunks)
    chunks = []
    size = 0
  }
  await writeWhole(handle, chunks)
}

async function writeWhole(handle: FileHandle, chunks: Uint8Array[]): Promise<void> {
  for (let left = chunks.filter(({ length }) => length > 0); left.length > 0; ) {
    let written = (await handle.writev(left)).bytesWritten
    left = left.flatMap((chunk) => {
      const done = Math.min(written, chunk.length)
      written -= done
      return done < chunk.length ? [chunk.subarray(done)] : []
    })
  }
}

async function opened(path: string): Promise<FileHandle | undefined> {
  return await ifThere(open(path, constants.O_RDONLY))
}

async function putBack(leaving: string, path: string): Promise<void> {
  // Where a new one was put meanwhile, that one stays.
  await ifThere(link(leaving, path)).catch((error) => {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  })
  await rm(leaving, { force: true })
}

/** Waits until the disk has a folder's names. */
async function sync(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function* namesIn(folder: string): AsyncGenerator<string> {
  const entries = await ifThere(opendir(folder))
  if (entries) for await (const entry of entries) yield entry.name
}

async function ifThere<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer
  } catch (error) {
    if (isAbsence(error)) return undefined
    throw error
  }
}

function isAbsence(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')
}
