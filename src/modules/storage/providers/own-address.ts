import type { AddressInfo } from 'node:net'
import { Injectable } from '@nestjs/common'
import { HttpAdapterHost } from '@nestjs/core'
import { Config } from '../../../platform/config/config.js'

/** Where the embedded store answers: this server. */
@Injectable()
export class OwnAddress {
  constructor(
    private readonly config: Config,
    private readonly adapter: HttpAdapterHost,
  ) {}

  url(): URL {
    const address = this.adapter.httpAdapter?.getHttpServer()?.address() as AddressInfo | null | undefined
    const { host } = this.config
    return new URL(`http://${host.includes(':') ? `[${host}]` : host}:${address?.port ?? this.config.port}`)
  }
}
