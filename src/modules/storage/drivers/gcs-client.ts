import { Storage } from '@google-cloud/storage'
import { GoogleAuth, JWT } from 'google-auth-library'
import type { GuardedAgents } from '../../../platform/outbound/guarded-agents.js'
import type { GoogleKeys, SettingsOf } from '../provider-settings.js'
import { MOST_ANSWER_BYTES } from './capped.js'

type AuthRequest = Parameters<GoogleAuth['request']>[0]
type AuthResponse = Awaited<ReturnType<GoogleAuth['request']>>

export interface GcsClient {
  storage: Storage
  /** A request to the JSON API with the account's signature. */
  request(request: AuthRequest, signal?: AbortSignal): Promise<AuthResponse>
  origin: string
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
      transporterOptions: { agent: agents.of, redirect: 'manual', ...{ size: MOST_ANSWER_BYTES } },
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
 * The SDK sends by two transports. One takes its connections from a pool of its own, or from a proxy of the environment; what it would
 * send goes by the other, which takes ours. Streams, which it would send by itself, are not asked of it.
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
  const request = (asked: AuthRequest, signal?: AbortSignal) =>
    unlessAborted(auth.request({ retry: true, retryConfig: RETRIED, ...asked }), signal)
  const transport = (asked: SdkRequest, callback?: SdkCallback): void => {
    if (!callback) throw new Error('this transport is for answers, not for streams')
    const answered = request({
      url: asked.uri,
      method: (asked.method ?? 'GET') as AuthRequest['method'],
      params: asked.qs,
      data: asked.json,
      headers: asked.headers,
    })
    // What the SDK throws over an answer that is not as it expects is an error of that answer.
    answered.then((response) => callback(null, response.data, response)).catch((error) => callback(error))
  }
  Object.assign(storage, { makeAuthenticatedRequest: transport })
  return { storage, request, origin, url }
}

/**
 * Waits no longer than the signal allows, and drops what comes later. The client below does not get the signal: it would end streams
 * with an error to which nobody listens yet, and that ends the process.
 */
async function unlessAborted(answered: Promise<AuthResponse>, signal?: AbortSignal): Promise<AuthResponse> {
  if (!signal) return await answered
  const drop = () =>
    void answered.then(({ data }) => (data as { destroy?(): void } | undefined)?.destroy?.()).catch(() => {})
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const abort = () => {
    drop()
    reject(signal.reason)
  }
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort)
  try {
    return await Promise.race([answered, aborted])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
