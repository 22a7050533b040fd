import { Delete, Get, Param, Post, Query, Req, Res } from '@nestjs/common'
import { ApiBody } from '@nestjs/swagger'
import type { Request, Response } from 'express'
import { Caller } from '../../../platform/auth/caller.js'
import { type Principal, WRITERS } from '../../../platform/auth/principal.js'
import { Roles } from '../../../platform/auth/roles.js'
import { Audited } from '../../../platform/http/refused-calls.js'
import { RestOfPath } from '../../../platform/http/rest-of-path.js'
import { sendContent } from '../../../platform/http/send-content.js'
import {
  Answers,
  AnswersContent,
  Consumes,
  PathParam,
  Problems,
  Summary,
  SurfaceController,
} from '../../../platform/openapi/operations.js'
import { BucketsService } from '../buckets.service.js'
import {
  FacilFlowBucketQuery,
  FacilFlowObject,
  FacilFlowObjectList,
  FacilFlowObjectsQuery,
  FacilFlowObjectUrl,
  FacilFlowUpload,
  FacilFlowUrlQuery,
  toObject,
  toObjectList,
  toPlace,
  toQuery,
} from './buckets.dto.js'

@SurfaceController({
  surface: 'facilflow',
  path: 'api/buckets/:name/objects',
  resource: 'Objects',
  about: 'Files of any size in a bucket, by their keys.',
})
@PathParam('name', "The bucket's name.", 'my-bucket')
@PathParam('key', "The object's key. Its slashes may come as they are, or percent-encoded.", 'folder/file.csv', {
  holdsSlashes: true,
})
@Problems('bad_gateway')
export class FacilFlowObjectsController {
  constructor(private readonly buckets: BucketsService) {}

  @Get()
  @Summary(
    'List objects',
    'Objects and folders by the UTF-8 bytes of their names. Keys that go on behind a slash are told as one folder, unless `recursive` or another `delimiter` says otherwise.',
  )
  @Answers(FacilFlowObjectList, { description: 'One page of the bucket' })
  async list(
    @Caller() caller: Principal,
    @Param('name') bucket: string,
    @Query() query: FacilFlowObjectsQuery,
  ): Promise<FacilFlowObjectList> {
    return toObjectList(bucket, query, await this.buckets.objects(caller, toPlace(bucket, query), toQuery(query)))
  }

  @Post()
  @Roles(...WRITERS)
  @Audited('object.put')
  @Summary(
    'Upload an object',
    'Stores the file of a form, of whatever size, whole or not at all. What was under its key before is replaced.',
  )
  @Consumes('multipart/form-data')
  @ApiBody({ type: FacilFlowUpload })
  @Answers(FacilFlowObject, {
    status: 201,
    description: 'The object',
    location: '/api/buckets/{path.name}/objects/{name}',
  })
  @Problems('insufficient_storage')
  async create(
    @Caller() caller: Principal,
    @Param('name') bucket: string,
    @Query() query: FacilFlowBucketQuery,
    @Req() request: Request,
  ): Promise<FacilFlowObject> {
    return toObject(await this.buckets.upload(caller, toPlace(bucket, query), request))
  }

  @Get('*key/url')
  @Summary(
    'Get a download URL',
    'A URL that gives the object to whoever has it, for as long as `expiry` says. Of a path that ends in `/url` this is meant; the slash of a key that ends so is percent-encoded.',
  )
  @Answers(FacilFlowObjectUrl, { description: 'The URL' })
  async url(
    @Caller() caller: Principal,
    @Param('name') bucket: string,
    @RestOfPath('key') key: string,
    @Query() query: FacilFlowUrlQuery,
  ): Promise<FacilFlowObjectUrl> {
    return { url: await this.buckets.url(caller, toPlace(bucket, query), key, query.expiry) }
  }

  @Get('*key')
  @Summary('Download an object', 'Its content, under the media type that it was put with.')
  @AnswersContent({ description: 'The content' })
  async get(
    @Caller() caller: Principal,
    @Param('name') bucket: string,
    @RestOfPath('key') key: string,
    @Query() query: FacilFlowBucketQuery,
    @Req() request: Request,
    @Res() response: Response,
  ): Promise<void> {
    await sendContent(request, response, await this.buckets.sendable(caller, toPlace(bucket, query), key))
  }

  @Delete('*key')
  @Roles(...WRITERS)
  @Summary('Delete an object', 'Gone at once for everybody; who is reading it reads it to its end.')
  @Answers(null, { description: 'The object is gone' })
  async delete(
    @Caller() caller: Principal,
    @Param('name') bucket: string,
    @RestOfPath('key') key: string,
    @Query() query: FacilFlowBucketQuery,
  ): Promise<void> {
    await this.buckets.remove(caller, toPlace(bucket, query), key)
  }
}
