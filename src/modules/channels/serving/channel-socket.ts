import { Inject, Injectable, Logger, type OnModuleInit } from '@nestjs/common'
import { Config } from '../../../platform/config/config.js'
import { type DomainError } from '../../../platform/errors/domain-error.js'
import { jsonFrom } from '../../../platform/http/any-body.js'
import { Dialects } from '../../../platform/http/dialects.js'
import { RateLimited } from '../../../platform/http/refusals.js'
import { runInContext } from '../../../platform/http/request-context.js'
import { asDomainError } from '../../../platform/http/translate.js'
import { newId } from '../../../platform/ids.js'
import type { Json, JsonObject } from '../../../platform/json.js'
import { SurfaceChannel } from '../../../platform/openapi/channels.js'
import { RateCounter } from '../../../platform/rates/rate-counter.js'
import { CLOSE, type LiveSocket } from '../../../platform/realtime/live-socket.js'
import { type Opening, SocketServer } from '../../../platform/realtime/socket-server.js'
import { tokenIn } from '../channel-token.js'
import { ChannelNotFound } from '../channels.errors.js'
import { ChannelCalls } from './channel-calls.js'
import { ChannelDoor, type OpenChannel } from './channel-door.js'
import { countedAs } from './channel-requests.js'
import {
  endMessage,
  idOf,
  playMessage,
  readMessage,
  rejectedMessage,
  routeNamed,
  socketChannel,
} from './channel-socket.messages.js'

/** Messages of one connection that are worked on at the same time; the next waits in the network. */
const AT_ONCE = 16
/** Connections to one channel in this process. */
const MOST_CONNECTIONS = 500

/**
 * WebSocket channels: each message starts the flows of its route. The token is looked at again for each message, so that a connection does
 * not outlive it; messages count against the channel as requests do.
 */
@Injectable()
@SurfaceChannel(socketChannel)
export class ChannelSocket implements OnModuleInit {
  private readonly logger = new Logger(ChannelSocket.name)
  private readonly connections = new Map<string, number>()

  constructor(
    private readonly server: SocketServer,
    private readonly door: ChannelDoor,
    private readonly calls: ChannelCalls,
    private readonly limits: RateCounter,
    private readonly dialects: Dialects,
    @Inject(Config) private readonly config: Pick<Config, 'bodyLimitBytes'>,
  ) {}

  onModuleInit(): void {
    this.server.route(socketChannel.path, (socket, opening) => this.open(socket, opening), this.config.bodyLimitBytes)
  }

  private async open(socket: LiveSocket, opening: Opening): Promise<void> {
    try {
      const { id } = await this.enter(opening)
      const others = this.connections.get(id) ?? 0
      if (others >= MOST_CONNECTIONS) return socket.close(CLOSE.tooSlow, 'the channel has too many connections')
      this.connections.set(id, others + 1)
      try {
        await this.listen(socket, opening)
      } finally {
        this.leave(id)
      }
    } catch (error) {
      const refusal = asDomainError(error, opening.path)
      if (refusal.kind === 'internal') throw error
      const problem = this.problem(refusal, opening)
      socket.refuse(4000 + Number(problem.status), problem)
    }
  }

  private async listen(socket: LiveSocket, opening: Opening): Promise<void> {
    const working = new Set<Promise<void>>()
    for await (const text of socket.messages()) {
      const channel = await this.enter(opening)
      const work = this.answer(socket, opening, channel, text).finally(() => working.delete(work))
      working.add(work)
      if (working.size >= AT_ONCE) await Promise.race(working)
    }
  }

  private async enter({ params, headers, query }: Opening): Promise<OpenChannel> {
    const id = params.channel_id ?? ''
    const channel = await this.door.enter(id, tokenIn(headers) ?? query.get('token') ?? undefined)
    if (channel.kind !== 'websocket') throw new ChannelNotFound(id)
    return channel
  }

  private leave(id: string): void {
    const left = (this.connections.get(id) ?? 0) - 1
    if (left > 0) this.connections.set(id, left)
    else this.connections.delete(id)
  }

  /** All that one message comes to. Never rejects: what is wrong with one is no matter of the next. */
  private async answer(socket: LiveSocket, opening: Opening, channel: OpenChannel, text: string): Promise<void> {
    const context = { requestId: newId('req'), ip: opening.address, path: opening.path, surface: 'flow8' as const }
    let message: Json = null
    try {
      await this.count(channel)
      message = jsonFrom(text, 'The message')
      const heard = message
      await runInContext(context, () => this.serve(socket, channel, heard))
    } catch (error) {
      const refusal = asDomainError(error, opening.path)
      if (refusal.kind === 'internal')
        this.logger.error({ err: refusal.cause, requestId: context.requestId }, refusal.title)
      await socket.send(rejectedMessage(idOf(message), this.problem(refusal, opening, context.requestId)))
    }
  }

  private async serve(socket: LiveSocket, channel: OpenChannel, message: Json): Promise<void> {
    const { id, route: name, args, idempotencyKey } = readMessage(message)
    const route = routeNamed(channel.routes, name)
    const plays = await this.calls.start(channel, route, { args, idempotencyKey })
    for (const play of plays) await socket.send(playMessage(id, play))
    if (route.responseMode === 'async') return
    await Promise.all(
      plays.map(async (play) => {
        const [end = play] = await this.calls.outcomes(channel, route, [play], socket.gone)
        await socket.send(endMessage(id, end))
      }),
    )
  }

  private async count(channel: OpenChannel): Promise<void> {
    const allowance = await this.limits.hit(countedAs(channel))
    if (allowance && allowance.remaining < 0) throw new RateLimited(allowance.limit, allowance.retryAfter)
  }

  private problem(error: DomainError, opening: Opening, requestId: string = newId('req')): JsonObject {
    const dialect = this.dialects.of('flow8')
    return dialect.problem(error, { status: dialect.status(error.kind), instance: opening.path, requestId })
  }
}
