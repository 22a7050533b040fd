import ipaddr from 'ipaddr.js'

const WHY: Readonly<Record<string, string>> = {
  unspecified: 'an unspecified address',
  loopback: 'a loopback address',
  private: 'a private address',
  uniqueLocal: 'a private address',
  deprecatedSiteLocal: 'a private address',
  linkLocal: 'a link-local address',
  carrierGradeNat: 'a carrier-grade NAT address',
  multicast: 'a multicast address',
  broadcast: 'a broadcast address',
  ipv4Mapped: 'an IPv4 address in IPv6 dress',
  rfc6145: 'an IPv4 address in IPv6 dress',
  rfc6052: 'a NAT64 address',
  '6to4': 'a 6to4 address',
  teredo: 'a Teredo address',
}
const GLOBAL_UNICAST_V6 = ipaddr.IPv6.parseCIDR('2000::/3')
/** Metadata services at addresses that look public or hide in ranges that people allow: AWS, GCP and others; Azure; Alibaba; Oracle; AWS on IPv6. */
const METADATA = new Set(['169.254.169.254', '168.63.129.16', '100.100.100.200', '192.0.0.192', 'fd00:ec2::254'])

export type Address = ipaddr.IPv4 | ipaddr.IPv6

/** The address that a packet would really go to: `::ffff:10.0.0.1` is 10.0.0.1. */
export function parseAddress(text: string): Address {
  return ipaddr.process(text)
}

/** Why this address is not part of the public Internet; undefined where it is. */
export function notPublic(address: Address): string | undefined {
  if (METADATA.has(address.toString())) return 'a cloud metadata address'
  const range = address.range()
  if (range !== 'unicast') return WHY[range] ?? 'a reserved address'
  // Ranges without a name of their own, such as the IPv4-compatible ::7f00:1, lie outside the one block that is routed.
  if (address instanceof ipaddr.IPv6 && !address.match(GLOBAL_UNICAST_V6)) return 'a reserved address'
  return undefined
}
