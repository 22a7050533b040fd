import { createClient } from './src/client/index.js'
import { Millrace } from './src/index.js'

export { createClient } from './src/client/index.js'
export { Millrace, type Options } from './src/index.js'
export type * from './src/types.gen.js'

export interface ConnectOptions {
  /** Where the server is, such as `http://localhost:8080`. */
  baseUrl: string
  /** A token as a login answers it; or what gives one for each request. */
  token?: string | (() => string | undefined)
}

/** A client of one server: `connect({ baseUrl, token }).flowRunner.flows.list()`. */
export function connect({ baseUrl, token }: ConnectOptions): Millrace {
  const auth = typeof token === 'function' ? token : () => token
  return new Millrace({ client: createClient({ baseUrl, auth: ({ scheme }) => (scheme === 'bearer' ? auth() : undefined) }) })
}
