import { createParamDecorator, type ExecutionContext } from '@nestjs/common'
import type { Request } from 'express'
import { DomainError } from '../errors/domain-error.js'
import { type RequestHeader, readsHeader } from '../openapi/operations.js'

const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,255}$/

/** The caller's `Idempotency-Key`, or undefined. A key is 1 to 255 visible ASCII characters. */
export const IdempotencyKey = headerParameter('Idempotency-Key', (value) => {
  if (value !== undefined && !IDEMPOTENCY_KEY.test(value)) {
    throw invalidHeader('An Idempotency-Key is 1 to 255 visible ASCII characters')
  }
  return value
})

/** The same where a key is a word of 20 to 128 letters, digits, dashes and underscores. */
export const IdempotencyWord = headerParameter('Idempotency-Key: word', (value) => {
  if (value !== undefined && !/^[A-Za-z0-9_-]{20,128}$/.test(value)) {
    throw invalidHeader('An Idempotency-Key is a word of 20 to 128 letters, digits, dashes and underscores')
  }
  return value
})

/** The versions that `If-Match` accepts: undefined without the header, `*` for any, else the entity tags as sent. */
export type Expected = undefined | '*' | readonly string[]

/** The caller's `If-Match`, parsed. Hand it to `requireMatch`. */
export const IfMatch = headerParameter('If-Match', (value): Expected => {
  if (value === undefined || value.trim() === '*') return value?.trim() as Expected
  const tags = value.split(',').map((tag) => tag.trim())
  if (!tags.every((tag) => /^(W\/)?"[\x21\x23-\x7e]*"$/.test(tag))) {
    throw invalidHeader('If-Match is * or a list of entity tags in double quotes')
  }
  return tags
})

/** The entity tag of one state of a thing: any value that changes with it, such as a version number or the time of its last change. */
export function entityTag(version: Version): string {
  return `"${version instanceof Date ? version.toISOString() : version}"`
}

export type Version = string | number | Date

/** True where the caller sent `If-None-Match: *`: only what is not there yet may be made. Hand it to `requireNone`. */
export const IfNoneMatch = headerParameter('If-None-Match', (value): boolean => {
  if (value !== undefined && value.trim() !== '*') throw invalidHeader('If-None-Match is * here')
  return value !== undefined
})

/** The id of the event that a client of a stream received last, as it was sent. */
export const LastEventId = headerParameter('Last-Event-ID', (value) => value)

/**
 * Throws 412 unless the caller expects this version or any; undefined stands for a thing that is not there. Weak tags never match: RFC
 * 9110 compares strongly here.
 */
export function requireMatch(expected: Expected, version: Version | undefined): void {
  if (expected === undefined) return
  if (version === undefined) throw preconditionFailed('It is not there, and If-Match names a version of it')
  if (expected === '*' || expected.includes(entityTag(version))) return
  throw preconditionFailed('It was changed since it was read: If-Match names another version')
}

/** Throws 412 where the caller wants to make a thing that is there already. */
export function requireNone(onlyNew: boolean, isThere: boolean): void {
  if (onlyNew && isThere) throw preconditionFailed('It is there already, and If-None-Match accepts no version of it')
}

function preconditionFailed(message: string): DomainError {
  return new DomainError('precondition_failed', 'precondition-failed', 'The thing has changed', message)
}

function invalidHeader(message: string): DomainError {
  return new DomainError('invalid', 'invalid-request', 'The request cannot be understood', message)
}

function headerParameter<T>(header: RequestHeader, read: (value: string | undefined) => T): () => ParameterDecorator {
  const parameter = createParamDecorator((_: unknown, context: ExecutionContext) => {
    // Two headers of one name are told apart behind a colon.
    const [name = header] = header.toLowerCase().split(':')
    const value = context.switchToHttp().getRequest<Request>().headers[name]
    return read(Array.isArray(value) ? value.join(',') : value)
  })()
  return () => (target, key, index) => {
    parameter(target, key, index)
    if (key !== undefined) readsHeader((target as Record<string | symbol, object>)[key] as object, header)
  }
}
