import type { ChannelOptions } from '../../../platform/openapi/channels.js'
import type { Schema } from '../../../platform/openapi/document.js'
import { EXECUTION_STATUSES, LOG_LEVELS } from './executions.dto.js'

const TEXT = 1_000_000

const execution_id = text("The execution's id.", 'exec-123', 64)
const node_id = text('The node that it is about.', 'start')
const node_type = text("That node's type.", 'http.request')
const timestamp: Schema = {
  type: 'string',
  format: 'date-time',
  maxLength: 64,
  description: 'When it happened.',
  examples: ['2023-01-01T12:00:01Z'],
}

/** What `/ws/executions/{execution_id}` says, with the messages that FlowRunner's reference shows as examples. */
export const executionChannel: ChannelOptions = {
  surface: 'flowRunner',
  path: '/ws/executions/:execution_id',
  name: 'executionUpdates',
  summary: 'An execution as it happens',
  description:
    "First an `execution_update` says how the execution stands. Then each of its events comes once and in order, from the first one on, whenever the connection was made. After `execution_completed`, `execution_failed` or the `execution_update` that says `cancelled` the server closes with 1000. 4401: the token is missing or not valid, or not valid any more. 4404: no such execution, or not the caller's. 1013: the messages were not read in time; connect again. 1001: the server is stopping. 4503: the database cannot be reached; connect again.",
  params: { execution_id: { description: "The execution's id.", example: 'exec-123' } },
  messages: [
    {
      type: 'execution_update',
      summary: 'How the execution stands, and which node has been started',
      members: { execution_id, status: status(EXECUTION_STATUSES), node_id, node_type, timestamp },
      optional: ['node_id', 'node_type'],
      example: {
        type: 'execution_update',
        execution_id: 'exec-123',
        status: 'running',
        node_id: 'start',
        node_type: 'http.request',
        timestamp: '2023-01-01T12:00:01Z',
      },
    },
    {
      type: 'node_completed',
      summary: 'A node has been completed',
      members: {
        execution_id,
        node_id,
        node_type,
        result: { description: "The node's output: any JSON. Secrets are masked." },
        timestamp,
      },
      example: {
        type: 'node_completed',
        execution_id: 'exec-123',
        node_id: 'start',
        node_type: 'http.request',
        result: { status_code: 200, body: { key: 'value' } },
        timestamp: '2023-01-01T12:00:02Z',
      },
    },
    {
      type: 'execution_completed',
      summary: 'The execution is completed; the last message',
      members: {
        execution_id,
        status: status(['completed']),
        result: {
          type: 'object',
          additionalProperties: true,
          description: "The last node's output; a value that is no object stands under `result`.",
        },
        timestamp,
      },
      example: {
        type: 'execution_completed',
        execution_id: 'exec-123',
        status: 'completed',
        result: { output: 'value' },
        timestamp: '2023-01-01T12:00:05Z',
      },
    },
    {
      type: 'execution_failed',
      summary: 'The execution has failed; the last message',
      members: {
        execution_id,
        status: status(['failed']),
        error: text('Why it failed.', 'HTTP request failed with status 500', TEXT),
        node_id,
        node_type,
        timestamp,
      },
      optional: ['node_id', 'node_type'],
      example: {
        type: 'execution_failed',
        execution_id: 'exec-123',
        status: 'failed',
        error: 'HTTP request failed with status 500',
        node_id: 'start',
        node_type: 'http.request',
        timestamp: '2023-01-01T12:00:02Z',
      },
    },
    {
      type: 'log',
      summary: 'A line of the log',
      members: {
        execution_id,
        level: { type: 'string', enum: [...LOG_LEVELS], description: 'How grave it is.' },
        message: text('What happened.', 'HTTP request successful', TEXT),
        node_id,
        node_type,
        data: { type: 'object', additionalProperties: true, description: 'More about it.' },
        timestamp,
      },
      optional: ['node_id', 'node_type', 'data'],
      example: {
        type: 'log',
        execution_id: 'exec-123',
        level: 'info',
        message: 'HTTP request successful',
        node_id: 'start',
        node_type: 'http.request',
        data: { status_code: 200, url: 'https://api.example.com/data' },
        timestamp: '2023-01-01T12:00:01Z',
      },
    },
  ],
}

function status(words: readonly string[]): Schema {
  return { type: 'string', enum: [...words], description: 'How the execution stands.' }
}

function text(description: string, example: string, maxLength = 1000): Schema {
  return { type: 'string', maxLength, description, examples: [example] }
}
