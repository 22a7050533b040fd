import { createDefaultHttpClient, type HttpClient } from '@azure/core-rest-pipeline'
import { BlobServiceClient, newPipeline, StorageSharedKeyCredential } from '@azure/storage-blob'
import type { GuardedAgents } from '../../../platform/outbound/guarded-agents.js'
import type { SettingsOf } from '../provider-settings.js'
import { MOST_ANSWER_BYTES, tooLarge } from './capped.js'

/**
 * A client that signs with the account's key and looks for no other credentials. The SDK's own HTTP client does the work, but on guarded
 * connections, whatever proxy its policies would choose; it follows no redirect, because a signed request is for one host.
 */
export function azureClient(settings: SettingsOf<'azure-blob'>, agents: GuardedAgents): BlobServiceClient {
  const { accountName, accountKey } = settings.credentials
  const pipeline = newPipeline(new StorageSharedKeyCredential(accountName, accountKey), {
    retryOptions: { maxTries: 3, retryDelayInMs: 200, maxRetryDelayInMs: 5_000 },
    ...{ redirectOptions: { maxRetries: 0 } },
  })
  // The option `httpClient` takes a client of the SDK's first generation; this member holds the one of today. A spec sees to it that
  // requests really go this way.
  Object.assign(pipeline, { _coreHttpClient: guardedClient(agents) })
  return new BlobServiceClient(settings.endpoint.href.replace(/\/$/, ''), pipeline)
}

function guardedClient(agents: GuardedAgents): HttpClient {
  const client = createDefaultHttpClient()
  return {
    sendRequest(request) {
      request.proxySettings = undefined
      request.agent = agents.of(new URL(request.url))
      // An answer that is not asked for as a stream is kept as a whole.
      if (!request.streamResponseStatusCodes?.size)
        request.onDownloadProgress = ({ loadedBytes }) => {
          if (loadedBytes > MOST_ANSWER_BYTES) throw tooLarge()
        }
      return client.sendRequest(request)
    },
  }
}
