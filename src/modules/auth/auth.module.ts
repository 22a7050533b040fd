import { Global, Module } from '@nestjs/common'
import { AuthenticationGuard } from '../../platform/auth/authentication.guard.js'
import { Authenticator } from '../../platform/auth/authenticator.js'
import { BasicStrategy } from '../../platform/auth/basic.strategy.js'
import { BearerStrategy, JWT_SECRET } from '../../platform/auth/bearer.strategy.js'
import { Config } from '../../platform/config/config.js'
import { AccountsModule } from '../accounts/accounts.module.js'
import { FirstAdmin } from '../accounts/first-admin.js'
import { AuditModule } from '../audit/audit.module.js'
import { AccessTokens } from './access-tokens.js'
import { AccountAuthenticator } from './account-authenticator.js'
import { AuthService } from './auth.service.js'
import { LoginAttempts } from './login-attempts.js'
import { PasswordCheck } from './password-check.js'

/** Who is calling: logins and tokens, the account that a new installation is first logged into with, and the guard of all routes, which the application makes its global one. */
@Global()
@Module({
  imports: [AccountsModule, AuditModule],
  providers: [
    AccessTokens,
    FirstAdmin,
    AuthService,
    LoginAttempts,
    PasswordCheck,
    { provide: Authenticator, useClass: AccountAuthenticator },
    { provide: JWT_SECRET, inject: [Config], useFactory: ({ jwtSecret }: Config) => jwtSecret },
    BearerStrategy,
    BasicStrategy,
    AuthenticationGuard,
  ],
  exports: [AuthService, Authenticator, AuthenticationGuard],
})
export class AuthModule {}
