import { createHash, createHmac, type Hash, type Hmac } from 'node:crypto'
import { type IncomingHttpHeaders, type RequestOptions, request } from 'node:http'
import { SignatureV4 } from '@smithy/signature-v4'
import type { AccessKeyPair } from '../auth/access-keys.js'

/** A request as it goes over the wire, which no library tidies up. */
export interface RawRequest {
  method?: string
  /** Below `/s3`, encoded. */
  path: string
  headers?: Record<string, string>
  body?: string | Buffer
  /** Instead of the body's own. */
  payloadHash?: string
  /** Instead of now. */
  at?: Date
  unsigned?: boolean
}

export interface RawAnswer {
  status: number
  headers: IncomingHttpHeaders
  text: string
  /** Of an error. */
  code?: string
}

export async function ask({ endpoint, accessKey, secretKey }: AccessKeyPair & { endpoint: string }, raw: RawRequest) {
  const { hostname, port, host, pathname } = new URL(endpoint)
  const { method = 'GET', body = '', headers = {} } = raw
  const [path = '', search = ''] = `${pathname}${raw.path}`.split('?')
  const query: Record<string, string> = Object.fromEntries(new URLSearchParams(search))
  const payloadHash = raw.payloadHash ?? createHash('sha256').update(body).digest('hex')
  const signer = new SignatureV4({
    service: 's3',
    region: 'us-east-1',
    credentials: { accessKeyId: accessKey, secretAccessKey: secretKey },
    sha256: Sha256,
    uriEscapePath: false,
  })
  const plain = { host, 'content-length': String(Buffer.byteLength(body)), ...headers }
  const signed = await signer.sign(
    {
      protocol: 'http:',
      hostname,
      port: Number(port),
      method,
      path,
      query,
      headers: { ...plain, 'x-amz-content-sha256': payloadHash },
    },
    { signingDate: raw.at ?? new Date() },
  )
  return await send(
    { hostname, port, method, path: `${pathname}${raw.path}`, headers: raw.unsigned ? plain : signed.headers },
    body,
  )
}

function send(options: RequestOptions, body: string | Buffer): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const sending = request(options, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString()
        const [, code] = /<Error><Code>(\w+)</.exec(text) ?? []
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text, ...(code && { code }) })
      })
    })
    sending.on('error', reject)
    sending.end(body)
  })
}

/** What AWS's signer wants of a hash. */
export class Sha256 {
  private readonly sum: Hash | Hmac

  constructor(secret?: string | Uint8Array | ArrayBuffer | ArrayBufferView) {
    this.sum = secret === undefined ? createHash('sha256') : createHmac('sha256', secret as Uint8Array)
  }

  update(data: Uint8Array): void {
    this.sum.update(data)
  }

  async digest(): Promise<Uint8Array> {
    return this.sum.digest()
  }

  reset(): void {}
}
