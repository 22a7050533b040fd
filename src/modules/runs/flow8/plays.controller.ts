import { Body, Delete, Get, Param, Post, Query } from '@nestjs/common'
import { Flow8PageQuery, placeOf } from '../../../dialects/flow8.paging.js'
import { Caller } from '../../../platform/auth/caller.js'
import { type Principal, WRITERS } from '../../../platform/auth/principal.js'
import { Roles } from '../../../platform/auth/roles.js'
import { Answers, PathParam, Problems, Summary, SurfaceController } from '../../../platform/openapi/operations.js'
import { RunsService } from '../runs.service.js'
import { SharedRunsService } from '../shared-runs.service.js'
import { Flow8PlayLayerList, toPlayLayerList } from './play-layers.dto.js'
import {
  Flow8Approval,
  Flow8Play,
  Flow8PlayList,
  Flow8PlaysQuery,
  toFilter,
  toPlay,
  toPlayList,
  toVerdict,
} from './plays.dto.js'
import * as examples from './plays.examples.js'

@SurfaceController({
  surface: 'flow8',
  path: 'api/plays',
  resource: 'Plays',
  about: 'Single executions of a flow, with the state of each layer.',
})
@PathParam('id', "The play's id.", 'run-123')
export class Flow8PlaysController {
  constructor(
    private readonly runs: RunsService,
    private readonly shared: SharedRunsService,
  ) {}

  @Get()
  @Summary(
    'List plays',
    "The caller's plays, newest first; with `awaiting=me` those of anybody that wait for the caller's approval.",
  )
  @Answers(Flow8PlayList, { description: 'One page of plays', example: examples.playList })
  async list(@Caller() caller: Principal, @Query() query: Flow8PlaysQuery): Promise<Flow8PlayList> {
    return toPlayList(await this.shared.page(caller, toFilter(query), placeOf(query)), query)
  }

  @Get(':id')
  @Summary(
    'Get a play',
    'How it stands, what it was started with, and once it has ended its output or its error. Who may approve one of its layers sees it as well.',
  )
  @Answers(Flow8Play, { description: 'The play', example: examples.play })
  async get(@Caller() caller: Principal, @Param('id') id: string): Promise<Flow8Play> {
    return toPlay(await this.shared.get(caller, id))
  }

  @Get(':id/layers')
  @Summary(
    "List a play's layers",
    'What each layer came to so far, or how it stands, in the order of the flow. Each round of a loop has entries of its own; layers that the play has not come to are `NEW`.',
  )
  @Answers(Flow8PlayLayerList, { description: "One page of the play's layers", example: examples.layerList })
  async layers(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Query() query: Flow8PageQuery,
  ): Promise<Flow8PlayLayerList> {
    return toPlayLayerList(await this.shared.stepsOf(caller, id, placeOf(query)), query)
  }

  @Post(':id/approve')
  @Roles(...WRITERS)
  @Summary(
    'Approve or decline a layer',
    'The word that a layer in `WAIT` waits for. The first one counts, whoever races for it: every later one is a conflict. Of several rounds that wait, the oldest is meant.',
  )
  @Answers(Flow8Play, { description: 'The play, as it stands then', example: examples.approvedPlay })
  @Problems('conflict')
  async approve(@Caller() caller: Principal, @Param('id') id: string, @Body() body: Flow8Approval): Promise<Flow8Play> {
    return toPlay(await this.shared.decide(caller, id, toVerdict(body)))
  }

  @Delete(':id')
  @Roles(...WRITERS)
  @Summary(
    'Cancel a play',
    'Ends it at once, with all plays that its layers started. A play that has ended is a conflict.',
  )
  @Answers(null, { description: 'The play is cancelled' })
  @Problems('conflict')
  async cancel(@Caller() caller: Principal, @Param('id') id: string): Promise<void> {
    await this.runs.cancel(caller, id)
  }
}
