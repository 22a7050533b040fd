import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'
import { likeReference } from '../../../../test/support/reference.js'
import * as examples from './secrets.examples.js'

const NEW_SECRET = { key: 'NEW_API_KEY', value: 'your-api-key' }

let api: ApiUnderTest
let admin: FlowRunnerUser
let user: FlowRunnerUser
let path: string

beforeAll(async () => {
  api = await apiUnderTest()
  admin = await FlowRunnerUser.login(api)
  user = await admin.colleague('user@example.com')
  path = `/api/v1/accounts/${user.accountId}/secrets`
})

afterAll(() => api.close())

describe('secrets management, as the reference shows it', () => {
  it('lists secrets, sorted by key', async () => {
    for (const key of ['DATABASE_URL', 'API_KEY']) await user.post(path, { key, value: 'a value' }).expect(201)
    const { body } = await user.get(path).expect(200)
    expect(likeReference(body)).toEqual(likeReference(examples.secretList))
  })

  it('creates a secret', async () => {
    const { body, headers } = await user.post(path, NEW_SECRET).expect(201)
    expect(likeReference(body)).toEqual(likeReference(examples.secret))
    expect(headers.location).toBe(`${path}/NEW_API_KEY`)
  })

  it('overwrites a secret, which keeps the time of its making', async () => {
    const { body: list } = await user.get(path).expect(200)
    const before = list.secrets.find(({ key }: { key: string }) => key === 'NEW_API_KEY')
    const { body } = await user.post(path, { ...NEW_SECRET, value: 'another-api-key' }).expect(200)
    expect(body.created_at).toBe(before.created_at)
    expect(Date.parse(body.updated_at)).toBeGreaterThan(Date.parse(before.updated_at))
  })

  it('deletes a secret', async () => {
    const { body } = await user.delete(`${path}/NEW_API_KEY`).expect(200)
    expect(body).toEqual(examples.deletedSecret)
    const again = await user.delete(`${path}/NEW_API_KEY`).expect(404)
    expect(again.body).toMatchObject({ type: '/problems/secret-not-found', error: { code: 'not_found' } })
    expect((await user.get(path)).body.secrets).toHaveLength(2)
  })

  it('is published with the same examples', () => {
    const shown = api.spec.operations
      .filter(({ operation }) => operation.operationId.startsWith('flowRunner_secrets_'))
      .map(({ operation: { operationId, requestBody, responses } }) => [
        operationId.replace('flowRunner_secrets_', ''),
        [requestBody, responses[200], responses[201]].map(
          (part) => Object.values(part?.content?.['application/json']?.examples ?? {})[0]?.value,
        ),
      ])
    expect(Object.fromEntries(shown)).toEqual({
      list: [undefined, examples.secretList, undefined],
      create: [NEW_SECRET, examples.secret, examples.secret],
      delete: [undefined, examples.deletedSecret, undefined],
    })
  })
})

describe("an account's secrets", () => {
  it('are its own and the admins’', async () => {
    const stranger = await admin.colleague('stranger@example.com')
    await stranger.get(path).expect(404)
    await stranger.post(path, NEW_SECRET).expect(404)
    await stranger.delete(`${path}/API_KEY`).expect(404)
    expect((await user.get(path)).body.secrets).toHaveLength(2)
    await admin.post(path, { key: 'BY_ADMIN', value: 'a value' }).expect(201)
    await admin.delete(`${path}/BY_ADMIN`).expect(200)
    await admin.get('/api/v1/accounts/account_0/secrets').expect(404)
  })

  it.each([
    [{ key: '1KEY' }, '#/key', 'pattern'],
    [{ key: 'A-B' }, '#/key', 'pattern'],
    [{ key: 'A B' }, '#/key', 'pattern'],
    [{ key: 'KEY\n' }, '#/key', 'pattern'],
    [{ key: 'K'.repeat(129) }, '#/key', 'too_long'],
    [{ value: 'abc' }, '#/value', 'too_short'],
    [{ value: 'x'.repeat(65_537) }, '#/value', 'too_long'],
    [{ value: 12_345 }, '#/value', 'type'],
    [{ note: 'x' }, '#/note', expect.any(String)],
  ])('are not made with %j', async (fault, pointer, code) => {
    const { body } = await user.post(path, { ...NEW_SECRET, ...fault }).expect(422)
    expect(body.errors).toContainEqual({ pointer, detail: expect.any(String), code })
  })

  it('may have any value of 4 to 65,536 characters', async () => {
    for (const value of ['abcd', 'x'.repeat(65_536), ' grüße "🔑"\n\t\\ ']) {
      expect([200, 201]).toContain((await user.post(path, { key: '_k9', value })).status)
    }
    await user.delete(`${path}/_k9`).expect(200)
  })

  it('are used by flows as they are now, and masked wherever a flow shows them', async () => {
    const flow = await user.flow({
      start: {
        type: 'transform',
        params: {
          script: `
            console.log('the key is ' + secrets.API_KEY)
            return { matches: secrets.API_KEY === input.expected, raw: secrets.API_KEY, url: encodeURIComponent(secrets.API_KEY) }`,
        },
      },
    })
    for (const expected of ['first "value" / 1', 'second "value" / 2']) {
      await user.post(path, { key: 'API_KEY', value: expected }).expect(200)
      const execution = await user.ended(await user.start(flow, { expected }))
      expect(execution.result).toMatchObject({ matches: true, raw: '***', url: '***' })
      const shown = JSON.stringify([execution.result, await user.logs(execution.id)])
      expect(shown).toContain('the key is ***')
      expect(shown).not.toMatch(/first|second/)
    }
  })

  it('never show their values', async () => {
    const texts = [(await user.post(path, { key: 'SHOWN', value: 'hunter22' }).expect(201)).text]
    texts.push((await user.post(path, { key: 'SHOWN', value: 'hunter23' }).expect(200)).text)
    texts.push((await user.get(path).expect(200)).text)
    texts.push((await user.post(path, { key: 'SHOWN!', value: 'hunter24' }).expect(422)).text)
    texts.push((await user.delete(`${path}/SHOWN`).expect(200)).text)
    for (const text of texts) expect(text).not.toContain('hunter2')
  })
})
