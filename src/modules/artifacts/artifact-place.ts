import type { LeftFile } from '../../steps/process/ports.js'
import { unfitPath } from './artifacts.errors.js'

const WORKSPACE = '/workspace/'
/** Bytes of a key that every storage service takes. */
const LONGEST_KEY = 1_024
const LONGEST_NAME = 255
/** `type/subtype` and parameters, of characters that a header can carry. */
const MEDIA_TYPE = /^[a-z0-9!#$&^_.+-]{1,127}\/[a-z0-9!#$&^_.+-]{1,127}(\s*;[\x20-\x7e]{1,200})?$/i

/** The key of a file in the bucket of its account. One run has one of each path. Throws `StepError` where it can have none. */
export function keyOf(runId: string, { path }: Pick<LeftFile, 'path'>): string {
  const key = `${runId}/${path.slice(WORKSPACE.length)}`
  const fits = Buffer.byteLength(key) <= LONGEST_KEY && path.isWellFormed() && !path.includes('\0')
  if (!path.startsWith(WORKSPACE) || path.length === WORKSPACE.length || !fits) throw unfitPath(path)
  return key
}

/** What it is called, without what no text can hold. */
export function nameOf({ name }: Pick<LeftFile, 'name'>): string {
  return name.toWellFormed().replaceAll('\0', '').slice(0, LONGEST_NAME).toWellFormed() || 'artifact'
}

/** What is no media type is told as bytes. */
export function mediaTypeOf({ mediaType }: Pick<LeftFile, 'mediaType'>): string {
  return MEDIA_TYPE.test(mediaType) ? mediaType : 'application/octet-stream'
}
