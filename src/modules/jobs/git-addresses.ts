/** Ways to a repository; git has others, some of which run programs. */
const SCHEMES = ['https:', 'http:', 'ssh:', 'git:', 'file:']
const SCP_LIKE = /^[A-Za-z0-9_][\w.-]*@[A-Za-z0-9][\w.-]*:[^:-][^:]*$/

/** Why a repository is not taken from this address; undefined where it is. Says nothing of the address itself, which may hold credentials. */
export function gitUrlFault(url: string): string | undefined {
  if (url.startsWith('-')) return 'url must not begin with a dash'
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about
  if (/[\u0000-\u0020\u007f]/.test(url)) return 'url must not hold spaces or control characters'
  if (url.startsWith('/') || SCP_LIKE.test(url)) return undefined
  if (url.includes('::')) return 'url must not name a helper of git (…::…)'
  if (!URL.canParse(url)) return 'url must be an address or an absolute path'
  const { protocol, hostname, username } = new URL(url)
  if (!SCHEMES.includes(protocol)) return `url must begin with ${SCHEMES.map((scheme) => `${scheme}//`).join(', ')}`
  if (hostname.startsWith('-') || /^(-|%2d)/i.test(username))
    return 'url must not have a host or user that begins with a dash'
  if (protocol !== 'file:' && (hostname === '' || /^\w+:\/\/\//.test(url))) return 'url has no host'
  return undefined
}

/** As git's own rules for names have it, and nothing that reads as an option or a choice of several. */
export function isGitRef(ref: string): boolean {
  return /^[A-Za-z0-9_][\w./+-]{0,254}$/.test(ref) && !/\.\.|\/\/|\/\.|\.lock(\/|$)|[./]$/.test(ref)
}

/** The address without user and password, for people. */
export function shownUrl(url: string): string {
  if (!URL.canParse(url)) return url.replace(/^[^@/]*@/, '')
  const shown = new URL(url)
  shown.username = ''
  shown.password = ''
  shown.search = ''
  shown.hash = ''
  return shown.href
}
