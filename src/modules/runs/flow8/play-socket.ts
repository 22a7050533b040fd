import { Inject, Injectable, Logger, type OnModuleInit } from '@nestjs/common'
import { Authenticator } from '../../../platform/auth/authenticator.js'
import type { Principal } from '../../../platform/auth/principal.js'
import { callerOf } from '../../../platform/auth/socket-caller.js'
import { CLOCK, type Clock } from '../../../platform/clock/clock.js'
import { Dialects } from '../../../platform/http/dialects.js'
import { asDomainError } from '../../../platform/http/translate.js'
import { newId } from '../../../platform/ids.js'
import { SurfaceChannel } from '../../../platform/openapi/channels.js'
import { CLOSE, type LiveSocket } from '../../../platform/realtime/live-socket.js'
import { type Opening, SocketServer } from '../../../platform/realtime/socket-server.js'
import { playChannel } from './play-channel.js'
import { PlayFeeds } from './play-feed.js'
import { readSubscription } from './play-subscription.js'

/** A credential that has ended since the connection was made is told nothing more, give or take this long. */
const RECHECK_MS = 1_000
/** A subscription that names a thousand plays with their positions fits. */
const LISTEN_BYTES = 128 * 1024
/** Connections of one account to this process. */
const MOST_CONNECTIONS = 100

/**
 * `/api/ws`: the plays of the caller's account as they happen. The credential is the cookie of a session, `Authorization: Bearer` or
 * `?token=`; it is looked at again while things are told.
 */
@Injectable()
@SurfaceChannel(playChannel)
export class PlaySocket implements OnModuleInit {
  private readonly logger = new Logger(PlaySocket.name)
  private readonly connections = new Map<string, number>()

  constructor(
    private readonly server: SocketServer,
    private readonly authenticator: Authenticator,
    private readonly feeds: PlayFeeds,
    private readonly dialects: Dialects,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  onModuleInit(): void {
    this.server.route(playChannel.path, (socket, opening) => this.open(socket, opening), LISTEN_BYTES)
  }

  private async open(socket: LiveSocket, opening: Opening): Promise<void> {
    const now = this.clock.now()
    try {
      const caller = await this.caller(opening)
      const others = this.connections.get(caller.accountId) ?? 0
      if (others >= MOST_CONNECTIONS) return socket.close(CLOSE.tooSlow, 'the account has too many connections')
      this.connections.set(caller.accountId, others + 1)
      try {
        await this.serve(socket, opening, caller, now)
      } finally {
        this.leave(caller.accountId)
      }
    } catch (error) {
      this.fail(socket, opening, error)
    }
  }

  private async serve(socket: LiveSocket, opening: Opening, caller: Principal, now: Date): Promise<void> {
    let checkedAt = now.getTime()
    const feed = await this.feeds.open(
      {
        caller,
        send: async (message) => {
          const time = this.clock.now().getTime()
          if (time - checkedAt >= RECHECK_MS) {
            await this.caller(opening)
            checkedAt = time
          }
          await socket.send(message)
        },
        onError: (error) => this.fail(socket, opening, error),
      },
      now,
    )
    try {
      for await (const text of socket.messages()) {
        const at = this.clock.now()
        await feed.subscribe(readSubscription(text, at), at)
      }
    } finally {
      await feed.close()
    }
  }

  private leave(accountId: string): void {
    const others = (this.connections.get(accountId) ?? 1) - 1
    if (others > 0) this.connections.set(accountId, others)
    else this.connections.delete(accountId)
  }

  private caller(opening: Opening): Promise<Principal> {
    return callerOf(opening, ['bearer', 'session'], this.authenticator)
  }

  private fail(socket: LiveSocket, opening: Opening, error: unknown): void {
    if (socket.gone.aborted) return
    const refusal = asDomainError(error, opening.path)
    if (refusal.kind === 'internal') {
      this.logger.error({ err: error }, 'a WebSocket ended with an error of ours')
      socket.close(1011, 'internal error')
      return
    }
    const dialect = this.dialects.of('flow8')
    const occurrence = { status: dialect.status(refusal.kind), instance: opening.path, requestId: newId('req') }
    socket.refuse(4000 + occurrence.status, dialect.problem(refusal, occurrence))
  }
}
