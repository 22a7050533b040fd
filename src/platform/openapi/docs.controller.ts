import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Controller, Get, Param, Req, Res } from '@nestjs/common'
import { ApiExcludeController } from '@nestjs/swagger'
import type { Request, Response } from 'express'
import { UnknownPath } from '../http/refusals.js'
import { Public } from './operations.js'
import { surfaceNames, surfaces } from './surface.js'

const PUBLISHED = fileURLToPath(new URL('../../../openapi/', import.meta.url))
const ASSETS = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'))

/** The interface's own files: nothing is loaded from elsewhere. */
const ASSET_NAMES = new Set([
  'swagger-ui.css',
  'swagger-ui-bundle.js',
  'swagger-ui-standalone-preset.js',
  'favicon-16x16.png',
  'favicon-32x32.png',
])

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

/** Swagger UI, and the documents that it shows. */
@Controller()
@ApiExcludeController()
@Public()
export class DocsController {
  @Get('docs')
  page(@Res() response: Response): void {
    response.setHeader('Content-Security-Policy', POLICY)
    response.type('html').send(PAGE)
  }

  @Get('docs/start.js')
  start(@Res() response: Response): void {
    response.type('text/javascript').send(startScript())
  }

  @Get('docs/:asset')
  asset(@Param('asset') asset: string, @Req() request: Request, @Res() response: Response): void {
    if (!ASSET_NAMES.has(asset)) throw new UnknownPath(request.path)
    response.setHeader('Cache-Control', 'public, max-age=3600')
    response.sendFile(join(ASSETS, asset))
  }

  @Get('openapi/:document')
  document(@Param('document') document: string, @Req() request: Request, @Res() response: Response): void {
    if (!/^[a-z0-9.-]+\.json$/.test(document) || !existsSync(join(PUBLISHED, document))) {
      throw new UnknownPath(request.path)
    }
    response.setHeader('Cache-Control', 'no-cache')
    response.sendFile(join(PUBLISHED, document), { etag: true, lastModified: false })
  }
}

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Millrace API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/swagger-ui-standalone-preset.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`

/** Every published document in the drop-down; a token that was entered is kept over reloads. */
function startScript(): string {
  const urls = [
    { name: 'All APIs', url: '/openapi/openapi.json' },
    ...surfaceNames
      .map((surface) => ({ name: surfaces[surface].title, file: surfaces[surface].document }))
      .filter(({ file }) => existsSync(join(PUBLISHED, file)))
      .map(({ name, file }) => ({ name, url: `/openapi/${file}` })),
  ]
  return `SwaggerUIBundle({
  dom_id: '#ui',
  urls: ${JSON.stringify(urls)},
  layout: 'StandaloneLayout',
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
  deepLinking: true,
  displayRequestDuration: true,
  persistAuthorization: true,
  tryItOutEnabled: true,
})
`
}
