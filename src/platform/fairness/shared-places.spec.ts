import { expect, test } from 'vitest'
import { SharedPlaces } from './shared-places.js'

const NEVER = new AbortController().signal

/** Work that is under way, by the account and in the order of its beginning, and how to end it. */
function lab(most: number) {
  const places = new SharedPlaces(most)
  const begun: string[] = []
  const ends: (() => void)[] = []
  const work = (account: string, signal = NEVER) =>
    places.take(account, signal, async () => {
      begun.push(account)
      await new Promise<void>((resolve) => ends.push(resolve))
    })
  const settled = () => new Promise((resolve) => setImmediate(resolve))
  return { places, begun, ends, work, settled }
}

test('one account has all places while no other waits, and another gets one beside them', async () => {
  const { places, begun, work, settled } = lab(4)
  for (let n = 0; n < 6; n++) void work('a')
  await settled()
  expect(begun).toEqual(['a', 'a', 'a', 'a'])
  void work('b')
  void work('b')
  await settled()
  expect(begun.slice(4)).toEqual(['b'])
  expect(places.waiting).toBe(3)
})

test('what becomes free goes to whoever has fewest, then in turns', async () => {
  const { begun, ends, work, settled } = lab(4)
  for (let n = 0; n < 20; n++) void work('a')
  for (let n = 0; n < 3; n++) void work('b')
  await settled()
  for (let n = 0; n < 4; n++) {
    ends[n]?.()
    await settled()
  }
  // The first that ends only brings it back to the usual number.
  expect(begun).toEqual(['a', 'a', 'a', 'a', 'b', 'b', 'a', 'a'])
})

test('who gives up waits no more, and leaves its place to the next', async () => {
  const { places, begun, ends, work, settled } = lab(1)
  const stop = new AbortController()
  void work('a')
  const gone = work('a', stop.signal)
  void work('a')
  stop.abort(new Error('stopped'))
  await expect(gone).rejects.toThrow('stopped')
  await expect(work('a', stop.signal)).rejects.toThrow('stopped')
  expect(places.waiting).toBe(1)
  ends[0]?.()
  await settled()
  expect(begun).toEqual(['a', 'a'])
})

test('work that fails leaves its place', async () => {
  const places = new SharedPlaces(1)
  await expect(places.take('a', NEVER, () => Promise.reject(new Error('failed')))).rejects.toThrow('failed')
  expect(await places.take('a', NEVER, async () => 'done')).toBe('done')
})
