import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Request, Response } from 'express'
import { DomainError } from '../errors/domain-error.js'
import { entityTag } from './headers.js'

/** A file that is there as a whole and does not change. */
export interface SendableContent {
  /** What it is kept under, without folders. */
  fileName: string
  mediaType: string
  /** Bytes. */
  size: number
  /** Another one for every other content. */
  version: string
  /** A browser may show it: it is of a kind in which nothing can run. Else it is for keeping. */
  mayBeShown?: boolean
  /** All of it, or these bytes, both included. `signal` aborts when nobody reads any more. */
  open(range: { first: number; last: number } | undefined, signal: AbortSignal): Promise<Readable>
}

/**
 * Sends a file that somebody else made to be kept, not shown: whatever it says, no browser runs it in our name. GET and HEAD, with `Range`,
 * `If-Range` and `If-None-Match` as RFC 9110 has them. A content that breaks off ends the connection, so that nobody takes it for whole.
 */
export async function sendContent(request: Request, response: Response, content: SendableContent): Promise<void> {
  const { fileName, mediaType, size } = content
  const etag = entityTag(content.version)
  const range = rangeOf(request, etag, size)
  if (range === 'none of it') {
    response.setHeader('Content-Range', `bytes */${size}`)
    throw new RangeNotSatisfiable(size)
  }
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  // Opened first: what fails here is still answered as a problem.
  const isSame = matches(request.headers['if-none-match'], etag)
  const stream = isSame || request.method === 'HEAD' ? undefined : await content.open(range, gone.signal)
  response.attachment(fileName)
  if (content.mayBeShown) shown(response)
  response.setHeaders(
    new Map([
      ['Content-Type', mediaType],
      ['ETag', etag],
      ['Accept-Ranges', 'bytes'],
      ['Cache-Control', 'no-store'],
      ['X-Content-Type-Options', 'nosniff'],
      ['Content-Security-Policy', "sandbox; default-src 'none'"],
    ]),
  )
  if (isSame) {
    response.removeHeader('Content-Type')
    return void response.status(304).end()
  }
  if (range) response.status(206).setHeader('Content-Range', `bytes ${range.first}-${range.last}/${size}`)
  response.setHeader('Content-Length', range ? range.last - range.first + 1 : size)
  if (!stream) return void response.end()
  try {
    await pipeline(stream, response)
  } catch (error) {
    if (!gone.signal.aborted) throw error
  }
}

/**
 * Undefined for the whole: where nothing or no single range of bytes is asked for, or where `If-Range` names another content. A HEAD is
 * about the whole.
 */
function rangeOf({ method, headers }: Request, etag: string, size: number) {
  const { 'if-range': condition, range = '' } = headers
  const [, from = '', to = ''] = /^bytes=(\d*)-(\d*)$/.exec(range.trim()) ?? []
  if (method === 'HEAD' || (condition !== undefined && condition !== etag) || from + to === '') return undefined
  // The last so many bytes, or all of them where there are fewer.
  const first = from === '' ? Math.max(0, size - Number(to)) : Number(from)
  const last = from === '' || to === '' ? size - 1 : Math.min(Number(to), size - 1)
  if (from !== '' && to !== '' && Number(from) > Number(to)) return undefined
  return first > last ? 'none of it' : { first, last }
}

/** Compared weakly, as RFC 9110 has it here. */
function matches(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false
  return header.trim() === '*' || header.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag)
}

class RangeNotSatisfiable extends DomainError {
  constructor(size: number) {
    super(
      'range_not_satisfiable',
      'range-not-satisfiable',
      'Range not satisfiable',
      `The range has nothing of the ${size} bytes that there are`,
    )
  }
}

function shown(response: Response): void {
  const disposition = String(response.getHeader('Content-Disposition'))
  response.setHeader('Content-Disposition', disposition.replace(/^attachment/, 'inline'))
}
