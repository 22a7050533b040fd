import { Body, Delete, Get, Param, Post, Query } from '@nestjs/common'
import { Flow8PageQuery, placeOf } from '../../../dialects/flow8.paging.js'
import { Caller } from '../../../platform/auth/caller.js'
import type { Principal } from '../../../platform/auth/principal.js'
import { Answers, PathParam, Summary, SurfaceController } from '../../../platform/openapi/operations.js'
import { ApiKeysService } from '../api-keys.service.js'
import {
  Flow8ApiKey,
  Flow8ApiKeyList,
  Flow8IssuedApiKey,
  Flow8NewApiKey,
  toApiKey,
  toApiKeyList,
  toIssuedApiKey,
} from './api-keys.dto.js'

@SurfaceController({
  surface: 'flow8',
  path: 'api/auth/api-keys',
  resource: 'API keys',
  about: 'Credentials for programs, that act with the role of the account that made them.',
})
@PathParam('id', "The API key's id.", '65abc901')
export class Flow8ApiKeysController {
  constructor(private readonly keys: ApiKeysService) {}

  @Get()
  @Summary('List API keys', "The caller's keys, oldest first, without their tokens.")
  @Answers(Flow8ApiKeyList, { description: 'One page of API keys' })
  async list(@Caller() caller: Principal, @Query() query: Flow8PageQuery): Promise<Flow8ApiKeyList> {
    return toApiKeyList(await this.keys.page(caller, placeOf(query)), query)
  }

  @Post()
  @Summary(
    'Create an API key',
    'A token for programs, which is shown this once. It acts with the role that the account has at the time. A key cannot make others.',
  )
  @Answers(Flow8IssuedApiKey, {
    status: 201,
    description: 'The key, with its token',
    location: '/api/auth/api-keys/{id}',
  })
  async create(@Caller() caller: Principal, @Body() body: Flow8NewApiKey): Promise<Flow8IssuedApiKey> {
    return toIssuedApiKey(await this.keys.create(caller, body))
  }

  @Get(':id')
  @Summary('Get an API key', 'Without its token.')
  @Answers(Flow8ApiKey, { description: 'The key' })
  async get(@Caller() caller: Principal, @Param('id') id: string): Promise<Flow8ApiKey> {
    return toApiKey(await this.keys.get(caller, id))
  }

  @Delete(':id')
  @Summary('Revoke an API key', 'It is dead from now on.')
  @Answers(null, { description: 'The key is dead' })
  async delete(@Caller() caller: Principal, @Param('id') id: string): Promise<void> {
    await this.keys.revoke(caller, id)
  }
}
