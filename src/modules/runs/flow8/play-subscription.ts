import { InvalidRequest } from '../../../platform/http/faults.js'
import { isJsonObject, type Json } from '../../../platform/json.js'
import { PLAY_MESSAGES, type PlayMessageType } from './play-messages.js'

/** Names that one subscription may have of each kind. */
const MOST_NAMES = 1_000
/** How far back a subscription may begin. */
const LONGEST_BACK_MS = 24 * 3_600_000
const RFC3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/
const MEMBERS = ['type', 'flowIds', 'playIds', 'types', 'after', 'since']

/** What a watcher wants to hear. What is left out is no condition. */
export interface Subscription {
  flowIds?: ReadonlySet<string>
  playIds?: ReadonlySet<string>
  types?: ReadonlySet<PlayMessageType>
  /** The last message of a play that the watcher has heard, by its number. */
  after: ReadonlyMap<string, number>
  /** Since when; from now on where absent. */
  since?: Date
}

/** All of an account's plays from now on. */
export const EVERYTHING: Subscription = { after: new Map() }

/** A client's `subscribe`, read. Throws `InvalidRequest` for anything else. */
export function readSubscription(text: string, now: Date): Subscription {
  const message = parsed(text)
  if (!isJsonObject(message) || message.type !== 'subscribe')
    throw new InvalidRequest("A message is a JSON object whose type is 'subscribe'")
  const unknown = Object.keys(message).find((member) => !MEMBERS.includes(member))
  if (unknown !== undefined) throw new InvalidRequest(`'${unknown.slice(0, 100)}' is not known here`)
  const { flowIds, playIds, types, after, since } = message
  return {
    flowIds: names('flowIds', flowIds),
    playIds: names('playIds', playIds),
    types: typesIn(types),
    after: positions(after),
    since: moment(since, now),
  }
}

function parsed(text: string): Json {
  try {
    return JSON.parse(text) as Json
  } catch {
    throw new InvalidRequest('A message is JSON')
  }
}

function names(member: string, value: Json | undefined): Set<string> | undefined {
  if (value === undefined) return undefined
  const isList = Array.isArray(value) && value.length <= MOST_NAMES && value.every((one) => typeof one === 'string')
  if (!isList) throw new InvalidRequest(`'${member}' is a list of at most ${MOST_NAMES} texts`)
  return new Set(value as string[])
}

function typesIn(value: Json | undefined): Set<PlayMessageType> | undefined {
  const given = names('types', value)
  for (const type of given ?? [])
    if (!(PLAY_MESSAGES as readonly string[]).includes(type))
      throw new InvalidRequest(`'types' holds only ${PLAY_MESSAGES.join(', ')}`)
  return given as Set<PlayMessageType> | undefined
}

function positions(value: Json | undefined): Map<string, number> {
  const given = value === undefined ? {} : value
  if (!isJsonObject(given) || Object.keys(given).length > MOST_NAMES)
    throw new InvalidRequest(`'after' is an object of at most ${MOST_NAMES} plays`)
  return new Map(
    Object.entries(given).map(([id, seq]) => {
      if (typeof seq !== 'number' || !Number.isSafeInteger(seq) || seq < 0)
        throw new InvalidRequest("'after' holds the seq of a message for each play")
      return [id, seq]
    }),
  )
}

function moment(value: Json | undefined, now: Date): Date | undefined {
  if (value === undefined) return undefined
  const time = typeof value === 'string' && RFC3339.test(value) ? Date.parse(value) : Number.NaN
  if (Number.isNaN(time)) throw new InvalidRequest("'since' is a moment as RFC 3339 spells it")
  if (time < now.getTime() - LONGEST_BACK_MS) throw new InvalidRequest("'since' reaches back 24 hours at most")
  return new Date(time)
}
