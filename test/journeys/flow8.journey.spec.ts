import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { WebSocket } from 'ws'
import { createClient } from '../../sdk/typescript/src/client/index.js'
import { Millrace } from '../../sdk/typescript/src/index.js'
import { ADMIN, type ApiUnderTest, apiUnderTest } from '../support/api.js'
import { json, Outside } from '../support/outside.js'

interface PlayMessage {
  type: string
  playId: string
  ref?: string
  state?: string
  out?: unknown
}

let api: ApiUnderTest
let outside: Outside

beforeAll(async () => {
  outside = await Outside.start()
  outside.answer('/stock', (_, response) => json(response, 200, { free: 7 }))
  outside.answer('/price', (_, response) => json(response, 200, { price: 12 }))
  api = await apiUnderTest({ OUTBOUND_ALLOW: '127.0.0.1' })
})

afterAll(async () => {
  await api.close()
  await outside.stop()
})

function baseUrl(): string {
  return `http://127.0.0.1:${(api.app.getHttpServer().address() as AddressInfo).port}`
}

/** The SDK as a program uses it that has this token. */
function sdk(token?: string): Millrace {
  const client = createClient({ baseUrl: baseUrl(), auth: token, throwOnError: true })
  return new Millrace({ client, key: `journey ${token}` })
}

const throwOnError = true

it('Bea builds an order flow of layers, and it is started by hand, by a channel and by a schedule', async () => {
  const admin = sdk(
    (await sdk().flowRunner.auth.login({ body: { username: ADMIN.email, password: ADMIN.password }, throwOnError }))
      .data.token,
  )
  const account = { name: 'Bea', email: 'bea@example.com', password: 'a quiet harbour', role: 'user' as const }
  await admin.flowRunner.accounts.create({ body: account, throwOnError })
  const boss = { name: 'Bo', email: 'bo@example.com', password: 'a quiet harbour', role: 'editor' as const }
  await admin.flowRunner.accounts.create({ body: boss, throwOnError })

  // She logs in as a browser does, and makes an API key for her program with the session.
  const login = await fetch(`${baseUrl()}/api/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email: account.email, password: account.password }),
  })
  expect(await login.json()).toMatchObject({ email: 'bea@example.com', name: 'Bea' })
  const cookie = (login.headers.get('set-cookie') ?? '').split(';')[0] as string
  const keyed = await fetch(`${baseUrl()}/api/auth/api-keys`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', cookie },
    body: JSON.stringify({ name: 'program', scopes: ['standard'] }),
  })
  const { token } = (await keyed.json()) as { token: string }
  const bea = sdk(token)
  const { flows, layers, plays, channels, schedules, kv, groups, auth } = bea.flow8
  expect((await auth.me({ throwOnError })).data).toMatchObject({ email: 'bea@example.com' })

  // A group with an entry that its flows see, and a flow that others call.
  const group = (await groups.create({ body: { name: 'Orders' }, throwOnError })).data
  await kv.set({ body: { key: 'rate', value: 2, scope: 'flow_group', scopeKey: group.id }, throwOnError })
  const receipt = (
    await flows.create({
      body: {
        name: 'Receipt',
        layers: [{ appId: 'var', ref: 'text', args: { values: { text: 'Sold for {{ $prev.args.total }}' } } }],
      },
      throwOnError,
    })
  ).data

  // The flow itself, layer by layer: two requests side by side, a filter, an approval, and the other flow.
  const flow = (await flows.create({ body: { name: 'Order', groupId: group.id, category: 'shop' }, throwOnError })).data
  const path = { id: flow.id }
  const add = async (body: Parameters<typeof layers.create>[0]['body']) =>
    (await layers.create({ path, body, throwOnError })).data
  await add({ appId: 'curl', ref: 'stock', index: 0, args: { url: outside.url('/stock') } })
  await add({ appId: 'curl', ref: 'price', index: 0, args: { url: outside.url('/price') } })
  await add({
    appId: 'var',
    ref: 'backorder',
    index: 1,
    args: { values: { late: true } },
    filters: [
      {
        leftValue: '{{ $prev.stock.body.free }}',
        operator: 'lt',
        rightValue: '{{ $prev.args.count }}',
        cast: 'number',
      },
    ],
  })
  const total = await add({
    appId: 'var',
    ref: 'total',
    index: 2,
    args: { values: { total: '{{ mul $prev.price.body.price $prev.args.count ($kv.get "rate") }}' } },
    needsApproval: true,
    approvers: [boss.email],
  })
  await add({
    appId: 'subflow',
    ref: 'receipt',
    index: 3,
    args: { flowId: receipt.id, args: { total: '{{ $prev.total.total }}' } },
  })
  const faulty = await layers.create({
    path,
    body: { appId: 'var', args: { values: { x: '{{ $prev.nobody.x }}' } } },
    throwOnError: false,
  })
  expect(faulty.error).toMatchObject({ status: 422, error: 'VALIDATION_ERROR' })

  // She watches everything of hers.
  const socket = new WebSocket(`${baseUrl().replace('http', 'ws')}/api/ws?token=${token}`)
  const messages: PlayMessage[] = []
  socket.on('message', (data) => messages.push(JSON.parse(String(data))))
  await once(socket, 'open')

  // By hand, by a channel and by a schedule; each waits for Bo.
  const byHand = (await flows.run({ path, body: { args: { count: 2 }, idempotencyKey: 'order-1' }, throwOnError })).data
  const again = (await flows.run({ path, body: { args: { count: 2 }, idempotencyKey: 'order-1' }, throwOnError })).data
  expect(again.playId).toBe(byHand.playId)
  const channel = (
    await channels.create({
      body: {
        name: 'Shop',
        kind: 'http',
        authMode: 'header_token',
        routes: [
          { name: 'orders', httpMethod: 'POST', path: '/orders', targetFlowIds: [flow.id], responseMode: 'async' },
        ],
      },
      throwOnError,
    })
  ).data
  const order = await fetch(`${baseUrl()}/channels/${channel.id}/orders`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-channel-token': channel.authToken as string },
    body: JSON.stringify({ count: 3 }),
  })
  expect(order.status).toBe(202)
  const byChannel = ((await order.json()) as { playId: string }).playId
  const schedule = (
    await schedules.create({
      body: { flowId: flow.id, every: '1s', args: { count: 5 }, overlap: 'skip' },
      throwOnError,
    })
  ).data
  const scheduled = await vi.waitFor(
    async () => {
      const { data } = await plays.list({ query: { flowId: flow.id }, throwOnError })
      const play = data.data.find(({ id }) => ![byHand.playId, byChannel].includes(id))
      if (!play) throw new Error('the schedule has started nothing yet')
      return play.id
    },
    { timeout: 15_000, interval: 50 },
  )
  await schedules.delete({ path: { id: schedule.id }, throwOnError })
  const waitFor = (playId: string, state: string) =>
    vi.waitFor(async () => expect((await plays.get({ path: { id: playId }, throwOnError })).data.state).toBe(state), {
      timeout: 20_000,
      interval: 50,
    })
  await waitFor(byHand.playId, 'WAIT')
  // What the channel was sent is under `body`, which this flow does not look at: its count is missing, and it fails plainly.
  await waitFor(scheduled, 'WAIT')

  // Bo is asked for nothing else, approves one, declines the other; Bea could not have.
  const bo = sdk(
    (await sdk().flowRunner.auth.login({ body: { username: boss.email, password: boss.password }, throwOnError })).data
      .token,
  ).flow8
  const mine = await plays.approve({
    path: { id: byHand.playId },
    body: { layerId: total.id, decision: 'approved' },
    throwOnError: false,
  })
  expect(mine.error).toMatchObject({ status: 403 })
  const asked = (await bo.plays.list({ query: { awaiting: 'me' }, throwOnError })).data.data.map(({ id }) => id)
  expect(asked).toEqual(expect.arrayContaining([byHand.playId, scheduled]))
  await bo.plays.approve({
    path: { id: byHand.playId },
    body: { layerId: total.id, decision: 'approved', note: 'fine' },
    throwOnError,
  })
  await bo.plays.approve({
    path: { id: scheduled },
    body: { layerId: 'total', decision: 'declined', note: 'too many' },
    throwOnError,
  })
  await waitFor(byHand.playId, 'DONE')
  await waitFor(scheduled, 'FAIL')

  // She reads it as a play, as its layers, and as FlowRunner's execution.
  const states = (await plays.layers({ path: { id: byHand.playId }, throwOnError })).data.data.map(({ ref, state }) => [
    ref,
    state,
  ])
  expect(states).toEqual([
    ['stock', 'DONE'],
    ['price', 'DONE'],
    ['backorder', 'FILTERED'],
    ['total', 'DONE'],
    ['receipt', 'DONE'],
  ])
  const execution = (await bea.flowRunner.executions.get({ path: { id: byHand.playId }, throwOnError })).data
  expect(execution).toMatchObject({ status: 'completed', flow_id: flow.id, input: { count: 2 } })
  expect(execution.result).toMatchObject({ state: 'DONE', out: { text: 'Sold for 48' } })
  const declined = (await bea.flowRunner.executions.get({ path: { id: scheduled }, throwOnError })).data
  expect(declined).toMatchObject({ status: 'failed', error: 'declined by bo@example.com: too many' })

  // All of it was told, in order.
  await vi.waitFor(() =>
    expect(messages.some(({ type, playId }) => type === 'play:completed' && playId === byHand.playId)).toBe(true),
  )
  const told = messages
    .filter(({ playId }) => playId === byHand.playId)
    .map(({ type, ref }) => (ref ? `${type} ${ref}` : type))
  expect(told[0]).toBe('play:started')
  expect(told.at(-1)).toBe('play:completed')
  expect(told).toEqual(
    expect.arrayContaining([
      'play:layer:completed stock',
      'play:layer:completed price',
      'play:waiting total',
      'play:layer:completed receipt',
    ]),
  )
  expect(told.indexOf('play:layer:completed stock')).toBeLessThan(told.indexOf('play:waiting total'))
  socket.close()

  // The trail knows who did what, and is whole.
  const trail = await fetch(`${baseUrl()}/api/audit/logs?action=run.approve`, {
    headers: { authorization: await api.asAdmin() },
  })
  expect(((await trail.json()) as { logs: unknown[] }).logs).toHaveLength(1)
  const verified = await fetch(`${baseUrl()}/api/audit/verify`, { headers: { authorization: await api.asAdmin() } })
  expect(await verified.json()).toMatchObject({ valid: true })
}, 90_000)
