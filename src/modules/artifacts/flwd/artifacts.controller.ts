import { Delete, Get, Param, Query, Req, Res } from '@nestjs/common'
import type { Request, Response } from 'express'
import { Caller } from '../../../platform/auth/caller.js'
import { type Principal, WRITERS } from '../../../platform/auth/principal.js'
import { Roles } from '../../../platform/auth/roles.js'
import { sendContent } from '../../../platform/http/send-content.js'
import {
  Answers,
  AnswersContent,
  PathParam,
  Problems,
  Summary,
  SurfaceController,
} from '../../../platform/openapi/operations.js'
import { ArtifactsService } from '../artifacts.service.js'
import {
  FlwdArtifactList,
  FlwdArtifactMetadata,
  FlwdArtifactsQuery,
  toArtifact,
  toFileName,
  toMetadata,
} from './artifacts.dto.js'
import * as examples from './artifacts.examples.js'

@SurfaceController({
  surface: 'flwd',
  path: 'api/v1/artifacts',
  resource: 'Artifacts',
  about: 'Files that runs have left, kept in object storage until they are over.',
})
@PathParam('artifact_id', "The artifact's id.", 'artifact_01HX...')
export class FlwdArtifactsController {
  constructor(private readonly artifacts: ArtifactsService) {}

  @Get()
  @Summary('List artifacts', "What the caller's runs have left, newest first.")
  @Answers(FlwdArtifactList, { description: 'One page of artifacts', example: examples.artifactList })
  async list(@Caller() caller: Principal, @Query() query: FlwdArtifactsQuery): Promise<FlwdArtifactList> {
    const { run_id: runId, limit, offset } = query
    return { artifacts: (await this.artifacts.page(caller, { runId, limit, offset })).map(toArtifact) }
  }

  @Get(':artifact_id')
  @Summary(
    'Get an artifact',
    'The file itself, as a download under its own media type. A content that is not what the run had left ends the connection before its last byte.',
  )
  @AnswersContent({ description: 'The content' })
  @Problems('bad_gateway')
  async get(
    @Caller() caller: Principal,
    @Param('artifact_id') id: string,
    @Req() request: Request,
    @Res() response: Response,
  ): Promise<void> {
    const artifact = await this.artifacts.get(caller, id)
    const { mediaType, size, sha256: version } = artifact
    await sendContent(request, response, {
      fileName: toFileName(artifact),
      mediaType,
      size,
      version,
      open: (range, signal) => this.artifacts.content(artifact, range, signal),
    })
  }

  @Get(':artifact_id/metadata')
  @Summary("Get an artifact's metadata", 'All that is known of it, but for its content.')
  @Answers(FlwdArtifactMetadata, { description: 'The artifact' })
  async metadata(@Caller() caller: Principal, @Param('artifact_id') id: string): Promise<FlwdArtifactMetadata> {
    return toMetadata(await this.artifacts.get(caller, id))
  }

  @Delete(':artifact_id')
  @Roles(...WRITERS)
  @Summary('Delete an artifact', 'Removes it before its time, and makes room for others.')
  @Answers(null, { description: 'It is gone' })
  async delete(@Caller() caller: Principal, @Param('artifact_id') id: string): Promise<void> {
    await this.artifacts.delete(caller, id)
  }
}
