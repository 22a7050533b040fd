import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'
import { type Address, parseAddress } from './address.js'
import { canonicalHost } from './host.js'

interface Permission {
  port?: number
  host?: string
  range?: [Address, number]
}

/** Faults of the `OUTBOUND_ALLOW` text, all of them at once. */
export class InvalidAllowList extends Error {
  constructor(readonly faults: readonly string[]) {
    super(faults.join('; '))
    this.name = 'InvalidAllowList'
  }
}

/**
 * The targets that may be reached although they are not public. Written as a comma-separated list of hosts (`crm.internal`), addresses
 * (`10.0.0.5`, `[::1]`), networks (`10.0.0.0/8`, `fd00::/8`), each host and address optionally with one port (`127.0.0.1:8080`,
 * `[::1]:8080`). A host by name stands for whatever addresses its name has at that moment.
 */
export class AllowList {
  private constructor(private readonly permissions: readonly Permission[]) {}

  static parse(text: string | undefined): AllowList {
    const faults: string[] = []
    const permissions: Permission[] = []
    for (const entry of (text ?? '').split(',').map((part) => part.trim())) {
      if (entry === '') continue
      const permission = parseEntry(entry)
      if (permission) permissions.push(permission)
      else faults.push(`'${entry}' is no host, address, network (10.0.0.0/8), host:port or [ipv6]:port`)
    }
    if (faults.length > 0) throw new InvalidAllowList(faults)
    return new AllowList(permissions)
  }

  /** Whether `host` (canonical) may be reached whatever its addresses. Without a port only permissions of all ports count. */
  allowsHost(host: string, port?: number): boolean {
    return this.permissions.some((one) => one.host === host && (one.port === undefined || one.port === port))
  }

  allowsAddress(address: Address, port?: number): boolean {
    return this.permissions.some(
      ({ range, port: only }) =>
        range !== undefined &&
        range[0].kind() === address.kind() &&
        (only === undefined || only === port) &&
        address.match(range as [ipaddr.IPv4, number] & [ipaddr.IPv6, number]),
    )
  }
}

function parseEntry(entry: string): Permission | undefined {
  if (entry.includes('/')) return parseNetwork(entry)
  if (isIP(entry)) return { range: single(entry) }
  const match = /^(\[[^\]]+\]|[^:[\]]+)(?::([0-9]{1,5}))?$/.exec(entry)
  if (!match) return undefined
  const port = match[2] === undefined ? undefined : Number(match[2])
  if (port !== undefined && (port < 1 || port > 65_535)) return undefined
  const host = canonicalHost(match[1] as string)
  if (host === undefined) return undefined
  return isIP(host) ? { range: single(host), port } : { host, port }
}

function parseNetwork(entry: string): Permission | undefined {
  if (!ipaddr.isValidCIDR(entry)) return undefined
  const [address, bits] = ipaddr.parseCIDR(entry)
  if (address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() && bits >= 96) {
    return { range: [address.toIPv4Address(), bits - 96] }
  }
  return { range: [address, bits] }
}

function single(text: string): [Address, number] {
  const address = parseAddress(text)
  return [address, address instanceof ipaddr.IPv4 ? 32 : 128]
}
