import { describe, expect, it } from 'vitest'
import { Places } from './places.js'

function placesOf(most: number, held: Record<string, number> = {}, waiting: readonly string[] = []): Places {
  const places = new Places(most)
  for (const [account, count] of Object.entries(held)) for (let n = 0; n < count; n++) places.take(account)
  places.wait(waiting)
  return places
}

const asObject = (quotas: ReturnType<Places['quotas']>) =>
  Object.fromEntries(quotas.map(({ account, quota }) => [account, quota]))

describe('places', () => {
  it('are all for one account while no other waits', () => {
    const places = placesOf(20, { a: 19 }, ['a'])
    expect(places.mayTake('a')).toBe(true)
    expect(asObject(places.quotas(['a'], 100))).toEqual({ a: 1 })
    places.take('a')
    expect(places.mayTake('a')).toBe(false)
    expect(places.owesSpare).toBe(false)
    expect(places.quotas(['a'], 100)).toEqual([])
  })

  it('go to whoever has fewest, until all have the same', () => {
    expect(asObject(placesOf(20, { a: 12, b: 2 }).quotas(['a', 'b', 'c'], 100))).toEqual({ b: 2, c: 4 })
    expect(asObject(placesOf(20, { a: 3 }).quotas(['a', 'b'], 5))).toEqual({ a: 1, b: 4 })
  })

  it('go in turns where all have the same: the list of the next claim begins behind who was last', () => {
    const places = placesOf(1)
    expect(places.quotas(['b', 'c', 'a'], 100).at(-1)).toEqual({ account: 'b', quota: 1 })
    expect(placesOf(10).quotas(['b', 'c', 'a'], 4)).toEqual([
      { account: 'c', quota: 1 },
      { account: 'a', quota: 1 },
      { account: 'b', quota: 2 },
    ])
  })

  it('are not taken past those that wait by an account that has its share', () => {
    const places = placesOf(20, { a: 10, b: 1 }, ['b'])
    expect(places.mayTake('a')).toBe(false)
    expect(places.mayTake('b')).toBe(true)
    places.leave('a')
    expect(places.mayTake('a')).toBe(true)
    places.waits('c')
    expect(places.mayTake('a')).toBe(false)
    places.wait([])
    expect(places.mayTake('a')).toBe(true)
  })

  it('beyond the usual ones are for others than those who took these', () => {
    const places = placesOf(20, { a: 20 }, ['a', 'b'])
    expect(places.room).toBe(0)
    expect(places.mayTake('a')).toBe(false)
    expect(places.mayTake('b')).toBe(true)
    expect(places.owesSpare).toBe(true)
    // Two, of which b may have one as long as it is one of two.
    expect(asObject(places.quotas(['a', 'b'], 100))).toEqual({ b: 1 })
    places.take('b')
    places.wait(['a', 'b'])
    expect(places.owesSpare).toBe(false)
    expect(places.mayTake('c')).toBe(true)
    places.take('c')
    expect(places.mayTake('d')).toBe(false)
    expect(places.quotas(['d'], 100)).toEqual([])
    places.leave('a')
    expect(places.room).toBe(0)
  })

  it('are none where the process works on none', () => {
    const places = placesOf(0, {}, ['a'])
    expect(places.mayTake('a')).toBe(false)
    expect(places.owesSpare).toBe(false)
    expect(places.quotas(['a'], 100)).toEqual([])
  })

  it('are never handed out twice, nor left empty while somebody waits, whatever happens', () => {
    const accounts = ['a', 'b', 'c', 'd']
    for (let seed = 1; seed <= 200; seed++) {
      let state = seed
      const random = (below: number) => {
        state = (state * 48_271) % 2_147_483_647
        return state % below
      }
      const most = 1 + random(12)
      const places = new Places(most)
      const held: string[] = []
      for (let move = 0; move < 60; move++) {
        const waiting = accounts.filter(() => random(2) === 0)
        places.wait(waiting)
        const account = accounts[random(4)] as string
        if (random(3) === 0 && held.length > 0) places.leave(held.splice(random(held.length), 1)[0] as string)
        else if (random(2) === 0 && places.mayTake(account)) {
          places.take(account)
          held.push(account)
        } else {
          const { room } = places
          const quotas = places.quotas(waiting, 100)
          const sum = quotas.reduce((total, { quota }) => total + quota, 0)
          if (room > 0) expect(sum).toBe(waiting.length > 0 ? room : 0)
          for (const { account, quota } of quotas)
            for (let n = 0; n < quota; n++) {
              places.take(account)
              held.push(account)
            }
        }
        expect(held.length).toBeLessThanOrEqual(most + Math.max(1, Math.floor(most / 10)))
      }
    }
  })
})
