/**
 * The code that runs first inside a fresh QuickJS context, as source text. It is called with functions of the host and returns the
 * functions through which the host talks to the context afterwards; everything crosses the border as JSON text.
 *
 * It keeps its own references to the built-ins it needs, because the user's code shares the realm and may replace them. What the user's
 * code breaks, it breaks for itself only: every evaluation starts from the same memory image.
 */
export const guestSource = String.raw`
(function (write, random, maxResultChars) {
  'use strict'
  const global = globalThis
  const { parse, stringify } = JSON
  const { create, defineProperty, hasOwn, keys, prototype: ordinary, setPrototypeOf } = Object
  const { apply } = Reflect
  const { isArray } = Array
  const { then } = Promise.prototype
  const resolve = Promise.resolve.bind(Promise)
  const { slice } = String.prototype
  const { exec } = RegExp.prototype
  const text = String
  const ErrorType = Error, TypeErrorType = TypeError, RangeErrorType = RangeError, InternalErrorType = InternalError, ProxyType = Proxy

  const property = (value, enumerable) => ({ __proto__: null, value, writable: true, configurable: true, enumerable })
  const isObject = (value) => value !== null && typeof value === 'object'

  // Every evaluation starts from one image, hence from one seed: randomness has to come from outside.
  defineProperty(Math, 'random', property(function () { return random() }, false))

  const MAX_LINE = 8192
  const show = (value) => {
    if (typeof value === 'string') return value
    if (typeof value === 'function') return '[function ' + (value.name || 'anonymous') + ']'
    if (!isObject(value)) return text(value)
    if (value instanceof ErrorType) return value.name + ': ' + value.message
    try { return stringify(value) ?? text(value) } catch (error) { return '[object: ' + error.message + ']' }
  }
  const line = (values) => {
    let joined = ''
    for (let i = 0; i < values.length && joined.length <= MAX_LINE; i++) joined += (i ? ' ' : '') + show(values[i])
    return joined.length > MAX_LINE ? apply(slice, joined, [0, MAX_LINE]) + ' …' : joined
  }
  const console = {}
  const levels = { log: 'info', info: 'info', debug: 'debug', trace: 'debug', warn: 'warn', error: 'error' }
  for (const method of keys(levels)) {
    const level = levels[method]
    console[method] = (...values) => { write(level, stringify(line(values))) }
  }
  defineProperty(global, 'console', property(console, false))

  // What Basic authentication needs; a plain engine has neither.
  const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
  const offer = (name, fn) => defineProperty(global, name, property(fn, false))
  offer('btoa', (value) => {
    const bytes = text(value)
    let encoded = ''
    for (let at = 0; at < bytes.length; at += 3) {
      const [a, b, c] = [bytes.charCodeAt(at), bytes.charCodeAt(at + 1), bytes.charCodeAt(at + 2)]
      if (a > 255 || b > 255 || c > 255) throw new RangeErrorType('btoa takes characters up to U+00FF only')
      const bits = (a << 16) | (b << 8) | c
      encoded += ALPHABET[bits >> 18] + ALPHABET[(bits >> 12) & 63]
      encoded += (at + 1 < bytes.length ? ALPHABET[(bits >> 6) & 63] : '=') + (at + 2 < bytes.length ? ALPHABET[bits & 63] : '=')
    }
    return encoded
  })
  offer('atob', (value) => {
    const encoded = text(value).replace(/[\t\n\f\r ]/g, '').replace(/={1,2}$/, '')
    if (encoded.length % 4 === 1 || /[^A-Za-z0-9+\/]/.test(encoded)) throw new RangeErrorType('atob takes Base64 only')
    let decoded = '', bits = 0, held = 0
    for (const character of encoded) {
      bits = (bits << 6) | ALPHABET.indexOf(character)
      held += 6
      if (held >= 8) decoded += text.fromCharCode((bits >> (held -= 8)) & 255)
    }
    return decoded
  })

  // A secret that is not set is an error that names it, not an undefined that travels on.
  const guard = (secrets) => new ProxyType(secrets, {
    __proto__: null,
    get(target, key) {
      if (typeof key === 'symbol' || hasOwn(target, key)) return target[key]
      if (key in ordinary) return ordinary[key]
      if (key === 'toJSON' || key === 'then') return undefined
      throw new ErrorType("secret '" + key + "' is not set")
    },
  })

  const enter = (json) => {
    const { variables, offered = {} } = parse(json)
    const { input } = variables
    if (isObject(input) && !isArray(input)) {
      const behind = create(ordinary)
      for (const key of keys(offered)) if (!(key in ordinary)) defineProperty(behind, key, property(offered[key], false))
      setPrototypeOf(input, behind)
    }
    for (const key of keys(offered)) if (!(key in global)) defineProperty(global, key, property(offered[key], true))
    for (const key of keys(variables)) {
      const value = variables[key]
      defineProperty(global, key, property(key === 'secrets' && isObject(value) ? guard(value) : value, true))
    }
  }

  const toJson = (value) => {
    let json
    try {
      json = stringify(value)
    } catch (error) {
      if (error instanceof InternalErrorType) throw error
      throw new TypeErrorType('the result cannot be written as JSON: ' + (isObject(error) ? error.message : text(error)))
    }
    if (json === undefined) return 'null'
    if (json.length > maxResultChars) throw new RangeErrorType('the result is larger than ' + maxResultChars + ' characters of JSON')
    return json
  }

  let settled
  /** The value as JSON, or undefined when it is a promise: then settledValue answers once the jobs have run. */
  const keep = (value, wrapped) => {
    const waits = (isObject(value) || typeof value === 'function') && typeof value.then === 'function'
    if (!waits) return toJson(value)
    settled = undefined
    apply(then, resolve(value), [
      (result) => { settled = { ok: true, value: wrapped ? result.value : result } },
      (error) => { settled = { ok: false, error } },
    ])
  }
  const settledValue = () => {
    if (!settled) throw new ErrorType('the script waits for a promise that never settles')
    if (!settled.ok) throw settled.error
    // A script's completion value may be a promise in its turn.
    return keep(settled.value, false)
  }

  const captured = (name) => toJson(global[name])

  const LINE = /\bscript:(\d{1,7})/
  const describe = (error) => {
    try {
      if (!(error instanceof ErrorType)) return stringify(['', line([error]), 0])
      const found = apply(exec, LINE, [text(error.stack)])
      return stringify([text(error.name), line([text(error.message)]), found ? +found[1] : 0])
    } catch {
      return stringify(['', 'the script threw something that cannot be read', 0])
    }
  }

  return { enter, keep, settledValue, captured, describe }
})
`
