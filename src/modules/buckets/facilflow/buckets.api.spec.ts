import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Response } from 'supertest'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { startAzurite } from '../../../../test/support/peers/azurite.js'
import { closedPort } from '../../../../test/support/peers/silent.js'
import { DEFAULT_TENANT } from '../../../platform/auth/principal.js'
import { artifactsBucket } from '../../storage/bucket-access.js'
import { EmbeddedStores } from '../../storage/embedded/embedded-stores.js'
import { ProviderFailed } from '../../storage/storage.errors.js'
import { StorageProviders } from '../../storage/storage-providers.js'
import { BucketsService } from '../buckets.service.js'

const azurite = await startAzurite()
let api: ApiUnderTest
let admin: string

beforeAll(async () => {
  api = await apiUnderTest({ OUTBOUND_ALLOW: '127.0.0.1' })
  admin = await api.asAdmin()
  await api.post('/api/buckets').set('Authorization', admin).send({ name: 'my-bucket' }).expect(201)
})

afterAll(async () => {
  await api.close()
  await azurite?.stop()
})

describe('buckets', () => {
  it('are created, listed and deleted', async () => {
    const made = await api.post('/api/buckets').set('Authorization', admin).send({ name: 'data-lake' }).expect(201)
    expect(made.body).toEqual({ name: 'data-lake', creationDate: expect.stringMatching(/Z$/) })
    expect(made.headers.location).toBe('/api/buckets/data-lake/objects')
    const { body } = await get('/api/buckets').expect(200)
    expect(body).toEqual({ buckets: [made.body, { name: 'my-bucket', creationDate: expect.any(String) }] })
    await api.post('/api/buckets').set('Authorization', admin).send({ name: 'data-lake' }).expect(409)
    await upload('data-lake', 'a', 'x').expect(201)
    const full = await del('/api/buckets/data-lake').expect(409)
    expect(full.body).toMatchObject({ type: '/problems/bucket-not-empty', error: 'CONFLICT' })
    await del('/api/buckets/data-lake?force=true').expect(204)
    const gone = await del('/api/buckets/data-lake').expect(404)
    expect(gone.body.error).toBe('BUCKET_NOT_FOUND')
  })

  it.each(['ab', 'UPPER', '192.168.0.1', 'xn--a', 'a..b', '-ab', 'a_b', '../etc', 'artifacts-mine', 'x'.repeat(64)])(
    'cannot be called %j',
    async (name) => {
      const { body } = await api.post('/api/buckets').set('Authorization', admin).send({ name }).expect(422)
      expect(body.errors[0].pointer).toBe('#/name')
    },
  )

  it('are at a provider', async () => {
    await get('/api/buckets?provider=default-minio').expect(200)
    await get('/api/buckets?provider=nowhere').expect(404)
    await api.post('/api/buckets?provider=nowhere').set('Authorization', admin).send({ name: 'abc' }).expect(404)
    await del('/api/buckets/my-bucket?provider=nowhere').expect(404)
    await get('/api/buckets/my-bucket/objects?provider=nowhere').expect(404)
  })

  it('of another account’s artifacts do not exist, and one’s own are only read', async () => {
    const store = api.app.get(EmbeddedStores, { strict: false }).of(DEFAULT_TENANT)
    const { body } = await get('/api/users').expect(200)
    const own = artifactsBucket(body.users[0].id)
    for (const name of [own, artifactsBucket('account_01STRANGER')]) await store.createBucket(name)
    expect((await get('/api/buckets').expect(200)).body.buckets.map(({ name }: { name: string }) => name)).toEqual([
      own,
      'my-bucket',
    ])
    await get(`/api/buckets/${own}/objects`).expect(200)
    expect((await upload(own, 'a', 'x').expect(403)).body.type).toBe('/problems/bucket-managed')
    await del(`/api/buckets/${own}`).expect(403)
    await del(`/api/buckets/${own}/objects/a`).expect(403)
    const foreign = artifactsBucket('account_01STRANGER')
    await get(`/api/buckets/${foreign}/objects`).expect(404)
    await get(`/api/buckets/${foreign}/objects/a`).expect(404)
    await upload(foreign, 'a', 'x').expect(404)
    await del(`/api/buckets/${foreign}?force=true`).expect(404)
  })
})

describe('objects', () => {
  it('are uploaded under a key, and listed in folders', async () => {
    const { body, headers } = await upload('my-bucket', 'folder/file.csv', 'id\n1\n', 'text/csv').expect(201)
    expect(body).toEqual({
      name: 'folder/file.csv',
      size: 5,
      lastModified: expect.stringMatching(/Z$/),
      etag: createHash('md5').update('id\n1\n').digest('hex'),
      isFolder: false,
      contentType: 'text/csv',
    })
    expect(headers.location).toBe('/api/buckets/my-bucket/objects/folder%2Ffile.csv')
    await upload('my-bucket', 'folder/sub/deep.txt', 'x').expect(201)
    await upload('my-bucket', 'folder-like', 'x').expect(201)
    const root = await get('/api/buckets/my-bucket/objects').expect(200)
    expect(root.body).toMatchObject({ bucket: 'my-bucket', prefix: '' })
    expect(root.body.objects.map(shown)).toEqual(['folder-like', 'folder/…'])
    const inside = await get('/api/buckets/my-bucket/objects?prefix=folder/').expect(200)
    expect(inside.body.objects).toEqual([body, { name: 'folder/sub/', size: 0, isFolder: true }])
    for (const all of ['recursive=true', 'delimiter=']) {
      const listed = await get(`/api/buckets/my-bucket/objects?${all}`).expect(200)
      expect(listed.body.objects.map(shown)).toEqual(['folder-like', 'folder/file.csv', 'folder/sub/deep.txt'])
    }
    const first = await get('/api/buckets/my-bucket/objects?limit=1').expect(200)
    const second = await get(`/api/buckets/my-bucket/objects?limit=1&continuation=${first.body.next}`).expect(200)
    expect([first, second].flatMap((page) => page.body.objects.map(shown))).toEqual(['folder-like', 'folder/…'])
    expect(second.body.next).toBeUndefined()
    await get('/api/buckets/my-bucket/objects?limit=0').expect(400)
    await get('/api/buckets/my-bucket/objects?continuation=!').expect(400)
    await get('/api/buckets/nowhere/objects').expect(404)
  })

  it('are called as their file where no key is given, and may be told their key behind it', async () => {
    const unnamed = await form('my-bucket').attach('file', Buffer.from('1'), 'report ü.pdf').expect(201)
    expect(unnamed.body).toMatchObject({ name: 'report ü.pdf', contentType: 'application/pdf' })
    const behind = await form('my-bucket')
      .attach('file', Buffer.from('22'), 'x')
      .field('key', 'named/later')
      .expect(201)
    expect(behind.body).toMatchObject({ name: 'named/later', size: 2 })
    await get('/api/buckets/my-bucket/objects/named%2Flater').expect(200, Buffer.from('22'))
    const replaced = await upload('my-bucket', 'named/later', 'new').expect(201)
    expect(replaced.body.size).toBe(3)
  })

  it('are refused where the form is none, and nothing is kept', async () => {
    const missing = await form('my-bucket').field('key', 'a').expect(422)
    expect(missing.body.errors).toEqual([{ pointer: '#/file', detail: 'The file is required', code: 'required' }])
    await form('my-bucket').field('else', 'a').attach('file', Buffer.from('1'), 'x1').expect(422)
    await form('my-bucket').attach('file', Buffer.from('1'), 'x2').field('else', 'a').expect(422)
    await form('my-bucket').attach('else', Buffer.from('1'), 'x3').expect(422)
    await form('my-bucket').attach('file', Buffer.from('1'), 'x4').attach('file', Buffer.from('1'), 'x5').expect(400)
    await form('my-bucket').field('key', 'k1').field('key', 'k2').attach('file', Buffer.from('1'), 'x6').expect(400)
    await form('my-bucket').field('key', '').attach('file', Buffer.from('1'), 'x7').expect(422)
    await form('my-bucket').field('key', 'k'.repeat(1_025)).attach('file', Buffer.from('1'), 'x8').expect(422)
    await form('my-bucket').attach('file', Buffer.from('1'), 'x9').field('key', 'k'.repeat(9_000)).expect(422)
    await form('nowhere').field('key', 'a').attach('file', randomBytes(300_000), 'x').expect(404)
    const raw = (type: string, body: string) =>
      api.post('/api/buckets/my-bucket/objects').set('Authorization', admin).set('Content-Type', type).send(body)
    await raw('application/json', '{}').expect(415)
    await raw('multipart/form-data', 'x').expect(400)
    await raw('multipart/form-data; boundary=b', 'no form').expect(400)
    const cut = '--b\r\ncontent-disposition: form-data; name="file"; filename="cut"\r\n\r\nhalf of'
    await raw('multipart/form-data; boundary=b', cut).expect(400)
    await raw('multipart/form-data; boundary=b', cut.replace('\r\n\r\n', '')).expect(400)
    await form('my-bucket')
      .set('Content-Type', 'multipart/form-data; boundary=b')
      .set('Content-Length', '6000000000000')
      .expect(413)
    const { body } = await get('/api/buckets/my-bucket/objects?recursive=true&prefix=x').expect(200)
    expect(body.objects).toEqual([])
    await get('/api/buckets/my-bucket/objects/cut').expect(404)
  })

  it('whose sender goes away are not there', async () => {
    const { port } = api.app.getHttpServer().address() as AddressInfo
    const sent = httpRequest({
      port,
      method: 'POST',
      path: '/api/buckets/my-bucket/objects',
      headers: { authorization: admin, 'content-type': 'multipart/form-data; boundary=b', 'content-length': 1_000_000 },
    })
    sent.on('error', () => {})
    sent.write('--b\r\ncontent-disposition: form-data; name="file"; filename="left"\r\n\r\nhalf of')
    await once(sent, 'socket')
    const closed = new Promise((resolve) => sent.once('close', resolve))
    sent.write('x'.repeat(100_000), () => sent.destroy())
    await closed
    await get('/api/buckets/my-bucket/objects/left').expect(404)
  })

  it('whose sender may do so no more when their last byte comes are not there', async () => {
    const { port } = api.app.getHttpServer().address() as AddressInfo
    const { body: key } = await api.post('/api/api-keys').set('Authorization', admin).send({ name: 'Late' }).expect(201)
    const begun = vi.spyOn(api.app.get(BucketsService), 'upload')
    const sent = httpRequest({
      port,
      method: 'POST',
      path: '/api/buckets/my-bucket/objects',
      headers: { authorization: `Bearer ${key.key}`, 'content-type': 'multipart/form-data; boundary=b' },
    })
    const answered = once(sent, 'response')
    sent.write('--b\r\ncontent-disposition: form-data; name="file"; filename="late"\r\n\r\nhalf of')
    await vi.waitFor(() => expect(begun).toHaveBeenCalled())
    begun.mockRestore()
    await api.delete(`/api/api-keys/${key.id}`).set('Authorization', admin).expect(204)
    sent.end(' it\r\n--b--\r\n')
    const [answer] = await answered
    answer.resume()
    expect(answer.statusCode).toBe(401)
    await get('/api/buckets/my-bucket/objects/late').expect(404)
  })

  it.each([
    ['a/../../b', 'a%2F..%2F..%2Fb'],
    ['//', '%2F%2F'],
    ['/lead', '%2Flead'],
    ['trail/', 'trail%2F'],
    ['%2F', '%252F'],
    ['a?b#c&d=e+f', 'a%3Fb%23c%26d%3De%2Bf'],
    ['ends/url', 'ends%2Furl'],
    ['url', 'url'],
    ['é 🔑', '%C3%A9%20%F0%9F%94%91'],
    ['"quoted"\\;\n', '%22quoted%22%5C%3B%0A'],
  ])('are called %j in full', async (key, encoded) => {
    const { headers } = await form('my-bucket').field('key', key).attach('file', Buffer.from(key), 'x').expect(201)
    // What JavaScript leaves as it is may be so.
    expect(decodeURIComponent(headers.location?.slice('/api/buckets/my-bucket/objects/'.length) ?? '')).toBe(key)
    const { body } = await get(`/api/buckets/my-bucket/objects/${encoded}`).buffer(true).parse(bytes).expect(200)
    expect(body.toString()).toBe(key)
    await del(`/api/buckets/my-bucket/objects/${encoded}`).expect(204)
    await del(`/api/buckets/my-bucket/objects/${encoded}`).expect(404)
  })

  it('may be asked for with slashes as they are', async () => {
    for (const key of ['raw/a/b', 'raw//twice', 'raw/trailing/', '/raw'])
      await form('my-bucket').field('key', key).attach('file', Buffer.from(key), 'x').expect(201)
    for (const key of ['raw/a/b', 'raw//twice', 'raw/trailing/', '/raw']) {
      const { body } = await get(`/api/buckets/my-bucket/objects/${key}`).buffer(true).parse(bytes).expect(200)
      expect(body.toString()).toBe(key)
      await del(`/api/buckets/my-bucket/objects/${key}`).expect(204)
    }
  })
})

describe('a download', () => {
  const content = randomBytes(200_000)
  const etag = `"${createHash('md5').update(content).digest('hex')}"`
  const path = '/api/buckets/my-bucket/objects/big.bin'

  beforeAll(async () => {
    await form('my-bucket').attach('file', content, { filename: 'big.bin', contentType: 'image/x-own' }).expect(201)
  })

  it('is the content under its own media type, for keeping', async () => {
    const { body, headers } = await get(path).buffer(true).parse(bytes).expect(200)
    expect(content.equals(body)).toBe(true)
    expect(headers).toMatchObject({
      'content-type': 'image/x-own',
      'content-length': '200000',
      etag,
      'accept-ranges': 'bytes',
      'content-disposition': 'attachment; filename=big.bin',
      'x-content-type-options': 'nosniff',
    })
    expect(headers['content-security-policy']).toMatch(/^sandbox/)
  })

  it('may be a part, or nothing where it is known', async () => {
    const part = await get(path).set('Range', 'bytes=100-199').buffer(true).parse(bytes).expect(206)
    expect(part.headers['content-range']).toBe('bytes 100-199/200000')
    expect(content.subarray(100, 200).equals(part.body)).toBe(true)
    const last = await get(path).set('Range', 'bytes=-7').buffer(true).parse(bytes).expect(206)
    expect(content.subarray(-7).equals(last.body)).toBe(true)
    const none = await get(path).set('Range', 'bytes=200000-').expect(416)
    expect(none.headers['content-range']).toBe('bytes */200000')
    await get(path).set('If-None-Match', etag).expect(304)
    await get(path).set('If-None-Match', '"other"').expect(200)
    const head = await api.ask('head', path).set('Authorization', admin).expect(200)
    expect(head.headers).toMatchObject({ 'content-length': '200000', etag })
    expect(head.text).toBeUndefined()
    await get('/api/buckets/my-bucket/objects/nothing').expect(404)
  })

  it('may be shown where nothing in it can run', async () => {
    await upload('my-bucket', 'notes.txt', 'x', 'text/plain').expect(201)
    const { headers } = await get('/api/buckets/my-bucket/objects/notes.txt').expect(200)
    expect(headers['content-disposition']).toBe('inline; filename=notes.txt')
    expect(headers['content-security-policy']).toMatch(/^sandbox/)
  })

  it('never runs in a browser, whatever it is called and says to be', async () => {
    await form('my-bucket')
      .field('key', 'evil "ü.html')
      .attach('file', Buffer.from('<script>alert(1)</script>'), { filename: 'x', contentType: 'text/html' })
      .expect(201)
    const { headers } = await get('/api/buckets/my-bucket/objects/evil%20%22%C3%BC.html').expect(200)
    expect(headers['content-type']).toMatch(/^text\/html/)
    expect(headers['content-disposition']).toBe(
      `attachment; filename="evil \\"ü.html"; filename*=UTF-8''evil%20%22%C3%BC.html`.replace('ü.html"', '?.html"'),
    )
    expect(headers['content-security-policy']).toMatch(/sandbox/)
  })
})

describe('another provider', () => {
  it('that fails is told as such by every operation', async () => {
    const id = await provider({
      type: 'minio',
      endpoint: `http://127.0.0.1:${await closedPort()}`,
      region: 'us-east-1',
      credentials: { accessKey: 'AKIAIOSFODNN7EXAMPLE', secretKey: 'wJalrXUtnFEMI' },
    })
    const [at, its] = ['/api/buckets/my-bucket', `?provider=${id}`]
    const answers = [
      await get(`/api/buckets${its}`).expect(502),
      await api.post(`/api/buckets${its}`).set('Authorization', admin).send({ name: 'new-bucket' }).expect(502),
      await del(`${at}${its}`).expect(502),
      await get(`${at}/objects${its}`).expect(502),
      await form('my-bucket', its).field('key', 'a').attach('file', Buffer.from('1'), 'x').expect(502),
      await get(`${at}/objects/a${its}`).expect(502),
      await del(`${at}/objects/a${its}`).expect(502),
    ]
    for (const { body } of answers) expect(body.type).toBe('/problems/storage-provider-failed')
    const providers = api.app.get(StorageProviders, { strict: false })
    // A URL is signed without asking the service.
    const failing = vi.spyOn(providers, 'open').mockRejectedValue(new ProviderFailed('The service did not answer'))
    await get(`${at}/objects/a/url`).expect(502)
    failing.mockRestore()
  })

  it.skipIf(!azurite)('is used as the embedded store is', async () => {
    const { accountName = '', accountKey = '', endpoint = '' } = azurite ?? {}
    const its = `?provider=${await provider({ type: 'azure-blob', endpoint, credentials: { accountName, accountKey } })}`
    await api.post(`/api/buckets${its}`).set('Authorization', admin).send({ name: 'abroad' }).expect(201)
    expect((await get(`/api/buckets${its}`).expect(200)).body.buckets).toMatchObject([{ name: 'abroad' }])
    const content = randomBytes(300_000)
    const file = { filename: 'x.bin', contentType: 'image/png' }
    const before = await form('abroad', its).field('key', 'a/before').attach('file', content, file).expect(201)
    expect(before.body).toMatchObject({ name: 'a/before', size: 300_000, contentType: 'image/png' })
    const behind = await form('abroad', its).attach('file', content, file).field('key', 'a/behind').expect(201)
    expect(behind.body).toMatchObject({ name: 'a/behind', size: 300_000 })
    await form('abroad', its).attach('file', content, 'kept?').field('else', 'x').expect(422)
    const { body } = await get(`/api/buckets/abroad/objects${its}&recursive=true`).expect(200)
    expect(body.objects.map(shown)).toEqual(['a/before', 'a/behind'])
    for (const key of ['a%2Fbefore', 'a/behind']) {
      const path = `/api/buckets/abroad/objects/${key}${its}`
      expect(content.equals((await get(path).buffer(true).parse(bytes).expect(200)).body)).toBe(true)
      const part = await get(path).set('Range', 'bytes=299990-').buffer(true).parse(bytes).expect(206)
      expect(content.subarray(-10).equals(part.body)).toBe(true)
      await get(path)
        .set('If-None-Match', part.headers.etag as string)
        .expect(304)
    }
    const { url } = (await get(`/api/buckets/abroad/objects/a/before/url${its}&expiry=60`).expect(200)).body
    expect(content.equals(Buffer.from(await (await fetch(url)).arrayBuffer()))).toBe(true)
    await del(`/api/buckets/abroad/objects/a%2Fbefore${its}`).expect(204)
    await del(`/api/buckets/abroad/objects/a%2Fbefore${its}`).expect(404)
    await del(`/api/buckets/abroad${its}`).expect(409)
    await del(`/api/buckets/abroad${its}&force=true`).expect(204)
    await get('/api/buckets/abroad/objects').expect(404)
  })

  async function provider(settings: object): Promise<string> {
    const asked = api.post('/api/storage/providers').set('Authorization', admin)
    return (await asked.send({ name: 'Another', ...settings }).expect(201)).body.id
  }
})

describe('a URL', () => {
  it('gives the object to whoever has it', async () => {
    await upload('my-bucket', 'shared/a b.txt', 'shared').expect(201)
    for (const path of ['shared/a%20b.txt/url', 'shared%2Fa%20b.txt/url?expiry=60']) {
      const { url } = (await get(`/api/buckets/my-bucket/objects/${path}`).expect(200)).body
      const answer = await fetch(url)
      expect([answer.status, await answer.text()]).toEqual([200, 'shared'])
      expect((await fetch(url.replace('shared', 'folder'))).status).toBe(403)
    }
  })

  it('lasts from a second to a week', async () => {
    for (const expiry of ['0', '604801', 'x', '-1'])
      await get(`/api/buckets/my-bucket/objects/big.bin/url?expiry=${expiry}`).expect(400)
    await get('/api/buckets/my-bucket/objects/nothing/url').expect(404)
    await get('/api/buckets/nowhere/objects/nothing/url').expect(404)
  })
})

describe('what is allowed', () => {
  it('depends on who asks', async () => {
    await api.get('/api/buckets').expect(401)
    await api
      .post('/api/v1/accounts')
      .set('Authorization', admin)
      .send({ email: 'viewer@example.com', password: 'correct horse battery', name: 'V', role: 'viewer' })
      .expect(201)
    const viewer = `Bearer ${await api.login('viewer@example.com', 'correct horse battery')}`
    await api.get('/api/buckets').set('Authorization', viewer).expect(200)
    await api.get('/api/buckets/my-bucket/objects/big.bin').set('Authorization', viewer).expect(200)
    await api.post('/api/buckets').set('Authorization', viewer).send({ name: 'viewers' }).expect(403)
    await api.delete('/api/buckets/my-bucket').set('Authorization', viewer).expect(403)
    await api.delete('/api/buckets/my-bucket/objects/big.bin').set('Authorization', viewer).expect(403)
    const refused = api.post('/api/buckets/my-bucket/objects').set('Authorization', viewer)
    await refused.attach('file', Buffer.from('1'), 'x').expect(403)
  })

  it('is in the audit trail with what it changed', async () => {
    await upload('my-bucket', 'noted', '1').expect(201)
    await upload('my-bucket', 'noted', '22').expect(201)
    await del('/api/buckets/my-bucket/objects/noted').expect(204)
    const { body } = await get('/api/audit/logs?resourceType=object&limit=3').expect(200)
    const entries = body.logs.map(({ action, resourceId, before, after }: Record<string, { size: number }>) => [
      action,
      resourceId,
      before?.size,
      after?.size,
    ])
    expect(entries).toEqual([
      ['object.delete', 'my-bucket/noted', 2, undefined],
      ['object.put', 'my-bucket/noted', 1, 2],
      ['object.put', 'my-bucket/noted', undefined, 1],
    ])
  })
})

function get(path: string) {
  return api.get(path).set('Authorization', admin)
}

function del(path: string) {
  return api.delete(path).set('Authorization', admin)
}

function form(bucket: string, query = '') {
  return api.post(`/api/buckets/${bucket}/objects${query}`).set('Authorization', admin)
}

function upload(bucket: string, key: string, content: string, contentType = 'text/plain') {
  return form(bucket).field('key', key).attach('file', Buffer.from(content), { filename: 'file', contentType })
}

function shown({ name, isFolder }: { name: string; isFolder: boolean }): string {
  return isFolder ? `${name}…` : name
}

function bytes(answer: Response, done: (error: Error | null, body: Buffer) => void): void {
  const response = answer as unknown as NodeJS.ReadableStream
  const chunks: Buffer[] = []
  response.on('data', (chunk: Buffer) => chunks.push(chunk))
  response.on('end', () => done(null, Buffer.concat(chunks)))
}
