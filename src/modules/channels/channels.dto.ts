import { Flow8Page } from '../../dialects/flow8.paging.js'
import {
  ArrayField,
  BooleanField,
  DateField,
  EnumField,
  IdField,
  IntField,
  StringField,
} from '../../platform/openapi/fields.js'
import { AUTH_MODES, type AuthMode, CHANNEL_KINDS, type ChannelKind } from './channel.entity.js'
import {
  type ChannelRoute,
  HTTP_METHODS,
  type HttpMethod,
  RESPONSE_MODES,
  type ResponseMode,
} from './channel-route.entity.js'
import { MOST_ROUTES, type RoutedChannel } from './channels.service.js'

const NAME = 'The name people know it by.'
const ROUTE_NAME = 'The name people know it by, unique in its channel. A WebSocket message names its route by it.'
const METHOD = 'The HTTP method that it answers. A route of an `http` channel needs one.'
const PATH =
  "The path below the channel's own, such as `/orders/{id}` or `/orders/:id`. A route of an `http` channel needs one. What is literal wins over a parameter."
const TARGETS =
  'The flows that a request starts, each once. Several answer with the list of their results, in this order.'
const MODE = '`sync` answers with what the flow comes to, `async` at once with the play.'
const TIMEOUT = 'How long a caller waits at most. After that it is answered 202 with the play, which goes on.'
const TOOL = 'What MCP clients call it by; made of `name` where it is null.'
const KIND =
  'What it is spoken to by: requests to `/channels/{id}/…`, a WebSocket at `/channels/{id}`, or MCP over streamable HTTP at `/channels/{id}/mcp`.'
const AUTH_MODE =
  '`public` is open to everybody; `header_token` asks for the token as `Authorization: Bearer` or `X-Channel-Token`.'
const ENABLED = 'A channel that is not enabled answers as if it did not exist.'
const TOKEN = { minLength: 16, maxLength: 512, pattern: /^[!-~]+$/, patternMeaning: 'may hold visible ASCII only' }

const FLOW_IDS = { of: 'string', itemMaxLength: 64, minItems: 1, maxItems: 10, example: ['65abc123'] } as const
const TOOL_NAME = {
  maxLength: 64,
  pattern: /^[A-Za-z0-9_-]+$/,
  patternMeaning: 'may hold letters, digits, _ and - only',
  nullable: true,
  optional: true,
  example: 'place_order',
}
const SECONDS = { min: 1, max: 300, example: 30 }

/** A route to be made. */
export class Flow8NewChannelRoute {
  @StringField({ description: ROUTE_NAME, example: 'orders', maxLength: 200 })
  name: string

  @EnumField(HTTP_METHODS, { description: METHOD, example: 'POST', optional: true, nullable: true })
  httpMethod?: HttpMethod | null

  @StringField({ description: PATH, example: '/orders/{id}', maxLength: 500, optional: true, nullable: true })
  path?: string | null

  @ArrayField({ description: TARGETS, ...FLOW_IDS })
  targetFlowIds: string[]

  @EnumField(RESPONSE_MODES, { description: MODE, example: 'sync', optional: true, default: 'sync' })
  responseMode?: ResponseMode

  @IntField({ description: TIMEOUT, ...SECONDS, optional: true, default: 30 })
  timeoutSeconds?: number

  @StringField({ description: TOOL, ...TOOL_NAME })
  toolName?: string | null
}

/** A route among all that a channel is to have. */
export class Flow8ListedChannelRoute extends Flow8NewChannelRoute {
  @IdField({
    description: 'Which of the routes that are there already it takes the place of; without it, it is new.',
    example: 'route_01HX3YB1V7Q8G4Z9T5W2K6M0NP',
    optional: true,
  })
  id?: string
}

/** What to change of a route. What is left out stays. */
export class Flow8ChannelRouteChange {
  @StringField({ description: ROUTE_NAME, example: 'orders', minLength: 1, maxLength: 200, optional: true })
  name?: string

  @EnumField(HTTP_METHODS, { description: METHOD, example: 'POST', optional: true, nullable: true })
  httpMethod?: HttpMethod | null

  @StringField({ description: PATH, example: '/orders/{id}', maxLength: 500, optional: true, nullable: true })
  path?: string | null

  @ArrayField({ description: TARGETS, ...FLOW_IDS, optional: true })
  targetFlowIds?: string[]

  @EnumField(RESPONSE_MODES, { description: MODE, example: 'async', optional: true })
  responseMode?: ResponseMode

  @IntField({ description: TIMEOUT, ...SECONDS, optional: true })
  timeoutSeconds?: number

  @StringField({ description: TOOL, ...TOOL_NAME })
  toolName?: string | null
}

/** What a channel does with one kind of request. */
export class Flow8ChannelRoute {
  @IdField({ description: 'The id.', example: 'route_01HX3YB1V7Q8G4Z9T5W2K6M0NP' })
  id: string

  @IdField({ description: 'The channel that it belongs to.', example: '65abc126' })
  channelId: string

  @StringField({ description: ROUTE_NAME, example: 'orders' })
  name: string

  @EnumField(HTTP_METHODS, { description: METHOD, example: 'POST', nullable: true })
  httpMethod: HttpMethod | null

  @StringField({ description: PATH, example: '/orders/{id}', nullable: true })
  path: string | null

  @ArrayField({ description: TARGETS, ...FLOW_IDS })
  targetFlowIds: string[]

  @EnumField(RESPONSE_MODES, { description: MODE, example: 'sync' })
  responseMode: ResponseMode

  @IntField({ description: TIMEOUT, ...SECONDS })
  timeoutSeconds: number

  @StringField({ description: TOOL, example: 'place_order', nullable: true })
  toolName: string | null

  @DateField({ description: 'When it was made.', example: '2023-01-01T12:00:00Z' })
  createdAt: string

  @DateField({ description: 'When it was changed last.', example: '2023-01-01T12:00:00Z' })
  updatedAt: string
}

/** One page of a channel's routes. */
export class Flow8ChannelRoutePage extends Flow8Page {
  @ArrayField({ of: () => Flow8ChannelRoute, description: 'This page, oldest first.' })
  data: Flow8ChannelRoute[]
}

/** A channel to be made. */
export class Flow8NewChannel {
  @StringField({ description: NAME, example: 'Orders', maxLength: 200 })
  name: string

  @EnumField(CHANNEL_KINDS, { description: KIND, example: 'http' })
  kind: ChannelKind

  @EnumField(AUTH_MODES, { description: AUTH_MODE, example: 'header_token', optional: true, default: 'header_token' })
  authMode?: AuthMode

  @StringField({
    description: 'The token of a `header_token` channel. Left out, one is made up and shown in this answer only.',
    example: 'a token of at least 16 characters'.replaceAll(' ', '-'),
    optional: true,
    writeOnly: true,
    ...TOKEN,
  })
  authToken?: string

  @BooleanField({ description: ENABLED, example: true, optional: true, default: true })
  enabled?: boolean

  @ArrayField({
    of: () => Flow8NewChannelRoute,
    description: 'Its routes.',
    optional: true,
    maxItems: MOST_ROUTES,
    example: [],
  })
  routes?: Flow8NewChannelRoute[]
}

/** What to change of a channel. What is left out stays. */
export class Flow8ChannelChange {
  @StringField({ description: NAME, example: 'Orders', minLength: 1, maxLength: 200, optional: true })
  name?: string

  @EnumField(CHANNEL_KINDS, { description: KIND, example: 'http', optional: true })
  kind?: ChannelKind

  @EnumField(AUTH_MODES, { description: AUTH_MODE, example: 'header_token', optional: true })
  authMode?: AuthMode

  @StringField({
    description:
      'A new token; the old one ends at once. Null asks for one that is made up and shown in this answer only.',
    example: null,
    optional: true,
    nullable: true,
    writeOnly: true,
    ...TOKEN,
  })
  authToken?: string | null

  @BooleanField({ description: ENABLED, example: true, optional: true })
  enabled?: boolean

  @ArrayField({
    of: () => Flow8ListedChannelRoute,
    description: 'All routes that it is to have. Those that are not named are deleted.',
    optional: true,
    maxItems: MOST_ROUTES,
    example: [],
  })
  routes?: Flow8ListedChannelRoute[]
}

/** A way in for callers who have no account here. */
export class Flow8Channel {
  @IdField({ description: 'The id.', example: '65abc126' })
  id: string

  @StringField({ description: NAME, example: 'Orders' })
  name: string

  @EnumField(CHANNEL_KINDS, { description: KIND, example: 'http' })
  kind: ChannelKind

  @EnumField(AUTH_MODES, { description: AUTH_MODE, example: 'header_token' })
  authMode: AuthMode

  @BooleanField({ description: ENABLED, example: true })
  enabled: boolean

  @StringField({ description: 'Where it is served.', example: '/channels/65abc126' })
  servedAt: string

  @ArrayField({ of: () => Flow8ChannelRoute, description: 'Its routes, oldest first.', maxItems: MOST_ROUTES })
  routes: Flow8ChannelRoute[]

  @StringField({
    description: 'The token that was just made up. It is in no other answer.',
    example: 'chan_3q2-7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
    optional: true,
  })
  authToken?: string

  @DateField({ description: 'When it was made.', example: '2023-01-01T12:00:00Z' })
  createdAt: string

  @DateField({ description: 'When it, or one of its routes, was changed last.', example: '2023-01-01T12:00:00Z' })
  updatedAt: string
}

/** One page of channels. */
export class Flow8ChannelPage extends Flow8Page {
  @ArrayField({ of: () => Flow8Channel, description: 'This page, oldest first.' })
  data: Flow8Channel[]
}

export function toChannel({ channel, routes, madeToken }: RoutedChannel): Flow8Channel {
  const { id, name, kind, authMode, enabled, createdAt, updatedAt } = channel
  return {
    id,
    name,
    kind,
    authMode,
    enabled,
    servedAt: kind === 'mcp' ? `/channels/${id}/mcp` : `/channels/${id}`,
    routes: routes.map(toRoute),
    ...(madeToken !== undefined && { authToken: madeToken }),
    createdAt: createdAt.toISOString(),
    updatedAt: updatedAt.toISOString(),
  }
}

export function toRoute(route: ChannelRoute): Flow8ChannelRoute {
  return {
    id: route.id,
    channelId: route.channelId,
    name: route.name,
    httpMethod: route.httpMethod,
    path: route.path,
    targetFlowIds: route.targetFlowIds,
    responseMode: route.responseMode,
    timeoutSeconds: route.timeoutSeconds,
    toolName: route.toolName,
    createdAt: route.createdAt.toISOString(),
    updatedAt: route.updatedAt.toISOString(),
  }
}
