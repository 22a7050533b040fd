import { Global, Module } from '@nestjs/common'
import { SocketServer } from './socket-server.js'

@Global()
@Module({ providers: [SocketServer], exports: [SocketServer] })
export class RealtimeModule {}
