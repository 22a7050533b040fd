import { describe, expect, it } from 'vitest'
import { S3Error } from './s3.errors.js'
import { parseXml, xmlDocument } from './xml.js'

function keyIn(xml: string): string | undefined {
  return parseXml(Buffer.from(xml), 'Delete').all('Object')[0]?.text('Key')
}

describe('XML that is read', () => {
  it.each([
    ['spaces', '<Key> a  </Key>', ' a  '],
    ['nothing but a space', '<Key> </Key>', ' '],
    ['nothing', '<Key/>', ''],
    ['the five names', '<Key>&lt;&gt;&amp;&quot;&apos;</Key>', '<>&"\''],
    ['what looks like an entity once it is read', '<Key>&amp;lt;</Key>', '&lt;'],
    ['characters by number', '<Key>&#13;&#x1F600;&#x1;</Key>', '\r\u{1F600}\u0001'],
    ['a character that XML 1.0 does not have', '<Key>a\u0001b</Key>', 'a\u0001b'],
    ['a number', '<Key>0012</Key>', '0012'],
    ['a comment', '<Key>a<!-- x -->b</Key>', 'ab'],
  ])('keeps %s', (_, key, expected) => {
    const xml = `<?xml version="1.0"?>\n<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">\n <Object>${key}</Object></Delete>`
    expect(keyIn(xml)).toBe(expected)
  })

  it.each([
    ['a document type', '<!DOCTYPE Delete><Delete/>'],
    ['an entity of its own', '<!DOCTYPE d [<!ENTITY a "b">]><Delete><Object><Key>&a;</Key></Object></Delete>'],
    ['an entity of nobody', '<Delete><Object><Key>&nbsp;</Key></Object></Delete>'],
    ['half an entity', '<Delete><Object><Key>a & b</Key></Object></Delete>'],
    ['half a character', '<Delete><Object><Key>&#xDFFF;</Key></Object></Delete>'],
    ['a character behind the last', '<Delete><Object><Key>&#x110000;</Key></Object></Delete>'],
    ['two of what there is one of', '<Delete><Object><Key>a</Key><Key>b</Key></Object></Delete>'],
    ['a prototype', '<Delete><__proto__>x</__proto__></Delete>'],
    ['another root', '<Other/>'],
    ['two roots', '<Delete/><Delete/>'],
    ['no end', '<Delete><Object>'],
    ['depth', `${'<Delete>'.repeat(5000)}${'</Delete>'.repeat(5000)}`],
    ['nothing', ''],
  ])('refuses %s', (_, xml) => {
    expect(() => keyIn(xml)).toThrow(S3Error)
  })
})

it('what is written keeps what XML would change', () => {
  const written = xmlDocument('Delete', { Object: [{ Key: ' <a>&"\r\n\t\u0001\u{1F600} ' }, { Key: '' }] })
  expect(written).toContain('<Key> &lt;a&gt;&amp;&quot;&#xd;\n\t&#x1;\u{1F600} </Key>')
  expect(keyIn(written)).toBe(' <a>&"\r\n\t\u0001\u{1F600} ')
})
