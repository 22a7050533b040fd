import type { AddressInfo } from 'node:net'
import { Injectable } from '@nestjs/common'
import { HttpAdapterHost } from '@nestjs/core'
import { Config } from '../../../platform/config/config.js'
import { requestContext } from '../../../platform/http/request-context.js'

/** Where the embedded store answers: this server, as the operator names it or as whoever asks has come to it. */
@Injectable()
export class OwnAddress {
  constructor(
    private readonly config: Config,
    private readonly adapter: HttpAdapterHost,
  ) {}

  url(): URL {
    return new URL(this.config.publicUrl ?? requestContext()?.origin ?? this.listening())
  }

  private listening(): string {
    const address = this.adapter.httpAdapter?.getHttpServer()?.address() as AddressInfo | null | undefined
    const { host } = this.config
    return `http://${host.includes(':') ? `[${host}]` : host}:${address?.port ?? this.config.port}`
  }
}
