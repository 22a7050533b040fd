import { ObjectNotFound } from '../storage.errors.js'
import type { StorageDriver } from '../storage-driver.js'

/** The keys of all objects of a bucket, page by page. */
export async function* keysOf(driver: Pick<StorageDriver, 'listObjects'>, bucket: string): AsyncGenerator<string> {
  let next: string | undefined
  do {
    const page = await driver.listObjects(bucket, { continuation: next, limit: 1_000 })
    for (const { key } of page.objects) yield key
    next = page.next
  } while (next !== undefined)
}

export async function hasObject(
  driver: Pick<StorageDriver, 'headObject'>,
  bucket: string,
  key: string,
): Promise<boolean> {
  try {
    await driver.headObject(bucket, key)
    return true
  } catch (error) {
    if (error instanceof ObjectNotFound) return false
    throw error
  }
}
