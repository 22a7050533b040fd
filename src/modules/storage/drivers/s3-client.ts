import { pipeline, Readable } from 'node:stream'
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3'
import type { GuardedOutbound } from '../../../platform/outbound/guarded-outbound.js'
import { hostOf } from '../../../platform/outbound/host.js'
import type { SettingsOf } from '../provider-settings.js'
import { capped } from './capped.js'

export interface S3Connections {
  client: S3Client
  /** Signs URLs, and speaks to nobody: what uses such a URL sends no checksum beside it. */
  presigning: S3Client
  close(): void
}

const DEFAULT_REGION = 'us-east-1'

function isAmazon(endpoint: URL): boolean {
  return /(^|\.)amazonaws\.com(\.cn)?$/.test(hostOf(endpoint))
}

/** Amazon redirects what comes to its general address, which a signed request does not survive. */
function regional(endpoint: URL, region: string): string {
  return hostOf(endpoint) === 's3.amazonaws.com'
    ? `${endpoint.protocol}//s3.${region}.amazonaws.com`
    : endpoint.href.replace(/\/$/, '')
}

/**
 * Clients that know what they are told and nothing else. Whatever the SDK would look up for itself in the environment, in profile files
 * or at a metadata service is said here; a spec holds that it looks nowhere.
 */
export function s3Connections(settings: SettingsOf<'minio' | 's3'>, outbound: GuardedOutbound): S3Connections {
  const agents = outbound.agents()
  const region = settings.region ?? DEFAULT_REGION
  const amazon = isAmazon(settings.endpoint)
  const { accessKey, secretKey, sessionToken } = settings.credentials
  const config: S3ClientConfig = {
    endpoint: regional(settings.endpoint, region),
    region,
    credentials: { accessKeyId: accessKey, secretAccessKey: secretKey, sessionToken },
    forcePathStyle: !amazon,
    // Others know the newer checksums seldom, and answer streams with 501.
    requestChecksumCalculation: amazon ? 'WHEN_SUPPORTED' : 'WHEN_REQUIRED',
    responseChecksumValidation: amazon ? 'WHEN_SUPPORTED' : 'WHEN_REQUIRED',
    requestHandler: { httpAgent: agents.http, httpsAgent: agents.https, requestTimeout: 0, socketTimeout: 0 },
    followRegionRedirects: false,
    maxAttempts: 3,
    retryMode: 'standard',
    defaultsMode: 'standard',
    authSchemePreference: [],
    sigv4aSigningRegionSet: [],
    disableS3ExpressSessionAuth: true,
    disableMultiregionAccessPoints: true,
    useArnRegion: false,
    useDualstackEndpoint: false,
    useFipsEndpoint: false,
    userAgentAppId: 'millrace',
  }
  const client = new S3Client(config)
  client.config.requestHandler = answersCapped(client.config.requestHandler)
  const presigning = new S3Client({ ...config, requestChecksumCalculation: 'WHEN_REQUIRED' })
  return {
    client,
    presigning,
    // The clients hold nothing else, and destroying them would cut what is under way.
    close: () => agents.close(),
  }
}

type Handler = S3Client['config']['requestHandler']

/** Contents of objects are streamed; all other answers would be kept as a whole, however long. */
function answersCapped(handler: Handler): Handler {
  const handle: Handler['handle'] = async (request, options) => {
    const answered = await handler.handle(request, options)
    const { response } = answered
    const isContent = request.query?.['x-id'] === 'GetObject' && response.statusCode < 300
    if (!isContent && response.body instanceof Readable) response.body = pipeline(response.body, capped(), () => {})
    return answered
  }
  return Object.create(handler, { handle: { value: handle } })
}
