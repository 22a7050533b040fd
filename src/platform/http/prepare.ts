import { DiscoveryService } from '@nestjs/core'
import type { NestExpressApplication } from '@nestjs/platform-express'
import type { RequestHandler } from 'express'
import helmet from 'helmet'
import type { Config } from '../config/config.js'
import { gate } from './gate.js'
import { jsonBody } from './json-body.js'
import { lastAnswers } from './last-answers.js'
import { RouteTable } from './route-table.js'
import { slowBodies } from './slow-bodies.js'

/** Puts in front of the routes what every request passes. The application must have been made with `bodyParser: false`. */
export function prepareHttp(app: NestExpressApplication, config: Config, ...first: RequestHandler[]): void {
  let routes: RouteTable | undefined
  const table = () => {
    routes ??= new RouteTable(app.get(DiscoveryService, { strict: false }).getControllers())
    return routes
  }
  // An entity tag over every answer costs more than it saves; where one serves, the handler sends it.
  app.set('etag', false)
  app.set('trust proxy', [...config.trustProxy])
  app.set('query parser', 'simple')
  app.use(lastAnswers(() => app.getHttpServer()))
  app.use(slowBodies(app.getHttpServer()))
  for (const handler of first) app.use(handler)
  app.use(securityHeaders())
  app.use(gate(table, jsonBody(config.bodyLimitBytes)))
}

/** Answers are data: nothing in them may run, be framed or be kept by caches. Swagger UI's page has a policy of its own. */
function securityHeaders(): RequestHandler {
  const protect = helmet({
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
  })
  return (request, response, next) => {
    response.setHeader('Cache-Control', 'no-store')
    protect(request, response, next)
  }
}
