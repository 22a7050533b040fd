import type { Request } from 'express'
import type { SurfaceName } from '../openapi/surface.js'

/** A limit beside the one of all requests: those with the same name count against it together, each principal's by themselves. */
export interface OwnLimit {
  name: string
  /** Requests a minute. */
  limit: number
}

export type OwnLimitOf = (request: Request) => OwnLimit | undefined

/** Limits that single APIs have of their own. The platform knows none of them: a module registers its API's when it starts. */
export class OwnLimits {
  private readonly bySurface = new Map<SurfaceName, OwnLimitOf>()

  register(surface: SurfaceName, limitOf: OwnLimitOf): void {
    this.bySurface.set(surface, limitOf)
  }

  of(surface: SurfaceName | undefined, request: Request): OwnLimit | undefined {
    return surface && this.bySurface.get(surface)?.(request)
  }
}
