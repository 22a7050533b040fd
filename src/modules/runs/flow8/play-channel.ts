import type { ChannelOptions } from '../../../platform/openapi/channels.js'
import type { Schema } from '../../../platform/openapi/document.js'
import { PLAY_MESSAGES } from './play-messages.js'
import { PLAY_STATES } from './plays.dto.js'

const playId = text("The play's id.", 'run-123', 64)
const flowId = text('The flow that is played.', 'flow-123', 64)
const layerId = text("The layer's id in its flow.", 'layer-123', 128)
const ref = text('How other layers name it.', 'fetch', 255)
const path = text(
  'Its place in the play: its ref, and in a loop the rounds around it, `each[3].fetch`.',
  'fetch',
  10_000,
)
const error = text('Why it failed.', 'the server answered with status 500', 1_000_000)
const state: Schema = { type: 'string', enum: [...PLAY_STATES], description: 'How the play, or the layer, stands.' }
const seq: Schema = {
  type: 'integer',
  format: 'int32',
  minimum: 1,
  description: "The number of the message among all of its play's, from 1 on without a gap.",
  examples: [1],
}
const duration: Schema = {
  type: 'integer',
  format: 'int64',
  minimum: 0,
  description: 'Milliseconds from acceptance to the end.',
  examples: [5000],
}
const timestamp: Schema = {
  type: 'string',
  format: 'date-time',
  maxLength: 64,
  description: 'When it happened.',
  examples: ['2026-01-01T12:00:01Z'],
}

const play = { playId, flowId, seq, state, timestamp }
const layer = { playId, flowId, seq, layerId, ref, path, state, timestamp }

function shown(type: string, seq: number, rest: Record<string, unknown>, second = seq): Record<string, unknown> {
  return { type, playId: 'run-123', flowId: 'flow-123', seq, ...rest, timestamp: `2026-01-01T12:00:0${second}Z` }
}

const fetch = { layerId: 'layer-123', ref: 'fetch', path: 'fetch' }

/** What `/api/ws` says, with the messages that flow8 names. */
export const playChannel: ChannelOptions = {
  surface: 'flow8',
  path: '/api/ws',
  name: 'playUpdates',
  summary: 'Plays as they happen',
  description:
    "Each play of the caller's account, its messages in order and once, whichever process runs it; messages of several plays come as they happen. Without a word from the client: everything from now on. A `subscribe` chooses, and resumes behind what was heard before, also on another connection. Plays of other accounts that wait for the caller's approval are not told of here: list them with `awaiting=me`. The credential is the cookie of a session, a bearer token, or `?token=`. The server pings every 15 seconds and drops who was silent for 30. 4400: what the client said is not understood. 4401: the credential is missing or not valid, or not valid any more. 1013: the messages were not read in time, or the account has too many connections; connect again. 1001: the server is stopping. 4503: the database cannot be reached; connect again.",
  params: {},
  messages: [
    {
      type: 'play:started',
      summary: 'A play is under way',
      members: play,
      example: shown('play:started', 1, { state: 'RUN' }),
    },
    {
      type: 'play:layer:started',
      summary: 'A layer has begun',
      members: layer,
      example: shown('play:layer:started', 2, { ...fetch, state: 'RUN' }),
    },
    {
      type: 'play:layer:completed',
      summary: 'A layer is done, filtered or skipped',
      members: {
        ...layer,
        out: { description: 'What it put out: any JSON, secrets masked; null where that is nothing.' },
      },
      example: shown('play:layer:completed', 3, { ...fetch, state: 'DONE', out: { statusCode: 200 } }),
    },
    {
      type: 'play:layer:failed',
      summary: 'A layer has failed',
      members: { ...layer, error },
      example: shown('play:layer:failed', 3, {
        ...fetch,
        state: 'FAIL',
        error: 'the server answered with status 500',
      }),
    },
    {
      type: 'play:waiting',
      summary: 'A layer waits for an approval',
      members: layer,
      example: shown('play:waiting', 3, { ...fetch, state: 'WAIT' }),
    },
    {
      type: 'play:completed',
      summary: 'A play is done; its last message',
      members: { ...play, duration },
      example: shown('play:completed', 4, { state: 'DONE', duration: 5000 }, 5),
    },
    {
      type: 'play:failed',
      summary: 'A play has failed; its last message',
      members: { ...play, ref, error },
      optional: ['ref'],
      example: shown('play:failed', 4, { ref: 'fetch', state: 'FAIL', error: 'the server answered with status 500' }),
    },
    {
      type: 'play:cancelled',
      summary: 'A play was cancelled; its last message',
      members: { ...play, duration },
      example: shown('play:cancelled', 4, { state: 'SKIP', duration: 5000 }, 5),
    },
  ],
  request: {
    name: 'subscribe',
    summary: 'What to tell from now on, and from where',
    members: {
      type: { type: 'string', const: 'subscribe', description: 'What the message is.' },
      flowIds: list('Only plays of these flows.', ['flow-123']),
      playIds: list('Only these plays, also such that have ended.', ['run-123']),
      types: list('Only messages of these types.', ['play:waiting', 'play:completed'], PLAY_MESSAGES),
      after: {
        type: 'object',
        additionalProperties: { type: 'integer', format: 'int32', minimum: 0 },
        maxProperties: 1000,
        description: 'By play, the `seq` of the last message that was heard: what follows it is told.',
        examples: [{ 'run-123': 3 }],
      },
      since: {
        type: 'string',
        format: 'date-time',
        maxLength: 64,
        description:
          'Of other plays, what has happened since then: at most 24 hours ago, and of plays that have ended only such as took less than a day. Left out, it goes on where the connection is.',
        examples: ['2026-01-01T12:00:00Z'],
      },
    },
    optional: ['flowIds', 'playIds', 'types', 'after', 'since'],
    example: { type: 'subscribe', types: ['play:waiting'], after: { 'run-123': 3 }, since: '2026-01-01T12:00:00Z' },
  },
}

function text(description: string, example: string, maxLength: number): Schema {
  return { type: 'string', maxLength, description, examples: [example] }
}

function list(description: string, example: string[], words?: readonly string[]): Schema {
  const items: Schema = words ? { type: 'string', enum: [...words] } : { type: 'string', maxLength: 64 }
  return { type: 'array', items, maxItems: 1000, description, examples: [example] }
}
