import ipaddr from 'ipaddr.js'

/** Whoever has one IPv6 address has its whole /64. */
const OWNED_PREFIX = 64

/** What counts as one caller's address: an IPv4 address, also when it is written as an IPv6 one, or the first half of an IPv6 one. */
export function callerNetwork(address: string): string {
  if (!ipaddr.isValid(address)) return address
  const parsed = ipaddr.process(address)
  if (parsed.kind() === 'ipv4') return parsed.toString()
  return `${ipaddr.IPv6.networkAddressFromCIDR(`${parsed.toString()}/${OWNED_PREFIX}`)}/${OWNED_PREFIX}`
}
