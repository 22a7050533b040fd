import type { BigIntStats } from 'node:fs'
import { StepError } from '../../engine/step.js'
import type { Json } from '../../platform/json.js'
import { openRegular, within } from './handles.js'
import type { RunFolder } from './run-folders.js'

const FILE = 'result.json'
/** Larger results belong into artifacts. */
const LARGEST_RESULT = 1024 * 1024

/** What tells a result from that of an earlier step. */
export type ResultBefore = string | undefined

export async function resultBefore({ root }: RunFolder): Promise<ResultBefore> {
  const file = await openRegular(within(root, FILE))
  try {
    return file && identityOf(await file.stat({ bigint: true }))
  } finally {
    await file?.close()
  }
}

/** What a step came to: `result.json` where it wrote one, else its last line where that is JSON, else null. */
export async function resultOf({ root }: RunFolder, before: ResultBefore, lastLine: string | undefined): Promise<Json> {
  const file = await openRegular(within(root, FILE))
  if (!file) return parsed(lastLine) ?? null
  try {
    const stat = await file.stat({ bigint: true })
    if (identityOf(stat) === before) return parsed(lastLine) ?? null
    if (stat.size > LARGEST_RESULT) throw refused(`is larger than ${LARGEST_RESULT} bytes`)
    const value = parsed(await file.readFile('utf8'))
    if (value === undefined) throw refused('is no JSON')
    return value
  } finally {
    await file.close()
  }
}

function identityOf({ ino, size, ctimeNs }: BigIntStats): string {
  return `${ino} ${size} ${ctimeNs}`
}

function parsed(text: string | undefined): Json | undefined {
  if (text === undefined || text.length > LARGEST_RESULT) return undefined
  try {
    return JSON.parse(text) as Json
  } catch {
    return undefined
  }
}

function refused(why: string): StepError {
  return new StepError(`${FILE} ${why}`, { code: 'invalid_result', retryable: false })
}
