import type { SurfaceControllerOptions } from '../openapi/operations.js'
import { resourceWord } from '../openapi/surface.js'

/** A call of somebody known that would have changed something, and was refused or failed. */
export interface RefusedCall {
  caller: { readonly accountId: string; readonly tenantId: string; readonly email?: string }
  /** Noun and verb, such as `flow.update`. */
  action: string
  /** What the path names; undefined where it names nothing. */
  resourceId?: string
  status: number
  /** The slug of the problem that was answered. */
  problem: string
}

/** Is told of them. The platform keeps no trail; a module provides this. */
export abstract class RefusedCalls {
  /** Never throws. */
  abstract note(call: RefusedCall): Promise<void>
}

const ACTION = Symbol('audited action')

/** What the audit trail calls this operation, where its own words are a surface's: `run.start`, not `flow.run`. */
export function Audited(action: string): MethodDecorator {
  return (_target: object, _key: string | symbol, descriptor: PropertyDescriptor) =>
    Reflect.defineMetadata(ACTION, action, descriptor.value)
}

/** `flow.update` for the handler `update` of `Flows`, unless it says another. */
export function actionOf(handler: object, name: string, surface: SurfaceControllerOptions | undefined): string {
  const said = Reflect.getMetadata(ACTION, handler) as string | undefined
  return said ?? `${singular(resourceWord(surface?.resource ?? 'Operation'))}.${name}`
}

function singular(word: string): string {
  return word.replace(/ies$/, 'y').replace(/([^s])s$/, '$1')
}
