import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createClient } from '../../sdk/typescript/src/client/index.js'
import { type FlowRunner, Millrace } from '../../sdk/typescript/src/index.js'
import { ADMIN, type ApiUnderTest, apiUnderTest } from '../support/api.js'
import { Watcher } from '../support/flowrunner-user.js'
import { json, Outside } from '../support/outside.js'

const DEFINITION = readFileSync(new URL('../../examples/fetch-transform-branch.yaml', import.meta.url), 'utf8')
const READINGS = [38, 44.5, 51, null, 46].map((value, index) => ({ sensor: `s${index}`, value }))

let api: ApiUnderTest
let outside: Outside

beforeAll(async () => {
  outside = await Outside.start()
  outside.answer('/readings', (_, response) => json(response, 200, READINGS))
  api = await apiUnderTest({ OUTBOUND_ALLOW: '127.0.0.1' })
})

afterAll(async () => {
  await api.close()
  await outside.stop()
})

/** The SDK as a program uses it that has this token. */
function sdk(token?: string): FlowRunner {
  const { port } = api.app.getHttpServer().address() as AddressInfo
  const client = createClient({ baseUrl: `http://127.0.0.1:${port}`, auth: token, throwOnError: true })
  return new Millrace({ client, key: token }).flowRunner
}

async function login(
  username: string,
  password: string,
): Promise<{ token: string; accountId: string; api: FlowRunner }> {
  const { data } = await sdk().auth.login({ body: { username, password }, throwOnError: true })
  return { token: data.token, accountId: data.account_id, api: sdk(data.token) }
}

it("Ann automates an alert: from her account to her flow's result, and away again", async () => {
  const throwOnError = true

  // The admin makes an account for Ann, who logs in with it.
  const admin = await login(ADMIN.email, ADMIN.password)
  const account = { name: 'Ann', email: 'ann@example.com', password: 'a quiet harbour', role: 'user' as const }
  const made = await admin.api.accounts.create({ body: account, throwOnError })
  expect(made.data).toMatchObject({ name: 'Ann', email: 'ann@example.com', role: 'user' })
  expect(made.response.headers.get('location')).toBe(`/api/v1/accounts/${made.data.id}`)
  const ann = await login(account.email, account.password)
  expect(ann.accountId).toBe(made.data.id)
  const { flows, executions, secrets } = ann.api

  // She keeps the address of her chat's webhook as a secret, for it is all that one needs to write there.
  const hook = outside.url('/hooks/T01/s3cr3tpath')
  outside.answer('/hooks/T01/s3cr3tpath', (_, response) => response.end('ok'))
  await secrets.create({
    path: { account_id: ann.accountId },
    body: { key: 'SLACK_WEBHOOK', value: hook },
    throwOnError,
  })
  const listed = await secrets.list({ path: { account_id: ann.accountId }, throwOnError })
  expect(listed.data.secrets.map(({ key }) => key)).toEqual(['SLACK_WEBHOOK'])

  // Her first upload has a typo, and she is told where.
  const typo = await flows.create({
    body: { name: 'Alert', definition: DEFINITION.replace('default: summarise', 'default: sumarise') },
    throwOnError: false,
  })
  expect(typo.error?.status).toBe(422)
  expect(typo.error?.errors).toContainEqual(
    expect.objectContaining({
      detail: "node 'start' references non-existent node 'sumarise' for action 'default'",
      path: '/nodes/start/next/default',
      line: DEFINITION.split('\n').findIndex((line) => line.includes('default: summarise')) + 1,
    }),
  )
  const flow = await flows.create({ body: { name: 'Alert', definition: DEFINITION, tags: ['sensors'] }, throwOnError })
  expect(flow.data).toMatchObject({ name: 'Alert', version: '1.0.0', tags: ['sensors'] })
  const { id } = flow.data

  // She runs it and watches.
  const input = { source: outside.url('/readings'), threshold: 40 }
  const accepted = await flows.run({ path: { id }, body: { input }, throwOnError })
  expect(accepted.data).toMatchObject({ flow_id: id, status: 'running' })
  const executionId = accepted.data.execution_id
  const watcher = new Watcher(api, `/ws/executions/${executionId}?token=${ann.token}`)
  expect(await watcher.closed()).toBe(1000)
  const nodes = watcher.of('node_completed').map(({ node_id }) => node_id)
  expect(nodes).toEqual(['start', 'summarise', 'judge', 'alert', 'done'])

  // The result, the log and the alert are there; the secret is in none of what she can read.
  const execution = await executions.get({ path: { id: executionId }, throwOnError })
  expect(execution.data).toMatchObject({
    status: 'completed',
    input,
    result: { ok: true, count: 4, mean: 44.875, max: 51 },
    duration: expect.any(Number),
  })
  const logs = await executions.logs({ path: { id: executionId }, query: { level: 'info', limit: 50 }, throwOnError })
  expect(logs.data.logs.map(({ message }) => message)).toEqual([
    'Execution started',
    'HTTP request successful',
    'Execution completed',
  ])
  expect(outside.at('/hooks/T01/s3cr3tpath').map(({ body }) => JSON.parse(body))).toEqual([
    { text: 'Mean 44.9 of 4 readings is above 40' },
  ])
  expect(JSON.stringify([execution.data, logs.data, watcher.messages])).not.toContain('s3cr3tpath')

  // A second one hangs, because its source does not answer; she cancels it.
  const arrival = outside.arrival('/never')
  const hanging = await flows.run({
    path: { id },
    body: { input: { ...input, source: outside.url('/never') } },
    throwOnError,
  })
  const { gone } = await arrival
  const path = { id: hanging.data.execution_id }
  expect((await executions.cancel({ path, throwOnError })).data).toEqual({
    message: 'Execution cancelled successfully',
  })
  await gone
  const again = await executions.cancel({ path, throwOnError: false })
  expect(again.error).toMatchObject({ status: 409, error: { code: 'conflict' } })
  const all = await executions.list({ query: { flow_id: id }, throwOnError })
  expect(all.data.executions.map(({ status }) => status)).toEqual(['cancelled', 'completed'])
  expect(all.data.total).toBe(2)

  // She tidies up, and the admin takes her account away: her token is worth nothing from then on.
  await flows.delete({ path: { id }, throwOnError })
  expect((await flows.list({ throwOnError })).data.flows).toEqual([])
  await secrets.delete({ path: { account_id: ann.accountId, key: 'SLACK_WEBHOOK' }, throwOnError })
  await admin.api.accounts.delete({ path: { id: ann.accountId }, throwOnError })
  const refused = await flows.list({ throwOnError: false })
  expect(refused.error).toMatchObject({ status: 401, error: { code: 'unauthorized' } })
  expect((await admin.api.auth.logout({ throwOnError })).data).toEqual({ message: 'Logged out successfully' })
})
