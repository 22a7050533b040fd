import { Storage } from '@google-cloud/storage'
import { GoogleAuth, JWT } from 'google-auth-library'
import type { GuardedAgents } from '../../../platform/outbound/guarded-agents.js'
import type { GoogleKeys, SettingsOf } from '../provider-settings.js'

type AuthRequest = Parameters<GoogleAuth['request']>[0]
type AuthResponse = Awaited<ReturnType<GoogleAuth['request']>>

export interface GcsClient {
  storage: Storage
  /** A request to the JSON API with the account's signature. */
  request(request: AuthRequest): Promise<AuthResponse>
  /** Of the JSON API, without a slash at the end. */
  url: string
}

/** What the SDK hands to its transport. */
interface SdkRequest {
  method?: string
  uri: string
  qs?: Record<string, unknown>
  json?: unknown
  headers?: Record<string, string>
}

type SdkCallback = (error: Error | null, body?: unknown, response?: unknown) => void

const SCOPE = 'https://www.googleapis.com/auth/devstorage.full_control'
const RETRIED = {
  retry: 2,
  httpMethodsToRetry: ['GET', 'HEAD', 'PUT', 'DELETE'],
  retryDelay: 100,
  totalTimeout: 60_000,
}

/**
 * A service account that signs its own tokens: no token is asked for at an address that a key names, and nothing is looked for in the
 * environment, in files, or at the metadata service.
 */
class ServiceAccount extends GoogleAuth {
  constructor(
    private readonly keys: GoogleKeys,
    agents: GuardedAgents,
  ) {
    const account = new JWT({
      email: keys.clientEmail,
      key: keys.privateKey,
      scopes: [SCOPE],
      // Redirects are refused: a signed request is for one host.
      transporterOptions: { agent: agents.of, redirect: 'manual' },
    })
    account.useJWTAccessWithScope = true
    super({ projectId: keys.projectId, authClient: account })
  }

  override getProjectId = (async () => this.keys.projectId) as GoogleAuth['getProjectId']

  override getCredentials = (async () => ({
    client_email: this.keys.clientEmail,
    private_key: this.keys.privateKey,
  })) as GoogleAuth['getCredentials']

  override async getUniverseDomain(): Promise<string> {
    return 'googleapis.com'
  }
}

/**
 * The SDK has two transports. One of them takes its connections from a pool of its own, or from a proxy of the environment; what it
 * would send goes through the other, which takes ours.
 */
export function gcsClient(settings: SettingsOf<'gcs'>, agents: GuardedAgents): GcsClient {
  const auth = new ServiceAccount(settings.credentials, agents)
  const origin = settings.endpoint.origin
  const storage = new Storage({
    projectId: settings.credentials.projectId,
    authClient: auth,
    apiEndpoint: origin,
    useAuthWithCustomEndpoint: true,
    retryOptions: { autoRetry: true, maxRetries: 2, maxRetryDelay: 2, totalTimeout: 60 },
  })
  const url = `${origin}/storage/v1`
  // STORAGE_EMULATOR_HOST would lead elsewhere.
  Object.assign(storage, { baseUrl: url, apiEndpoint: origin })
  const request = (asked: AuthRequest) => auth.request({ retry: true, retryConfig: RETRIED, ...asked })
  const transport = (asked: SdkRequest, callback?: SdkCallback): void => {
    if (!callback) throw new Error('this transport is for answers, not for streams')
    request({
      url: asked.uri,
      method: (asked.method ?? 'GET') as AuthRequest['method'],
      params: asked.qs,
      data: asked.json,
      headers: asked.headers,
    }).then(
      (response) => callback(null, response.data, response),
      (error) => callback(error),
    )
  }
  Object.assign(storage, { makeAuthenticatedRequest: transport })
  return { storage, request, url }
}
