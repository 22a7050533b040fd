import { Body, Delete, Get, Param, Post, Put, Query } from '@nestjs/common'
import { Flow8PageQuery } from '../../../dialects/flow8.paging.js'
import { Caller } from '../../../platform/auth/caller.js'
import { type Principal, WRITERS } from '../../../platform/auth/principal.js'
import { Roles } from '../../../platform/auth/roles.js'
import { type Expected, IfMatch } from '../../../platform/http/headers.js'
import { Audited } from '../../../platform/http/refused-calls.js'
import { Answers, PathParam, Problems, Summary, SurfaceController } from '../../../platform/openapi/operations.js'
import { LayeredFlows } from '../layered-flows.service.js'
import { Flow8Layer, Flow8LayerChange, Flow8LayerList, Flow8NewLayer, toLayer, toLayerList } from './layers.dto.js'

@SurfaceController({
  surface: 'flow8',
  path: 'api/flows/:id/layers',
  resource: 'Layers',
  about: 'The steps of a flow, in their order.',
})
@PathParam('id', "The flow's id.", 'flow-123')
export class Flow8LayersController {
  constructor(private readonly flows: LayeredFlows) {}

  @Get()
  @Summary('List layers', 'The layers of a flow, by index. A flow that cannot be told in layers says why.')
  @Answers(Flow8LayerList, { description: 'One page of layers' })
  @Problems('conflict')
  async list(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Query() query: Flow8PageQuery,
  ): Promise<Flow8LayerList> {
    return toLayerList(id, await this.flows.layers(caller, id), query)
  }

  @Post()
  @Audited('flow.update')
  @Roles(...WRITERS)
  @Summary('Add a layer', 'It is checked with all others, and becomes part of plays that are started from now on.')
  @Answers(Flow8Layer, {
    status: 201,
    description: 'The layer',
    location: '/api/flows/{flowId}/layers/{id}',
  })
  @Problems('conflict')
  async create(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Body() body: Flow8NewLayer,
    @IfMatch() expected: Expected,
  ): Promise<Flow8Layer> {
    return toLayer(id, await this.flows.addLayer(caller, id, body, expected))
  }

  @Put(':layerId')
  @Audited('flow.update')
  @PathParam('layerId', "The layer's id.", 'layer-123')
  @Roles(...WRITERS)
  @Summary('Update a layer', 'What is left out stays as it is. If-Match names the version of the flow.')
  @Answers(Flow8Layer, { description: 'The layer' })
  @Problems('conflict')
  async update(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Param('layerId') layerId: string,
    @Body() body: Flow8LayerChange,
    @IfMatch() expected: Expected,
  ): Promise<Flow8Layer> {
    return toLayer(id, await this.flows.changeLayer(caller, id, layerId, body, expected))
  }

  @Delete(':layerId')
  @Audited('flow.update')
  @PathParam('layerId', "The layer's id.", 'layer-123')
  @Roles(...WRITERS)
  @Summary('Delete a layer', 'One that others name stays. If-Match names the version of the flow.')
  @Answers(null, { description: 'The layer is deleted' })
  @Problems('conflict')
  async delete(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Param('layerId') layerId: string,
    @IfMatch() expected: Expected,
  ): Promise<void> {
    await this.flows.removeLayer(caller, id, layerId, expected)
  }
}
