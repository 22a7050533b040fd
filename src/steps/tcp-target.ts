import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'
import type { Json, JsonObject, JsonSchema } from '../platform/json.js'
import type { Outbound } from './ports.js'

/** Where a client that connects by address goes, once the guard has agreed. */
export interface TcpTarget {
  address: string
  /** The host as written, for the server's certificate; undefined where it is an address, which SNI cannot carry. */
  servername?: string
  /** Nobody can stand between: a password may go there without encryption, and the certificate need not be known. */
  loopback: boolean
}

export async function tcpTarget(outbound: Outbound, host: string, port: number): Promise<TcpTarget> {
  const { address } = await outbound.resolve(host, port)
  return {
    address,
    servername: isIP(host.replace(/^\[|\]$/g, '')) ? undefined : host,
    loopback: ipaddr.process(address).range() === 'loopback',
  }
}

/** The optional `tls` parameter of steps that speak TLS over a socket of their own. */
export const TLS_PARAM: JsonSchema = {
  type: 'object',
  description: 'How to judge the certificate of the server.',
  properties: {
    ca: { type: 'string', description: 'Certificates to trust, in PEM, instead of the public authorities.' },
    reject_unauthorized: {
      type: 'boolean',
      description:
        'Refuse a certificate that is not trusted. True by default, except on a loopback address without `ca`.',
    },
  },
  additionalProperties: false,
  examples: [{ ca: '${secrets.MAIL_CA}' }],
}

/** The `starttls` parameter of steps whose protocol may begin in the clear. */
export const STARTTLS_PARAM: JsonSchema = {
  enum: ['required', 'offered', 'never'],
  description:
    'Whether to encrypt a connection that starts in the clear. Required by default; on loopback used when offered.',
}

export type StartTls = 'required' | 'offered' | 'never'

/** What `starttls` says, or its default. */
export function startTls(given: Json | undefined, target: TcpTarget): StartTls {
  return (given as StartTls | undefined) ?? (target.loopback ? 'offered' : 'required')
}

/** Options for `tls.connect`. The certificate must bear the host as written, whatever address it led to. */
export function tlsOptions(target: TcpTarget, tls: JsonObject = {}) {
  const ca = typeof tls.ca === 'string' ? tls.ca : undefined
  const trustAnyone = target.loopback && ca === undefined
  return {
    ...(target.servername === undefined ? {} : { servername: target.servername }),
    ...(ca === undefined ? {} : { ca }),
    rejectUnauthorized: typeof tls.reject_unauthorized === 'boolean' ? tls.reject_unauthorized : !trustAnyone,
  }
}
