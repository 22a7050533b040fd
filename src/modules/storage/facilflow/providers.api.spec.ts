import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'
import { startAzurite } from '../../../../test/support/peers/azurite.js'
import { closedPort } from '../../../../test/support/peers/silent.js'

const PATH = '/api/storage/providers'
const SECRET = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'
const S3 = {
  name: 'AWS Production',
  type: 's3',
  endpoint: 's3.amazonaws.com',
  region: 'us-east-1',
  credentials: { accessKey: 'AKIAIOSFODNN7EXAMPLE', secretKey: SECRET },
  isDefault: false,
}

const azurite = await startAzurite()
let api: ApiUnderTest
let user: FlowRunnerUser
let database: pg.Client

beforeAll(async () => {
  api = await apiUnderTest({ OUTBOUND_ALLOW: '127.0.0.1' })
  user = await FlowRunnerUser.login(api)
  database = new pg.Client({ connectionString: api.databaseUrl })
  await database.connect()
})

afterAll(async () => {
  await database.end()
  await api.close()
  await azurite?.stop()
})

type Provider = { id: string; isDefault: boolean; updatedAt: string; [member: string]: unknown }

async function made(body: object = {}): Promise<Provider> {
  return (await user.post(PATH, { ...S3, ...body }).expect(201)).body
}

async function list(): Promise<Provider[]> {
  return (await user.get(PATH).expect(200)).body
}

async function faults(body: object): Promise<unknown[]> {
  const answer = await user.post(PATH, { ...S3, ...body }).expect(422)
  expect(answer.text).not.toContain(SECRET)
  return answer.body.errors.map(({ pointer, code }: { pointer: string; code: string }) => `${pointer} ${code}`)
}

it('lists the embedded store, which is built in and the default', async () => {
  const [embedded, ...others] = await list()
  expect(others).toEqual([])
  expect(embedded).toEqual({
    id: 'default-minio',
    name: 'Local MinIO',
    type: 'minio',
    endpoint: '127.0.0.1',
    port: expect.any(Number),
    useSSL: false,
    region: null,
    bucket: null,
    credentialsSet: [],
    isDefault: true,
    builtIn: true,
    createdAt: expect.any(String),
    updatedAt: expect.any(String),
  })
  expect((await user.get(`${PATH}/default-minio`).expect(200)).body).toEqual(embedded)
  expect((await user.get(`${PATH}/types`).expect(200)).body).toEqual(['minio', 's3', 'azure-blob', 'gcs'])
  const answer = await fetch(`http://${embedded?.endpoint}:${embedded?.port}/api/health`)
  expect(answer.status).toBe(200)
})

it('creates a provider, and never shows its credentials', async () => {
  const answer = await user.post(PATH, S3).expect(201)
  expect(answer.body).toEqual({
    id: expect.stringMatching(/^provider_/),
    name: 'AWS Production',
    type: 's3',
    endpoint: 's3.amazonaws.com',
    port: 443,
    useSSL: true,
    region: 'us-east-1',
    bucket: null,
    credentialsSet: ['accessKey', 'secretKey'],
    isDefault: false,
    builtIn: false,
    createdAt: expect.any(String),
    updatedAt: expect.any(String),
  })
  expect(answer.headers.location).toBe(`${PATH}/${answer.body.id}`)
  expect((await list()).at(-1)).toEqual(answer.body)
  const { rows } = await database.query(
    `select (select json_agg(p)::text from storage_provider p) || (select json_agg(a)::text from audit_entry a) as text,
      sealed from storage_provider`,
  )
  expect(rows[0].text).toContain('AWS Production')
  expect(rows[0].text).not.toContain(SECRET)
  expect(rows[0].text).not.toContain('AKIAIOSFODNN7EXAMPLE')
  expect(rows[0].sealed.includes(SECRET)).toBe(false)
})

it.each([
  ['localhost', { port: 9000, useSSL: false }, ['localhost', 9000, false]],
  ['http://minio.internal:9000', {}, ['minio.internal', 9000, false]],
  ['https://gateway.internal/storage/v1/s3', {}, ['https://gateway.internal/storage/v1/s3', 443, true]],
  ['minio.internal:9443', {}, ['minio.internal', 9443, true]],
  ['::1', { useSSL: false }, ['[::1]', 80, false]],
])('reads the endpoint %s', async (endpoint, rest, expected) => {
  const provider = await made({ type: 'minio', endpoint, ...rest })
  expect([provider.endpoint, provider.port, provider.useSSL]).toEqual(expected)
})

describe('what is refused', () => {
  it.each([
    ['http://user:secret@host', '#/endpoint endpoint'],
    ['http://host/path', '#/endpoint endpoint'],
    ['http://host?x=1', '#/endpoint endpoint'],
    ['ftp://host', '#/endpoint endpoint'],
    ['file:///etc/passwd', '#/endpoint endpoint'],
    ['a b', '#/endpoint endpoint'],
  ])('the endpoint %s', async (endpoint, fault) => {
    expect(await faults({ endpoint })).toEqual([fault])
  })

  it('parts of an endpoint that contradict each other', async () => {
    expect(await faults({ endpoint: 'https://host:9000', port: 9001, useSSL: false })).toEqual([
      '#/useSSL excluded',
      '#/port excluded',
    ])
    expect(await faults({ endpoint: undefined, type: 'minio' })).toEqual(['#/endpoint required'])
    expect(await faults({ endpoint: undefined, port: 1 })).toEqual(['#/port excluded'])
    expect(await faults({ region: 'evil.example/#', bucket: 'No' })).toEqual([
      '#/bucket bucket_name',
      '#/region region',
    ])
  })

  it.each([
    ['s3', {}, ['#/credentials/accessKey required', '#/credentials/secretKey required']],
    ['s3', { accessKey: 'a b', secretKey: SECRET }, ['#/credentials/accessKey credentials']],
    ['s3', { accessKey: 'a', secretKey: SECRET, accountKey: 'x' }, ['#/credentials/accountKey excluded']],
    [
      'azure-blob',
      { accountName: 'UPPER', accountKey: '!' },
      ['#/credentials/accountName credentials', '#/credentials/accountKey credentials'],
    ],
    ['azure-blob', { connectionString: 'UseDevelopmentStorage=true' }, ['#/credentials/connectionString credentials']],
    [
      'azure-blob',
      { accountName: 'name', connectionString: `AccountName=name;AccountKey=${btoa(SECRET)}` },
      ['#/credentials/accountName excluded'],
    ],
    ['gcs', {}, ['#/credentials/keyJson required']],
    ['gcs', { keyJson: '{"type":"authorized_user"}' }, ['#/credentials/keyJson credentials']],
    [
      'gcs',
      { keyJson: { type: 'service_account', client_email: 'a@b', private_key: 'x', project_id: 'p' } },
      ['#/credentials/keyJson credentials'],
    ],
  ])('credentials that do not fit the type %s: %j', async (type, credentials, expected) => {
    expect(await faults({ type, endpoint: undefined, credentials })).toEqual(expected)
  })

  it('members that nobody knows, and none of the values', async () => {
    await user.post(PATH, { ...S3, credentials: undefined }).expect(422)
    await user.post(PATH, { ...S3, type: 'ftp' }).expect(422)
    const answer = await user.post(PATH, { ...S3, credentials: { ...S3.credentials, passwort: SECRET } }).expect(422)
    expect(answer.text).not.toContain(SECRET)
  })
})

it('finds Azure by its account or its connection string', async () => {
  const accountKey = btoa(SECRET)
  const byKey = await made({
    type: 'azure-blob',
    endpoint: undefined,
    credentials: { accountName: 'facts', accountKey },
  })
  expect([byKey.endpoint, byKey.credentialsSet]).toEqual(['facts.blob.core.windows.net', ['accountName', 'accountKey']])
  const connectionString = `DefaultEndpointsProtocol=http;AccountName=facts;AccountKey=${accountKey};BlobEndpoint=http://127.0.0.1:10000/facts;`
  const byText = await made({ type: 'azure-blob', endpoint: undefined, credentials: { connectionString } })
  expect([byText.endpoint, byText.port, byText.credentialsSet]).toEqual([
    'http://127.0.0.1:10000/facts',
    10_000,
    ['connectionString'],
  ])
})

it('updates what is named, but never the type', async () => {
  const { id, updatedAt } = await made()
  const { body } = await user.put(`${PATH}/${id}`, { name: 'Updated Name', type: 's3', region: null }).expect(200)
  expect(body).toMatchObject({ name: 'Updated Name', region: null, credentialsSet: ['accessKey', 'secretKey'] })
  const typed = await user.put(`${PATH}/${id}`, { type: 'minio' }).expect(400)
  await user.put(`${PATH}/default-minio`, { type: 's3' }).expect(400)
  expect(typed.body.errors).toMatchObject([{ pointer: '#/type', code: 'immutable' }])
  await user.put(`${PATH}/${id}`, { name: 'Late' }).set('If-Match', `"${updatedAt}"`).expect(412)
  await user.delete(`${PATH}/${id}`).set('If-Match', `"${updatedAt}"`).expect(412)
  const fresh = { accessKey: 'AKIAI', secretKey: 'another', sessionToken: 'token' }
  const changed = await user.put(`${PATH}/${id}`, { credentials: fresh }).expect(200)
  expect(changed.body.credentialsSet).toEqual(['accessKey', 'secretKey', 'sessionToken'])
  await user.put(`${PATH}/${id}`, { credentials: { secretKey: 'alone' } }).expect(422)
})

it('sends stored credentials nowhere but where they were given for', async () => {
  const { id } = await made()
  for (const change of [{ endpoint: 'collector.example' }, { port: 8443 }, { useSSL: false }]) {
    const { body } = await user.put(`${PATH}/${id}`, change).expect(422)
    expect(body.errors).toMatchObject([{ pointer: '#/credentials', code: 'required' }])
  }
  await user.put(`${PATH}/${id}`, { endpoint: 's3.amazonaws.com' }).expect(200)
  const moved = await user.put(`${PATH}/${id}`, { port: 8443, credentials: S3.credentials }).expect(200)
  expect([moved.body.endpoint, moved.body.port]).toEqual(['s3.amazonaws.com', 8443])
})

describe('the default', () => {
  const defaults = async () => (await list()).filter(({ isDefault }) => isDefault).map(({ id }) => id)

  it('is one, and taken over by whoever becomes it', async () => {
    const first = await made({ isDefault: true })
    expect(await defaults()).toEqual([first.id])
    const second = await made({ isDefault: true })
    expect(await defaults()).toEqual([second.id])
    await user.put(`${PATH}/${first.id}`, { isDefault: true }).expect(200)
    expect(await defaults()).toEqual([first.id])
    await user.put(`${PATH}/${first.id}`, { isDefault: false }).expect(422)
    await user.put(`${PATH}/${second.id}`, { isDefault: false }).expect(200)
    await user.put(`${PATH}/default-minio`, { isDefault: false }).expect(200)
    const embedded = await user.put(`${PATH}/default-minio`, { isDefault: true }).expect(200)
    expect(embedded.body.isDefault).toBe(true)
    expect(await defaults()).toEqual(['default-minio'])
    await user.put(`${PATH}/default-minio`, { isDefault: false }).expect(422)
  })

  it('stays one when many want to be it at once', async () => {
    const ids = await Promise.all(Array.from({ length: 4 }, async () => (await made()).id))
    const wanting = [...ids, 'default-minio', ...ids]
    await Promise.all([
      ...wanting.map((id) => user.put(`${PATH}/${id}`, { isDefault: true }).expect(200)),
      ...Array.from({ length: 3 }, () => made({ isDefault: true })),
    ])
    expect(await defaults()).toHaveLength(1)
    await user.put(`${PATH}/default-minio`, { isDefault: true }).expect(200)
  })

  it('cannot be deleted, nor can what is built in or in use', async () => {
    const { id } = await made({ isDefault: true })
    for (const needed of [id, 'default-minio']) {
      const { body } = await user.delete(`${PATH}/${needed}`).expect(409)
      expect(body).toMatchObject({ type: '/problems/provider-in-use', error: 'CONFLICT' })
    }
    await user.put(`${PATH}/default-minio`, { isDefault: true }).expect(200)
    await database.query(
      `insert into artifact (id, run_id, tenant_id, account_id, name, path, media_type, size_bytes, sha256, provider_id,
         bucket, key, state, created_at)
       values ('artifact_1', 'run_1', 'default', 'account_1', 'a', 'a', 'text/plain', 1, '00', $1, 'b', 'k', 'kept', now())`,
      [id],
    )
    await user.delete(`${PATH}/${id}`).expect(409)
    await database.query('delete from artifact')
    await user.delete(`${PATH}/${id}`).expect(204)
    const gone = [
      user.get(`${PATH}/${id}`),
      user.put(`${PATH}/${id}`, {}),
      user.delete(`${PATH}/${id}`),
      user.post(`${PATH}/${id}/test`, {}),
    ]
    for (const asked of gone) expect((await asked.expect(404)).body).toMatchObject({ error: 'PROVIDER_NOT_FOUND' })
  })

  it('is all that can be changed of the embedded store', async () => {
    const { body } = await user.put(`${PATH}/default-minio`, { name: 'Mine', endpoint: 'elsewhere' }).expect(422)
    expect(body.errors).toMatchObject([{ pointer: '#/name' }, { pointer: '#/endpoint' }])
    await user.put(`${PATH}/default-minio`, { name: 'Local MinIO', type: 'minio' }).expect(200)
  })
})

describe('the test of a connection', () => {
  const test = async (body: object) => {
    const { id } = await made(body)
    return (await user.post(`${PATH}/${id}/test`, {}).expect(200)).body
  }

  it('succeeds with the embedded store', async () => {
    const { body } = await user.post(`${PATH}/default-minio/test`, {}).expect(200)
    expect(body).toEqual({ success: true, message: 'Connection successful', failedStep: null })
  })

  it('names what failed, and no address inside', async () => {
    const inside = await test({ type: 'minio', endpoint: 'http://169.254.169.254' })
    expect(inside).toEqual({
      success: false,
      message:
        "The bucket for the test is not to be had: Request to '169.254.169.254' refused: it is a cloud metadata address",
      failedStep: 'bucket',
    })
    const closed = await test({ type: 'minio', endpoint: `http://127.0.0.1:${await closedPort()}`, bucket: 'probes' })
    expect(closed).toMatchObject({ success: false, failedStep: 'bucket', message: expect.stringContaining('refused') })
  })

  it.skipIf(!azurite)('writes, reads and deletes a probe in a real service, and leaves nothing', async () => {
    const { accountName = '', accountKey = '', endpoint = '' } = azurite ?? {}
    const azure = { type: 'azure-blob', endpoint, region: null }
    expect(await test({ ...azure, credentials: { accountName, accountKey } })).toMatchObject({ success: true })
    const missing = await test({ ...azure, bucket: 'probes', credentials: { accountName, accountKey } })
    expect(missing).toMatchObject({
      failedStep: 'bucket',
      message: "The bucket for the test is not to be had: there is no bucket 'probes'",
    })
    const wrong = await test({ ...azure, credentials: { accountName, accountKey: btoa('wrong') } })
    expect(wrong).toMatchObject({ success: false, failedStep: 'bucket', message: expect.stringContaining('403') })
  })
})

it('is managed by admins and editors, and seen by all of the tenant alone', async () => {
  const { id } = await made()
  const password = 'correct horse battery'
  for (const role of ['viewer', 'user', 'editor']) {
    const email = `${role}@example.com`
    await user.post('/api/v1/accounts', { name: role, email, password, role }).expect(201)
    const other = await FlowRunnerUser.login(api, { email, password })
    const allowed = role === 'editor'
    expect((await other.get(`${PATH}/${id}`).expect(200)).body.id).toBe(id)
    await other.get(PATH).expect(200)
    await other.get(`${PATH}/types`).expect(200)
    await other.post(PATH, S3).expect(allowed ? 201 : 403)
    await other.put(`${PATH}/${id}`, { name: role }).expect(allowed ? 200 : 403)
    await other.post(`${PATH}/default-minio/test`, {}).expect(allowed ? 200 : 403)
    await other.delete(`${PATH}/${id}`).expect(allowed ? 204 : 403)
  }
  await database.query(`insert into tenant (id, name) values ('other', 'Other')`)
  await database.query(
    `insert into storage_provider select 'provider_foreign', 'other', name, type, endpoint, region, bucket,
       credential_names, key_id, sealed, true, created_at, updated_at from storage_provider limit 1`,
  )
  await user.get(`${PATH}/provider_foreign`).expect(404)
  await user.put(`${PATH}/provider_foreign`, { isDefault: true }).expect(404)
  await user.delete(`${PATH}/provider_foreign`).expect(404)
  await user.post(`${PATH}/provider_foreign/test`, {}).expect(404)
  expect((await list()).map((provider) => provider.id)).not.toContain('provider_foreign')
})
