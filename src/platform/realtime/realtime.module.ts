import { Global, Module } from '@nestjs/common'
import { EventStreams } from './event-streams.js'
import { SocketServer } from './socket-server.js'

/** WebSockets and streams of events, for every module that has something to tell. */
@Global()
@Module({ providers: [SocketServer, EventStreams], exports: [SocketServer, EventStreams] })
export class RealtimeModule {}
