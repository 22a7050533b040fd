import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ADMIN, type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'
import { likeReference } from '../../../../test/support/reference.js'
import * as examples from './accounts.examples.js'

const NEW_ACCOUNT = { name: 'New Account', email: 'new@example.com', password: 'your-password', role: 'user' }
const UPDATED_ACCOUNT = { name: 'Updated Account', email: 'updated@example.com', role: 'admin' }

let api: ApiUnderTest
let admin: FlowRunnerUser

beforeAll(async () => {
  api = await apiUnderTest()
  admin = await FlowRunnerUser.login(api)
})

afterAll(() => api.close())

function isDate(text: string): boolean {
  return new Date(text).toISOString() === text
}

describe('account management, as the reference shows it', () => {
  let another: string
  let id: string

  it('lists accounts', async () => {
    await admin
      .put(`/api/v1/accounts/${admin.accountId}`, { name: 'My Account', email: 'user@example.com' })
      .expect(200)
    const made = { name: 'Another Account', email: 'another@example.com', password: 'your-password', role: 'user' }
    another = (await admin.post('/api/v1/accounts', made).expect(201)).body.id
    const { body } = await admin.get('/api/v1/accounts').expect(200)
    expect(likeReference(body)).toEqual(likeReference(examples.accountList))
  })

  it('gets an account', async () => {
    const { body } = await admin.get(`/api/v1/accounts/${admin.accountId}`).expect(200)
    expect(likeReference(body)).toEqual(likeReference(examples.account))
    expect(body.id).toMatch(/^account_/)
    expect(isDate(body.created_at)).toBe(true)
  })

  it('creates an account', async () => {
    const { body, headers } = await admin.post('/api/v1/accounts', NEW_ACCOUNT).expect(201)
    expect(likeReference(body)).toEqual(likeReference(examples.newAccount))
    id = body.id
    expect(headers.location).toBe(`/api/v1/accounts/${id}`)
    await FlowRunnerUser.login(api, NEW_ACCOUNT)
  })

  it('updates an account', async () => {
    const { body } = await admin.put(`/api/v1/accounts/${id}`, UPDATED_ACCOUNT).expect(200)
    expect(likeReference(body)).toEqual(likeReference(examples.updatedAccount))
    expect(Date.parse(body.updated_at)).toBeGreaterThan(Date.parse(body.created_at))
    expect((await admin.get(`/api/v1/accounts/${id}`).expect(200)).body).toEqual(body)
  })

  it('deletes an account', async () => {
    for (const one of [id, another]) {
      const { body } = await admin.delete(`/api/v1/accounts/${one}`).expect(200)
      expect(body).toEqual(examples.deletedAccount)
      const gone = await admin.get(`/api/v1/accounts/${one}`).expect(404)
      expect(gone.body.error).toEqual({ code: 'not_found', message: `Account with ID ${one} not found` })
      await admin.delete(`/api/v1/accounts/${one}`).expect(404)
      await admin.put(`/api/v1/accounts/${one}`, { name: 'Again' }).expect(404)
    }
    await admin.put(`/api/v1/accounts/${admin.accountId}`, { email: ADMIN.email }).expect(200)
  })

  it('is published with the same examples', () => {
    const shown = api.spec.operations
      .filter(({ operation }) => operation.operationId.startsWith('flowRunner_accounts_'))
      .map(({ operation: { operationId, requestBody, responses } }) => [
        operationId.replace('flowRunner_accounts_', ''),
        [requestBody, responses[200] ?? responses[201]].map(
          (part) => Object.values(part?.content?.['application/json']?.examples ?? {})[0]?.value,
        ),
      ])
    expect(Object.fromEntries(shown)).toEqual({
      list: [undefined, examples.accountList],
      get: [undefined, examples.account],
      create: [NEW_ACCOUNT, examples.newAccount],
      update: [UPDATED_ACCOUNT, examples.updatedAccount],
      delete: [undefined, examples.deletedAccount],
    })
  })
})

describe('a list of accounts', () => {
  it('is paged and filtered by role', async () => {
    const made = []
    for (let number = 0; number < 12; number++) {
      const role = number % 3 === 0 ? 'editor' : 'viewer'
      const account = { name: `P${number}`, email: `p${number}@pages.example.com`, password: 'your-password', role }
      made.push((await admin.post('/api/v1/accounts', account).expect(201)).body.id)
    }
    const page = async (query: string) => (await admin.get(`/api/v1/accounts${query}`).expect(200)).body
    expect(await page('')).toMatchObject({ total: 13, limit: 10, offset: 0 })
    expect((await page('')).accounts).toHaveLength(10)
    const last = await page('?limit=5&offset=10')
    expect(last.accounts.map((account: { id: string }) => account.id)).toEqual(made.slice(9))
    expect(last).toMatchObject({ total: 13, limit: 5, offset: 10 })
    expect(await page('?limit=5000')).toMatchObject({ total: 13, limit: 100 })
    const editors = await page('?role=editor&limit=2')
    expect(editors).toMatchObject({ total: 4, limit: 2, accounts: [{ role: 'editor' }, { role: 'editor' }] })
    for (const query of ['?limit=0', '?limit=-1', '?limit=x', '?offset=-1', '?role=owner', '?page=2']) {
      await admin.get(`/api/v1/accounts${query}`).expect(400)
    }
    for (const id of made) await admin.delete(`/api/v1/accounts/${id}`).expect(200)
  })
})

describe('someone who is no admin', () => {
  it('sees and changes only itself', async () => {
    const user = await admin.colleague('self@example.com')
    const { body: list } = await user.get('/api/v1/accounts').expect(200)
    expect(list).toMatchObject({ total: 1, accounts: [{ id: user.accountId }] })
    expect((await user.get('/api/v1/accounts?role=admin').expect(200)).body).toMatchObject({ total: 0, accounts: [] })
    await user.get(`/api/v1/accounts/${user.accountId}`).expect(200)
    await user.get(`/api/v1/accounts/${admin.accountId}`).expect(404)
    await user.put(`/api/v1/accounts/${admin.accountId}`, { name: 'Mine' }).expect(404)
    await user.delete(`/api/v1/accounts/${admin.accountId}`).expect(404)
    const renamed = await user.put(`/api/v1/accounts/${user.accountId}`, { name: 'Me', role: 'user' }).expect(200)
    expect(renamed.body).toMatchObject({ name: 'Me', email: 'self@example.com', role: 'user' })
    await user.put(`/api/v1/accounts/${user.accountId}`, { role: 'admin' }).expect(403)
    await user.post('/api/v1/accounts', { ...NEW_ACCOUNT, email: 'theirs@example.com' }).expect(403)
    await user.delete(`/api/v1/accounts/${user.accountId}`).expect(200)
    await user.get('/api/v1/accounts').expect(401)
  })
})

describe('an account', () => {
  it('has an e-mail of its own, whatever its case, which is free again after it is deleted', async () => {
    const first = await admin.post('/api/v1/accounts', { ...NEW_ACCOUNT, email: 'Taken@Example.com' }).expect(201)
    const { body } = await admin.post('/api/v1/accounts', { ...NEW_ACCOUNT, email: 'taken@example.com' }).expect(409)
    expect(body).toMatchObject({ type: '/problems/email-taken', error: { code: 'conflict' } })
    const second = await admin.post('/api/v1/accounts', { ...NEW_ACCOUNT, email: 'free@example.com' }).expect(201)
    await admin.put(`/api/v1/accounts/${second.body.id}`, { email: 'TAKEN@example.com' }).expect(409)
    await admin.put(`/api/v1/accounts/${first.body.id}`, { email: 'taken@example.com' }).expect(200)
    await admin.delete(`/api/v1/accounts/${first.body.id}`).expect(200)
    await admin.put(`/api/v1/accounts/${second.body.id}`, { email: 'TAKEN@example.com' }).expect(200)
    await admin.delete(`/api/v1/accounts/${second.body.id}`).expect(200)
  })

  it('stays when it is the last admin', async () => {
    for (const refused of [
      admin.delete(`/api/v1/accounts/${admin.accountId}`),
      admin.put(`/api/v1/accounts/${admin.accountId}`, { role: 'user' }),
    ]) {
      const { body } = await refused.expect(409)
      expect(body).toMatchObject({ type: '/problems/last-admin' })
    }
    await admin.put(`/api/v1/accounts/${admin.accountId}`, { role: 'admin', name: 'Still' }).expect(200)
  })

  it('stays while it owns flows', async () => {
    const owner = await admin.colleague('owner@example.com')
    const flows = []
    for (let number = 0; number < 2; number++)
      flows.push(await owner.flow({ start: { type: 'transform', params: { script: '1' } } }))
    const { body } = await admin.delete(`/api/v1/accounts/${owner.accountId}`).expect(409)
    expect(body).toMatchObject({ type: '/problems/account-in-use', detail: 'The account still owns 2 flows' })
    for (const flow of flows) await owner.delete(`/api/v1/flows/${flow}`).expect(200)
    await owner.delete(`/api/v1/accounts/${owner.accountId}`).expect(200)
  })

  it('is changed only as it was read, when If-Match says so', async () => {
    const user = await admin.colleague('versions@example.com')
    const path = `/api/v1/accounts/${user.accountId}`
    const { headers } = await user.get(path).expect(200)
    await user.put(path, { name: 'One' }).set('If-Match', String(headers.etag)).expect(200)
    await user.put(path, { name: 'Two' }).set('If-Match', String(headers.etag)).expect(412)
    expect((await user.get(path)).body.name).toBe('One')
  })

  it.each([
    [{ password: 'short' }, '#/password', 'too_short'],
    [{ password: 'x'.repeat(201) }, '#/password', 'too_long'],
    [{ email: 'nowhere' }, '#/email', 'email'],
    [{ role: 'owner' }, '#/role', 'enum'],
    [{ name: '' }, '#/name', 'empty'],
    [{ name: 'a\0b' }, '#/name', 'nul'],
    [{ id: 'account_1' }, '#/id', expect.any(String)],
    [{ passwordHash: 'x' }, '#/passwordHash', expect.any(String)],
  ])('is neither made nor changed with %j', async (fault, pointer, code) => {
    const made = await admin.post('/api/v1/accounts', { ...NEW_ACCOUNT, ...fault }).expect(422)
    expect(made.body.errors).toEqual([{ pointer, detail: expect.any(String), code }])
    const changed = await admin.put(`/api/v1/accounts/${admin.accountId}`, fault).expect(422)
    expect(changed.body.errors).toEqual([{ pointer, detail: expect.any(String), code }])
  })

  it('never shows its password', async () => {
    const made = await admin.post('/api/v1/accounts', { ...NEW_ACCOUNT, password: 'hunter22hunter22' }).expect(201)
    const path = `/api/v1/accounts/${made.body.id}`
    const texts = [made.text, (await admin.put(path, { password: 'hunter23hunter23' }).expect(200)).text]
    texts.push((await admin.get(path).expect(200)).text, (await admin.get('/api/v1/accounts').expect(200)).text)
    for (const text of texts) expect(text).not.toMatch(/hunter2|password|argon2/i)
    await admin.delete(path).expect(200)
  })
})
