import { Inject, Injectable } from '@nestjs/common'
import { type Principal, WRITERS } from '../../platform/auth/principal.js'
import { CLOCK, type Clock } from '../../platform/clock/clock.js'
import { AccessKeys, type Signer } from '../auth/access-keys.js'
import { S3Error } from './s3.errors.js'
import type { S3Request } from './s3-request.js'
import { type CheckedSignature, checkSignature, checkTime } from './signature/check-signature.js'
import { claimedSignature } from './signature/claimed-signature.js'
import { UrlSigners } from './url-signers.js'

export interface S3Caller {
  principal: Principal
  signature: CheckedSignature
}

/** Who asks: whoever has signed the request. Nothing else lets anybody in, no cookie and no token. */
@Injectable()
export class S3Callers {
  constructor(
    private readonly accessKeys: AccessKeys,
    private readonly urls: UrlSigners,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** Throws where nobody has, or not for now. */
  async known(request: S3Request): Promise<S3Caller> {
    const claimed = claimedSignature(request)
    checkTime(claimed, this.clock.now())
    const signer = await this.signer(claimed.accessKey, claimed.expiresIn !== undefined)
    if (!signer) throw new S3Error('InvalidAccessKeyId', undefined, { AWSAccessKeyId: claimed.accessKey })
    return { principal: signer.principal, signature: checkSignature(request, claimed, signer.secret) }
  }

  /** Throws where whoever has signed the request may change nothing any more: it may have taken hours to come. */
  async requireStill({ claimed, presigned }: CheckedSignature): Promise<void> {
    const signer = await this.signer(claimed.accessKey, presigned)
    if (!signer) throw new S3Error('InvalidAccessKeyId', undefined, { AWSAccessKeyId: claimed.accessKey })
    if (!WRITERS.includes(signer.principal.role)) throw new S3Error('AccessDenied')
  }

  private async signer(accessKey: string, presigned: boolean): Promise<Signer | undefined> {
    const ofUrl = presigned ? await this.urls.find(accessKey) : undefined
    return ofUrl ?? (await this.accessKeys.find(accessKey))
  }
}
