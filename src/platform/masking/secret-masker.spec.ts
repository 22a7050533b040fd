import { randomBytes, randomInt } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { processorTime } from '../../../test/support/processor-time.js'
import type { Json } from '../json.js'
import { MASK, SecretMasker } from './secret-masker.js'

const ALPHABETS = [
  'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789',
  '"\\/\n\t\r {}[]:,\'<>&%+=#?;@!$()*~^`|',
  'äöüßéñ漢字🔑🚀“”',
]

function randomSecret(): string {
  const alphabet = [...(ALPHABETS[randomInt(ALPHABETS.length)] as string), ...(ALPHABETS[0] as string)]
  return Array.from({ length: randomInt(6, 60) }, () => alphabet[randomInt(alphabet.length)]).join('')
}

const upperHex = (text: string) => text.replace(/%[0-9a-f]{2}/gi, (hex) => hex.toUpperCase())
const lowerHex = (text: string) => text.replace(/%[0-9a-f]{2}/gi, (hex) => hex.toLowerCase())
const mixedHex = (text: string) =>
  text.replace(/%[0-9a-f]{2}/gi, (hex) => (randomInt(2) ? hex.toUpperCase() : hex.toLowerCase()))
const everyByte = (text: string) => Buffer.from(text).toString('hex').replace(/../g, '%$&')
const inJson = (text: string) => JSON.stringify(text).slice(1, -1)
const inAsciiJson = (text: string) =>
  inJson(text).replace(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
const inForm = (text: string) => new URLSearchParams({ v: text }).toString().slice(2)

const codePoints = (text: string, spell: (code: number) => string) =>
  [...text].map((character) => spell(character.codePointAt(0) as number)).join('')
const inHtml = (text: string) =>
  text.replace(
    /[&<>"']/g,
    (character) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[character] ?? '&#39;',
  )

const SPELLINGS: Record<string, (secret: string) => string> = {
  raw: (secret) => secret,
  json: inJson,
  'json of json': (secret) => inJson(inJson(secret)),
  'ascii json': inAsciiJson,
  'json of json of json': (secret) => inJson(inJson(inJson(secret))),
  'json of json of json of json': (secret) => inJson(inJson(inJson(inJson(secret)))),
  'uri component three times': (secret) => encodeURIComponent(encodeURIComponent(encodeURIComponent(secret))),
  escape: (secret) => escape(secret),
  html: inHtml,
  'html in json': (secret) => inJson(inHtml(secret)),
  'html, decimal': (secret) => codePoints(secret, (code) => `&#${code};`),
  'html, hexadecimal': (secret) => codePoints(secret, (code) => `&#x${code.toString(16)};`),
  'a source text with \\x': (secret) =>
    inAsciiJson(secret).replace(/[a-z](?![0-9a-f]{4})/g, (letter, at, all) =>
      all[at - 1] === '\\' || /\\u[0-9a-f]{0,3}$/.test(all.slice(0, at))
        ? letter
        : `\\x${letter.charCodeAt(0).toString(16)}`,
    ),
  'json with escaped slashes': (secret) => inJson(secret).replaceAll('/', '\\/'),
  uri: encodeURI,
  'uri component': encodeURIComponent,
  'uri component, lower': (secret) => lowerHex(encodeURIComponent(secret)),
  'uri component, mixed': (secret) => mixedHex(encodeURIComponent(secret)),
  'uri component twice': (secret) => encodeURIComponent(encodeURIComponent(secret)),
  'uri component in json': (secret) => inJson(encodeURIComponent(secret)),
  'json in uri component': (secret) => encodeURIComponent(inJson(secret)),
  form: (secret) => upperHex(inForm(secret)),
  'form, lower': (secret) => lowerHex(inForm(secret)),
  'every byte': everyByte,
  hex: (secret) => Buffer.from(secret).toString('hex'),
  'upper hex': (secret) => Buffer.from(secret).toString('hex').toUpperCase(),
  base64: (secret) => Buffer.from(secret).toString('base64'),
  base64url: (secret) => Buffer.from(secret).toString('base64url'),
  'base64 in uri component': (secret) => encodeURIComponent(Buffer.from(secret).toString('base64')),
  'base64 of json': (secret) => Buffer.from(JSON.stringify({ a: [secret] })).toString('base64'),
}

/** Anything of the secret's inside that still reads like it: whole, or decoded from base64. */
function revealed(masked: string, secret: string): boolean {
  const runs = masked.match(/[A-Za-z0-9+/_-]{4,}/g) ?? []
  return [masked, ...runs.map((run) => Buffer.from(run, 'base64').toString('utf8'))].some((text) =>
    text.includes(secret),
  )
}

describe('SecretMasker', () => {
  for (const [name, spell] of Object.entries(SPELLINGS)) {
    it(`hides random secrets spelled as ${name}`, () => {
      for (let round = 0; round < 40; round++) {
        const secrets = Array.from({ length: 3 }, randomSecret)
        const masker = new SecretMasker(secrets)
        for (const secret of secrets) {
          const spelled = spell(secret)
          const masked = masker.maskText(`GET /a?b=${spelled}&c 100% \\d`)
          expect(masked, secret).toContain(MASK)
          expect(masked, secret).not.toContain(spelled)
          expect(masked.startsWith('GET /a?b=')).toBe(true)
          expect(masked.endsWith('&c 100% \\d')).toBe(true)
        }
      }
    })
  }

  it('hides a secret at each alignment inside longer base64', () => {
    for (let round = 0; round < 100; round++) {
      const secret = randomSecret()
      const masker = new SecretMasker([secret])
      for (const lead of [0, 1, 2, 3, 4, 5]) {
        const bytes = Buffer.concat([randomBytes(lead), Buffer.from(secret), randomBytes(randomInt(5))])
        for (const encoding of ['base64', 'base64url'] as const) {
          const masked = masker.maskText(bytes.toString(encoding))
          expect(masked).toContain(MASK)
          expect(revealed(masked, secret)).toBe(false)
        }
      }
    }
  })

  it('hides a basic authorization header that holds a secret as its password', () => {
    const header = `Basic ${Buffer.from('user:s3cret-value').toString('base64')}`
    expect(new SecretMasker(['s3cret-value']).maskText(header)).toMatch(
      /^Basic dXNlcj\*\*\*.?$|^Basic dXNlcjp\*\*\*.*$/,
    )
  })

  it('hides each long line of a multi-line secret, and the secret without its last newline', () => {
    const key = '-----BEGIN KEY-----\nMIIEvQIBADANBg\nshort\nkqhkiG9w0BAQ\n-----END KEY-----\n'
    const masker = new SecretMasker([key])
    expect(masker.maskText(`a ${key}b`)).toBe('a ***b')
    expect(masker.maskText('line kqhkiG9w0BAQ')).toBe('line ***')
    expect(masker.maskText('short')).toBe('short')
    expect(masker.maskText(`[${key.trim()}]`)).toBe('[***]')
    expect(masker.maskText(Buffer.from('x MIIEvQIBADANBg y').toString('base64'))).toContain(MASK)
    expect(new SecretMasker(['abcd\n']).maskText('is abcd.')).toBe('is ***.')
  })

  it('hides overlapping secrets whole', () => {
    const masker = new SecretMasker(['abcdef', 'defghi', 'xx-abcdef-yy'])
    expect(masker.maskText('1 abcdefghi 2')).toBe('1 *** 2')
    expect(masker.maskText('1 xx-abcdef-yy 2')).toBe('1 *** 2')
    expect(new SecretMasker(['abab']).maskText('xababababx')).toBe('x***x')
  })

  it('leaves short values and other texts alone', () => {
    expect(new SecretMasker(['abc']).maskText('abc')).toBe('abc')
    expect(new SecretMasker(['abcd']).maskText('abc 100% \\u12 %zz %c3%28')).toBe('abc 100% \\u12 %zz %c3%28')
    expect(new SecretMasker([]).maskText('anything')).toBe('anything')
  })

  it('masks JSON in names and values at any depth, and numbers that are a secret', () => {
    const masker = new SecretMasker(['hunter22', '48151623'])
    expect(
      masker.mask({ a: [{ b: 'is hunter22' }, null, true, 48151623, 7], 'key-hunter22': 1, hunter22: 2, '***': 3 }),
    ).toEqual({ a: [{ b: 'is ***' }, null, true, '***', 7], 'key-***': 1, '***#2': 2, '***': 3 })
  })

  it('hides numbers that hold a secret, however it is written', () => {
    const masker = new SecretMasker(['48151623', '0042.50', '12345678901234567890', '0000'])
    const shown = [-48151623, 48151623.5, 1481516230, 42.5, Number('12345678901234567890'), 0, 4815162, 425]
    expect(masker.mask(shown)).toEqual([MASK, MASK, MASK, MASK, MASK, 0, 4815162, 425])
  })

  it('keeps all of many names that hide the same', () => {
    const secret = 'abcdefghijklmno'
    const spelled = (bits: number) =>
      secret.replace(/./g, (letter, at) => ((bits >> at) & 1 ? everyByte(letter) : letter))
    const object = Object.fromEntries(Array.from({ length: 1 << secret.length }, (_, bits) => [spelled(bits), bits]))
    const spent = processorTime()
    const masked = Object.entries(new SecretMasker([secret]).mask(object))
    expect(masked.map(([, bits]) => bits)).toEqual(Object.values(object))
    expect(masked.map(([name]) => name)).toEqual(masked.map((_, index) => (index ? `${MASK}#${index + 1}` : MASK)))
    // One search from the start for each name would be 10^9 look-ups.
    expect(spent()).toBeLessThan(5_000)
  })

  it('keeps a member named __proto__ a member', () => {
    const masked = new SecretMasker(['hunter22']).mask(JSON.parse('{"__proto__": {"x": "hunter22"}}'))
    expect(JSON.stringify(masked)).toBe('{"__proto__":{"x":"***"}}')
  })

  it('answers the same reference where nothing was found, and keeps untouched parts', () => {
    const masker = new SecretMasker(['hunter22'])
    const clean: Json = { a: [1, 'two', { three: null }], b: '100%25 \\n' }
    expect(masker.mask(clean)).toBe(clean)
    const mixed = { clean, dirty: 'hunter22' }
    expect(masker.mask(mixed).clean).toBe(clean)
    expect(mixed.dirty).toBe('hunter22')
  })

  it('stays linear on repetitive secrets and texts', () => {
    const masker = new SecretMasker(['a'.repeat(60_000), `${'ab'.repeat(20_000)}c`])
    const spent = processorTime()
    expect(masker.maskText(`${'a'.repeat(59_999)} ${'ab'.repeat(200_000)}`)).not.toContain(MASK)
    expect(masker.maskText(`${'a'.repeat(300_000)}b`)).toBe('***b')
    // Quadratic work would be some 10^10 comparisons, a minute at least.
    expect(spent()).toBeLessThan(15_000)
  })

  it.each([
    ['escapes of every kind', '%5C%2541+\\u0025&amp;'],
    ['escapes of escapes', '%5c%5c+\\\\%2525'],
    ['ampersands and percents that are no escapes', '&amp%4&#%zz\\q'],
  ])('takes no longer over %s than a moment per megabyte', (_, unit) => {
    const masker = new SecretMasker(['hunter22 and more'])
    const text = unit.repeat(4_000_000 / unit.length)
    const spent = processorTime()
    expect(masker.maskText(`${text} hunter22 and more`).endsWith(' ***')).toBe(true)
    expect(spent()).toBeLessThan(4_000)
  })

  it('hides a text whole that would take far too much work', () => {
    const masker = new SecretMasker(
      Array.from({ length: 1_000 }, (_, index) => `${'a'.repeat(3 + (index % 40))}${index}`),
    )
    const spent = processorTime()
    expect(masker.mask({ much: 'a'.repeat(2_000_000), little: 'harmless', also: 'aaa7' })).toEqual({
      much: MASK,
      little: 'harmless',
      also: MASK,
    })
    expect(spent()).toBeLessThan(8_000)
  })
})

describe('MaskingStream', () => {
  function throughStream(masker: SecretMasker, text: string): string {
    const stream = masker.stream()
    let out = ''
    for (let at = 0; at < text.length; ) {
      const size = randomInt(1, 12)
      out += stream.write(text.slice(at, at + size))
      at += size
    }
    return out + stream.end()
  }

  for (const [name, spell] of Object.entries(SPELLINGS)) {
    it(`hides secrets spelled as ${name} across the pieces' borders`, () => {
      for (let round = 0; round < 25; round++) {
        const secret = randomSecret()
        const masker = new SecretMasker([secret, randomSecret()])
        const spelled = spell(secret)
        const text = `one ${spelled} two ${secret.slice(0, 5)} ${spelled}${spelled} end`
        const out = throughStream(masker, text)
        expect(out).not.toContain(spelled)
        expect(out).toBe(masker.maskText(text))
      }
    })
  }

  it('hides a secret whose end makes an escape together with what follows it', () => {
    const secret = 'd7a}"`HAwF?DBw>%'
    const spelled = encodeURIComponent(inJson(secret))
    expect(new SecretMasker([secret]).maskText(`${spelled}${spelled}d7`)).toBe('******d7')
    expect(new SecretMasker(['2ijZ%D']).maskText('2\\x69jZ%D2')).toBe('***2')
  })

  it('gives back at once what cannot begin a secret', () => {
    const stream = new SecretMasker(['hunter22']).stream()
    expect(stream.write('hello\n')).toBe('hello\n')
    expect(stream.write('say hunt')).toBe('say ')
    expect(stream.write('ing')).toBe('hunting')
    expect(stream.write(' hunter2')).toBe(' ')
    expect(stream.write('2!')).toBe('***!')
    expect(stream.write('hun')).toBe('')
    expect(stream.end()).toBe('hun')
    expect(stream.write('50%')).toBe('50')
    expect(stream.end()).toBe('%')
  })
})
