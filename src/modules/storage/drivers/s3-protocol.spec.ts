import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { afterEach, describe, expect, it } from 'vitest'
import { InvalidRequest } from '../../../platform/http/faults.js'
import { GuardedOutbound } from '../../../platform/outbound/guarded-outbound.js'
import { LocalServer } from '../../../platform/outbound/local-server.fake.js'
import { BucketExists, ObjectExists, ProviderFailed } from '../storage.errors.js'
import { S3Driver } from './s3-driver.js'

/** What Swift does not do: conditional writes, faults of a multipart upload, and refusals, as Amazon documents them. */

type Answer = (request: IncomingMessage, response: ServerResponse) => void

const open: { stop(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of open.splice(0)) await one.stop()
})

async function against(
  answer: Answer,
  type: 'minio' | 's3' = 'minio',
): Promise<{ driver: S3Driver; server: LocalServer }> {
  const server = await LocalServer.start(answer)
  const outbound = new GuardedOutbound({ allow: server.authority })
  const credentials = { accessKey: 'AKIAEXAMPLE', secretKey: 'secret' }
  const driver = new S3Driver({ type, endpoint: new URL(server.origin), credentials }, outbound)
  open.push({
    async stop() {
      await driver.close()
      await outbound.close()
      await server.stop()
    },
  })
  return { driver, server }
}

function fault(response: ServerResponse, status: number, code: string): void {
  const text = `<Error><Code>${code}</Code><Message>of AKIAEXAMPLE</Message></Error>`
  response.writeHead(status, { 'content-type': 'application/xml' }).end(text)
}

const isBucket = ({ url }: IncomingMessage) => /^\/bucket\/?(\?.*)?$/.test(url ?? '')
const content = (bytes: number) => Readable.from([Buffer.alloc(bytes)])
const MULTIPART = 9 * 1024 * 1024

/** A multipart upload: its steps are answered, but for what `instead` answers. */
function multipart(instead: (step: string, response: ServerResponse) => boolean): Answer {
  return (request, response) => {
    const { method, url = '' } = request
    const step =
      method === 'POST' && url.includes('uploads')
        ? 'create'
        : method === 'PUT' && url.includes('partNumber')
          ? 'part'
          : method === 'POST'
            ? 'complete'
            : method === 'DELETE'
              ? 'abort'
              : 'head'
    if (instead(step, response)) return
    if (step === 'head') response.writeHead(isBucket(request) ? 200 : 404).end()
    else if (step === 'create')
      xml(response, '<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>')
    else if (step === 'part') response.writeHead(200, { etag: '"part"' }).end()
    else if (step === 'complete')
      xml(response, '<CompleteMultipartUploadResult><ETag>"whole-2"</ETag></CompleteMultipartUploadResult>')
    else response.writeHead(204).end()
  }
}

function xml(response: ServerResponse, text: string): void {
  response.writeHead(200, { 'content-type': 'application/xml' }).end(`<?xml version="1.0"?>${text}`)
}

describe('only what is new', () => {
  it.each([
    [412, 'PreconditionFailed'],
    [409, 'ConditionalRequestConflict'],
  ])('asks for it by If-None-Match, and takes %d for an answer', async (status, code) => {
    const { driver, server } = await against((request, response) => {
      if (request.method === 'PUT') fault(response, status, code)
      else response.writeHead(isBucket(request) ? 200 : 404).end()
    })
    await expect(driver.putObject('bucket', 'key', content(10), { onlyNew: true })).rejects.toThrow(ObjectExists)
    const put = server.requests.find(({ method }) => method === 'PUT')
    expect(put?.headers).toMatchObject({ 'if-none-match': '*' })
    await expect(driver.putObject('bucket', 'key', content(10))).rejects.toThrow()
    expect(server.requests.at(-1)?.headers).not.toHaveProperty('if-none-match')
  })

  it('asks for it where an upload of many parts is completed, and takes its parts away', async () => {
    const { driver, server } = await against(
      multipart((step, response) => {
        if (step === 'complete') fault(response, 412, 'PreconditionFailed')
        return step === 'complete'
      }),
    )
    await expect(driver.putObject('bucket', 'key', content(MULTIPART), { onlyNew: true })).rejects.toThrow(ObjectExists)
    const completed = server.requests.find(({ method, url }) => method === 'POST' && url.includes('uploadId'))
    expect(completed?.headers).toMatchObject({ 'if-none-match': '*' })
    expect(server.requests.at(-1)?.method).toBe('DELETE')
  })

  it('sends nothing where there is one already', async () => {
    const { driver, server } = await against((_, response) => response.writeHead(200, { 'content-length': '5' }).end())
    await expect(driver.putObject('bucket', 'key', content(10), { onlyNew: true })).rejects.toThrow(ObjectExists)
    expect(server.requests.map(({ method }) => method)).toEqual(['HEAD'])
  })

  it('says where a service does not offer it', async () => {
    const { driver } = await against((request, response) => {
      if (request.method === 'PUT') fault(response, 501, 'NotImplemented')
      else response.writeHead(isBucket(request) ? 200 : 404).end()
    })
    await expect(driver.putObject('bucket', 'key', content(10), { onlyNew: true })).rejects.toThrow(
      "'127.0.0.1' answered 501 NotImplemented: it does not offer this",
    )
  })
})

describe('an upload of many parts', () => {
  it('sends a part again that was not taken', async () => {
    let refusals = 1
    const { driver, server } = await against(
      multipart((step, response) => {
        if (step !== 'part' || refusals-- <= 0) return false
        fault(response, 503, 'SlowDown')
        return true
      }),
    )
    const made = await driver.putObject('bucket', 'key', content(MULTIPART))
    expect(made).toMatchObject({ size: MULTIPART, etag: 'whole-2' })
    expect(server.requests.filter(({ url }) => url.includes('partNumber'))).toHaveLength(3)
  })

  it('takes its parts away where one cannot be sent', async () => {
    const { driver, server } = await against(
      multipart((step, response) => {
        if (step === 'part') fault(response, 403, 'AccessDenied')
        return step === 'part'
      }),
    )
    await expect(driver.putObject('bucket', 'key', content(MULTIPART))).rejects.toThrow('403 AccessDenied')
    expect(server.requests.map(({ method }) => method)).toContain('DELETE')
  })

  it('fails where completing it does, though that is answered with 200', async () => {
    const { driver } = await against(
      multipart((step, response) => {
        if (step === 'complete') xml(response, '<Error><Code>InternalError</Code></Error>')
        return step === 'complete'
      }),
    )
    await expect(driver.putObject('bucket', 'key', content(MULTIPART))).rejects.toThrow(ProviderFailed)
  })
})

describe('what a service says', () => {
  it.each([
    [403, 'InvalidAccessKeyId', 'it refuses the credentials, or they may not do this'],
    [301, 'PermanentRedirect', 'it points elsewhere: the endpoint or the region is another'],
    [400, 'AuthorizationHeaderMalformed', 'it did not take the request'],
  ])('%d %s is told without its text', async (status, code, words) => {
    const { driver } = await against((_, response) => fault(response, status, code))
    const error = await driver.listObjects('bucket', { limit: 1 }).catch((thrown) => thrown)
    expect(error).toBeInstanceOf(ProviderFailed)
    expect(error.message).toBe(`'127.0.0.1' answered ${status} ${code}: ${words}`)
    expect(error.cause).toBeUndefined()
  })

  it('a continuation of its own is the caller’s fault, where it does not know it', async () => {
    const { driver } = await against((_, response) => fault(response, 400, 'InvalidArgument'))
    await expect(driver.listObjects('bucket', { limit: 1, continuation: 'x' })).rejects.toThrow(InvalidRequest)
    await expect(driver.listObjects('bucket', { limit: 1 })).rejects.toThrow(ProviderFailed)
  })

  it('a bucket that somebody else has exists', async () => {
    const { driver } = await against((request, response) => {
      if (request.method === 'PUT') fault(response, 409, 'BucketAlreadyExists')
      else response.writeHead(404).end()
    })
    await expect(driver.createBucket('taken')).rejects.toThrow(BucketExists)
  })

  it('a content that breaks off is none', async () => {
    const { driver } = await against((_, response) => {
      response.writeHead(200, { 'content-length': '1000', etag: '"x"' })
      response.write('only the beginning', () => response.destroy())
    })
    const { stream } = await driver.getObject('bucket', 'key')
    await expect(stream.toArray()).rejects.toThrow(ProviderFailed)
  })

  it('nonsense is no answer', async () => {
    const { driver } = await against((_, response) => response.end('<html>captive portal'))
    for (const attempt of [driver.listBuckets(), driver.listObjects('bucket', { limit: 1 })])
      await expect(attempt).rejects.toThrow(ProviderFailed)
  })
})
