import type { Fault } from '../../platform/errors/domain-error.js'
import type { ChannelKind } from './channel.entity.js'
import type { ChannelRoute, HttpMethod, ResponseMode } from './channel-route.entity.js'
import { segmentsOf, shapeOf } from './route-path.js'

/** A route as its author gives it. */
export interface NewRoute {
  name: string
  httpMethod?: HttpMethod | null
  path?: string | null
  targetFlowIds: string[]
  responseMode?: ResponseMode
  timeoutSeconds?: number
  toolName?: string | null
}

export type RouteChange = Partial<NewRoute>

/** What of a route its author decides. */
export type RouteContent = Omit<ChannelRoute, 'id' | 'channelId' | 'createdAt' | 'updatedAt'>

const TIMEOUT_SECONDS = 30

/** Members left out are as they were, or as usual. */
export function contentOf(change: RouteChange, before?: RouteContent): RouteContent {
  const path = change.path === undefined ? (before?.path ?? null) : change.path
  return {
    name: change.name ?? before?.name ?? '',
    httpMethod: change.httpMethod === undefined ? (before?.httpMethod ?? null) : change.httpMethod,
    path,
    shape: path === null ? null : shapeOf(path),
    targetFlowIds: change.targetFlowIds ?? before?.targetFlowIds ?? [],
    responseMode: change.responseMode ?? before?.responseMode ?? 'sync',
    timeoutSeconds: change.timeoutSeconds ?? before?.timeoutSeconds ?? TIMEOUT_SECONDS,
    toolName: change.toolName === undefined ? (before?.toolName ?? null) : change.toolName,
  }
}

/** What a channel of this kind cannot do with the route, and what is wrong with it anyhow. `at` is its place in the body. */
export function routeFaults(kind: ChannelKind, route: RouteContent, at: string): Fault[] {
  const faults: Fault[] = []
  if (kind === 'http' && route.httpMethod === null)
    faults.push({
      pointer: `${at}/httpMethod`,
      detail: 'A route of an http channel needs a method',
      code: 'required',
    })
  if (kind === 'http' && route.path === null)
    faults.push({ pointer: `${at}/path`, detail: 'A route of an http channel needs a path', code: 'required' })
  if (route.path !== null && !segmentsOf(route.path))
    faults.push({
      pointer: `${at}/path`,
      detail: 'A path is a list of names and of {parameters}, each behind a slash, such as /orders/{id}',
      code: 'path',
    })
  if (new Set(route.targetFlowIds).size < route.targetFlowIds.length)
    faults.push({ pointer: `${at}/targetFlowIds`, detail: 'A flow can be named once only', code: 'repeated' })
  return faults
}

/** What a tool is called whose route names none. */
export function toolNameOf({ name, toolName }: Pick<RouteContent, 'name' | 'toolName'>): string {
  return toolName ?? (name.replace(/[^A-Za-z0-9_-]+/g, '_').slice(0, 64) || 'tool')
}

/** What two of the routes have in common that only one may have, in words; undefined where there is nothing. */
export function conflictIn(kind: ChannelKind, routes: readonly RouteContent[]): string | undefined {
  return (
    repeated(routes, ({ name }) => name, 'the name') ??
    repeated(
      routes,
      ({ httpMethod, shape }) => (httpMethod && shape ? `${httpMethod} ${shape}` : undefined),
      'the method and path',
    ) ??
    repeated(routes, (route) => (kind === 'mcp' ? toolNameOf(route) : (route.toolName ?? undefined)), 'the tool name')
  )
}

function repeated(
  routes: readonly RouteContent[],
  wordOf: (route: RouteContent) => string | undefined,
  what: string,
): string | undefined {
  const words = routes.map(wordOf)
  const word = words.find((one, index) => one !== undefined && words.indexOf(one) < index)
  return word && `${what} ${word}`
}
