/**
 * One spelling per host, the one that a URL would have: lower case, Punycode, no brackets, no final dot, and `127.1`, `2130706433` or
 * `0x7f.1` as 127.0.0.1. Undefined where no URL could have this host.
 */
export function canonicalHost(host: string): string | undefined {
  const bare = host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host
  if (bare === '' || /[/?#@\\\s]/.test(bare)) return undefined
  const url = URL.parse(bare.includes(':') ? `http://[${bare}]/` : `http://${bare}/`)
  if (!url || url.hostname === '') return undefined
  return hostOf(url)
}

/** The canonical host of a URL. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')
}

/** The port that a URL means, spelled out or not. */
export function portOf(url: URL): number {
  if (url.port !== '') return Number(url.port)
  return url.protocol === 'https:' ? 443 : 80
}
