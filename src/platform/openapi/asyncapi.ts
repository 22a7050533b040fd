import type { INestApplication } from '@nestjs/common'
import { DiscoveryService, type NestContainer } from '@nestjs/core'
import type { Dialects } from '../http/dialects.js'
import { version } from '../version.js'
import { type ChannelMessage, type ChannelOptions, type ChannelRequest, channelOf } from './channels.js'
import { problemSchemaName, sharedComponents } from './components.js'
import type { Schema } from './document.js'
import { surfaces } from './surface.js'

/** An AsyncAPI 3.0 document, as far as we write it. */
export interface AsyncDocument {
  asyncapi: string
  channels: Record<string, { address: string; messages: Record<string, { $ref: string }>; [member: string]: unknown }>
  components: {
    messages: Record<string, { payload: { $ref: string }; [member: string]: unknown }>
    schemas: Record<string, Schema>
    securitySchemes: Record<string, unknown>
  }
  [member: string]: unknown
}

const DESCRIPTION =
  'What Millrace tells as it happens. Every message is a JSON object whose `type` says what it is. A connection that is refused is told why in a message of type `error`, then closed with a code that is 4000 above the HTTP status.'

/** The WebSockets of all APIs, from the decorators alone: the application may have been made with `preview: true`. */
export function asyncDocument(app: INestApplication, dialects: Dialects): AsyncDocument {
  const channels = channelsOf(app)
  const shared = sharedComponents(dialects.all).schemas
  const document: AsyncDocument = {
    asyncapi: '3.0.0',
    info: {
      title: 'Millrace',
      version,
      description: DESCRIPTION,
      contact: { name: 'The operator of the server' },
      license: { name: 'Proprietary' },
      tags: [...new Set(channels.map(({ surface }) => surfaces[surface].title))].map((name) => ({ name })),
    },
    defaultContentType: 'application/json',
    servers: {
      here: {
        host: 'localhost:8080',
        protocol: 'ws',
        description: 'The server that this document came from. Behind TLS it is wss.',
        security: [
          { $ref: '#/components/securitySchemes/bearer' },
          { $ref: '#/components/securitySchemes/tokenInQuery' },
        ],
      },
    },
    channels: {},
    operations: {},
    components: {
      messages: {},
      schemas: {},
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          bearerFormat: 'JWT',
          description: 'A token of a login, an API key or an ID token.',
        },
        tokenInQuery: {
          type: 'httpApiKey',
          name: 'token',
          in: 'query',
          description: 'The same token, for browsers, which cannot set headers on a WebSocket.',
        },
      },
    },
  }
  for (const channel of channels) add(document, channel, shared, problemSchemaName(dialects.of(channel.surface)))
  return document
}

function channelsOf(app: INestApplication): ChannelOptions[] {
  const { container } = app as unknown as { container: NestContainer }
  return new DiscoveryService(container.getModules())
    .getProviders()
    .flatMap(({ metatype }) => (typeof metatype === 'function' ? (channelOf(metatype) ?? []) : []))
    .sort((a, b) => (a.path < b.path ? -1 : 1))
}

function add(document: AsyncDocument, channel: ChannelOptions, shared: Record<string, Schema>, problem: string): void {
  const { surface, path, name, summary, description, params, messages } = channel
  const { title, schemaPrefix } = surfaces[surface]
  const { components } = document
  const key = `${surface}_${name}`
  const own = [...messages, refusal(problem)].map((message) => {
    const id = `${schemaPrefix}${inCapitals(message.type)}Message`
    components.schemas[id] = payloadOf(message)
    components.messages[id] = {
      name: message.type,
      title: message.summary,
      contentType: 'application/json',
      payload: { $ref: `#/components/schemas/${id}` },
      ...(message.example && { examples: [{ name: message.type, payload: message.example }] }),
    }
    return [message.type, id] as const
  })
  const said = channel.request && requestIn(components, schemaPrefix, channel.request)
  for (const needed of [problem, 'ProblemFault']) components.schemas[needed] = shared[needed] ?? {}
  document.channels[key] = {
    address: path.replace(/:(\w+)/g, '{$1}'),
    title: `${title}: ${summary}`,
    description,
    parameters: Object.fromEntries(
      Object.entries(params).map(([param, { description, example }]) => [param, { description, examples: [example] }]),
    ),
    messages: Object.fromEntries(
      [...own, ...(said ? [said] : [])].map(([name, id]) => [name, { $ref: `#/components/messages/${id}` }]),
    ),
    bindings: { ws: { method: 'GET' } },
  }
  Object.assign(document.operations as object, {
    [`${key}_send`]: {
      action: 'send',
      title: summary,
      summary,
      description,
      tags: [{ name: title }],
      channel: { $ref: `#/channels/${key}` },
      messages: own.map(([type]) => ({ $ref: `#/channels/${key}/messages/${type}` })),
    },
    ...(channel.request && {
      [`${key}_receive`]: {
        action: 'receive',
        title: channel.request.summary,
        summary: channel.request.summary,
        description,
        tags: [{ name: title }],
        channel: { $ref: `#/channels/${key}` },
        messages: [{ $ref: `#/channels/${key}/messages/${channel.request.name}` }],
      },
    }),
  })
}

/** Adds what clients say to the components; returns its name and its id there. */
function requestIn(
  components: AsyncDocument['components'],
  prefix: string,
  { name, summary, members, optional = [], example }: ChannelRequest,
): readonly [name: string, id: string] {
  const id = `${prefix}${inCapitals(name)}Message`
  components.schemas[id] = {
    type: 'object',
    description: `${summary}.`,
    required: Object.keys(members).filter((member) => !optional.includes(member)),
    properties: members,
    additionalProperties: true,
  }
  components.messages[id] = {
    name,
    title: summary,
    contentType: 'application/json',
    payload: { $ref: `#/components/schemas/${id}` },
    examples: [{ name, payload: example }],
  }
  return [name, id]
}

type Told = Omit<ChannelMessage, 'example'> & { example?: Record<string, unknown> }

function refusal(problem: string): Told {
  return {
    type: 'error',
    summary: 'The connection is refused, or cannot go on',
    members: { problem: { $ref: `#/components/schemas/${problem}` } },
  }
}

function payloadOf({ type, summary, members, optional = [] }: Told): Schema {
  return {
    type: 'object',
    description: `${summary}.`,
    required: ['type', ...Object.keys(members).filter((member) => !optional.includes(member))],
    properties: { type: { type: 'string', const: type, description: 'What the message is.' }, ...members },
  }
}

/** `node_completed` → `NodeCompleted`, `play:started` → `PlayStarted`. */
function inCapitals(type: string): string {
  return type
    .split(/[_:]/)
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join('')
}
