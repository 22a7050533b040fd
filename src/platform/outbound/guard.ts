import { lookup as dnsLookup } from 'node:dns/promises'
import { isIP, type LookupFunction } from 'node:net'
import { notPublic, parseAddress } from './address.js'
import type { AllowList } from './allow-list.js'
import { OutboundRefused } from './errors.js'
import { canonicalHost } from './host.js'

export interface ResolvedAddress {
  address: string
  family: 4 | 6
}

/** Answers every address of a name; the system's resolver unless a test brings its own. */
export type Resolver = (host: string) => Promise<readonly ResolvedAddress[]>

const systemResolver: Resolver = async (host) => {
  const found = await dnsLookup(host, { all: true })
  return found.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 }))
}

/**
 * Decides which addresses may be reached. Names are judged by their addresses, in the very lookup that the socket connects with: a
 * second answer of the DNS cannot slip in between.
 */
export class Guard {
  constructor(
    private readonly allow: AllowList,
    private readonly resolver: Resolver = systemResolver,
  ) {}

  /** The addresses of `host` that may be reached, at least one. Throws `OutboundRefused`, or what the resolver throws. */
  async vet(host: string, port?: number): Promise<ResolvedAddress[]> {
    const name = canonicalHost(host)
    if (name === undefined) throw new OutboundRefused(host.slice(0, 255), 'this is not a host name')
    if (isIP(name)) {
      this.vetAddress(name, port)
      return [{ address: name, family: isIP(name) === 6 ? 6 : 4 }]
    }
    const found = await this.resolver(name)
    if (this.allow.allowsHost(name, port)) return [...found]
    const reasons = found.map(({ address }) => this.refusal(address, port))
    const allowed = found.filter((_, index) => reasons[index] === undefined)
    if (allowed.length === 0) {
      throw new OutboundRefused(name, reasons[0] ? `it leads to ${reasons[0]}` : 'its name has no address')
    }
    return allowed
  }

  /** Throws unless this literal address may be reached. */
  vetAddress(address: string, port?: number): void {
    const reason = this.refusal(address, port)
    if (reason) throw new OutboundRefused(address, `it is ${reason}`)
  }

  /** A `lookup` for sockets; with the port where it is known. */
  lookupFor(port?: number): LookupFunction {
    return (hostname, options, callback) => {
      this.vet(hostname, port)
        .then((vetted) => {
          const family = options.family === 'IPv4' ? 4 : options.family === 'IPv6' ? 6 : options.family
          const wanted = family ? vetted.filter((one) => one.family === family) : vetted
          const first = wanted[0]
          if (!first) throw new OutboundRefused(hostname, `its name has no IPv${family} address that may be reached`)
          return { wanted, first }
        })
        .then(
          ({ wanted, first }) => (options.all ? callback(null, wanted) : callback(null, first.address, first.family)),
          (error: Error) => callback(error, ''),
        )
    }
  }

  private refusal(text: string, port?: number): string | undefined {
    const address = parseAddress(text)
    return this.allow.allowsAddress(address, port) ? undefined : notPublic(address)
  }
}
