import { createHash } from 'node:crypto'
import { request as rawRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'
import { likeReference } from '../../../../test/support/reference.js'
import type { RunIdentity } from '../../../engine/step.js'
import { Sql } from '../../../platform/database/sql.js'
import { Retention } from '../../runs/retention/retention.js'
import { artifactsBucket } from '../../storage/bucket-access.js'
import { StorageProviders } from '../../storage/storage-providers.js'
import { fileOf, someRun } from '../artifacts.fake.js'
import { RunArtifacts } from '../run-artifacts.js'
import * as examples from './artifacts.examples.js'

const CONTENT = Buffer.from('0123456789abcdef')
const ETAG = `"${createHash('sha256').update(CONTENT).digest('hex')}"`

let api: ApiUnderTest
let user: FlowRunnerUser
let run: RunIdentity

beforeAll(async () => {
  api = await apiUnderTest()
  user = await FlowRunnerUser.login(api)
  run = runOf(user)
})

afterAll(() => api.close())

const runOf = ({ accountId }: FlowRunnerUser) => someRun('default', accountId)
const keep = (run: RunIdentity, path: string, content: string | Buffer = CONTENT, mediaType?: string) =>
  api.app.get(RunArtifacts).keep(run, fileOf(path, content, mediaType))
const download = (id: string) => user.get(`/api/v1/artifacts/${id}`).buffer()

describe('artifacts, as the reference shows them', () => {
  it('are listed', async () => {
    const archive = {
      ...fileOf('/workspace/backup.tar.gz', Buffer.alloc(12_345_678), 'application/gzip'),
      name: 'backup-archive',
    }
    const id = await api.app.get(RunArtifacts).keep(run, archive)
    const { body } = await user.get(`/api/v1/artifacts?run_id=${run.id}`).expect(200)
    expect(likeReference(body)).toEqual(likeReference(examples.artifactList))
    expect(body.artifacts[0]).toMatchObject({ id, run_id: run.id })
  })

  it('are downloaded in their own media type', async () => {
    const id = await keep(run, '/workspace/report.csv', CONTENT, 'text/csv; charset=utf-8')
    const { headers, text } = await download(id).expect(200)
    expect(text).toBe(String(CONTENT))
    expect(headers).toMatchObject({
      'content-type': 'text/csv; charset=utf-8',
      'content-length': '16',
      'content-disposition': 'attachment; filename=report.csv',
      etag: ETAG,
      'accept-ranges': 'bytes',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'content-security-policy': "sandbox; default-src 'none'",
    })
  })
})

describe('a list of artifacts', () => {
  it('is paged newest first, and holds one run’s where that is asked for', async () => {
    const [one, other] = [runOf(user), runOf(user)]
    const ids: string[] = []
    for (let n = 0; n < 5; n++) ids.push(await keep(n % 2 ? other : one, `/workspace/${n}`))
    const list = async (query: string) =>
      ((await user.get(`/api/v1/artifacts?${query}`).expect(200)).body.artifacts as { id: string }[]).map(
        ({ id }) => id,
      )
    expect(await list('limit=5')).toEqual(ids.toReversed())
    expect(await list('limit=2&offset=1')).toEqual([ids[3], ids[2]])
    expect(await list(`run_id=${other.id}`)).toEqual([ids[3], ids[1]])
    expect(await list(`run_id=${one.id}&limit=1&offset=2`)).toEqual([ids[0]])
    expect(await list('run_id=run_nothing')).toEqual([])
    for (const query of ['limit=0', 'limit=x', 'offset=-1', 'page=2'])
      await user.get(`/api/v1/artifacts?${query}`).expect(400)
  })
})

describe('the metadata of an artifact', () => {
  it('tell its hash and how long it is kept', async () => {
    const id = await keep(run, '/workspace/for-a-week')
    const { body } = await user.get(`/api/v1/artifacts/${id}/metadata`).expect(200)
    expect(body).toMatchObject({ id, path: '/workspace/for-a-week', size_bytes: 16, sha256: ETAG.slice(1, -1) })
    expect(Date.parse(body.expires_at) - Date.parse(body.created_at)).toBeGreaterThan(6.9 * 86_400_000)
  })
})

describe('a download', () => {
  let id: string

  beforeAll(async () => {
    id = await keep(run, '/workspace/digits')
  })

  it.each([
    ['bytes=0-3', '0123', 'bytes 0-3/16'],
    ['bytes=4-4', '4', 'bytes 4-4/16'],
    ['bytes=10-', 'abcdef', 'bytes 10-15/16'],
    ['bytes=-2', 'ef', 'bytes 14-15/16'],
    ['bytes=-99', '0123456789abcdef', 'bytes 0-15/16'],
    ['bytes=12-99', 'cdef', 'bytes 12-15/16'],
  ])('of the range %s is that part', async (range, text, contentRange) => {
    const answer = await download(id).set('Range', range).expect(206)
    expect(answer.text).toBe(text)
    expect(answer.headers).toMatchObject({
      'content-range': contentRange,
      'content-length': String(text.length),
      etag: ETAG,
    })
  })

  it.each(['bytes=3-1', 'bytes=a-b', 'lines=0-1', 'bytes=0-1,4-5', 'bytes', ''])(
    'of the range %j is whole',
    async (range) => {
      const { text, headers } = await download(id).set('Range', range).expect(200)
      expect(text).toBe(String(CONTENT))
      expect(headers['content-range']).toBeUndefined()
    },
  )

  it.each(['bytes=16-', 'bytes=99-100', 'bytes=-0'])('of the range %s is refused', async (range) => {
    const { body, headers } = await user.get(`/api/v1/artifacts/${id}`).set('Range', range).expect(416)
    expect(body).toMatchObject({ type: '/problems/range-not-satisfiable', status: 416 })
    expect(headers['content-range']).toBe('bytes */16')
    expect(headers['content-disposition']).toBeUndefined()
  })

  it('of a range is whole where the content is another than `If-Range` names', async () => {
    await download(id).set('Range', 'bytes=0-1').set('If-Range', ETAG).expect(206)
    for (const other of ['"x"', `W/${ETAG}`, 'Mon, 01 Jan 2030 00:00:00 GMT'])
      await download(id).set('Range', 'bytes=0-1').set('If-Range', other).expect(200)
  })

  it('is not repeated to who has it', async () => {
    for (const tags of [ETAG, `W/${ETAG}`, `"x", ${ETAG}`, '*']) {
      const { headers, text } = await download(id).set('If-None-Match', tags).expect(304)
      expect([headers.etag, text]).toEqual([ETAG, ''])
    }
    await download(id).set('If-None-Match', '"x"').expect(200)
  })

  it('is announced by HEAD', async () => {
    const { headers } = await api
      .ask('head', `/api/v1/artifacts/${id}`)
      .set('Authorization', user.authorization)
      .expect(200)
    expect(headers).toMatchObject({ 'content-length': '16', etag: ETAG, 'content-type': 'text/plain' })
  })

  it.each([
    [
      '/workspace/naïve plan €.txt',
      `attachment; filename="na?ve plan ?.txt"; filename*=UTF-8''na%C3%AFve%20plan%20%E2%82%AC.txt`,
    ],
    ['/workspace/a/"quoted"\\.txt', 'attachment; filename="\\"quoted\\"\\\\.txt"'],
    ['/workspace/x\r\nX-Evil: 1', `attachment; filename="x??X-Evil: 1"; filename*=UTF-8''x%0D%0AX-Evil%3A%201`],
    ['/workspace/..', 'attachment; filename=..'],
  ])('of %j has a safe name', async (path, disposition) => {
    const evil = await keep(run, path, '<script>', 'text/html')
    const { headers } = await download(evil).expect(200)
    expect(headers['content-disposition']).toBe(disposition)
    expect(headers['x-evil']).toBeUndefined()
  })

  it('that its caller does not want any more lets go of the content', async () => {
    const large = await keep(run, '/workspace/large', Buffer.alloc(64 * 1_048_576))
    const { port } = api.app.getHttpServer().address() as AddressInfo
    await new Promise<void>((resolve, reject) => {
      const asked = rawRequest(
        { port, path: `/api/v1/artifacts/${large}`, headers: { authorization: user.authorization } },
        (answer) => answer.once('data', () => resolve(void answer.destroy())),
      )
      asked.once('error', reject).end()
    })
    await download(large).set('Range', 'bytes=0-0').expect(206)
  })

  it('of a content that is gone is a problem, and of another content never whole', async () => {
    const lost = await keep(run, '/workspace/lost')
    const { driver } = await api.app.get(StorageProviders, { strict: false }).open('default')
    const [bucket, key] = [artifactsBucket(user.accountId), `${run.id}/lost`]
    await driver.putObject(bucket, key, fileOf('', 'another content!').content())
    await expect(download(lost)).rejects.toThrow(/aborted|hang up|terminated/)
    await driver.deleteObject(bucket, key)
    const { body } = await user.get(`/api/v1/artifacts/${lost}`).expect(502)
    expect(body).toMatchObject({ type: '/problems/storage-provider-failed', status: 502 })
    expect(JSON.stringify(body)).not.toContain(bucket)
  })
})

describe('an artifact of somebody else', () => {
  it('does not exist', async () => {
    const colleague = await user.colleague('colleague@example.com')
    const theirs = await keep(runOf(colleague), '/workspace/a')
    const path = `/api/v1/artifacts/${theirs}`
    await colleague.get(path).expect(200)
    const { body } = await user.get(path).expect(404)
    expect(body).toMatchObject({
      type: 'https://flowd.org/problems/artifact-not-found',
      title: 'Artifact Not Found',
      status: 404,
      detail: `The artifact '${theirs}' does not exist`,
      instance: path,
    })
    await user.get(`${path}/metadata`).expect(404)
    await user.delete(path).expect(404)
    await user.get('/api/v1/artifacts/artifact_nothing').expect(404)
    await user.get(`/api/v1/artifacts/${'x'.repeat(300)}`).expect(404)
    expect((await colleague.get('/api/v1/artifacts').expect(200)).body.artifacts).toHaveLength(1)
  })
})

describe('an artifact that is deleted', () => {
  it('is gone, with its object, and the trail tells what it was', async () => {
    const id = await keep(run, '/workspace/deleted')
    await user.delete(`/api/v1/artifacts/${id}`).expect(204)
    await user.get(`/api/v1/artifacts/${id}`).expect(404)
    await user.delete(`/api/v1/artifacts/${id}`).expect(404)
    const { driver } = await api.app.get(StorageProviders, { strict: false }).open('default')
    await expect(driver.headObject(artifactsBucket(user.accountId), `${run.id}/deleted`)).rejects.toThrow('no object')
    const { body } = await user.get(`/api/audit/logs?action=artifact.delete&resourceId=${id}`).expect(200)
    expect(body.logs.map(({ outcome }: { outcome: string }) => outcome)).toEqual(['failure', 'success'])
    expect(body.logs[1].before).toEqual({
      runId: run.id,
      path: '/workspace/deleted',
      size: 16,
      sha256: ETAG.slice(1, -1),
    })
  })

  it('is so by who may change things only', async () => {
    const email = 'viewer@example.com'
    const password = 'correct horse battery'
    await user.post('/api/v1/accounts', { name: 'V', email, password, role: 'viewer' }).expect(201)
    const viewer = await FlowRunnerUser.login(api, { email, password })
    const id = await keep(runOf(viewer), '/workspace/a')
    await viewer.get(`/api/v1/artifacts/${id}`).expect(200)
    const { body } = await viewer.delete(`/api/v1/artifacts/${id}`).expect(403)
    expect(body).toMatchObject({ type: 'https://flowd.org/problems/permission-denied', title: 'Permission Denied' })
  })
})

it('what a run has left goes with it', async () => {
  const flow = await user.flow({ end: { type: 'transform', params: { script: 'return { output: 1 }' } } })
  const finished = { ...run, id: await user.start(flow) }
  await user.ended(finished.id)
  const id = await keep(finished, '/workspace/a')
  const soon = new Date(Date.now() + 60_000)
  await new Retention(api.app.get(Sql)).removeBefore(soon, new AbortController().signal)
  await user.get(`/api/v1/executions/${finished.id}`).expect(404)
  expect(
    await api.app
      .get(Sql)
      .query({ name: 'x', text: 'select 1 from artifact where id = $1 and expires_at = $2' }, [id, soon]),
  ).toHaveLength(1)
})
