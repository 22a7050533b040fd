import { createHash, timingSafeEqual } from 'node:crypto'
import { S3Error } from '../s3.errors.js'
import type { ClaimedSignature } from '../signature/claimed-signature.js'
import { ALGORITHM, credentialScope, EMPTY_SHA256, sign } from '../signature/signing.js'
import { ByteReader } from './byte-reader.js'

const LONGEST_LINE = 4_096
const MOST_TRAILERS = 20
const LARGEST_CHUNK = 5 * 2 ** 30

/** The signatures of a body's pieces: each is made over the one before, the first over that of the request. */
export class SignatureChain {
  private previous: string

  constructor(
    private readonly claimed: ClaimedSignature,
    private readonly key: Buffer,
  ) {
    this.previous = claimed.signature
  }

  /** Throws `SignatureDoesNotMatch`. */
  chunk(given: string | undefined, sha256: string): void {
    this.check('PAYLOAD', given, EMPTY_SHA256, sha256)
  }

  /** `text` has each trailer as a line. */
  trailer(given: string | undefined, text: string): void {
    this.check('TRAILER', given, createHash('sha256').update(text, 'latin1').digest('hex'))
  }

  private check(what: string, given: string | undefined, ...rest: string[]): void {
    const { time, scope } = this.claimed
    const text = [`${ALGORITHM}-${what}`, time, credentialScope(scope), this.previous, ...rest].join('\n')
    const expected = sign(this.key, text)
    if (!given || !/^[0-9a-f]{64}$/.test(given) || !timingSafeEqual(Buffer.from(given), Buffer.from(expected)))
      throw new S3Error('SignatureDoesNotMatch', undefined, { StringToSign: text })
    this.previous = expected
  }
}

export interface ChunkedBody {
  /** Undefined where pieces are not signed. */
  signatures?: SignatureChain
  /** Names of the trailers that are to come, in lower case. */
  trailers: ReadonlySet<string>
  /** Is told of them before the body ends. */
  told(name: string, value: string): void
}

/**
 * The bytes of a body in the content coding `aws-chunked`: `<hex size>[;chunk-signature=<signature>]`, CRLF, the bytes, CRLF, over and over,
 * up to a chunk of size 0; then trailers, a line each, and an empty line. A chunk's bytes go on before its signature is known to be right: who
 * takes them keeps nothing unless all of it ends well.
 *
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
 */
export async function* awsChunked(source: AsyncIterable<Uint8Array>, body: ChunkedBody): AsyncGenerator<Uint8Array> {
  const reader = new ByteReader(source)
  try {
    for (;;) {
      const { size, signature } = chunkHeader(await reader.line(LONGEST_LINE))
      if (size === 0) {
        body.signatures?.chunk(signature, EMPTY_SHA256)
        break
      }
      const sum = body.signatures && createHash('sha256')
      for await (const piece of reader.take(size)) {
        sum?.update(piece)
        yield piece
      }
      if ((await reader.line(LONGEST_LINE)) !== '') throw malformed()
      if (sum) body.signatures?.chunk(signature, sum.digest('hex'))
    }
    await readTrailers(reader, body)
  } finally {
    await reader.close()
  }
}

async function readTrailers(reader: ByteReader, { signatures, trailers, told }: ChunkedBody): Promise<void> {
  const lines: string[] = []
  let signature: string | undefined
  // Some clients leave out the empty line at the end.
  while (!(await reader.ended())) {
    const line = await reader.line(LONGEST_LINE)
    if (line === '') continue
    const [, name = '', value = ''] = /^([^:]+):(.*)$/.exec(line) ?? []
    const known = name.trim().toLowerCase()
    if (known === 'x-amz-trailer-signature') signature = value.trim()
    else if (trailers.has(known) && lines.length < MOST_TRAILERS) {
      lines.push(`${known}:${value.trim()}\n`)
      told(known, value.trim())
    } else throw malformed()
  }
  if (trailers.size > 0 && signatures) signatures.trailer(signature, lines.join(''))
}

function chunkHeader(line: string): { size: number; signature?: string } {
  const [, hex = '', signature] = /^([0-9a-fA-F]{1,16})(?:;chunk-signature=([0-9a-f]{64}))?$/.exec(line) ?? []
  const size = Number.parseInt(hex, 16)
  if (hex === '' || size > LARGEST_CHUNK) throw malformed()
  return { size, ...(signature !== undefined && { signature }) }
}

function malformed(): S3Error {
  return new S3Error('IncompleteBody', 'The body is not in the coding aws-chunked that its headers announce')
}
