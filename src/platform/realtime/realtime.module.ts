import { Global, Module } from '@nestjs/common'
import { SocketServer } from './socket-server.js'

/** WebSockets, for every module that has something to tell. */
@Global()
@Module({ providers: [SocketServer], exports: [SocketServer] })
export class RealtimeModule {}
