import { Body, Delete, Get, Param, Post, Query } from '@nestjs/common'
import { Caller } from '../../../platform/auth/caller.js'
import type { Principal } from '../../../platform/auth/principal.js'
import { Answers, PathParam, Summary, SurfaceController } from '../../../platform/openapi/operations.js'
import { ApiKeysService } from '../api-keys.service.js'
import {
  FacilFlowApiKey,
  FacilFlowApiKeyList,
  FacilFlowApiKeysQuery,
  FacilFlowIssuedApiKey,
  FacilFlowNewApiKey,
  toApiKey,
  toApiKeyList,
  toIssuedApiKey,
} from './api-keys.dto.js'

@SurfaceController({
  surface: 'facilflow',
  path: 'api/api-keys',
  resource: 'API keys',
  about:
    'Credentials for programs: for all that the account may do, for channels of the kind `mcp`, or for the S3 protocol at `/s3`.',
})
@PathParam('id', "The API key's id.", 'key-123')
export class FacilFlowApiKeysController {
  constructor(private readonly keys: ApiKeysService) {}

  @Get()
  @Summary('List API keys', "The caller's keys, oldest first, without their secrets.")
  @Answers(FacilFlowApiKeyList, { description: 'The API keys' })
  async list(@Caller() caller: Principal, @Query() query: FacilFlowApiKeysQuery): Promise<FacilFlowApiKeyList> {
    return toApiKeyList(await this.keys.page(caller, query))
  }

  @Post()
  @Summary(
    'Create an API key',
    'A secret for programs, which is shown this once. It acts with the role that the account has at the time. A key cannot make others.',
  )
  @Answers(FacilFlowIssuedApiKey, {
    status: 201,
    description: 'The key, with its secret',
    location: '/api/api-keys/{id}',
  })
  async create(@Caller() caller: Principal, @Body() body: FacilFlowNewApiKey): Promise<FacilFlowIssuedApiKey> {
    return toIssuedApiKey(await this.keys.create(caller, body))
  }

  @Get(':id')
  @Summary('Get an API key', 'Without its secret.')
  @Answers(FacilFlowApiKey, { description: 'The key' })
  async get(@Caller() caller: Principal, @Param('id') id: string): Promise<FacilFlowApiKey> {
    return toApiKey(await this.keys.get(caller, id))
  }

  @Delete(':id')
  @Summary('Revoke an API key', 'It is dead from now on.')
  @Answers(null, { description: 'The key is dead' })
  async delete(@Caller() caller: Principal, @Param('id') id: string): Promise<void> {
    await this.keys.revoke(caller, id)
  }
}
