import type { IncomingHttpHeaders } from 'node:http'
import { Inject, Injectable } from '@nestjs/common'
import type { Request, Response } from 'express'
import { Config } from '../../../platform/config/config.js'
import { multimap, readAnyBody } from '../../../platform/http/any-body.js'
import { MethodNotAllowed, UnknownPath } from '../../../platform/http/refusals.js'
import type { Json, JsonObject } from '../../../platform/json.js'
import { tokenIn } from '../channel-token.js'
import { ChannelRunFailed } from '../channels.errors.js'
import { matchRoute, requestedSegments } from '../route-path.js'
import { ChannelCalls, failureOf, type Play } from './channel-calls.js'
import type { OpenChannel, OpenRoute } from './channel-door.js'

/** What is the caller's own business, or the connection's: flows get every header but these. */
const LEFT_OUT = new Set([
  'authorization',
  'proxy-authorization',
  'cookie',
  'cookie2',
  'set-cookie',
  'x-channel-token',
  'x-api-key',
  'x-auth-token',
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** A request to a channel of HTTP routes: the part of its path that is below the channel's own, and what goes with it. */
export interface HttpCall {
  /** As it was sent, without the query. */
  path: string
  request: Request
  response: Response
  idempotencyKey?: string
  gone: AbortSignal
}

/**
 * Channels of HTTP routes. The flows get `{body, headers, query, method, path, params}`. A `sync` route answers 200 with the result of
 * its flow, or with the list of them where it has several; 202 with the plays when its time is over before theirs; 502 when one failed.
 * An `async` route answers 202 with the plays. One play stands by itself, several are a list.
 */
@Injectable()
export class HttpChannel {
  constructor(
    private readonly calls: ChannelCalls,
    @Inject(Config) private readonly config: Pick<Config, 'bodyLimitBytes'>,
  ) {}

  async serve(channel: OpenChannel, call: HttpCall): Promise<void> {
    const { request, response, idempotencyKey, gone } = call
    const { route, params } = routeFor(channel, call)
    const body = await readAnyBody(request, response, this.config.bodyLimitBytes)
    const { method } = request
    const query = multimap(new URLSearchParams(request.originalUrl.split('?').slice(1).join('?')))
    const args: JsonObject = { body, headers: headersFor(request.headers), query, method, path: call.path, params }
    const started = await this.calls.start(channel, route, {
      args,
      idempotencyKey,
      // Senders repeat a request with other dates and trace ids in its headers.
      sameRequest: { method, path: call.path, query, body },
    })
    response.setHeader('X-Play-Id', started.map(({ playId }) => playId).join(', '))
    const plays = route.responseMode === 'sync' ? await this.calls.outcomes(channel, route, started, gone) : started
    const { status, answer } = answerOf(route, plays)
    response.status(status).json(answer)
  }
}

function routeFor(channel: OpenChannel, { path, request }: HttpCall): { route: OpenRoute; params: JsonObject } {
  const segments = requestedSegments(path)
  const found = segments && matchRoute(channel.routes, request.method, segments)
  if (found && 'route' in found) return found
  if (found && found.allowed.length > 0) throw new MethodNotAllowed(request.method, found.allowed)
  throw new UnknownPath(request.path)
}

/** Without credentials, wherever the channel's token stands. */
function headersFor(headers: IncomingHttpHeaders): JsonObject {
  const token = tokenIn(headers)
  return Object.fromEntries(
    Object.entries(headers).filter((entry): entry is [string, string | string[]] => {
      const [name, value] = entry
      return !LEFT_OUT.has(name) && value !== undefined && !(token && String(value).includes(token))
    }),
  )
}

function answerOf({ responseMode }: OpenRoute, plays: readonly Play[]): { status: number; answer: Json } {
  if (responseMode === 'async') return { status: 202, answer: alone(plays.map(briefly)) }
  const failed = plays.find(({ status }) => status === 'failed' || status === 'cancelled')
  if (failed) {
    const { playId } = failed
    throw new ChannelRunFailed(failureOf(failed), plays.length > 1 ? { playId, plays: plays.map(briefly) } : { playId })
  }
  if (plays.some(({ status }) => status !== 'completed')) return { status: 202, answer: alone(plays.map(briefly)) }
  return { status: 200, answer: alone(plays.map(({ result }) => result ?? null)) }
}

function briefly({ playId, status }: Play): JsonObject {
  return { playId, status }
}

function alone(answers: Json[]): Json {
  return answers.length === 1 ? (answers[0] ?? null) : answers
}
