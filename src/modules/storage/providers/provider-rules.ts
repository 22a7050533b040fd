import type { Fault } from '../../../platform/errors/domain-error.js'
import type { ProviderSettings, ProviderType } from '../provider-settings.js'
import { type CredentialsInput, readCredentials } from './credentials.js'
import { type EndpointInput, readEndpoint } from './endpoint.js'

export interface SettingsInput extends EndpointInput {
  type: ProviderType
  region?: string | null
  credentials?: CredentialsInput
}

const REGION = /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/

/** All that a driver has to know; undefined, and the reasons in `faults`, where something is wrong or missing. */
export function readSettings(input: SettingsInput, faults: Fault[]): ProviderSettings | undefined {
  const { type } = input
  const region = input.region ?? undefined
  if (region !== undefined && !REGION.test(region))
    faults.push({ pointer: '#/region', detail: 'Region must be letters, digits and hyphens', code: 'region' })
  const given = readEndpoint(input, type, faults)
  const read = readCredentials(type, input.credentials, faults)
  if (faults.length > 0 || !read) return undefined
  const endpoint = given ?? read.endpoint ?? usual(type, region, read.credentials)
  if (!endpoint) {
    faults.push({ pointer: '#/endpoint', detail: `Endpoint is required for the type ${type}`, code: 'required' })
    return undefined
  }
  return { type, endpoint, region, credentials: read.credentials } as ProviderSettings
}

/** Where a service is that has one address for all. */
function usual(type: ProviderType, region: string | undefined, credentials: object): URL | undefined {
  if (type === 's3') return new URL(`https://s3.${(region ?? 'us-east-1').toLowerCase()}.amazonaws.com`)
  if (type === 'gcs') return new URL('https://storage.googleapis.com')
  if (type === 'azure-blob' && 'accountName' in credentials)
    return new URL(`https://${credentials.accountName}.blob.core.windows.net`)
  return undefined
}

export interface KnownSettings {
  type: ProviderType
  endpoint: URL
}

/** Settings after a change, with the credentials only where they are new. */
export function settingsAfter(
  known: KnownSettings,
  change: Partial<SettingsInput>,
  faults: Fault[],
): { endpoint: URL; credentials?: object } | undefined {
  const { type } = known
  if (change.region != null && !REGION.test(change.region))
    faults.push({ pointer: '#/region', detail: 'Region must be letters, digits and hyphens', code: 'region' })
  const given = movesEndpoint(change) ? readEndpoint(endpointAfter(known.endpoint, change), type, faults) : undefined
  const read = change.credentials === undefined ? undefined : readCredentials(type, change.credentials, faults)
  const endpoint = given ?? read?.endpoint ?? known.endpoint
  // Whoever may change a provider may not see its credentials, and so may not have them sent elsewhere.
  if (endpoint.href !== known.endpoint.href && change.credentials === undefined && faults.length === 0)
    faults.push({
      pointer: '#/credentials',
      detail: 'Credentials is required where the endpoint changes',
      code: 'required',
    })
  return faults.length > 0 ? undefined : { endpoint, credentials: read?.credentials }
}

function movesEndpoint({ endpoint, port, useSSL }: EndpointInput): boolean {
  return endpoint != null || port != null || useSSL != null
}

/** A host that is given anew brings its own port and scheme; without one, only what is named of them is another. */
function endpointAfter(known: URL, change: EndpointInput): EndpointInput {
  if (change.endpoint != null) return change
  const secure = change.useSSL ?? known.protocol === 'https:'
  const path = known.pathname === '/' ? '' : known.pathname
  const url = `${secure ? 'https' : 'http'}://${known.hostname}${path}`
  return { endpoint: url, port: change.port ?? (known.port === '' ? undefined : Number(known.port)) }
}
