import { describe, expect, it } from 'vitest'
import { sittingOutages } from './sitting-outages.js'

const gone = () => Object.assign(new Error('the database system is shutting down'), { code: '57P03' })

describe('an outage while a process starts', () => {
  it('is sat out, and the work is begun again', async () => {
    let tries = 0
    const work = async () => {
      if (++tries < 3) throw gone()
      return tries
    }
    expect(await sittingOutages(work)).toBe(3)
  })

  it('that lasts too long is told', async () => {
    await expect(sittingOutages(() => Promise.reject(gone()), 0)).rejects.toThrow('shutting down')
  })

  it('is not what other errors are', async () => {
    let tries = 0
    const work = async () => {
      tries++
      throw new Error('no such column')
    }
    await expect(sittingOutages(work)).rejects.toThrow('no such column')
    expect(tries).toBe(1)
  })
})
