import { randomBytes, randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { DomainError } from '../../../platform/errors/domain-error.js'
import type { StorageDriver } from '../storage-driver.js'

export const TEST_STEPS = ['bucket', 'write', 'read', 'delete'] as const

export type TestStep = (typeof TEST_STEPS)[number]

export interface TestResult {
  success: boolean
  message: string
  /** The first that failed. */
  failedStep?: TestStep
}

const STEP_LIMIT_MS = 30_000
const PROBE_BYTES = 1_024

const WORDS: Readonly<Record<TestStep, string>> = {
  bucket: 'The bucket for the test is not to be had',
  write: 'The probe could not be written',
  read: 'The probe could not be read',
  delete: 'The probe could not be deleted',
}

/**
 * Writes, reads and deletes a probe: in `bucket`, or where none is named in a bucket that is made for it and deleted with it. What can
 * be cleaned up after a failure is.
 */
export async function testConnection(driver: StorageDriver, bucket: string | null): Promise<TestResult> {
  const place = bucket ?? `millrace-probe-${randomBytes(8).toString('hex')}`
  const key = `millrace-probe/${randomUUID()}`
  const content = randomBytes(PROBE_BYTES)
  let made = false
  let written = false
  const steps: Record<TestStep, () => Promise<void>> = {
    async bucket() {
      if (bucket === null) {
        await driver.createBucket(place)
        made = true
      } else if (!(await driver.hasBucket(bucket))) throw new ProbeFailed(`there is no bucket '${bucket}'`)
    },
    async write() {
      written = true
      const signal = AbortSignal.timeout(STEP_LIMIT_MS)
      await driver.putObject(place, key, Readable.from([content]), { size: content.length, signal })
    },
    async read() {
      const { stream } = await driver.getObject(place, key, { signal: AbortSignal.timeout(STEP_LIMIT_MS) })
      if (!(await buffer(stream)).equals(content)) throw new ProbeFailed('it came back as something else')
    },
    async delete() {
      await driver.deleteObject(place, key)
      written = false
      if (!made) return
      await driver.deleteBucket(place, { force: false })
      made = false
    },
  }
  try {
    for (const step of TEST_STEPS) {
      try {
        await within(STEP_LIMIT_MS, steps[step]())
      } catch (error) {
        return { success: false, message: `${WORDS[step]}: ${inWords(error)}`, failedStep: step }
      }
    }
    return { success: true, message: 'Connection successful' }
  } finally {
    const left = [
      ...(written ? [() => driver.deleteObject(place, key)] : []),
      ...(made ? [() => driver.deleteBucket(place, { force: true })] : []),
    ]
    for (const clean of left) await within(STEP_LIMIT_MS, clean()).catch(() => {})
  }
}

class ProbeFailed extends Error {}

/** Only words that are meant to be shown. */
function inWords(error: unknown): string {
  const isTimeout = error instanceof Error && error.name === 'TimeoutError'
  if (isTimeout) return `it took longer than ${STEP_LIMIT_MS / 1_000} seconds`
  return error instanceof DomainError || error instanceof ProbeFailed ? error.message : 'an unexpected error'
}

async function within<T>(limitMs: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new DOMException('too slow', 'TimeoutError')), limitMs)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
