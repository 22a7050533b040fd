import { Controller, Get, Param, Req, Res } from '@nestjs/common'
import { ApiExcludeController } from '@nestjs/swagger'
import type { Request, Response } from 'express'
import { DomainError } from '../errors/domain-error.js'
import { Public } from '../openapi/operations.js'
import { type ProblemPage, problemPage } from './problem-pages.js'

/** Where the `type` of a problem leads: its cause and its fix, for people in HTML and for programs in JSON. */
@Controller('problems')
@ApiExcludeController()
@Public()
export class ProblemsController {
  @Get(':slug')
  get(@Param('slug') slug: string, @Req() request: Request, @Res() response: Response): void {
    const page = problemPage(slug)
    if (!page) throw new ProblemPageNotFound(slug)
    response.setHeader('Vary', 'Accept')
    if (request.accepts(['json', 'html']) === 'html') response.type('html').send(html(page))
    else response.json({ type: `/problems/${page.slug}`, ...page })
  }
}

class ProblemPageNotFound extends DomainError {
  constructor(slug: string) {
    super('not_found', 'unknown-path', 'Nothing is at this path', `No problem is called '${slug}'`)
  }
}

function html({ title, status, cause, fix }: ProblemPage): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>${escaped(title)}</title>
<h1>${escaped(title)}</h1>
<p>HTTP status ${status}</p>
<h2>Cause</h2>
<p>${escaped(cause)}</p>
<h2>Fix</h2>
<p>${escaped(fix)}</p>
</html>
`
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
