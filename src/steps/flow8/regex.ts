import { type StepContext, StepError, type StepType } from '../../engine/step.js'
import type { Json, JsonObject } from '../../platform/json.js'
import { ScriptError } from '../../platform/sandbox/evaluation.js'
import { invalidParams } from '../invalid-params.js'
import { MAX_TEXT } from './limits.js'

/**
 * Searches text by a regular expression. Pattern and text may both come from strangers, so they meet in the sandbox: it ends a search
 * that backtracks without end, and no other work of the process waits for it.
 */
export function regex(): StepType {
  return {
    name: 'regex',
    title: 'Regular expression',
    category: 'data',
    summary: 'Searches, replaces or splits text by a regular expression.',
    stepClass: 'pure',
    params: PARAMS,
    output: OUTPUT,
    async run(params, step) {
      return { output: await search(params, step) }
    },
  }
}

async function search(params: JsonObject, step: StepContext): Promise<Json> {
  const { input, operation, replacement, limit } = params
  const asked = {
    ...pattern(String(params.pattern), String(params.flags ?? '')),
    input: typeof input === 'string' ? input : JSON.stringify(input ?? null),
    operation: operation ?? 'match',
    replacement: replacement ?? '',
    limit: limit ?? null,
  }
  const answer = (await inPlainWords(step.script(SEARCH, { regexAsked: asked }))) as JsonObject
  if (typeof answer.fault === 'string') throw invalidParams(`pattern is no regular expression: ${answer.fault}`)
  return answer
}

const FLAGS_IN_FRONT = /^\(\?([imsu]+)\)/

/** Takes the spellings of Go for what JavaScript spells otherwise: flags in front of all, `(?P<name>`, `\A` and `\z`. */
function pattern(given: string, flags: string): { source: string; flags: string } {
  const front = FLAGS_IN_FRONT.exec(given)
  const source = given
    .slice(front?.[0].length ?? 0)
    .replace(/\\[\s\S]|\(\?P</g, (part) =>
      part === '\\A' ? '(?<![^])' : part === '\\z' ? '(?![^])' : part === '(?P<' ? '(?<' : part,
    )
  return { source, flags: [...new Set(`gu${flags}${front?.[1] ?? ''}`)].join('') }
}

async function inPlainWords<T>(search: Promise<T>): Promise<T> {
  try {
    return await search
  } catch (error) {
    if (!(error instanceof ScriptError)) throw error
    if (error.code === 'script_timeout')
      throw new StepError('the pattern takes too long on this text', { code: 'regex_timeout', retryable: false })
    if (error.code === 'script_memory' || /results are larger/.test(error.message))
      throw new StepError('the pattern finds more than fits into memory', { code: 'too_large', retryable: false })
    throw error
  }
}

/** In a replacement: `$$`, `$&`, `$0` and `$1`, `${1}` and `${name}` as Go has them, `$<name>` as JavaScript has it. */
const SEARCH = `
const { source, flags, input: text, operation, replacement, limit } = regexAsked
let pattern
try {
  pattern = new RegExp(source, flags)
} catch (error) {
  try {
    pattern = new RegExp(source, flags.replace('u', ''))
  } catch {
    return { fault: error.message }
  }
}
const most = operation === 'match' || operation === 'find' ? 1 : limit ?? Infinity
const hits = []
const parts = []
let end = 0
for (const hit of text.matchAll(pattern)) {
  if (hits.length >= most) break
  const whole = hit[0]
  if (operation === 'split' && whole === '' && (hit.index === 0 || hit.index === text.length)) continue
  hits.push(hit)
  if (operation !== 'split' && operation !== 'replace') continue
  parts.push(text.slice(end, hit.index))
  if (operation === 'replace') parts.push(filled(hit))
  end = hit.index + whole.length
}
function filled(hit) {
  return replacement.replace(/\\$(?:([$&])|(\\d{1,2})|\\{(\\w+)\\}|<(\\w+)>)/g, (whole, sign, number, braced, named) => {
    if (sign === '$') return '$'
    if (sign === '&') return hit[0]
    const name = number ?? braced ?? named
    const group = /^\\d+$/.test(name) ? hit[Number(name)] : hit.groups?.[name]
    return group ?? ''
  })
}
parts.push(text.slice(end))
const answer = {
  found: hits.length > 0,
  matches: hits.map((hit) => hit[0]),
}
if (operation === 'replace') return { ...answer, result: parts.join('') }
if (operation === 'split') return { ...answer, result: parts }
return {
  ...answer,
  captures: hits.map((hit) => ({
    index: hit.index,
    groups: hit.slice(1).map((group) => group ?? null),
    named: Object.fromEntries(Object.entries(hit.groups ?? {}).map(([name, group]) => [name, group ?? null])),
  })),
}
`

const PARAMS = {
  type: 'object',
  additionalProperties: false,
  required: ['input', 'pattern'],
  properties: {
    input: {
      type: ['string', 'number', 'boolean', 'object', 'array', 'null'],
      maxLength: MAX_TEXT,
      description: 'The text to search; anything else counts as its JSON.',
      examples: ['order 17, order 23'],
    },
    pattern: {
      type: 'string',
      minLength: 1,
      maxLength: 10_000,
      description:
        "The regular expression, in JavaScript's syntax. Go's (?i) in front, (?P<name>…), \\A and \\z are understood as well. A search has as long as a script.",
      examples: ['order (\\d+)', '(?i)total: (?<total>[0-9.]+)'],
    },
    operation: {
      enum: ['match', 'find', 'findAll', 'replace', 'split'],
      description:
        'match and find look for the first match, findAll for all; replace puts the replacement in the place of each, split takes the text apart at each.',
      default: 'match',
    },
    replacement: {
      type: 'string',
      maxLength: 100_000,
      description: 'What replace puts in: $1 or $<name> stand for groups, $& for the match, $$ for a dollar.',
      default: '',
      examples: ['#$1'],
    },
    flags: {
      type: 'string',
      pattern: '^[imsu]*$',
      description: 'i: no difference of case; m: ^ and $ at every line; s: a dot is also the end of a line.',
      examples: ['i'],
    },
    limit: { type: 'integer', minimum: 1, maximum: 1_000_000, description: 'So many matches at most.', examples: [10] },
  },
}

const OUTPUT = {
  type: 'object',
  additionalProperties: false,
  required: ['found', 'matches'],
  properties: {
    found: { type: 'boolean', description: 'Whether anything matched.' },
    matches: { type: 'array', items: { type: 'string' }, description: 'The texts that matched.' },
    captures: {
      type: 'array',
      description: 'Of match, find and findAll, for each match.',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['index', 'groups', 'named'],
        properties: {
          index: { type: 'integer', minimum: 0, description: 'Where it begins.' },
          groups: { type: 'array', items: { type: ['string', 'null'] }, description: 'Its groups, in order.' },
          named: {
            type: 'object',
            additionalProperties: { type: ['string', 'null'] },
            description: 'Its groups that have a name.',
          },
        },
      },
    },
    result: {
      type: ['string', 'array'],
      items: { type: 'string' },
      description: 'Of replace the new text, of split the parts.',
    },
  },
}
