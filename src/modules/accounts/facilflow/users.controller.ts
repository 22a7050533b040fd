import { Get, Query } from '@nestjs/common'
import { Caller } from '../../../platform/auth/caller.js'
import type { Principal } from '../../../platform/auth/principal.js'
import { Answers, Summary, SurfaceController } from '../../../platform/openapi/operations.js'
import { AccountsService } from '../accounts.service.js'
import { FacilFlowUserList, FacilFlowUsersQuery, toUserList } from './users.dto.js'

@SurfaceController({
  surface: 'facilflow',
  path: 'api/users',
  resource: 'Users',
  about: 'The accounts of a tenant.',
})
export class FacilFlowUsersController {
  constructor(private readonly accounts: AccountsService) {}

  @Get()
  @Summary('List users', 'All users of the tenant for an admin, oldest first; for others only they themselves.')
  @Answers(FacilFlowUserList, { description: 'One page of users' })
  async list(@Caller() caller: Principal, @Query() query: FacilFlowUsersQuery): Promise<FacilFlowUserList> {
    return toUserList(await this.accounts.page(caller, query))
  }
}
