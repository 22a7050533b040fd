import { describe, expect, it } from 'vitest'
import { Demultiplexer } from './multiplexed.js'

const stream = Buffer.concat([
  frame(1, 'out'),
  frame(2, 'err'),
  frame(1, ''),
  frame(1, 'ümlaut'),
  frame(2, 'x'.repeat(300)),
])

describe('the framed output of a container', () => {
  it.each([1, 2, 3, 7, 8, 9, 64, 10_000])('is the same in pieces of %i bytes', (size) => {
    const frames = new Demultiplexer()
    const heard = { stdout: '', stderr: '' }
    for (let at = 0; at < stream.length; at += size)
      for (const { channel, bytes } of frames.take(stream.subarray(at, at + size)))
        heard[channel] += bytes.toString('latin1')
    expect(Buffer.from(heard.stdout, 'latin1').toString()).toBe('outümlaut')
    expect(heard.stderr).toBe(`err${'x'.repeat(300)}`)
  })

  it('is refused where it is none', () => {
    expect(() => [...new Demultiplexer().take(Buffer.from('plain text'))]).toThrow('not framed')
  })
})

function frame(channel: number, text: string): Buffer {
  const content = Buffer.from(text)
  const header = Buffer.from([channel, 0, 0, 0, 0, 0, 0, 0])
  header.writeUInt32BE(content.length, 4)
  return Buffer.concat([header, content])
}
