import { Body, Delete, Get, Param, Post, Put, Query } from '@nestjs/common'
import { Caller } from '../../../platform/auth/caller.js'
import type { Principal } from '../../../platform/auth/principal.js'
import { type Expected, IfMatch } from '../../../platform/http/headers.js'
import { Answers, PathParam, Problems, Summary, SurfaceController } from '../../../platform/openapi/operations.js'
import { AccountsService } from '../accounts.service.js'
import {
  FlowRunnerAccount,
  FlowRunnerAccountChange,
  FlowRunnerAccountList,
  FlowRunnerAccountMessage,
  FlowRunnerAccountsQuery,
  FlowRunnerNewAccount,
  toAccount,
  toAccountList,
} from './accounts.dto.js'
import * as examples from './accounts.examples.js'

@SurfaceController({
  surface: 'flowRunner',
  path: 'api/v1/accounts',
  resource: 'Accounts',
  about: 'Who may use this server.',
})
@PathParam('id', "The account's id.", 'account-123')
export class FlowRunnerAccountsController {
  constructor(private readonly accounts: AccountsService) {}

  @Get()
  @Summary('List accounts', 'All accounts for an admin, oldest first; for others only their own.')
  @Answers(FlowRunnerAccountList, { description: 'One page of accounts', example: examples.accountList })
  async list(@Caller() caller: Principal, @Query() query: FlowRunnerAccountsQuery): Promise<FlowRunnerAccountList> {
    return toAccountList(await this.accounts.page(caller, query), query)
  }

  @Get(':id')
  @Summary('Get an account', 'The account. To those who are no admin, all but their own do not exist.')
  @Answers(FlowRunnerAccount, { description: 'The account', version: 'updated_at', example: examples.account })
  async get(@Caller() caller: Principal, @Param('id') id: string): Promise<FlowRunnerAccount> {
    return toAccount(await this.accounts.get(caller, id))
  }

  @Post()
  @Summary('Create an account', 'Only admins do. The e-mail address must be new, whatever its case.')
  @Answers(FlowRunnerAccount, {
    status: 201,
    description: 'The account',
    location: '/api/v1/accounts/{id}',
    version: 'updated_at',
    example: examples.newAccount,
  })
  @Problems('forbidden', 'conflict')
  async create(@Caller() caller: Principal, @Body() body: FlowRunnerNewAccount): Promise<FlowRunnerAccount> {
    return toAccount(await this.accounts.create(caller, body))
  }

  @Put(':id')
  @Summary(
    'Update an account',
    'What is left out stays as it is. Only admins change roles, and one admin is always left. A new password ends every session of the account, but not its API keys.',
  )
  @Answers(FlowRunnerAccount, { description: 'The account', version: 'updated_at', example: examples.updatedAccount })
  @Problems('forbidden', 'conflict')
  async update(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Body() body: FlowRunnerAccountChange,
    @IfMatch() expected: Expected,
  ): Promise<FlowRunnerAccount> {
    return toAccount(await this.accounts.update(caller, id, body, expected))
  }

  @Delete(':id')
  @Summary(
    'Delete an account',
    'Ends its sessions, its API keys and its secrets. Refused for the last admin, and while the account owns flows or has executions that have not ended.',
  )
  @Answers(FlowRunnerAccountMessage, { description: 'The account is deleted', example: examples.deletedAccount })
  @Problems('conflict')
  async delete(@Caller() caller: Principal, @Param('id') id: string): Promise<FlowRunnerAccountMessage> {
    await this.accounts.remove(caller, id)
    return { message: 'Account deleted successfully' }
  }
}
