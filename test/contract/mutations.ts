import type { Schema } from '../../src/platform/openapi/document.js'
import type { Published, PublishedSpec } from '../support/published.js'
import { exampleRequest, type Sending } from './requests.js'

/** A request with one thing changed. */
export interface Mutation {
  what: string
  sending: Sending
  /** Statuses, one of which it must be; else any documented one below 500. */
  expected?: number[]
}

const REFUSED = [400, 422]
const LONG = 'x'.repeat(70_000)
const NUL = 'a\u0000b'
const PATH_JUNK = [
  'nope',
  '%00',
  '%zz',
  '%ff',
  '..%2f..%2fetc%2fpasswd',
  "'%20or%201=1--",
  'x'.repeat(2_000),
  '%F0%9F%98%80',
  '__proto__',
]
const QUERY_JUNK = [
  '',
  '0',
  '-1',
  'abc',
  '1e3',
  '0x10',
  '1.5',
  '99999999999999999999',
  '%zz',
  '%00',
  '%F0%9F%98%80',
  "'",
  'null',
  'true',
  LONG.slice(0, 5_000),
]
const BODY_JUNK: unknown[] = [
  null,
  0,
  -1,
  1.5,
  1e308,
  '',
  ' ',
  NUL,
  LONG,
  true,
  [],
  {},
  [null],
  [[]],
  [{}],
  { __proto__x: 1 },
  { a: NUL },
]

/** Valid but for one thing, for each thing that can be wrong with an operation's request. */
export function mutationsOf(spec: PublishedSpec, published: Published): Mutation[] {
  const { path, operation } = published
  const example = exampleRequest(spec, published)
  return [
    { what: 'as documented', sending: {} },
    ...pathMutations(published),
    ...(operation.parameters ?? [])
      .filter((parameter) => parameter.in === 'query')
      .flatMap(({ name }) => [
        ...QUERY_JUNK.map((junk) => ({
          what: `?${name}=${junk.slice(0, 20)}`,
          sending: { path: `${example.path}?${name}=${junk}` },
        })),
        { what: `?${name} twice`, sending: { path: `${example.path}?${name}=1&${name}=2` }, expected: [400] },
      ]),
    ...(takesQuery(published)
      ? [{ what: 'an unknown parameter', sending: { path: `${example.path}?surprise=1` }, expected: [400] }]
      : []),
    { what: 'a parameter in a broken encoding', sending: { path: `${example.path}?q=%zz` }, expected: [400] },
    ...(example.body ? bodyMutations(example.body.example, example.body.schema) : []),
  ].map((mutation) => ({ ...mutation, what: `${operation.operationId} ${path}: ${mutation.what}` }))
}

function pathMutations({ path, operation }: Published): Mutation[] {
  const names = [...path.matchAll(/\{([^}]+)\}/g)].map((match) => match[1])
  return names.flatMap((name) =>
    PATH_JUNK.map((junk) => ({
      what: `{${name}} = ${junk.slice(0, 20)}`,
      sending: {
        path: path.replace(/\{([^}]+)\}/g, (_, other: string) => {
          const parameter = operation.parameters?.find((one) => one.name === other)
          return other === name ? junk : encodeURIComponent(String(parameter?.example))
        }),
      },
      expected: /^%(00|zz|ff)/.test(junk) ? [400] : undefined,
    })),
  )
}

function takesQuery({ operation }: Published): boolean {
  return (operation.parameters ?? []).some((parameter) => parameter.in === 'query')
}

function bodyMutations(example: Record<string, unknown>, schema: Schema): Mutation[] {
  const without = (member: string) => Object.fromEntries(Object.entries(example).filter(([name]) => name !== member))
  const broken: [string, unknown][] = [
    ['half a body', JSON.stringify(example).slice(0, -1)],
    ['no JSON', '{oops}'],
    ['single quotes', "{'a': 1}"],
    ['too deep', `{"a":${'['.repeat(5_000)}${']'.repeat(5_000)}}`],
  ]
  return [
    ...broken.map(([what, body]) => ({ what, sending: { body }, expected: [400] })),
    ...['[]', '"text"', '7', 'null', 'true'].map((body) => ({
      what: `the body ${body}`,
      sending: { body },
      expected: body === 'null' ? undefined : REFUSED,
    })),
    { what: 'plain text', sending: { contentType: 'text/plain' }, expected: [415] },
    { what: 'another charset', sending: { contentType: 'application/json; charset=utf-16' }, expected: [415] },
    { what: 'a form', sending: { contentType: 'application/x-www-form-urlencoded', body: 'a=1' }, expected: [415] },
    { what: 'too many bytes', sending: { body: { ...example, surprise: 'x'.repeat(1_100_000) } }, expected: [413] },
    { what: 'a surplus member', sending: { body: { ...example, surprise: 1 } }, expected: REFUSED },
    ...(schema.required ?? []).map((name) => ({
      what: `without ${name}`,
      sending: { body: without(name) },
      expected: REFUSED,
    })),
    ...Object.keys(schema.properties ?? {}).flatMap((name) =>
      BODY_JUNK.map((junk) => ({
        what: `${name} = ${JSON.stringify(junk)?.slice(0, 20)}`,
        sending: { body: { ...example, [name]: junk } },
        expected: holdsNul(junk) ? REFUSED : undefined,
      })),
    ),
  ]
}

function holdsNul(junk: unknown): boolean {
  return JSON.stringify(junk)?.includes('\\u0000') ?? false
}
