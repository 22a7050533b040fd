import { describe, expect, it } from 'vitest'
import { readyImage } from './images.js'

const ROOT = { uid: 0, gid: 0 }
const NOBODY = { uid: 65_534, gid: 65_534 }
const ADA = { uid: 1_000, gid: 100 }

describe('the programs of an image', () => {
  it.each([
    { user: '1234', as: { uid: 1_234, gid: 1_234 } },
    { user: '1234:5', as: { uid: 1_234, gid: 5 } },
    { user: '', as: NOBODY },
    { user: 'root', as: NOBODY },
    { user: '0', as: NOBODY },
    { user: '00:7', as: NOBODY },
    { user: 'node', as: NOBODY },
    { user: '99999999999', as: NOBODY },
  ])('run as $as.uid where it is made for "$user" and the server is root, and own what they write', ({ user, as }) => {
    expect(readyImage({ id: 'i', user }, false, ROOT)).toEqual({ id: 'i', user: as, owner: as })
  })

  it('run as the server, where that is not root', () => {
    expect(readyImage({ id: 'i', user: '1234' }, false, ADA)).toEqual({ id: 'i', user: ADA })
  })

  it('run as root of a runtime that is an ordinary user’s: as that user', () => {
    expect(readyImage({ id: 'i', user: 'node' }, true, ADA)).toEqual({ id: 'i', user: ROOT })
  })
})
