import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, createPublicKey, generateKeyPairSync, verify } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { buffer } from 'node:stream/consumers'
import { peerPackages } from './packages.js'

export interface GcsPeer {
  endpoint: string
  projectId: string
  clientEmail: string
  /** PEM, of the service account that it knows. */
  privateKey: string
  stop(): Promise<void>
}

interface Session {
  bucket: string
  key: string
  /** Where the emulator takes the content. */
  upstream: string
  onlyNew: boolean
  received: Buffer[]
}

const CLIENT = 'tester@demo-millrace.iam.gserviceaccount.com'
const V4 = 'GOOG4-RSA-SHA256'

/**
 * Google Cloud Storage as far as a machine can have it: objects, lists, ranges and metadata are the storage emulator's of firebase-tools.
 * What that lacks stands before it, as Google documents it: buckets that are made and deleted, uploads in chunks of a session,
 * `ifGenerationMatch=0`, and the check of tokens and of signed URLs (V4). Undefined where the package cannot be installed.
 */
export async function startGcs(): Promise<GcsPeer | undefined> {
  if (!(await peerPackages())) return undefined
  const dir = mkdtempSync(join(tmpdir(), 'millrace-gcs-'))
  const child = spawn(process.execPath, [join(import.meta.dirname, '../../peers/storage-emulator.cjs')], {
    // Its files are in the temporary folder of the system, by a fixed name.
    env: { ...process.env, TMPDIR: dir },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const front = new Front(`http://127.0.0.1:${await portOf(child)}`, pem)
  return {
    endpoint: await front.listen(),
    projectId: 'demo-millrace',
    clientEmail: CLIENT,
    privateKey: pem,
    async stop() {
      await front.close()
      child.stdin?.end()
      if (child.exitCode === null) await once(child, 'exit')
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

async function portOf(child: ChildProcess): Promise<number> {
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })
  for await (const line of lines) if (line.startsWith('{"port"')) return JSON.parse(line).port
  throw new Error('the storage emulator did not start')
}

class Front {
  private readonly buckets = new Map<string, string>()
  private readonly sessions = new Map<string, Session>()
  private turns: Promise<unknown> = Promise.resolve()
  private readonly server = createServer((request, response) => {
    this.answer(request, response).catch((error: Error) => fail(response, 500, error.message))
  })

  constructor(
    private readonly emulator: string,
    private readonly pem: string,
  ) {}

  async listen(): Promise<string> {
    this.server.listen(0, '127.0.0.1')
    await once(this.server, 'listening')
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  async close(): Promise<void> {
    this.server.closeAllConnections()
    this.server.close()
    await once(this.server, 'close')
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path = '', query = ''] = (request.url ?? '').split('?')
    const asked = new URLSearchParams(query)
    if (asked.has('X-Goog-Algorithm')) return await this.signed(request, response, path, asked)
    const session = this.sessions.get(asked.get('upload_id') ?? '')
    if (session && request.method === 'PUT') return await this.chunk(request, response, session)
    if (!this.isAccount(request)) return fail(response, 401, 'Invalid Credentials', 'authError')
    const parts = path.split('/')
    if (path.startsWith('/upload/storage/v1/b/')) {
      const bucket = decodeURIComponent(parts[5] ?? '')
      return this.buckets.has(bucket) ? await this.start(request, response, bucket, asked) : noBucket(response)
    }
    if (!path.startsWith('/storage/v1/b')) return fail(response, 404, 'Not Found')
    const bucket = decodeURIComponent(parts[4] ?? '')
    if (parts.length <= 5) return await this.bucket(request, response, bucket)
    if (!this.buckets.has(bucket)) return noBucket(response)
    await this.forward(request, response, `${path.slice('/storage/v1'.length)}?${query}`)
  }

  private async bucket(request: IncomingMessage, response: ServerResponse, name: string): Promise<void> {
    const resource = (of: string) => ({ kind: 'storage#bucket', id: of, name: of, timeCreated: this.buckets.get(of) })
    if (name === '' && request.method === 'GET') {
      return json(response, 200, { kind: 'storage#buckets', items: [...this.buckets.keys()].sort().map(resource) })
    }
    if (name === '' && request.method === 'POST') {
      const { name: wanted } = JSON.parse((await buffer(request)).toString())
      if (this.buckets.has(wanted)) return fail(response, 409, 'You already own this bucket.', 'conflict')
      this.buckets.set(wanted, new Date().toISOString())
      return json(response, 200, resource(wanted))
    }
    if (!this.buckets.has(name)) return noBucket(response)
    if (request.method === 'GET') return json(response, 200, resource(name))
    const list = await fetch(`${this.emulator}/b/${name}/o?maxResults=1`)
    const { items = [] } = (await list.json()) as { items?: unknown[] }
    if (items.length > 0) return fail(response, 409, 'The bucket you tried to delete is not empty.', 'conflict')
    this.buckets.delete(name)
    response.writeHead(204).end()
  }

  /** Opens a session: POST, uploadType=resumable. */
  private async start(
    request: IncomingMessage,
    response: ServerResponse,
    bucket: string,
    asked: URLSearchParams,
  ): Promise<void> {
    const body = await buffer(request)
    const key = asked.get('name') ?? JSON.parse(body.toString() || '{}').name
    const onlyNew = asked.get('ifGenerationMatch') === '0'
    if (onlyNew && (await this.has(bucket, key))) return fail(response, 412, 'Precondition Failed', 'conditionNotMet')
    const opened = await fetch(`${this.emulator}${request.url}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'x-upload-content-type': String(request.headers['x-upload-content-type'] ?? ''),
      },
      body: new Uint8Array(body),
    })
    const upstream = opened.headers.get('location') ?? ''
    const id = new URL(upstream).searchParams.get('upload_id') ?? ''
    this.sessions.set(id, { bucket, key, upstream, onlyNew, received: [] })
    const { port } = this.server.address() as AddressInfo
    const location = `http://127.0.0.1:${port}/upload/storage/v1/b/${bucket}/o?uploadType=resumable&upload_id=${id}`
    response.writeHead(200, { location }).end()
  }

  /** Takes `Content-Range: bytes 0-8388607/*` and the like; 308 until the last, which says the length of the whole. */
  private async chunk(request: IncomingMessage, response: ServerResponse, session: Session): Promise<void> {
    const range = /^bytes (?:(\d+)-(\d+|\*)|\*)\/(\d+|\*)$/.exec(request.headers['content-range'] ?? 'bytes 0-*/*')
    const chunk = await buffer(request).catch(() => undefined)
    if (!range || !chunk) return fail(response, 400, 'Invalid request')
    const before = session.received.reduce((sum, { length }) => sum + length, 0)
    if (range[1] !== undefined && Number(range[1]) !== before) return fail(response, 503, 'Out of order')
    session.received.push(chunk)
    const length = before + chunk.length
    const isLast = range[3] === '*' ? range[2] === '*' : Number(range[3]) === length
    if (!isLast) {
      response.writeHead(308, length > 0 ? { range: `bytes=0-${length - 1}` } : {}).end()
      return
    }
    const stored = await this.inTurn(async () => {
      if (session.onlyNew && (await this.has(session.bucket, session.key))) return undefined
      return await fetch(session.upstream, { method: 'PUT', body: Buffer.concat(session.received) })
    })
    if (!stored) return fail(response, 412, 'Precondition Failed', 'conditionNotMet')
    response.writeHead(stored.status, { 'content-type': 'application/json' }).end(await stored.text())
  }

  /** Of two that are to make the same object, one is first. */
  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.turns.then(work)
    this.turns = turn.catch(() => {})
    return turn
  }

  private async signed(
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
    asked: URLSearchParams,
  ): Promise<void> {
    const fault = this.signatureFault(request, path, asked)
    if (fault) {
      response.writeHead(fault[0], { 'content-type': 'application/xml' }).end(`<Error><Code>${fault[1]}</Code></Error>`)
      return
    }
    const [, bucket = '', ...rest] = path.split('/')
    const object = encodeURIComponent(decodeURIComponent(rest.join('/')))
    if (request.method === 'PUT') {
      const target = `${this.emulator}/upload/storage/v1/b/${bucket}/o?uploadType=media&name=${object}`
      const headers = { 'content-type': request.headers['content-type'] ?? 'application/octet-stream' }
      const stored = await fetch(target, { method: 'POST', headers, body: new Uint8Array(await buffer(request)) })
      response.writeHead(stored.status).end()
      return
    }
    const found = await fetch(`${this.emulator}/b/${bucket}/o/${object}?alt=media`)
    const disposition = asked.get('response-content-disposition')
    response.writeHead(found.status, {
      'content-type': asked.get('response-content-type') ?? found.headers.get('content-type') ?? '',
      ...(disposition && { 'content-disposition': disposition }),
    })
    response.end(Buffer.from(await found.arrayBuffer()))
  }

  private signatureFault(request: IncomingMessage, path: string, asked: URLSearchParams): [number, string] | undefined {
    const date = asked.get('X-Goog-Date') ?? ''
    const madeAt = Date.parse(date.replace(/(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z/, '$1-$2-$3T$4:$5:$6Z'))
    if (Date.now() > madeAt + Number(asked.get('X-Goog-Expires')) * 1_000) return [400, 'ExpiredToken']
    const signature = Buffer.from(asked.get('X-Goog-Signature') ?? '', 'hex')
    const encoded = (text: string) =>
      encodeURIComponent(text).replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`)
    const canonicalQuery = [...asked]
      .filter(([name]) => name !== 'X-Goog-Signature')
      .map(([name, value]) => `${encoded(name)}=${encoded(value)}`)
      .sort()
      .join('&')
    // The SDK signs the host without its port, which Google's address has none of.
    const canonical = [request.method, path, canonicalQuery, 'host:127.0.0.1\n', 'host', 'UNSIGNED-PAYLOAD'].join('\n')
    const [, ...scope] = (asked.get('X-Goog-Credential') ?? '').split('/')
    const hash = createHash('sha256').update(canonical).digest('hex')
    const text = [V4, date, scope.join('/'), hash].join('\n')
    const isGood = verify('RSA-SHA256', Buffer.from(text), createPublicKey(this.pem), signature)
    return isGood ? undefined : [403, 'SignatureDoesNotMatch']
  }

  /** A token that the account has signed itself, for this scope and for an hour at most. */
  private isAccount(request: IncomingMessage): boolean {
    const [head = '', body = '', signature = ''] = (request.headers.authorization ?? '')
      .replace('Bearer ', '')
      .split('.')
    try {
      const claims = JSON.parse(Buffer.from(body, 'base64url').toString())
      const { alg } = JSON.parse(Buffer.from(head, 'base64url').toString())
      const key = createPublicKey(this.pem)
      const isSigned = verify('RSA-SHA256', Buffer.from(`${head}.${body}`), key, Buffer.from(signature, 'base64url'))
      const isLive = claims.exp > Date.now() / 1_000 && claims.exp - claims.iat <= 3_600
      return isSigned && isLive && alg === 'RS256' && claims.iss === CLIENT && /devstorage/.test(claims.scope)
    } catch {
      return false
    }
  }

  private async has(bucket: string, key: string): Promise<boolean> {
    return (await fetch(`${this.emulator}/b/${bucket}/o/${encodeURIComponent(key)}`)).ok
  }

  private async forward(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
    const body = ['GET', 'HEAD'].includes(request.method ?? '') ? undefined : new Uint8Array(await buffer(request))
    const headers = Object.fromEntries(
      ['content-type', 'range', 'accept-encoding'].flatMap((name) =>
        request.headers[name] === undefined ? [] : [[name, String(request.headers[name])]],
      ),
    )
    const found = await fetch(this.emulator + path, { method: request.method, headers, body })
    const told = ['content-type', 'content-range', 'etag'].flatMap((name) => {
      const value = found.headers.get(name)
      return value === null ? [] : [[name, value] as const]
    })
    const content = Buffer.from(await found.arrayBuffer())
    if (found.status === 404) return fail(response, 404, 'No such object', 'notFound')
    const length: [string, string][] = found.status === 204 ? [] : [['content-length', String(content.length)]]
    response.writeHead(found.status, Object.fromEntries([...told, ...length])).end(content)
  }
}

function noBucket(response: ServerResponse): void {
  fail(response, 404, 'The specified bucket does not exist.', 'notFound')
}

function fail(response: ServerResponse, code: number, message: string, reason = 'invalid'): void {
  json(response, code, { error: { code, message, errors: [{ message, domain: 'global', reason }] } })
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=UTF-8' }).end(JSON.stringify(body))
}
