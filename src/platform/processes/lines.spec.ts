import { describe, expect, it } from 'vitest'
import { Lines, LONGEST_LINE } from './lines.js'

const pushed = (chunks: readonly (string | Buffer)[]) => {
  const lines = new Lines()
  const found = chunks.flatMap((chunk) => lines.push(Buffer.from(chunk)))
  const rest = lines.rest()
  return { found: found.map(({ text }) => text), rest: rest?.text }
}

describe('output in lines', () => {
  it('is cut at newlines, wherever chunks end', () => {
    expect(pushed(['one\ntw', 'o\r\n', '\n', 'rest'])).toEqual({ found: ['one', 'two', ''], rest: 'rest' })
    expect(pushed(['whole\n'])).toEqual({ found: ['whole'], rest: undefined })
  })

  it('does not tear letters at the border of chunks', () => {
    const bytes = Buffer.from('grün 🙂 漢字\n')
    for (let at = 1; at < bytes.length; at++)
      expect(pushed([bytes.subarray(0, at), bytes.subarray(at)]).found).toEqual(['grün 🙂 漢字'])
  })

  it('replaces what is no UTF-8', () => {
    expect(pushed([Buffer.from([0x61, 0xff, 0x62, 0x0a])]).found).toEqual(['a\uFFFDb'])
  })

  it('holds no more of a line than it may, and no half letter of it', () => {
    const lines = new Lines()
    const chunk = Buffer.from('🙂'.repeat(20_000))
    for (let bytes = 3; bytes < LONGEST_LINE * 2; bytes += chunk.length) lines.push(chunk)
    const [line] = lines.push(Buffer.from('\nnext\n'))
    expect(line?.isCut).toBe(true)
    expect(Buffer.byteLength(line?.text ?? '')).toBeLessThanOrEqual(LONGEST_LINE)
    expect(line?.text.isWellFormed()).toBe(true)
    expect(line?.text).not.toContain('\uFFFD')
    expect(lines.rest()).toBeUndefined()
  })

  it('skims for the last line alone', () => {
    const lines = new Lines()
    const last: string[] = []
    lines.push(Buffer.from('told\nbeg'))
    for (const chunk of ['un\n', 'a\nb\nc', 'd', '\nend']) lines.skim(Buffer.from(chunk), ({ text }) => last.push(text))
    expect(last).toEqual(['begun', 'b', 'cd'])
    expect(lines.rest()?.text).toBe('end')
  })
})
