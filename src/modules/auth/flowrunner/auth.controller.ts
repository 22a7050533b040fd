import { Body, Ip, Post } from '@nestjs/common'
import { Caller } from '../../../platform/auth/caller.js'
import type { Principal } from '../../../platform/auth/principal.js'
import { Answers, Problems, Public, Summary, SurfaceController } from '../../../platform/openapi/operations.js'
import { AuthService } from '../auth.service.js'
import { FlowRunnerLogin, FlowRunnerLogoutMessage, FlowRunnerSession, toSession } from './auth.dto.js'
import * as examples from './auth.examples.js'

@SurfaceController({ surface: 'flowRunner', path: 'api/v1/auth', resource: 'Auth', about: 'Logins and tokens.' })
export class FlowRunnerAuthController {
  constructor(private readonly auth: AuthService) {}

  @Post('login')
  @Public()
  @Summary(
    'Log in',
    'A token for an e-mail and a password, good for 24 hours. After five failures in a minute for one account, or a hundred from one address, further attempts are told to wait.',
  )
  @Answers(FlowRunnerSession, { description: 'The token', example: examples.session })
  @Problems('unauthenticated')
  async login(@Body() { username, password }: FlowRunnerLogin, @Ip() address: string): Promise<FlowRunnerSession> {
    return toSession(await this.auth.login({ username, password, address }))
  }

  @Post('refresh')
  @Summary('Refresh the token', 'A new token, good for 24 hours. The one that was sent ends within a minute.')
  @Answers(FlowRunnerSession, { description: 'The new token', example: examples.session })
  async refresh(@Caller() caller: Principal): Promise<FlowRunnerSession> {
    return toSession(await this.auth.refresh(caller))
  }

  @Post('logout')
  @Summary('Log out', 'The token that was sent is dead from now on.')
  @Answers(FlowRunnerLogoutMessage, { description: 'The token is dead', example: examples.loggedOut })
  async logout(@Caller() caller: Principal): Promise<FlowRunnerLogoutMessage> {
    await this.auth.logout(caller)
    return { message: 'Logged out successfully' }
  }
}
