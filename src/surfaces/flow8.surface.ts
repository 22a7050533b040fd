import { Module } from '@nestjs/common'
import { AuthModule } from '../modules/auth/auth.module.js'
import { Flow8ApiKeysController } from '../modules/auth/flow8/api-keys.controller.js'
import { Flow8AuthController } from '../modules/auth/flow8/auth.controller.js'
import { Flow8ChannelRoutesController } from '../modules/channels/channel-routes.controller.js'
import { Flow8ChannelsController } from '../modules/channels/channels.controller.js'
import { ChannelsModule } from '../modules/channels/channels.module.js'
import { Flow8ChannelRequestsController } from '../modules/channels/serving/channel-requests.controller.js'
import { ChannelSocket } from '../modules/channels/serving/channel-socket.js'
import { Flow8FlowsController } from '../modules/flows/flow8/flows.controller.js'
import { Flow8LayersController } from '../modules/flows/flow8/layers.controller.js'
import { FlowsModule } from '../modules/flows/flows.module.js'
import { Flow8GroupsController } from '../modules/groups/flow8/groups.controller.js'
import { GroupsModule } from '../modules/groups/groups.module.js'
import { Flow8KvController } from '../modules/kv/flow8/kv.controller.js'
import { KvEntriesModule } from '../modules/kv/kv-entries.module.js'
import { Flow8FlowPlaysController } from '../modules/runs/flow8/flow-plays.controller.js'
import { PlayFeeds } from '../modules/runs/flow8/play-feed.js'
import { PlaySocket } from '../modules/runs/flow8/play-socket.js'
import { Flow8PlaysController } from '../modules/runs/flow8/plays.controller.js'
import { RunsModule } from '../modules/runs/runs.module.js'
import { Flow8SchedulesController } from '../modules/schedules/flow8/schedules.controller.js'
import { SchedulesModule } from '../modules/schedules/schedules.module.js'
import { Flow8ModulesController } from '../modules/steps/flow8/modules.controller.js'
import { StepsModule } from '../modules/steps/steps.module.js'

/** flow8: flows of layers; plays and their approvals; groups, KV entries, channels, schedules. */
@Module({
  imports: [
    AuthModule,
    ChannelsModule,
    FlowsModule,
    GroupsModule,
    KvEntriesModule,
    RunsModule,
    SchedulesModule,
    StepsModule,
  ],
  controllers: [
    Flow8AuthController,
    Flow8ApiKeysController,
    Flow8ChannelsController,
    Flow8ChannelRoutesController,
    Flow8ChannelRequestsController,
    Flow8GroupsController,
    Flow8KvController,
    Flow8FlowsController,
    Flow8LayersController,
    Flow8FlowPlaysController,
    Flow8PlaysController,
    Flow8SchedulesController,
    Flow8ModulesController,
  ],
  providers: [ChannelSocket, PlayFeeds, PlaySocket],
})
export class Flow8Surface {}
