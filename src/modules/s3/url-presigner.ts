import { Inject, Injectable } from '@nestjs/common'
import { Forbidden } from '../../platform/auth/auth.errors.js'
import { CLOCK, type Clock } from '../../platform/clock/clock.js'
import { Config } from '../../platform/config/config.js'
import { requestContext } from '../../platform/http/request-context.js'
import { type PresignedRequest, Presigner } from '../storage/presigner.js'
import { presign } from './signature/presign.js'
import { urlKeyOf } from './url-signers.js'

/** Signs URLs at `/s3` in the name of whoever the request being served is of. */
@Injectable()
export class UrlPresigner extends Presigner {
  constructor(
    private readonly config: Config,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {
    super()
  }

  override async presign(request: PresignedRequest): Promise<string> {
    const { principal, origin } = requestContext() ?? {}
    // A URL is somebody's: it has to end with them.
    if (principal?.credential === undefined || principal.tenantId !== request.tenantId)
      throw new Forbidden('A URL is signed for whoever asks for it')
    const { method, bucket, key, expiresIn, contentDisposition, contentType } = request
    const parameters = {
      ...(contentDisposition !== undefined && { 'response-content-disposition': contentDisposition }),
      ...(contentType !== undefined && { 'response-content-type': contentType }),
    }
    const base = this.config.publicUrl ?? origin
    if (base === undefined) throw new Error('no address is known at which this server could be asked')
    const named = { ...principal, credential: principal.credential }
    return presign(
      { method, origin: base, bucket, key, expiresIn, ...(method === 'GET' && { parameters }) },
      urlKeyOf(this.config, named),
      this.clock.now(),
    )
  }
}
