import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../support/api.js'
import type { Published } from '../support/published.js'
import { mutationsOf } from './mutations.js'
import { send } from './requests.js'

/** The harness itself refuses undocumented statuses, members and content types; here is what else must hold. */

let api: ApiUnderTest

beforeAll(async () => {
  api = await apiUnderTest()
})

afterAll(() => api.close())

describe('whatever is wrong with a request', () => {
  it('is refused with a documented status and never breaks the server', { timeout: 120_000 }, async () => {
    const faults: string[] = []
    for (const published of inOrder(api.spec.operations)) {
      for (const { what, sending, expected } of mutationsOf(api.spec, published)) {
        const answer = await attempt(published, sending).catch((error: Error) => error)
        if (answer instanceof Error) faults.push(`${what}: ${answer.message}`)
        else if (answer.status >= 500) faults.push(`${what}: ${answer.status}`)
        else if (expected && !expected.includes(answer.status)) {
          faults.push(`${what}: ${answer.status} instead of ${expected.join(' or ')}`)
        }
      }
    }
    expect(faults).toEqual([])
  })
})

/** A valid mutation may end the session (logout does); then the request is sent once more in a new one. */
async function attempt(published: Published, sending: Parameters<typeof send>[2]) {
  if (published.operation.security?.length === 0) return send(api, published, sending)
  const answer = await send(api, published, { authorization: await api.asAdmin(), ...sending })
  if (answer.status !== 401) return answer
  api.forgetToken()
  return send(api, published, { authorization: await api.asAdmin(), ...sending })
}

/** Guessing at the login slows the login down, so it comes last. */
function inOrder(operations: readonly Published[]): Published[] {
  const isOpen = ({ operation }: Published) => operation.security?.length === 0
  return [...operations.filter((one) => !isOpen(one)), ...operations.filter(isOpen)]
}
