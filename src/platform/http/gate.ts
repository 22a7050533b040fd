import type { NextFunction, Request, RequestHandler, Response } from 'express'
import { newId } from '../ids.js'
import type { RequestLocals } from '../telemetry/request-telemetry.js'
import { InvalidRequest } from './faults.js'
import { MethodNotAllowed, UnknownPath, UnsupportedMediaType } from './refusals.js'
import { type RequestContext, runInContext } from './request-context.js'
import type { Route, RouteTable } from './route-table.js'

const READS = new Set(['GET', 'HEAD', 'OPTIONS'])
const REQUEST_ID = /^[A-Za-z0-9._-]{1,64}$/

/**
 * The first to see a request. Gives it an id and a context, and refuses what no route could answer: text that is no text, a path
 * that is nowhere, a method that the path does not have, a body of a type that the route does not read. JSON bodies are read here,
 * since only now it is known whether the route wants one.
 */
export function gate(routes: () => RouteTable, readJson: RequestHandler): RequestHandler {
  return (request, response, next) => {
    const path = pathOf(request.url)
    const methods = routes().find(path)
    const route = methods?.get(request.method) ?? (request.method === 'HEAD' ? methods?.get('GET') : undefined)
    const context: RequestContext = {
      requestId: requestIdOf(request),
      ip: request.ip ?? '',
      path,
      // Nearly nobody asks.
      get origin() {
        return request.host && `${request.protocol}://${request.host}`
      },
      ...(route && !READS.has(request.method) && { action: route.action }),
      surface: route?.surface ?? methods?.values().next().value?.surface,
      trace: (response.locals as RequestLocals).span?.spanContext(),
    }
    if (route) response.locals.route = route.template
    response.setHeader('X-Request-Id', context.requestId)
    runInContext(context, () => {
      try {
        admit(request, path, methods, route)
      } catch (refusal) {
        return next(refusal)
      }
      if (request.method === 'OPTIONS') return answerOptions(response, methods)
      if (route?.consumes?.includes('application/json') && hasBody(request)) {
        return readJson(request, response, isByCurl(request, route) ? formsRefused(next, route.consumes) : next)
      }
      next()
    })
  }
}

function admit(
  request: Request,
  path: string,
  methods: ReadonlyMap<string, Route> | undefined,
  route: Route | undefined,
): void {
  if (!decodable(request.url)) throw new InvalidRequest('The path or the query holds an invalid percent-encoding')
  if (/%00/.test(request.url)) throw new InvalidRequest('The path or the query holds the character U+0000')
  if (!methods) throw new UnknownPath(path)
  if (!route && request.method !== 'OPTIONS') throw new MethodNotAllowed(request.method, allowed(methods))
  if (route?.consumes && hasBody(request) && !isOfType(request, route.consumes) && !isByCurl(request, route)) {
    throw new UnsupportedMediaType(route.consumes)
  }
}

function answerOptions(response: Response, methods: ReadonlyMap<string, Route> | undefined): void {
  response.setHeader('Allow', allowed(methods ?? new Map()).join(', '))
  response.status(204).end()
}

function allowed(methods: ReadonlyMap<string, Route>): string[] {
  const names = [...methods.keys()]
  return [...new Set([...names, ...(names.includes('GET') ? ['HEAD'] : []), 'OPTIONS'])].sort()
}

function requestIdOf(request: Request): string {
  const given = request.headers['x-request-id']
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : newId('req')
}

function pathOf(url: string): string {
  const end = url.search(/[?#]/)
  return end === -1 ? url : url.slice(0, end)
}

function decodable(url: string): boolean {
  try {
    decodeURIComponent(url)
    return true
  } catch {
    return false
  }
}

function hasBody(request: Request): boolean {
  return request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0
}

/** A form from what is no browser, where that may be JSON. Browsers say where a form comes from. */
function isByCurl({ headers }: Request, { evenAsForm }: Route): boolean {
  const isForm = headers['content-type'] === 'application/x-www-form-urlencoded'
  return evenAsForm === true && isForm && headers.origin === undefined && headers['sec-fetch-site'] === undefined
}

/** What is no JSON after all was a form. */
function formsRefused(next: NextFunction, accepted: readonly string[]): NextFunction {
  return (error?: unknown) => next(error instanceof InvalidRequest ? new UnsupportedMediaType(accepted) : error)
}

function isOfType(request: Request, types: readonly string[]): boolean {
  const [type = '', ...parameters] = (request.headers['content-type'] ?? '').toLowerCase().split(';')
  const charset = parameters.find((parameter) => parameter.trim().startsWith('charset='))
  return types.includes(type.trim()) && (!charset || /=\s*"?utf-?8"?\s*$/.test(charset))
}
