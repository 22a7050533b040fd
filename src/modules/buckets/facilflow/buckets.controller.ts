import { Body, Delete, Get, Param, Post, Query } from '@nestjs/common'
import { Caller } from '../../../platform/auth/caller.js'
import { type Principal, WRITERS } from '../../../platform/auth/principal.js'
import { Roles } from '../../../platform/auth/roles.js'
import { Answers, PathParam, Problems, Summary, SurfaceController } from '../../../platform/openapi/operations.js'
import { BucketsService } from '../buckets.service.js'
import {
  FacilFlowBucket,
  FacilFlowBucketDeletion,
  FacilFlowBucketList,
  FacilFlowBucketQuery,
  FacilFlowNewBucket,
  toBucket,
  toBucketList,
  toPlace,
} from './buckets.dto.js'

@SurfaceController({
  surface: 'facilflow',
  path: 'api/buckets',
  resource: 'Buckets',
  about:
    "Places for objects, at whichever storage provider the tenant has chosen. Those at the embedded store can be reached by S3's clients at `/s3`, too.",
})
@PathParam('name', "The bucket's name.", 'my-bucket')
@Problems('not_found', 'bad_gateway')
export class FacilFlowBucketsController {
  constructor(private readonly buckets: BucketsService) {}

  @Get()
  @Summary('List buckets', "The tenant's buckets at a storage provider, and the one with the caller's artifacts.")
  @Answers(FacilFlowBucketList, { description: 'The buckets' })
  async list(@Caller() caller: Principal, @Query() query: FacilFlowBucketQuery): Promise<FacilFlowBucketList> {
    return toBucketList(await this.buckets.list(caller, query.provider))
  }

  @Post()
  @Roles(...WRITERS)
  @Summary('Create a bucket', 'The name is free at the provider, or it is a conflict.')
  @Answers(FacilFlowBucket, { status: 201, description: 'The bucket', location: '/api/buckets/{name}/objects' })
  @Problems('conflict')
  async create(
    @Caller() caller: Principal,
    @Body() body: FacilFlowNewBucket,
    @Query() query: FacilFlowBucketQuery,
  ): Promise<FacilFlowBucket> {
    return toBucket(await this.buckets.create(caller, toPlace(body.name, query)))
  }

  @Delete(':name')
  @Roles(...WRITERS)
  @Summary('Delete a bucket', 'It must be empty, unless `force` deletes all that is in it.')
  @Answers(null, { description: 'The bucket is gone' })
  @Problems('conflict')
  async delete(
    @Caller() caller: Principal,
    @Param('name') name: string,
    @Query() query: FacilFlowBucketDeletion,
  ): Promise<void> {
    await this.buckets.delete(caller, toPlace(name, query), query.force)
  }
}
