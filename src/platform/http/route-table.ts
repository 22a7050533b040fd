import { RequestMethod } from '@nestjs/common'
import { METHOD_METADATA, PATH_METADATA, ROUTE_ARGS_METADATA } from '@nestjs/common/constants.js'
import { RouteParamtypes } from '@nestjs/common/enums/route-paramtypes.enum.js'
import type { DiscoveryService } from '@nestjs/core'
import { isEvenAsForm, surfaceOf } from '../openapi/operations.js'
import type { SurfaceName } from '../openapi/surface.js'
import { actionOf } from './refused-calls.js'

/** One method of one path. */
export interface Route {
  readonly method: string
  /** The path with its parameters in braces, such as `/api/v1/flows/{id}`. */
  readonly template: string
  readonly surface?: SurfaceName
  /** What the audit trail calls it. */
  readonly action?: string
  /** Media types of its body; undefined where it takes none. */
  readonly consumes?: readonly string[]
  /** Whether `curl -d` will do for JSON. */
  readonly evenAsForm?: boolean
}

/** What a handler of `@All` answers. OPTIONS is answered before. */
const ALL = ['GET', 'PUT', 'POST', 'DELETE', 'PATCH'] as const

type Controllers = ReturnType<DiscoveryService['getControllers']>

interface Branch {
  literals: Map<string, Branch>
  parameter?: Branch
  /** Where a `*wildcard` takes the rest of the path. */
  rest?: Map<string, Route>
  routes: Map<string, Route>
}

/**
 * Every route by its path, a tree over the segments. It knows what Express cannot tell: which methods a path has, and to which API a
 * request belongs before anything else has looked at it.
 */
export class RouteTable {
  private readonly root = newBranch()

  constructor(controllers: Controllers) {
    for (const { metatype, instance } of controllers) {
      if (metatype)
        this.addController(metatype, (instance ? Object.getPrototypeOf(instance) : metatype.prototype) as object)
    }
  }

  /** The path's routes by method, or undefined where nothing is. Literal segments win over parameters, as when Express is asked in order. */
  find(path: string): ReadonlyMap<string, Route> | undefined {
    const found: Map<string, Route>[] = []
    collect(this.root, segmentsOf(path), 0, found)
    if (found.length < 2) return found[0]
    return new Map(found.reverse().flatMap((routes) => [...routes]))
  }

  private addController(controller: object, prototype: object): void {
    const prefixes = [Reflect.getMetadata(PATH_METADATA, controller) ?? ''].flat() as string[]
    for (const name of Object.getOwnPropertyNames(prototype)) {
      const handler = Object.getOwnPropertyDescriptor(prototype, name)?.value
      if (typeof handler !== 'function') continue
      const method = Reflect.getMetadata(METHOD_METADATA, handler) as RequestMethod | undefined
      if (method === undefined) continue
      const route = {
        surface: surfaceOf(controller)?.surface,
        action: actionOf(handler, name, surfaceOf(controller)),
        consumes: consumesOf(controller, name, handler),
        evenAsForm: isEvenAsForm(handler),
      }
      const methods = method === RequestMethod.ALL ? ALL : [RequestMethod[method] as string]
      for (const prefix of prefixes) {
        for (const path of [Reflect.getMetadata(PATH_METADATA, handler)].flat() as string[]) {
          const template = templateOf(`${prefix}/${path}`)
          for (const method of methods) this.add(`${prefix}/${path}`, { ...route, method, template })
        }
      }
    }
  }

  private add(path: string, route: Route): void {
    let branch = this.root
    for (const segment of segmentsOf(path)) {
      if (segment.startsWith('*') || segment.startsWith('{*')) {
        branch.rest ??= new Map()
        branch.rest.set(route.method, route)
        return
      }
      branch = segment.startsWith(':') ? parameter(branch) : literal(branch, segment)
    }
    branch.routes.set(route.method, route)
  }
}

function collect(branch: Branch, segments: readonly string[], at: number, found: Map<string, Route>[]): void {
  const segment = segments[at]
  if (segment === undefined) {
    if (branch.routes.size > 0) found.push(branch.routes)
    return
  }
  const next = branch.literals.get(segment)
  if (next) collect(next, segments, at + 1, found)
  if (branch.parameter) collect(branch.parameter, segments, at + 1, found)
  if (branch.rest) found.push(branch.rest)
}

function templateOf(path: string): string {
  return `/${segmentsOf(path)
    .map((segment) => segment.replace(/^[:*](\w+)$/, '{$1}'))
    .join('/')}`
}

function segmentsOf(path: string): string[] {
  return path.split('/').filter((segment) => segment !== '')
}

function newBranch(): Branch {
  return { literals: new Map(), routes: new Map() }
}

function literal(branch: Branch, segment: string): Branch {
  const known = branch.literals.get(segment) ?? newBranch()
  branch.literals.set(segment, known)
  return known
}

function parameter(branch: Branch): Branch {
  branch.parameter ??= newBranch()
  return branch.parameter
}

function consumesOf(controller: object, name: string, handler: object): readonly string[] | undefined {
  const declared = Reflect.getMetadata('swagger/apiConsumes', handler) as string[] | undefined
  if (declared) return declared
  const args = Object.keys(Reflect.getMetadata(ROUTE_ARGS_METADATA, controller, name) ?? {})
  return args.some((arg) => arg.startsWith(`${RouteParamtypes.BODY}:`)) ? ['application/json'] : undefined
}
