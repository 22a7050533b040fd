import { Body, Get, Ip, Post } from '@nestjs/common'
import { Caller } from '../../../platform/auth/caller.js'
import type { Principal } from '../../../platform/auth/principal.js'
import { Cookie, type SessionCookie } from '../../../platform/auth/session-cookie.js'
import {
  Answers,
  EvenAsForm,
  Problems,
  Public,
  Summary,
  SurfaceController,
} from '../../../platform/openapi/operations.js'
import { AuthService } from '../auth.service.js'
import { Flow8CurrentUser, Flow8Login, Flow8LogoutMessage, Flow8User, toCurrentUser, toUser } from './auth.dto.js'

@SurfaceController({ surface: 'flow8', path: 'api/auth', resource: 'Auth', about: 'Logins, sessions and tokens.' })
export class Flow8AuthController {
  constructor(private readonly auth: AuthService) {}

  @Post('login')
  @Public()
  @EvenAsForm()
  @Summary(
    'Log in',
    'Begins a session, in the cookie `sid`: it lasts for an hour after its last use, and a session that the browser had before is over. After five failures in a minute for one account, or a hundred from one address, further attempts are told to wait.',
  )
  @Answers(Flow8User, { description: 'Whose session it is', cookie: true })
  @Problems('unauthenticated')
  async login(
    @Body() { email, password }: Flow8Login,
    @Ip() address: string,
    @Cookie() cookie: SessionCookie,
  ): Promise<Flow8User> {
    const { account, session } = await this.auth.startSession({ username: email, password, address }, cookie.value)
    cookie.set(session)
    return toUser(account)
  }

  @Post('logout')
  @Summary(
    'Log out',
    'The session, or the access token that was sent, is dead from now on. API keys are revoked instead.',
  )
  @Answers(Flow8LogoutMessage, { description: 'The session is over', cookie: true })
  async logout(@Caller() caller: Principal, @Cookie() cookie: SessionCookie): Promise<Flow8LogoutMessage> {
    await this.auth.logout(caller)
    cookie.clear()
    return { message: 'Logged out' }
  }

  @Get('me')
  @Summary('Current user', 'Who is asking, whichever the credentials.')
  @Answers(Flow8CurrentUser, { description: 'The current user' })
  me(@Caller() caller: Principal): Flow8CurrentUser {
    return toCurrentUser(caller)
  }
}
