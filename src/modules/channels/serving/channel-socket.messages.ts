import { InvalidRequest } from '../../../platform/http/faults.js'
import { isJsonObject, type Json, type JsonObject } from '../../../platform/json.js'
import type { ChannelOptions } from '../../../platform/openapi/channels.js'
import type { Schema } from '../../../platform/openapi/document.js'
import { failureOf, type Play } from './channel-calls.js'
import type { OpenRoute } from './channel-door.js'

/** What a client says: a route, what its flows get, and a word of the client's own by which it knows the answers. */
export interface Said {
  id?: string | number
  route?: string
  args: JsonObject
  idempotencyKey?: string
}

/** Members that say something of the message; without `args` all others are the arguments. */
const ABOUT = ['id', 'route', 'idempotencyKey']
const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,255}$/

/** A message, read. `id` is known even where the rest is at fault, so that the refusal can name it. */
export function readMessage(message: Json): Said {
  if (!isJsonObject(message)) throw new InvalidRequest('A message is a JSON object')
  const { route, idempotencyKey } = message
  if (route !== undefined && typeof route !== 'string') throw new InvalidRequest("'route' is the name of a route")
  if (idempotencyKey !== undefined && !(typeof idempotencyKey === 'string' && IDEMPOTENCY_KEY.test(idempotencyKey)))
    throw new InvalidRequest("'idempotencyKey' is 1 to 255 visible ASCII characters")
  const args = message.args ?? Object.fromEntries(Object.entries(message).filter(([member]) => !ABOUT.includes(member)))
  if (!isJsonObject(args)) throw new InvalidRequest("'args' is an object")
  return { id: idOf(message), route, args, idempotencyKey }
}

export function idOf(message: Json): string | number | undefined {
  const id = isJsonObject(message) ? message.id : undefined
  return typeof id === 'number' || (typeof id === 'string' && id.length <= 255) ? id : undefined
}

/** The route that a message means: by its name, or the only one. */
export function routeNamed(routes: readonly OpenRoute[], name: string | undefined): OpenRoute {
  const route = name === undefined && routes.length === 1 ? routes[0] : routes.find((one) => one.name === name)
  if (route) return route
  throw new InvalidRequest(
    name === undefined ? "The channel has several routes or none: 'route' says which" : `There is no route '${name}'`,
  )
}

export function playMessage(id: Said['id'], { flowId, playId, status }: Play): JsonObject {
  return { type: 'play', ...named(id), flowId, playId, status }
}

export function endMessage(id: Said['id'], play: Play): JsonObject {
  const { flowId, playId, status, result } = play
  const about = { ...named(id), flowId, playId, status }
  if (status === 'failed' || status === 'cancelled') return { type: 'failed', ...about, error: failureOf(play) }
  return { type: 'result', ...about, ...(result && { result }) }
}

export function rejectedMessage(id: Said['id'], problem: JsonObject): JsonObject {
  return { type: 'rejected', ...named(id), problem }
}

function named(id: Said['id']): JsonObject {
  return id === undefined ? {} : { id }
}

const id: Schema = {
  type: ['string', 'number'],
  maxLength: 255,
  description: "A word of the client's own, which its answers repeat.",
}
const flowId = text('The flow.', '65abc123', 64)
const playId = text('The play.', '65abc124', 64)
const about = { id, flowId, playId }

/** What `/channels/{id}` says to WebSocket clients. */
export const socketChannel: ChannelOptions = {
  surface: 'flow8',
  path: '/channels/:channel_id',
  name: 'channelMessages',
  summary: 'What the messages to a WebSocket channel come to',
  description:
    "Each message of a client starts the flows of the route that it names, or of the only one. Each flow is answered by a `play`, and on a `sync` route later by a `result` or by `failed`; a `result` with the status `running` says that the route's time is over before the play. A message that cannot be served is `rejected`; the connection goes on. The channel's token comes as `Authorization: Bearer`, as `X-Channel-Token`, or as `?token=`. 4401: the token is missing or not the channel's, or not any more. 4404: no such WebSocket channel. 1009: a message was too large. 1013: the channel has too many connections, or the answers were not read in time. 1001: the server is stopping. 4503: the database cannot be reached.",
  request: {
    name: 'call',
    summary: 'What a client wants to be started',
    members: {
      id,
      route: text('The name of the route; the only one unless said.', 'orders', 200),
      args: {
        type: 'object',
        additionalProperties: true,
        description: 'What the flows get. Without it they get all members but those that are named here.',
      },
      idempotencyKey: text(
        'Sent again with the same arguments, the first play is answered and none is started.',
        'delivery-17',
        255,
      ),
    },
    optional: ['id', 'route', 'args', 'idempotencyKey'],
    example: { id: 1, route: 'orders', args: { amount: 3 } },
  },
  params: { channel_id: { description: "The channel's id.", example: '65abc126' } },
  messages: [
    {
      type: 'play',
      summary: 'A play is accepted',
      members: { ...about, status: status(['queued', 'completed', 'failed', 'cancelled']) },
      optional: ['id'],
      example: { type: 'play', id: 1, flowId: '65abc123', playId: '65abc124', status: 'queued' },
    },
    {
      type: 'result',
      summary: 'A play is completed, or goes on beyond the time of its route',
      members: {
        ...about,
        status: status(['completed', 'running']),
        result: {
          type: 'object',
          additionalProperties: true,
          description: "The last step's output; a value that is no object stands under `result`.",
        },
      },
      optional: ['id', 'result'],
      example: {
        type: 'result',
        id: 1,
        flowId: '65abc123',
        playId: '65abc124',
        status: 'completed',
        result: { total: 3 },
      },
    },
    {
      type: 'failed',
      summary: 'A play has ended without a result',
      members: {
        ...about,
        status: status(['failed', 'cancelled']),
        error: text('What became of it. A public channel does not say why.', 'Play 65abc124 has failed', 1_000_000),
      },
      optional: ['id'],
      example: {
        type: 'failed',
        id: 1,
        flowId: '65abc123',
        playId: '65abc124',
        status: 'failed',
        error: 'Play 65abc124 has failed',
      },
    },
    {
      type: 'rejected',
      summary: 'A message could not be served',
      members: { id, problem: { $ref: '#/components/schemas/Flow8Problem' } },
      optional: ['id'],
      example: {
        type: 'rejected',
        id: 1,
        problem: {
          type: '/problems/invalid-request',
          title: 'The request cannot be understood',
          status: 400,
          detail: "There is no route 'order'",
          instance: '/channels/65abc126',
          requestId: 'req_01HX3YB1V7Q8G4Z9T5W2K6M0NP',
          error: 'VALIDATION_ERROR',
          message: "There is no route 'order'",
          statusCode: 400,
        },
      },
    },
  ],
}

function status(words: readonly string[]): Schema {
  return { type: 'string', enum: [...words], description: 'How the play stands.' }
}

function text(description: string, example: string, maxLength: number): Schema {
  return { type: 'string', maxLength, description, examples: [example] }
}
