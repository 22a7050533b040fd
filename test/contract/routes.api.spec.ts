import { DiscoveryService } from '@nestjs/core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { dialects } from '../../src/dialects/index.js'
import { isPublic, surfaceOf } from '../../src/platform/openapi/operations.js'
import { type ApiUnderTest, apiUnderTest } from '../support/api.js'

/** Routes for everybody, published or not. Adding one is a decision. */
const PUBLIC = [
  'DocsController.*',
  'FacilFlowHealthController.*',
  'Flow8AuthController.login',
  // Channels ask for tokens of their own.
  'Flow8ChannelRequestsController.*',
  'FlowRunnerAuthController.login',
  'FlwdHealthController.*',
  'ProblemsController.*',
]

let api: ApiUnderTest

beforeAll(async () => {
  api = await apiUnderTest()
})

afterAll(() => api.close())

it('every route says how its callers are known, or is public by decision', () => {
  const open = new Set<string>()
  const undeclared: string[] = []
  let routes = 0
  for (const { metatype } of api.app.get(DiscoveryService).getControllers()) {
    if (!metatype) continue
    const surface = surfaceOf(metatype)?.surface
    for (const name of Object.getOwnPropertyNames(metatype.prototype)) {
      const handler = metatype.prototype[name]
      if (Reflect.getMetadata('path', handler) === undefined) continue
      routes += 1
      if (isPublic(handler, metatype)) open.add(`${metatype.name}.${isPublic({}, metatype) ? '*' : name}`)
      else if (!surface || dialects.of(surface).accepts.length === 0) undeclared.push(`${metatype.name}.${name}`)
    }
  }
  expect(routes).toBeGreaterThan(20)
  expect(undeclared).toEqual([])
  expect([...open].sort()).toEqual(PUBLIC)
})
