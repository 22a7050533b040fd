import { readdirSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { flwdTypes } from '../../dialects/flwd.js'
import { problemPage, problemSlugs } from './problem-pages.js'
import { statusOfKind } from './statuses.js'

const SOURCES = new URL('../../', import.meta.url)

/** `'not_found', 'flow-not-found', 'Flow not found'` in a constructor's arguments, over as many lines as the formatter takes. */
const THROWN = new RegExp(
  `\\(\\s*'(${Object.keys(statusOfKind).join('|')})',\\s*'([a-z0-9-]+)',\\s*(?:'([^']*)'|"([^"]*)")`,
  'g',
)

/** The slugs that errors of `src` are made with, and what their titles and kinds are. */
function thrown(): { slug: string; title: string; status: number; file: string }[] {
  return readdirSync(SOURCES, { recursive: true, encoding: 'utf8' })
    .filter(
      (file) => file.endsWith('.ts') && !/\.(spec|fake)\.ts$/.test(file) && !file.endsWith('openapi/components.ts'),
    )
    .flatMap((file) =>
      [...readFileSync(new URL(file, SOURCES), 'utf8').matchAll(THROWN)].map((match) => ({
        file,
        status: statusOfKind[match[1] as keyof typeof statusOfKind],
        slug: match[2] as string,
        title: (match[3] ?? match[4]) as string,
      })),
    )
}

it('finds the errors in the sources', () => {
  expect(thrown().length).toBeGreaterThan(10)
})

it('explains every problem that can be answered, under the same title and status', () => {
  for (const { slug, title, status, file } of thrown()) {
    expect(problemPage(slug), `${slug} of ${file}: docs/problems/${slug}.md`).toMatchObject({ title, status })
  }
})

it('explains every type that flwd documents under a URI of its own', () => {
  expect(flwdTypes.length).toBeGreaterThan(8)
  for (const slug of flwdTypes) expect(problemPage(slug), `docs/problems/${slug}.md`).toBeDefined()
})

it('explains nothing that is never answered', () => {
  const slugs = new Set([...thrown().map(({ slug }) => slug), ...flwdTypes])
  expect(problemSlugs().filter((slug) => !slugs.has(slug))).toEqual([])
})
