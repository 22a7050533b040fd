import express, { type RequestHandler } from 'express'
import type { DomainError } from '../errors/domain-error.js'
import { InvalidRequest, ValidationFailed } from './faults.js'
import { BodyTooLarge, UnsupportedMediaType } from './refusals.js'

/** Deeper nesting than any reference shows; it keeps what walks a body recursively from overflowing the stack. */
const DEEPEST = 100

/** Reads a JSON body of any content type (the gate has checked it) and refuses what nothing behind could bear. */
export function jsonBody(limit: number): RequestHandler {
  const parse = express.json({ limit, strict: false, type: () => true })
  return (request, response, next) => {
    parse(request, response, (error?: { type?: string; limit?: number }) => {
      if (error) return next(refusal(error))
      try {
        inspect(request.body)
        next()
      } catch (fault) {
        next(fault)
      }
    })
  }
}

/** What the parser found wrong, before Nest makes something of its own of it. Nothing of the body is quoted. */
export function refusal(error: { type?: string; limit?: number }): DomainError {
  switch (error.type) {
    case 'entity.too.large':
      return new BodyTooLarge(error.limit ?? 0)
    case 'encoding.unsupported':
    case 'charset.unsupported':
      return new UnsupportedMediaType(['application/json'])
    case 'entity.parse.failed':
      return new InvalidRequest('The body is not valid JSON')
    default:
      return new InvalidRequest('The body could not be read')
  }
}

/** PostgreSQL's text and jsonb cannot hold U+0000, in whatever member it comes; so the body as a whole is looked through once. */
export function inspect(body: unknown): void {
  const pending: { value: unknown; pointer: string; depth: number }[] = [{ value: body, pointer: '#', depth: 0 }]
  for (let next = pending.pop(); next; next = pending.pop()) {
    const { value, pointer, depth } = next
    if (typeof value === 'string') refuseNul(value, pointer)
    if (typeof value !== 'object' || value === null) continue
    if (depth === DEEPEST) throw new InvalidRequest(`The body is nested deeper than ${DEEPEST} levels`)
    for (const [name, member] of Object.entries(value)) {
      refuseNul(name, pointer)
      refusePrototype(name, pointer)
      if (typeof member === 'string' || typeof member === 'object') {
        pending.push({
          value: member,
          pointer: `${pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`,
          depth: depth + 1,
        })
      }
    }
  }
}

function refuseNul(text: string, pointer: string): void {
  if (!text.includes('\0')) return
  throw new ValidationFailed([{ pointer, detail: 'Text must not hold the character U+0000', code: 'nul' }])
}

/** A member of this name is data to the parser, but a prototype to whoever assigns it later. */
function refusePrototype(name: string, pointer: string): void {
  if (name !== '__proto__') return
  throw new ValidationFailed([
    { pointer: `${pointer}/${name}`, detail: "No member can be called '__proto__'", code: 'unknown_member' },
  ])
}
