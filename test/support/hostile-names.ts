/** Parts that names of objects are made of, each a trap for somebody between a client and a row. */
const TRAPS = [
  ...[
    '..',
    '.',
    '...',
    '',
    ' ',
    '  ',
    'a b',
    ' a',
    'a ',
    '%',
    '%%',
    '%2F',
    '%2f',
    '%00',
    '%zz',
    '%25',
    '+',
    'a+b',
    '++',
  ],
  ...['&', '=', '?', '#', ';', ':', '@', '$', ',', '!', "'", '"', '(', ')', '*', '~', '^', '`', '|', '\\', '<', '>'],
  ...['[', ']', '{', '}', '<Key>', ']]>', '&amp;', '&#x1;', '<!--', '%s', '${HOME}', '$(id)', '../../etc/passwd'],
  ...['-rf', '--help', '.hidden', 'null', 'undefined', '__proto__', 'constructor', 'con.txt', 's3:', 'http:', 'NaN'],
  ...['uploads', 'versioning', 'acl', 'delete', 'X-Amz-Signature', "'; drop table bucket; --", '\u{1F600}', '漢字'],
  ...['é', 'e\u0301', 'ÅÄÖ', 'ß', 'ﬁ', 'İ', 'שלום', '\u202Etxt', '\u200B', '\uFEFF', '\uFFFD', '\u{10FFFF}', '\u0085'],
  ...[
    '\u2028',
    '\u00A0',
    '\u3000',
    '．',
    '／',
    '‛',
    '\t',
    '\n',
    '\r',
    '\r\n',
    '\u0001',
    '\u001B[31m',
    '\u007F',
    '\uFFFE',
  ],
]

/** As many different names as asked for, the same for the same seed. Each is a key of S3: 1 to 1,024 bytes of UTF-8 without U+0000. */
export function hostileNames(count: number, seed: number): string[] {
  const random = randomOf(seed)
  const pick = () => TRAPS[Math.floor(random() * TRAPS.length)] as string
  const segment = () => Array.from({ length: 1 + Math.floor(random() * 3) }, pick).join(random() < 0.3 ? 'x' : '')
  const names = new Set<string>(TRAPS.filter((name) => name !== ''))
  names.add('l'.repeat(1024))
  names.add('é'.repeat(512))
  names.add('/'.repeat(1024))
  while (names.size < count) {
    const name = Array.from({ length: 1 + Math.floor(random() * 4) }, segment).join('/')
    const numbered = random() < 0.5 ? name : `${name}${names.size}`
    if (numbered !== '' && Buffer.byteLength(numbered) <= 1024) names.add(numbered)
  }
  return [...names].slice(0, count)
}

/** What an object of this name holds: short, and of no other. */
export function contentOf(name: string): string {
  return `content of ${JSON.stringify(name)}\n`
}

/** Mulberry32. */
function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
