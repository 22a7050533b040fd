import { Body, Delete, Get, Param, Post, Res } from '@nestjs/common'
import type { Response } from 'express'
import { Caller } from '../../../platform/auth/caller.js'
import { type Principal, WRITERS } from '../../../platform/auth/principal.js'
import { Roles } from '../../../platform/auth/roles.js'
import { Answers, PathParam, Summary, SurfaceController } from '../../../platform/openapi/operations.js'
import { SecretsService } from '../secrets.service.js'
import {
  FlowRunnerNewSecret,
  FlowRunnerSecret,
  FlowRunnerSecretList,
  FlowRunnerSecretMessage,
  toSecret,
} from './secrets.dto.js'
import * as examples from './secrets.examples.js'

@SurfaceController({
  surface: 'flowRunner',
  path: 'api/v1/accounts/:account_id/secrets',
  resource: 'Secrets',
  about: 'Values that flows can use and nobody can read.',
})
@PathParam('account_id', "The account's id. Those who are no admin may only name their own.", 'account-123')
@PathParam('key', "The secret's key.", 'NEW_API_KEY')
export class FlowRunnerSecretsController {
  constructor(private readonly secrets: SecretsService) {}

  @Get()
  @Summary("List an account's secrets", 'Their keys and times, never their values.')
  @Answers(FlowRunnerSecretList, { description: 'The secrets', example: examples.secretList })
  async list(@Caller() caller: Principal, @Param('account_id') accountId: string): Promise<FlowRunnerSecretList> {
    return { secrets: (await this.secrets.list(caller, accountId)).map(toSecret) }
  }

  @Post()
  @Roles(...WRITERS)
  @Summary(
    'Create a secret',
    'A key that is there already gets the new value and keeps its `created_at`; the answer is then 200. Executions that start afterwards use it.',
  )
  @Answers(FlowRunnerSecret, {
    status: 201,
    also: { status: 200, description: 'The secret, with its new value' },
    description: 'The new secret',
    example: examples.secret,
    location: '/api/v1/accounts/{account_id}/secrets/{key}',
  })
  async create(
    @Caller() caller: Principal,
    @Param('account_id') accountId: string,
    @Body() body: FlowRunnerNewSecret,
    @Res({ passthrough: true }) response: Response,
  ): Promise<FlowRunnerSecret> {
    const { secret, isNew } = await this.secrets.save(caller, accountId, body.key, body.value)
    response.status(isNew ? 201 : 200)
    return toSecret(secret)
  }

  @Delete(':key')
  @Roles(...WRITERS)
  @Summary('Delete a secret', 'Executions that start afterwards fail where they use it.')
  @Answers(FlowRunnerSecretMessage, { description: 'The secret is deleted', example: examples.deletedSecret })
  async delete(
    @Caller() caller: Principal,
    @Param('account_id') accountId: string,
    @Param('key') key: string,
  ): Promise<FlowRunnerSecretMessage> {
    await this.secrets.remove(caller, accountId, key)
    return { message: 'Secret deleted successfully' }
  }
}
