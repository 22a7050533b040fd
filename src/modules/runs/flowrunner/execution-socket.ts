import { Inject, Injectable, type OnModuleInit } from '@nestjs/common'
import { Authenticator } from '../../../platform/auth/authenticator.js'
import type { Principal } from '../../../platform/auth/principal.js'
import { callerOf } from '../../../platform/auth/socket-caller.js'
import { CLOCK, type Clock } from '../../../platform/clock/clock.js'
import type { DomainError } from '../../../platform/errors/domain-error.js'
import { Dialects } from '../../../platform/http/dialects.js'
import { asDomainError } from '../../../platform/http/translate.js'
import { newId } from '../../../platform/ids.js'
import { SurfaceChannel } from '../../../platform/openapi/channels.js'
import { CLOSE, type LiveSocket } from '../../../platform/realtime/live-socket.js'
import { type Opening, SocketServer } from '../../../platform/realtime/socket-server.js'
import { RunEvents } from '../events/run-events.js'
import { RunsService } from '../runs.service.js'
import { executionChannel } from './execution-channel.js'
import { eventMessage, standingMessage } from './execution-messages.js'

/** A token that has ended since the connection was made is told nothing more, give or take this long. */
const RECHECK_MS = 1_000

/**
 * `/ws/executions/:execution_id`: how an execution stands, then each of its events once and in order, from the first; closes after the
 * last. The token comes as `Authorization: Bearer` or, since browsers cannot set headers, as `?token=`. What the caller may not see looks
 * like what does not exist: 4404.
 */
@Injectable()
@SurfaceChannel(executionChannel)
export class ExecutionSocket implements OnModuleInit {
  constructor(
    private readonly server: SocketServer,
    private readonly authenticator: Authenticator,
    private readonly runs: RunsService,
    private readonly events: RunEvents,
    private readonly dialects: Dialects,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  onModuleInit(): void {
    this.server.route(executionChannel.path, (socket, opening) => this.watch(socket, opening))
  }

  private async watch(socket: LiveSocket, opening: Opening): Promise<void> {
    try {
      const caller = await this.caller(opening)
      const run = await this.runs.get(caller, opening.params.execution_id ?? '')
      await socket.send(standingMessage(run, this.clock.now()))
      let checkedAt = this.clock.now()
      for await (const event of this.events.follow(run.id, 0, socket.gone)) {
        const now = this.clock.now()
        if (now.getTime() - checkedAt.getTime() >= RECHECK_MS) {
          await this.caller(opening)
          checkedAt = now
        }
        const message = eventMessage(run.id, event)
        if (message) await socket.send(message)
      }
      socket.close(CLOSE.done, 'the execution has ended')
    } catch (error) {
      const refusal = asDomainError(error, opening.path)
      if (refusal.kind === 'internal') throw error
      this.refuse(socket, opening, refusal)
    }
  }

  private caller(opening: Opening): Promise<Principal> {
    return callerOf(opening, ['bearer'], this.authenticator)
  }

  private refuse(socket: LiveSocket, opening: Opening, error: DomainError): void {
    const dialect = this.dialects.of('flowRunner')
    const occurrence = { status: dialect.status(error.kind), instance: opening.path, requestId: newId('req') }
    socket.refuse(4000 + occurrence.status, dialect.problem(error, occurrence))
  }
}
