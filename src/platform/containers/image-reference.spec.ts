import { describe, expect, it } from 'vitest'
import { processorTime } from '../../../test/support/processor-time.js'
import { imageReference } from './image-reference.js'

const DIGEST = `sha256:${'ab'.repeat(32)}`

describe('the name of an image', () => {
  it.each([
    ['alpine', 'alpine:latest'],
    ['alpine:3.20', 'alpine:3.20'],
    ['library/my-app_x.y', 'library/my-app_x.y:latest'],
    ['registry.example.com:5000/team/app:v1.2_3', 'registry.example.com:5000/team/app:v1.2_3'],
    [`app:1@${DIGEST}`, `app@${DIGEST}`],
    [`localhost/app@${DIGEST}`, `localhost/app@${DIGEST}`],
    [DIGEST, DIGEST],
  ])('%s is asked for as %s', (text, asked) => {
    expect(imageReference(text).text).toBe(asked)
  })

  it('tells whether it can come to mean something else', () => {
    expect(imageReference(`app@${DIGEST}`)).toMatchObject({ digest: DIGEST, isId: false })
    expect(imageReference(DIGEST)).toMatchObject({ digest: DIGEST, isId: true })
    expect(imageReference('app:1').digest).toBeUndefined()
  })

  it.each([
    '',
    ' alpine',
    'alpine ',
    'al pine',
    'Alpine',
    '-v',
    '--privileged',
    'alpine:',
    'alpine@sha256:abc',
    `alpine@md5:${'ab'.repeat(32)}`,
    'http://host/app',
    '../../etc',
    'a//b',
    'app:tag:tag',
    'app\nx',
    'app?x=1',
    'app#x',
    'app%2e',
    'ä',
    'a'.repeat(300),
  ])('%j is none', (text) => {
    expect(() => imageReference(text)).toThrow(expect.objectContaining({ code: 'container.image.invalid' }))
  })

  it('is told from what is none in time that does not grow with the effort', () => {
    const spent = processorTime()
    for (const text of [`${'a-'.repeat(120)}!`, `${'a.'.repeat(120)}!`, `${'a__'.repeat(80)}/`, `${'a/'.repeat(120)}:`])
      expect(() => imageReference(text)).toThrow()
    expect(spent()).toBeLessThan(500)
  })
})
