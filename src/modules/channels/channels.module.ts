import { Module, type OnModuleInit } from '@nestjs/common'
import { TypeOrmModule } from '@nestjs/typeorm'
import { AccountDependents } from '../accounts/account-dependents.js'
import { AccountsModule } from '../accounts/accounts.module.js'
import { AuditModule } from '../audit/audit.module.js'
import { FlowsModule } from '../flows/flows.module.js'
import { RunsModule } from '../runs/runs.module.js'
import { Channel } from './channel.entity.js'
import { ChannelRoute } from './channel-route.entity.js'
import { ChannelsService } from './channels.service.js'
import { ChannelCalls } from './serving/channel-calls.js'
import { ChannelDoor } from './serving/channel-door.js'
import { ChannelRequests } from './serving/channel-requests.js'
import { HttpChannel } from './serving/http-channel.js'
import { McpChannel } from './serving/mcp-channel.js'

/** Channels: ways in for callers who have no account here. They go with the account whose flows they start. */
@Module({
  imports: [TypeOrmModule.forFeature([Channel, ChannelRoute]), AccountsModule, AuditModule, FlowsModule, RunsModule],
  providers: [ChannelsService, ChannelDoor, ChannelCalls, HttpChannel, McpChannel, ChannelRequests],
  exports: [ChannelsService, ChannelRequests, ChannelDoor, ChannelCalls],
})
export class ChannelsModule implements OnModuleInit {
  constructor(
    private readonly dependents: AccountDependents,
    private readonly channels: ChannelsService,
  ) {}

  onModuleInit(): void {
    this.dependents.registerRemoval((tx, accountId) => this.channels.removeOf(tx, accountId))
  }
}
