import type { Fault } from '../../../platform/errors/domain-error.js'
import { canonicalHost } from '../../../platform/outbound/host.js'
import type { ProviderType } from '../provider-settings.js'

/** Where a provider is, as it was asked for. */
export interface EndpointInput {
  /** A host, `host:port`, or a URL. */
  endpoint?: string | null
  port?: number | null
  useSSL?: boolean | null
}

/** What may stand behind the host: the account of Azure where it is no part of it, and where a gateway keeps its S3. */
const PATHS: Readonly<Record<ProviderType, RegExp>> = {
  minio: /^(?:\/[\w.~-]{1,100}){0,5}\/?$/,
  s3: /^\/$/,
  'azure-blob': /^\/(?:[a-z0-9]{3,24}\/?)?$/,
  gcs: /^\/$/,
}

/** Reads an endpoint; undefined where it is at fault, or where none is given and none is known. */
export function readEndpoint(input: EndpointInput, type: ProviderType, faults: Fault[]): URL | undefined {
  const { endpoint, port, useSSL } = input
  if (endpoint == null) {
    for (const [member, value] of Object.entries({ port, useSSL })) {
      const label = member === 'port' ? 'Port' : 'Use SSL'
      if (value != null)
        faults.push({ pointer: `#/${member}`, detail: `${label} needs an endpoint beside it`, code: 'excluded' })
    }
    return undefined
  }
  const url = parse(endpoint, useSSL !== false)
  const fault = url === undefined ? 'must be a host, host:port or an http or https URL' : faultOf(url, endpoint, type)
  if (fault !== undefined || url === undefined) {
    faults.push({ pointer: '#/endpoint', detail: `Endpoint ${fault}`, code: 'endpoint' })
    return undefined
  }
  const scheme = url.protocol === 'https:'
  if (useSSL != null && useSSL !== scheme)
    faults.push({
      pointer: '#/useSSL',
      detail: `Use SSL does not fit the endpoint, which starts with ${url.protocol}//`,
      code: 'excluded',
    })
  if (port != null && url.port !== '' && Number(url.port) !== port)
    faults.push({ pointer: '#/port', detail: 'Port is another than the one in the endpoint', code: 'excluded' })
  if (port != null) url.port = String(port)
  return url
}

function parse(endpoint: string, secure: boolean): URL | undefined {
  const hasScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(endpoint)
  // An address of IPv6 without brackets would be read as a host with a port.
  const bare = /^[0-9a-f:]+:[0-9a-f:.]*$/i.test(endpoint) && endpoint.split(':').length > 2 ? `[${endpoint}]` : endpoint
  return URL.parse(hasScheme ? endpoint : `${secure ? 'https' : 'http'}://${bare}`) ?? undefined
}

function faultOf(url: URL, given: string, type: ProviderType): string | undefined {
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return 'must start with http:// or https://'
  if (url.username !== '' || url.password !== '') return 'must not hold credentials'
  if (url.search !== '' || url.hash !== '' || /[\s\\?#]/.test(given)) return 'must not hold a query or a fragment'
  if (canonicalHost(url.hostname) === undefined) return 'must name a host'
  return PATHS[type].test(url.pathname) ? undefined : 'must not have such a path'
}
