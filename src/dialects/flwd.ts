import type { DomainError, ErrorKind } from '../platform/errors/domain-error.js'
import { type Dialect, plainProblem } from '../platform/http/problem.js'
import { statusOfKind } from '../platform/http/statuses.js'

const DOCUMENTED = 'https://flowd.org/problems'

/** Kinds for which the reference has one type, whatever our own is called. */
const types: Partial<Record<ErrorKind, { slug: string; title: string }>> = {
  invalid: { slug: 'validation-error', title: 'Validation Error' },
  unprocessable: { slug: 'validation-error', title: 'Validation Error' },
  unauthenticated: { slug: 'unauthorized', title: 'Unauthorized' },
  forbidden: { slug: 'permission-denied', title: 'Permission Denied' },
  rate_limited: { slug: 'rate-limited', title: 'Rate Limited' },
  internal: { slug: 'execution-error', title: 'Execution Error' },
}

/** Types of its own, under the slugs that ours have. */
const OWN = new Set([
  'job-not-found',
  'run-not-found',
  'run-finished',
  'artifact-not-found',
  'job-id-collision',
  'stale-cursor',
])

/** The last parts of its types' URIs. Each is explained under `/problems` here. */
export const flwdTypes: readonly string[] = [...new Set([...Object.values(types).map(({ slug }) => slug), ...OWN])]

/** flwd: RFC 7807 with types of its own; whatever is wrong with a request is 400. Lists are paged by `limit` (100 unless said) and `offset`. */
export const flwd: Dialect = {
  surface: 'flwd',
  accepts: ['bearer'],
  status: (kind) => (kind === 'unprocessable' ? 400 : statusOfKind[kind]),
  problem: (error, occurrence) => ({ ...plainProblem(error, occurrence), ...typeOf(error) }),
  extensions: {},
}

function typeOf({ kind, slug, title }: DomainError): { type?: string; title?: string } {
  const type = types[kind]
  if (type) return { type: `${DOCUMENTED}/${type.slug}`, title: type.title }
  return OWN.has(slug) ? { type: `${DOCUMENTED}/${slug}`, title: inTitleCase(title) } : {}
}

function inTitleCase(title: string): string {
  return title.replace(/\b[a-z]/g, (letter) => letter.toUpperCase())
}
