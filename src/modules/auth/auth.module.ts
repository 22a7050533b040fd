import { Global, Module } from '@nestjs/common'
import { TypeOrmModule } from '@nestjs/typeorm'
import { AuthenticationGuard } from '../../platform/auth/authentication.guard.js'
import { Authenticator } from '../../platform/auth/authenticator.js'
import { BasicStrategy } from '../../platform/auth/basic.strategy.js'
import { BearerStrategy, JWT_SECRET } from '../../platform/auth/bearer.strategy.js'
import { SessionStrategy } from '../../platform/auth/session.strategy.js'
import { TokenStrategy } from '../../platform/auth/token.strategy.js'
import { Config } from '../../platform/config/config.js'
import { Sealer } from '../../platform/crypto/sealer.js'
import { AccountsModule } from '../accounts/accounts.module.js'
import { FirstAdmin } from '../accounts/first-admin.js'
import { AuditModule } from '../audit/audit.module.js'
import { AccessKeys } from './access-keys.js'
import { AccessTokens } from './access-tokens.js'
import { AccountAuthenticator } from './account-authenticator.js'
import { ApiKey } from './api-key.entity.js'
import { ApiKeyTokens } from './api-key-tokens.js'
import { ApiKeysService } from './api-keys.service.js'
import { AuthService } from './auth.service.js'
import { CredentialUses } from './credential-uses.js'
import { FirebaseAccounts } from './firebase/firebase-accounts.js'
import { IdTokens } from './firebase/id-tokens.js'
import { LoginAttempts } from './login-attempts.js'
import { PasswordCheck } from './password-check.js'
import { Sessions } from './sessions.js'

/** Who is calling: logins, tokens, sessions, API keys and ID tokens, the account that a new installation is first logged into with, and the guard of all routes, which the application makes its global one. */
@Global()
@Module({
  imports: [TypeOrmModule.forFeature([ApiKey]), AccountsModule, AuditModule],
  providers: [
    AccessTokens,
    AccessKeys,
    Sealer,
    FirstAdmin,
    AuthService,
    LoginAttempts,
    PasswordCheck,
    Sessions,
    ApiKeysService,
    ApiKeyTokens,
    CredentialUses,
    FirebaseAccounts,
    IdTokens,
    { provide: Authenticator, useClass: AccountAuthenticator },
    { provide: JWT_SECRET, inject: [Config], useFactory: ({ jwtSecret }: Config) => jwtSecret },
    BearerStrategy,
    TokenStrategy,
    BasicStrategy,
    SessionStrategy,
    AuthenticationGuard,
  ],
  exports: [AccessKeys, AuthService, ApiKeysService, Authenticator, AuthenticationGuard],
})
export class AuthModule {}
