import { DomainError } from '../../platform/errors/domain-error.js'
import type { JsonObject } from '../../platform/json.js'

/** Also of one that is disabled: whoever calls it cannot tell. */
export class ChannelNotFound extends DomainError {
  constructor(id: string) {
    super('not_found', 'channel-not-found', 'Channel not found', `Channel with ID ${id} not found`, {
      resource: 'channel',
    })
  }
}

export class ChannelRouteNotFound extends DomainError {
  constructor(id: string) {
    super(
      'not_found',
      'channel-route-not-found',
      'Route of the channel not found',
      `Route with ID ${id} not found in this channel`,
      { resource: 'channel route' },
    )
  }
}

/** Two routes of one channel would answer the same. */
export class ChannelRouteConflict extends DomainError {
  constructor(what: string) {
    super('conflict', 'channel-route-conflict', 'Two routes are the same', `Two routes of the channel have ${what}`, {
      resource: 'channel route',
    })
  }
}

/** The route is there, but a flow that it starts was deleted. */
export class ChannelTargetGone extends DomainError {
  constructor(route: string) {
    super(
      'gone',
      'channel-target-gone',
      'The flow behind the route is gone',
      `A flow that the route '${route}' starts does not exist any more`,
    )
  }
}

/** What the caller waited for ended without a result. */
export class ChannelRunFailed extends DomainError {
  constructor(message: string, members: JsonObject) {
    super('bad_gateway', 'channel-run-failed', 'What the channel started has failed', message, { members })
  }
}
