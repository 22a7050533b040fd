import { type StepContext, StepError } from '../../engine/step.js'
import { isJsonObject, type Json, type JsonObject, type JsonSchema } from '../../platform/json.js'
import { invalidParams } from '../invalid-params.js'

/** What a module that speaks to a server of the account's takes for its `connection`. */
export interface ConnectionKind {
  /** Such as `postgres:`. */
  protocols: readonly string[]
  /** The account's secret that holds the URL where nothing is said. */
  defaultSecret: string
}

const SECRET_NAME = /^[A-Za-z_][A-Za-z0-9_.-]*$/

/**
 * The server to speak to: a URL or an object as given, the URL in the secret that is named, or that in the account's default secret;
 * undefined where there is none of these. No fault repeats the URL: it holds a password.
 */
export async function connectionGiven(
  given: Json | undefined,
  kind: ConnectionKind,
  step: StepContext,
): Promise<URL | JsonObject | undefined> {
  if (isJsonObject(given)) return given
  if (given === undefined) {
    const url = await step.secret(kind.defaultSecret)
    return url === undefined ? undefined : urlOf(url, `the secret ${kind.defaultSecret}`, kind)
  }
  const text = String(given)
  if (!SECRET_NAME.test(text)) return urlOf(text, 'connection', kind)
  const url = await step.secret(text)
  if (url === undefined) throw noConnection(`there is no secret '${text.slice(0, 100)}'`)
  return urlOf(url, `the secret ${text}`, kind)
}

export function noConnection(message: string): StepError {
  return new StepError(message, { code: 'no_connection', retryable: false })
}

function urlOf(text: string, where: string, { protocols }: ConnectionKind): URL {
  const url = URL.parse(text)
  if (!url || !protocols.includes(url.protocol) || url.hostname === '') {
    throw invalidParams(`${where} must be a URL such as ${protocols[0]}//user:password@host`)
  }
  return url
}

/** The schema of a `connection` whose object has these members. */
export function connectionParam(description: string, properties: JsonSchema, examples: readonly Json[]): JsonSchema {
  return {
    type: ['string', 'object'],
    minLength: 1,
    maxLength: 10_000,
    writeOnly: true,
    description,
    required: ['host'],
    additionalProperties: false,
    properties,
    examples,
  }
}
