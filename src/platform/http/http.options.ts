/** What the HTTP platform takes from the configuration. */
export abstract class HttpOptions {
  /** Bytes that a JSON body may have. */
  abstract readonly bodyLimit: number
  /** Requests per minute and principal, or address where there is none. 0 = no limit. */
  abstract readonly rateLimit: number
}
