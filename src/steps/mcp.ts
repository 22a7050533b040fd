import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { SSEClientTransport, SseError } from '@modelcontextprotocol/sdk/client/sse.js'
import { StreamableHTTPClientTransport, StreamableHTTPError } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import { McpError } from '@modelcontextprotocol/sdk/types.js'
import type { StepContext, StepType } from '../engine/step.js'
import { isJsonObject, type Json, type JsonObject, type JsonSchema } from '../platform/json.js'
import { converse, type Explanation, timeLimit } from './conversation.js'
import { HEADERS_PARAM, headersOf } from './http-exchange.js'
import { invalidParams } from './invalid-params.js'
import { allowedCommand, DEFAULT_ENVIRONMENT } from './mcp/command.js'
import { perform } from './mcp/operations.js'
import { ProcessTransport } from './mcp/process-transport.js'
import type { Outbound } from './ports.js'

export interface McpOptions {
  outbound: Outbound
  /** Programs that flows may start, as `command` must name them. None by default. */
  mcpCommands?: readonly string[]
  /** The environment of those programs, under what the flow sets. */
  mcpEnvironment?: Readonly<Record<string, string>>
}

/** Speaks to a server of the Model Context Protocol: its tools, resources and prompts. */
export function mcp({ outbound, mcpCommands = [], mcpEnvironment = DEFAULT_ENVIRONMENT }: McpOptions): StepType {
  return {
    name: 'mcp',
    title: 'MCP',
    category: 'ai',
    summary: 'Uses the tools, resources and prompts of an MCP server.',
    stepClass: 'effect',
    sharedAs: 'mcp_result',
    params: PARAMS,
    run: async (params, step) => ({
      output: await use(params, step, (timeoutMs, signal) => {
        if (params.connectionType !== 'http' && params.connectionType !== 'sse') {
          return new ProcessTransport(allowedCommand(params, mcpCommands, mcpEnvironment))
        }
        return overHttp(outbound, params, timeoutMs, signal)
      }),
    }),
  }
}

const FAREWELL_MS = 1_000

type Connect = (timeoutMs: number, signal: AbortSignal) => Transport

async function use(params: JsonObject, step: StepContext, connect: Connect): Promise<JsonObject> {
  const timeoutMs = timeLimit(params.timeout, '30s', 1)
  let transport: Transport | undefined
  const service = {
    name: 'the MCP server',
    timeoutMs,
    secrets: [...values(params.headers), ...values(params.env)],
    explain: (error: Error) => explain(error, params, transport),
  }
  return await converse(service, step, async (signal) => {
    transport = connect(timeoutMs, signal)
    const kill = () => transport instanceof ProcessTransport && transport.kill()
    signal.addEventListener('abort', kill, { once: true })
    const client = new Client({ name: 'millrace', version: '1.0.0' })
    try {
      await client.connect(transport, { signal, timeout: timeoutMs })
      return { result: await perform(client, params, { signal, timeout: timeoutMs }) }
    } finally {
      signal.removeEventListener('abort', kill)
      await leave(transport)
    }
  })
}

async function leave(transport: Transport): Promise<void> {
  if (transport instanceof StreamableHTTPClientTransport) await transport.terminateSession().catch(() => {})
  await transport.close()
}

function overHttp(outbound: Outbound, params: JsonObject, timeoutMs: number, signal: AbortSignal): Transport {
  if (typeof params.url !== 'string') {
    throw invalidParams(`url parameter is required for connectionType '${String(params.connectionType)}'`)
  }
  const headers = Object.fromEntries(headersOf(params.headers))
  const guarded = (url: string | URL, init: RequestInit = {}) => {
    // The session is ended even where the step was stopped.
    const stop = init.method === 'DELETE' ? AbortSignal.timeout(FAREWELL_MS) : signal
    const either = init.signal ? AbortSignal.any([init.signal, stop]) : stop
    return outbound.fetch(url, { ...init, signal: either, timeoutMs, redirect: 'manual' })
  }
  const options = { fetch: guarded, requestInit: { headers } }
  if (params.connectionType === 'sse') return new SSEClientTransport(new URL(params.url), options)
  const reconnectionOptions = {
    initialReconnectionDelay: 1_000,
    maxReconnectionDelay: 1_000,
    reconnectionDelayGrowFactor: 1,
    maxRetries: 0,
  }
  return new StreamableHTTPClientTransport(new URL(params.url), { ...options, reconnectionOptions })
}

function explain(error: Error, params: JsonObject, transport: Transport | undefined): Explanation | undefined {
  if (transport instanceof ProcessTransport) {
    const said = transport.lastComplaint
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'EACCES') {
      return {
        message: `the command '${String(params.command)}' cannot be started (${code})`,
        code: 'command_failed',
        retryable: false,
      }
    }
    if (/Connection closed|the process has ended/.test(error.message)) {
      return { message: `the MCP server ended early${said ? `; it said: ${said}` : ''}`, code: 'command_failed' }
    }
  }
  if (error instanceof StreamableHTTPError || error instanceof SseError) {
    const { code: status } = error
    if (status === undefined) return undefined
    const retryable = status >= 500 || status === 429
    return { message: `the MCP server refused with status ${status}`, code: 'http_status', retryable }
  }
  if (error instanceof McpError)
    return { message: `the MCP server said: ${error.message}`, code: 'mcp_error', retryable: false }
  return undefined
}

function values(object: Json | undefined): Json[] {
  if (typeof object === 'string') return object.split('\n').map((line) => line.slice(line.indexOf('=') + 1))
  return isJsonObject(object) ? Object.values(object) : []
}

const PARAMS: JsonSchema = {
  type: 'object',
  required: ['operation'],
  properties: {
    operation: {
      enum: ['listTools', 'executeTool', 'listResources', 'readResource', 'listPrompts', 'getPrompt'],
      description: 'What to do.',
    },
    connectionType: {
      enum: ['cmd', 'http', 'sse'],
      default: 'cmd',
      description: 'How to reach the server: a program to start, streamable HTTP, or the older server-sent events.',
    },
    url: {
      type: 'string',
      format: 'http-url',
      description: 'Address of the server.',
      examples: ['https://mcp.example.com/mcp'],
    },
    headers: { ...HEADERS_PARAM, description: 'Request headers by name.' },
    command: {
      type: 'string',
      minLength: 1,
      description: 'Program to start; one of those that the operator allows.',
      examples: ['npx'],
    },
    args: {
      type: ['array', 'string'],
      items: { type: ['string', 'number'] },
      description: 'Its arguments: a list, or words between blanks.',
    },
    env: {
      type: ['object', 'string'],
      additionalProperties: { type: ['string', 'number', 'boolean'] },
      description: 'Its environment variables: an object, or NAME=value on each line.',
    },
    toolName: { type: 'string', description: 'Tool to execute.', examples: ['get_weather'] },
    toolParameters: {
      type: ['object', 'string'],
      description: 'Its arguments: an object, or JSON.',
      examples: [{ location: 'Paris' }],
    },
    resourceUri: { type: 'string', description: 'Resource to read.', examples: ['file:///report.txt'] },
    promptName: { type: 'string', description: 'Prompt to get.' },
    promptParameters: { type: ['object', 'string'], description: 'Its arguments: an object, or JSON.' },
    timeout: {
      type: ['string', 'number'],
      format: 'go-duration',
      exclusiveMinimum: 0,
      default: '30s',
      description: 'How long the step may take: a duration, or a number of milliseconds.',
      examples: ['30s', 5000],
    },
  },
  additionalProperties: false,
}
