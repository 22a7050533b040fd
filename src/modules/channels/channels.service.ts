import { Inject, Injectable } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import { DataSource, type EntityManager, In } from 'typeorm'
import type { Principal } from '../../platform/auth/principal.js'
import { CLOCK, type Clock, changeTime } from '../../platform/clock/clock.js'
import type { Fault } from '../../platform/errors/domain-error.js'
import { ValidationFailed } from '../../platform/http/faults.js'
import { type Expected, requireMatch } from '../../platform/http/headers.js'
import { newId } from '../../platform/ids.js'
import type { JsonObject } from '../../platform/json.js'
import { AuditTrail } from '../audit/audit-trail.js'
import { FlowsService } from '../flows/flows.service.js'
import { type AuthMode, Channel, type ChannelKind } from './channel.entity.js'
import { ChannelRoute } from './channel-route.entity.js'
import { newToken, tokenHashOf } from './channel-token.js'
import { ChannelNotFound, ChannelRouteConflict, ChannelRouteNotFound } from './channels.errors.js'
import {
  conflictIn,
  contentOf,
  type NewRoute,
  type RouteChange,
  type RouteContent,
  routeFaults,
} from './route-rules.js'

/** Routes that one channel may have. */
export const MOST_ROUTES = 100

export interface NewChannel {
  name: string
  kind: ChannelKind
  authMode?: AuthMode
  /** Made up where a token is needed and none is given. */
  authToken?: string
  enabled?: boolean
  routes?: NewRoute[]
}

export interface ChannelChange extends Partial<Omit<NewChannel, 'authToken' | 'routes'>> {
  /** Null asks for a new one that is made up. */
  authToken?: string | null
  /** All routes that there are to be; those with an id are there already. */
  routes?: (NewRoute & { id?: string })[]
}

export interface RoutedChannel {
  channel: Channel
  /** Oldest first. */
  routes: ChannelRoute[]
  /** The token that was just made up: it is told now and never again. */
  madeToken?: string
}

/** Channels and their routes. A channel is its account's own: to everyone else it does not exist. */
@Injectable()
export class ChannelsService {
  constructor(
    @InjectDataSource() private readonly database: DataSource,
    private readonly flows: FlowsService,
    private readonly audit: AuditTrail,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** Oldest first. */
  async page(
    caller: Principal,
    { limit, offset }: { limit: number; offset: number },
  ): Promise<{ channels: RoutedChannel[]; total: number }> {
    const [channels, total] = await this.database.getRepository(Channel).findAndCount({
      where: { accountId: caller.accountId },
      order: { id: 'asc' },
      skip: offset,
      take: limit,
    })
    const routes = await this.database.getRepository(ChannelRoute).find({
      where: { channelId: In(channels.map(({ id }) => id)) },
      order: { id: 'asc' },
    })
    const routesOf = Map.groupBy(routes, ({ channelId }) => channelId)
    return { channels: channels.map((channel) => ({ channel, routes: routesOf.get(channel.id) ?? [] })), total }
  }

  get(caller: Principal, id: string): Promise<RoutedChannel> {
    return this.find(this.database.manager, caller, id)
  }

  async create(caller: Principal, input: NewChannel): Promise<RoutedChannel> {
    const now = this.clock.now()
    const authMode = input.authMode ?? 'header_token'
    const id = newId('channel')
    const madeToken = authMode === 'header_token' && input.authToken === undefined ? newToken() : undefined
    const token = input.authToken ?? madeToken
    const channel: Channel = {
      id,
      tenantId: caller.tenantId,
      accountId: caller.accountId,
      name: input.name,
      kind: input.kind,
      authMode,
      tokenHash: token === undefined ? null : tokenHashOf(id, token),
      enabled: input.enabled ?? true,
      createdAt: now,
      updatedAt: now,
    }
    const routes = (input.routes ?? []).map((route) => routeOf(id, contentOf(route), now))
    await this.admit(caller, channel.kind, routes, '#/routes')
    await this.database.transaction(async (tx) => {
      await tx.insert(Channel, channel)
      await tx.insert(ChannelRoute, routes)
      await this.audit.record(tx, {
        actor: caller,
        action: 'channel.create',
        resource: ['channel', id],
        after: audited(channel, routes),
      })
    })
    return { channel, routes, madeToken }
  }

  /** Members left out stay. `routes` are all that there are to be. */
  async update(caller: Principal, id: string, change: ChannelChange, expected?: Expected): Promise<RoutedChannel> {
    return await this.database.transaction(async (tx) => {
      const { channel, routes } = await this.find(tx, caller, id, 'lock')
      requireMatch(expected, channel.updatedAt)
      const before = audited(channel, routes)
      const changedAt = changeTime(this.clock.now(), channel.updatedAt)
      channel.name = change.name ?? channel.name
      channel.kind = change.kind ?? channel.kind
      channel.authMode = change.authMode ?? channel.authMode
      channel.enabled = change.enabled ?? channel.enabled
      channel.updatedAt = changedAt
      const { tokenHash, madeToken } = changedToken(channel, change.authToken)
      const tokenIsNew = tokenHash !== channel.tokenHash
      channel.tokenHash = tokenHash
      const next = change.routes ? changedRoutes(id, routes, change.routes, changedAt) : routes
      await this.admit(caller, channel.kind, next, '#/routes', change.routes ? undefined : routes)
      await tx.update(Channel, { id }, channel)
      if (change.routes) {
        await tx.delete(ChannelRoute, { channelId: id })
        await tx.insert(ChannelRoute, next)
      }
      await this.audit.record(tx, {
        actor: caller,
        action: 'channel.update',
        resource: ['channel', id],
        before,
        after: { ...audited(channel, next), ...(tokenIsNew && { tokenChanged: true }) },
      })
      return { channel, routes: next, madeToken }
    })
  }

  async remove(caller: Principal, id: string, expected?: Expected): Promise<void> {
    await this.database.transaction(async (tx) => {
      const { channel, routes } = await this.find(tx, caller, id, 'lock')
      requireMatch(expected, channel.updatedAt)
      await tx.delete(Channel, { id })
      await this.audit.record(tx, {
        actor: caller,
        action: 'channel.delete',
        resource: ['channel', id],
        before: audited(channel, routes),
      })
    })
  }

  /** What an account leaves behind. */
  async removeOf(tx: EntityManager, accountId: string): Promise<void> {
    await tx.delete(Channel, { accountId })
  }

  async route(caller: Principal, channelId: string, id: string): Promise<ChannelRoute> {
    const { routes } = await this.get(caller, channelId)
    return existing(routes, id)
  }

  addRoute(caller: Principal, channelId: string, input: NewRoute): Promise<ChannelRoute> {
    return this.changeRoutes(caller, channelId, 'channelRoute.create', (routes, now) => {
      if (routes.length >= MOST_ROUTES)
        throw new ValidationFailed([
          { pointer: '#', detail: `A channel has at most ${MOST_ROUTES} routes`, code: 'too_many' },
        ])
      return { after: routeOf(channelId, contentOf(input), now) }
    })
  }

  /** Members left out stay. */
  updateRoute(
    caller: Principal,
    channelId: string,
    id: string,
    change: RouteChange,
    expected?: Expected,
  ): Promise<ChannelRoute> {
    return this.changeRoutes(caller, channelId, 'channelRoute.update', (routes, now) => {
      const before = existing(routes, id)
      requireMatch(expected, before.updatedAt)
      return {
        before,
        after: { ...before, ...contentOf(change, before), updatedAt: changeTime(now, before.updatedAt) },
      }
    })
  }

  async removeRoute(caller: Principal, channelId: string, id: string): Promise<void> {
    await this.changeRoutes(caller, channelId, 'channelRoute.delete', (routes) => ({ before: existing(routes, id) }))
  }

  /** One change of one route: a place in the list is taken, filled anew, or given up. */
  private async changeRoutes<After extends ChannelRoute | undefined>(
    caller: Principal,
    channelId: string,
    action: string,
    decide: (routes: readonly ChannelRoute[], now: Date) => { before?: ChannelRoute; after?: After },
  ): Promise<After> {
    return await this.database.transaction(async (tx) => {
      const { channel, routes } = await this.find(tx, caller, channelId, 'lock')
      const changedAt = changeTime(this.clock.now(), channel.updatedAt)
      const { before, after } = decide(routes, changedAt)
      const others = routes.filter((route) => route !== before)
      if (after) await this.admit(caller, channel.kind, [...others, after], '#', others)
      if (before) await tx.delete(ChannelRoute, { id: before.id })
      if (after) await tx.insert(ChannelRoute, after)
      await tx.update(Channel, { id: channelId }, { updatedAt: changedAt })
      await this.audit.record(tx, {
        actor: caller,
        action,
        resource: ['channelRoute', (after ?? before)?.id],
        ...(before && { before: { channelId, ...auditedRoute(before) } }),
        ...(after && { after: { channelId, ...auditedRoute(after) } }),
      })
      return after as After
    })
  }

  /**
   * Refuses routes that a channel of this kind cannot have, or whose flows are not the caller's. The flows of `known` routes are not
   * asked for again: a flow that was deleted since is told to those who call.
   */
  private async admit(
    caller: Principal,
    kind: ChannelKind,
    routes: readonly ChannelRoute[],
    at: string,
    known: readonly ChannelRoute[] = [],
  ): Promise<void> {
    const asked = routes.filter((route) => !known.includes(route))
    const place = (route: ChannelRoute) => (at === '#' ? at : `${at}/${routes.indexOf(route)}`)
    const flows = await this.flows.ofAccount(
      caller,
      asked.flatMap(({ targetFlowIds }) => targetFlowIds),
    )
    const own = new Set(flows.map(({ id }) => id))
    const faults = [
      ...routes.flatMap((route) => routeFaults(kind, route, place(route))),
      ...asked.flatMap((route) => unknownFlows(route, own, place(route))),
    ]
    if (faults.length > 0) throw new ValidationFailed(faults)
    const conflict = conflictIn(kind, routes)
    if (conflict !== undefined) throw new ChannelRouteConflict(conflict)
  }

  private async find(tx: EntityManager, caller: Principal, id: string, lock?: 'lock'): Promise<RoutedChannel> {
    const channel = await tx.findOne(Channel, {
      where: { id, accountId: caller.accountId },
      ...(lock && { lock: { mode: 'pessimistic_write' as const } }),
    })
    if (!channel) throw new ChannelNotFound(id)
    return { channel, routes: await tx.find(ChannelRoute, { where: { channelId: id }, order: { id: 'asc' } }) }
  }
}

function routeOf(channelId: string, content: RouteContent, now: Date): ChannelRoute {
  return { id: newId('route'), channelId, ...content, createdAt: now, updatedAt: now }
}

function existing(routes: readonly ChannelRoute[], id: string): ChannelRoute {
  const route = routes.find((one) => one.id === id)
  if (!route) throw new ChannelRouteNotFound(id)
  return route
}

/** The whole new list; a route with the id of one that is there takes its place. */
function changedRoutes(
  channelId: string,
  routes: readonly ChannelRoute[],
  wanted: NonNullable<ChannelChange['routes']>,
  now: Date,
): ChannelRoute[] {
  const ids = wanted.map(({ id }) => id)
  return wanted.map(({ id, ...content }, index) => {
    if (id === undefined) return routeOf(channelId, contentOf(content), now)
    const before = routes.find((route) => route.id === id)
    if (!before || ids.indexOf(id) < index) {
      const detail = before ? `Route ${id} is there twice` : `Route ${id} not found in this channel`
      throw new ValidationFailed([{ pointer: `#/routes/${index}/id`, detail, code: 'unknown_route' }])
    }
    return { ...before, ...contentOf(content), updatedAt: changeTime(now, before.updatedAt) }
  })
}

/** A channel that asks for a token has one: the one that is given, the one that it had, or one that is made up now. */
function changedToken(
  channel: Channel,
  given: string | null | undefined,
): Pick<Channel, 'tokenHash'> & { madeToken?: string } {
  const needsOne = given === null || (channel.authMode === 'header_token' && channel.tokenHash === null)
  const madeToken = given === null || (given === undefined && needsOne) ? newToken() : undefined
  const token = madeToken ?? given
  return { tokenHash: typeof token === 'string' ? tokenHashOf(channel.id, token) : channel.tokenHash, madeToken }
}

function unknownFlows(route: ChannelRoute, own: ReadonlySet<string>, at: string): Fault[] {
  return route.targetFlowIds.flatMap((id, index) =>
    own.has(id)
      ? []
      : [{ pointer: `${at}/targetFlowIds/${index}`, detail: `Flow ${id} not found`, code: 'unknown_flow' }],
  )
}

/** A channel as the audit trail keeps it: without its token. */
function audited({ name, kind, authMode, enabled }: Channel, routes: readonly ChannelRoute[]): JsonObject {
  return { name, kind, authMode, enabled, routes: routes.map((route) => ({ id: route.id, ...auditedRoute(route) })) }
}

function auditedRoute(route: ChannelRoute): JsonObject {
  const { name, httpMethod, path, targetFlowIds, responseMode, timeoutSeconds, toolName } = route
  return { name, httpMethod, path, targetFlowIds, responseMode, timeoutSeconds, toolName }
}
