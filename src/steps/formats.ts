import { isCron } from '../platform/cron/cron-expression.js'
import { isTimeZone } from '../platform/cron/time-zone.js'
import { isDuration } from '../platform/duration.js'
import { parseTemplate } from '../platform/expressions/go-template.js'
import { isJsonPath } from './json-path.js'

/** A `format` of our own in the step types' schemas: when a text has it, and how a fault says what was wanted. */
export interface Format {
  test(text: string): boolean
  wanted: string
}

function isTemplate(text: string): boolean {
  try {
    parseTemplate(text)
    return true
  } catch {
    return false
  }
}

export const FORMATS: Readonly<Record<string, Format>> = {
  'go-duration': { test: isDuration, wanted: 'a duration such as 30s, 500ms or 1h30m' },
  'http-url': {
    test: (text) => /^https?:$/.test(URL.parse(text)?.protocol ?? ''),
    wanted: 'an http or https URL',
  },
  'http-method': {
    test: (text) => /^(get|head|post|put|patch|delete|options)$/i.test(text),
    wanted: 'one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS',
  },
  'go-template': { test: isTemplate, wanted: 'text whose {{ … }} are expressions' },
  cron: { test: isCron, wanted: 'a cron expression of 5 or 6 fields, such as 0 9 * * 1-5' },
  timezone: { test: isTimeZone, wanted: 'an IANA time zone such as Europe/Berlin' },
  'json-path': { test: isJsonPath, wanted: "a path such as $.items[0]['name'] or $.items[*].id" },
}
