import { Server } from '@modelcontextprotocol/sdk/server/index.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import {
  CallToolRequestSchema,
  type CallToolResult,
  ErrorCode,
  ListToolsRequestSchema,
  McpError,
  type Tool,
} from '@modelcontextprotocol/sdk/types.js'
import { Inject, Injectable, Logger } from '@nestjs/common'
import { Forbidden } from '../../../platform/auth/auth.errors.js'
import { Config } from '../../../platform/config/config.js'
import { readAnyBody } from '../../../platform/http/any-body.js'
import { InvalidRequest } from '../../../platform/http/faults.js'
import { MethodNotAllowed, UnknownPath } from '../../../platform/http/refusals.js'
import { asDomainError } from '../../../platform/http/translate.js'
import type { Json, JsonObject } from '../../../platform/json.js'
import { version } from '../../../platform/version.js'
import { FlowsService } from '../../flows/flows.service.js'
import { toolNameOf } from '../route-rules.js'
import { ChannelCalls, failureOf, type Play } from './channel-calls.js'
import type { OpenChannel, OpenRoute } from './channel-door.js'
import type { HttpCall } from './http-channel.js'

/** Flows say nothing of what they take. */
const ANY_ARGUMENTS: Tool['inputSchema'] = { type: 'object', additionalProperties: true }

const LOOPBACK = /^https?:\/\/(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i

/**
 * Channels that are servers of the Model Context Protocol, over streamable HTTP at `/channels/{id}/mcp`. Each route is a tool; calling it
 * runs its flows with the arguments. There are no sessions: every POST is complete in itself, so any process may answer it, and nothing is
 * ever sent unasked, so GET and DELETE are not possible.
 */
@Injectable()
export class McpChannel {
  private readonly logger = new Logger(McpChannel.name)

  constructor(
    private readonly calls: ChannelCalls,
    private readonly flows: FlowsService,
    @Inject(Config) private readonly config: Pick<Config, 'bodyLimitBytes'>,
  ) {}

  async serve(channel: OpenChannel, { path, request, response, gone }: HttpCall): Promise<void> {
    if (path !== '/mcp') throw new UnknownPath(request.path)
    refuseRebinding(channel, request.headers.origin)
    if (request.method !== 'POST') throw new MethodNotAllowed(request.method, ['POST'])
    const message = await readAnyBody(request, response, this.config.bodyLimitBytes)
    // The protocol has none since 2025-06-18, and each would count as one request.
    if (Array.isArray(message)) throw new InvalidRequest('Batches of messages are not taken')
    const server = this.serverOf(channel, gone)
    const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined })
    gone.addEventListener('abort', () => void server.close(), { once: true })
    await server.connect(transport)
    await transport.handleRequest(request, response, message)
  }

  private serverOf(channel: OpenChannel, gone: AbortSignal): Server {
    const server = new Server({ name: channel.name, version }, { capabilities: { tools: {} } })
    server.setRequestHandler(ListToolsRequestSchema, () =>
      this.guarded(async () => ({ tools: await this.toolsOf(channel) })),
    )
    server.setRequestHandler(CallToolRequestSchema, async ({ params }) => {
      const route = channel.routes.find((one) => toolNameOf(one) === params.name)
      if (!route) throw new McpError(ErrorCode.InvalidParams, `Tool ${params.name} not found`)
      return await this.guarded(() => this.call(channel, route, (params.arguments ?? {}) as JsonObject, gone))
    })
    return server
  }

  /** Those whose flows can all be started. */
  private async toolsOf(channel: OpenChannel): Promise<Tool[]> {
    const ids = channel.routes.flatMap(({ targetFlowIds }) => targetFlowIds)
    const known = await this.flows.ofAccount(channel, ids)
    const flows = new Map(known.filter(({ enabled }) => enabled).map((flow) => [flow.id, flow]))
    return channel.routes.flatMap((route) => {
      const targets = route.targetFlowIds.flatMap((id) => flows.get(id) ?? [])
      if (targets.length < route.targetFlowIds.length) return []
      const description = targets.map((flow) => flow.description || flow.name).join('\n')
      return [{ name: toolNameOf(route), title: route.name, description, inputSchema: ANY_ARGUMENTS }]
    })
  }

  /** A call that cannot be made is an error of the tool, in words that the model that called can read. */
  private async call(
    channel: OpenChannel,
    route: OpenRoute,
    args: JsonObject,
    gone: AbortSignal,
  ): Promise<CallToolResult> {
    try {
      const started = await this.calls.start(channel, route, { args })
      return resultOf(
        route.responseMode === 'sync' ? await this.calls.outcomes(channel, route, started, gone) : started,
      )
    } catch (error) {
      const { kind, message } = asDomainError(error, '')
      if (kind === 'internal') throw error
      return failure(message)
    }
  }

  /** The protocol's library tells clients what an error says, so it gets none that says more than it should. */
  private async guarded<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      const said = asDomainError(error, '')
      this.logger.error({ err: said.cause ?? said }, 'an MCP request failed')
      throw new McpError(ErrorCode.InternalError, said.message)
    }
  }
}

/**
 * A page of a hostile site can have its own name resolved to this server's address, and its browser then lets it read the answers. Such
 * a page does not have the token, and it cannot hide its origin: a channel that needs no token takes browsers of this machine only.
 */
function refuseRebinding({ authMode }: OpenChannel, origin: string | undefined): void {
  if (authMode !== 'public' || origin === undefined || LOOPBACK.test(origin)) return
  throw new Forbidden('A public channel does not take MCP requests from web pages of other machines')
}

/** One result stands by itself, several are a list; what has not ended is named. */
function resultOf(plays: readonly Play[]): CallToolResult {
  const failed = plays.filter(({ status }) => status === 'failed' || status === 'cancelled')
  if (failed.length > 0) return failure(failed.map(failureOf).join('\n'))
  const answers = plays.map(({ playId, status, result }): JsonObject => result ?? { playId, status })
  const [only] = answers
  return answers.length === 1 && only ? success(only, only) : success(answers, { results: answers })
}

function success(said: Json, structuredContent: JsonObject): CallToolResult {
  return { content: [{ type: 'text', text: JSON.stringify(said) }], structuredContent }
}

function failure(text: string): CallToolResult {
  return { content: [{ type: 'text', text }], isError: true }
}
