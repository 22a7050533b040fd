import type { Presigning } from './storage-driver.js'

/** An object of the embedded store, and what is to be done with it. */
export interface PresignedRequest extends Presigning {
  tenantId: string
  method: 'GET' | 'PUT'
  bucket: string
  key: string
}

/** Makes URLs at which the embedded store answers without other credentials. */
export abstract class Presigner {
  abstract presign(request: PresignedRequest): Promise<string>
}
