import { Get, Param, Query } from '@nestjs/common'
import { placeOf } from '../../../dialects/flow8.paging.js'
import { Answers, PathParam, Summary, SurfaceController } from '../../../platform/openapi/operations.js'
import { StepCatalogue } from '../step-catalogue.js'
import { Flow8Module, Flow8ModuleList, Flow8ModulesQuery, toModule, toModuleList } from './modules.dto.js'

@SurfaceController({
  surface: 'flow8',
  path: 'api/modules',
  resource: 'Modules',
  about: 'What a layer can do, and the parameters of each.',
})
@PathParam('id', "The module's id: the `appId` of a layer.", 'enumeration')
export class Flow8ModulesController {
  constructor(private readonly catalogue: StepCatalogue) {}

  @Get()
  @Summary(
    'List modules',
    'What layers can do, by id, with the JSON Schemas of args and outputs that forms are built from.',
  )
  @Answers(Flow8ModuleList, { description: 'One page of modules' })
  async list(@Query() query: Flow8ModulesQuery): Promise<Flow8ModuleList> {
    return toModuleList(this.catalogue.page(query, placeOf(query)), query)
  }

  @Get(':id')
  @Summary('Get a module', 'One module, with the JSON Schemas of its args and its output.')
  @Answers(Flow8Module, { description: 'The module' })
  async get(@Param('id') id: string): Promise<Flow8Module> {
    return toModule(this.catalogue.get(id))
  }
}
