import { Body, Delete, Get, Param, Post, Put } from '@nestjs/common'
import { Caller } from '../../../platform/auth/caller.js'
import type { Principal } from '../../../platform/auth/principal.js'
import { Roles } from '../../../platform/auth/roles.js'
import { type Expected, IfMatch } from '../../../platform/http/headers.js'
import { Answers, PathParam, Problems, Summary, SurfaceController } from '../../../platform/openapi/operations.js'
import { PROVIDER_TYPES } from '../provider-settings.js'
import { OwnAddress } from '../providers/own-address.js'
import { ProvidersService } from '../providers/providers.service.js'
import {
  FacilFlowNewStorageProvider,
  FacilFlowStorageProvider,
  FacilFlowStorageProviderChange,
  FacilFlowStorageTest,
  toProvider,
  toTest,
} from './providers.dto.js'

const examples = {
  created: {
    id: 'provider-123',
    name: 'AWS Production',
    type: 's3',
    endpoint: 's3.amazonaws.com',
    port: 443,
    useSSL: true,
    region: 'us-east-1',
    bucket: null,
    credentialsSet: ['accessKey', 'secretKey'],
    isDefault: false,
    builtIn: false,
    createdAt: '2024-01-15T12:00:00Z',
    updatedAt: '2024-01-15T12:00:00Z',
  },
}

@SurfaceController({
  surface: 'facilflow',
  path: 'api/storage/providers',
  resource: 'Storage',
  about:
    'Where buckets are: the embedded store of this server, and services that speak S3, Azure Blob Storage or Google Cloud Storage.',
})
@PathParam('id', "The provider's id.", 'default-minio')
export class FacilFlowStorageController {
  constructor(
    private readonly providers: ProvidersService,
    private readonly here: OwnAddress,
  ) {}

  @Get()
  @Summary('List storage providers', 'The embedded store first, then the others by age. Credentials are never shown.')
  @Answers([FacilFlowStorageProvider], { description: 'The providers' })
  async list(@Caller() caller: Principal): Promise<FacilFlowStorageProvider[]> {
    const here = this.here.url()
    return (await this.providers.list(caller)).map((provider) => toProvider(provider, here))
  }

  @Get('types')
  @Summary('List the supported types', 'What a provider may be.')
  @Answers(PROVIDER_TYPES, { description: 'The types', example: PROVIDER_TYPES })
  async types(): Promise<readonly string[]> {
    return PROVIDER_TYPES
  }

  @Get(':id')
  @Summary('Get a storage provider', 'The provider, without its credentials.')
  @Answers(FacilFlowStorageProvider, { description: 'The provider', version: 'updatedAt' })
  async get(@Caller() caller: Principal, @Param('id') id: string): Promise<FacilFlowStorageProvider> {
    return toProvider(await this.providers.get(caller, id), this.here.url())
  }

  @Post()
  @Roles('admin', 'editor')
  @Summary(
    'Create a storage provider',
    'Keeps where it is and the credentials, encrypted. Nothing is asked of the service yet: test the connection for that.',
  )
  @Answers(FacilFlowStorageProvider, {
    status: 201,
    description: 'The provider',
    location: '/api/storage/providers/{id}',
    version: 'updatedAt',
    example: examples.created,
  })
  async create(
    @Caller() caller: Principal,
    @Body() body: FacilFlowNewStorageProvider,
  ): Promise<FacilFlowStorageProvider> {
    return toProvider(await this.providers.create(caller, body), this.here.url())
  }

  @Put(':id')
  @Roles('admin', 'editor')
  @Summary(
    'Update a storage provider',
    'What is left out stays, its type in any case. To become the default takes that from the one before.',
  )
  @Answers(FacilFlowStorageProvider, { description: 'The provider', version: 'updatedAt' })
  async update(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Body() body: FacilFlowStorageProviderChange,
    @IfMatch() expected: Expected,
  ): Promise<FacilFlowStorageProvider> {
    return toProvider(await this.providers.update(caller, id, body, expected), this.here.url())
  }

  @Delete(':id')
  @Roles('admin', 'editor')
  @Summary(
    'Delete a storage provider',
    'Forgets it and its credentials; what is stored there stays there. Refused while it is the default, while artifacts are recorded in it, and of the embedded store.',
  )
  @Answers(null, { description: 'The provider is deleted' })
  @Problems('conflict')
  async delete(@Caller() caller: Principal, @Param('id') id: string, @IfMatch() expected: Expected): Promise<void> {
    await this.providers.remove(caller, id, expected)
  }

  @Post(':id/test')
  @Roles('admin', 'editor')
  @Summary(
    'Test the connection',
    'Writes, reads and deletes a probe, and says which step failed. A test that fails is an answer, not an error.',
  )
  @Answers(FacilFlowStorageTest, { description: 'How it went' })
  async test(@Caller() caller: Principal, @Param('id') id: string): Promise<FacilFlowStorageTest> {
    return toTest(await this.providers.test(caller, id))
  }
}
