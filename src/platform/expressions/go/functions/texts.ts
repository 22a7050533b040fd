import { Buffer } from 'node:buffer'
import type { Json } from '../../../json.js'
import { type LinearRegex, linearRegex, UnusableRegex } from '../../regex.js'
import { type Call, Fault, type GoFunction } from '../call.js'
import { format } from '../format.js'
import { textOf } from '../values.js'

const one = (run: (text: string) => string): GoFunction => ({
  least: 1,
  most: 1,
  run: (call: Call) => call.made(run(call.text(0))),
})

/** Where a function takes several texts, the one that is worked on is the last. */
export const texts: Readonly<Record<string, GoFunction>> = {
  print: { least: 0, run: (call) => joined(call, '') },
  println: { least: 0, run: (call) => call.made(`${joined(call, ' ')}\n`) },
  printf: { least: 1, run: (call) => format(call) },
  toString: { least: 1, most: 1, run: (call: Call) => textOf(call.value(0), call.budget) },

  upper: one((text) => text.toUpperCase()),
  lower: one((text) => text.toLowerCase()),
  title: one((text) => text.replace(/(?<![\p{L}\p{N}'])\p{L}/gu, (letter) => letter.toUpperCase())),
  untitle: one((text) => text.replace(/(?<![\p{L}\p{N}'])\p{L}/gu, (letter) => letter.toLowerCase())),
  trim: one((text) => text.trim()),
  quote: { least: 1, most: 1, run: (call) => call.made(JSON.stringify(textOf(call.value(0), call.budget))) },
  squote: { least: 1, most: 1, run: (call) => call.made(`'${textOf(call.value(0), call.budget)}'`) },
  trimAll: { least: 2, most: 2, run: (call) => trimmed(call, true, true) },
  trimLeft: { least: 2, most: 2, run: (call) => trimmed(call, true, false) },
  trimRight: { least: 2, most: 2, run: (call) => trimmed(call, false, true) },
  trimPrefix: {
    least: 2,
    most: 2,
    run: (call) => (call.text(1).startsWith(call.text(0)) ? call.text(1).slice(call.text(0).length) : call.text(1)),
  },
  trimSuffix: {
    least: 2,
    most: 2,
    run: (call) =>
      call.text(1).endsWith(call.text(0))
        ? call.text(1).slice(0, call.text(1).length - call.text(0).length)
        : call.text(1),
  },
  hasPrefix: { least: 2, most: 2, run: (call) => call.text(1).startsWith(call.text(0)) },
  hasSuffix: { least: 2, most: 2, run: (call) => call.text(1).endsWith(call.text(0)) },
  split: { least: 2, most: 2, run: split },
  splitList: { least: 2, most: 2, run: split },
  replace: { least: 3, most: 3, run: replace },
  repeat: { least: 2, most: 2, run: repeat },
  /** From a character to before another, both counted from 0. */
  substr: { least: 3, most: 3, run: substr },
  /** The first characters, or with a negative number the last. */
  trunc: { least: 2, most: 2, run: trunc },
  indent: { least: 2, most: 2, run: (call) => indented(call) },
  nindent: { least: 2, most: 2, run: (call) => call.made(`\n${indented(call)}`) },

  html: one((text) => text.replace(/[&<>"'\0]/g, (mark) => HTML[mark] as string)),
  js: one((text) => text.replace(/[\\'"<>&=\p{Cc}\u2028\u2029]/gu, (mark) => JS[mark] ?? unicode(mark))),
  urlquery: one((text) =>
    encodeURIComponent(text.toWellFormed())
      .replace(/[!'()*]/g, percent)
      .replaceAll('%20', '+'),
  ),
  b64enc: one((text) => Buffer.from(text, 'utf8').toString('base64')),
  b64dec: one((text) => Buffer.from(text, 'base64').toString('utf8')),

  /** Patterns as RE2 knows them: every search takes time in proportion to the text. */
  regexMatch: { least: 2, most: 2, run: (call) => searched(call, (regex, text) => regex.test(text)) },
  regexFind: { least: 2, most: 2, run: (call) => searched(call, (regex, text) => regex.find(text) ?? '') },
  regexFindAll: { least: 2, most: 3, run: (call) => searched(call, (regex, text) => some(call, regex.findAll(text))) },
  regexSplit: { least: 2, most: 3, run: (call) => searched(call, (regex, text) => some(call, regex.split(text))) },
  /** The pattern, the text, and what is put in the place of matches. */
  regexReplaceAll: {
    least: 3,
    most: 3,
    run: (call) => searched(call, (regex, text) => call.made(regex.replaceAll(text, call.text(2)))),
  },
}

const HTML: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&#34;',
  "'": '&#39;',
  '\0': '\uFFFD',
}
const JS: Readonly<Record<string, string>> = { '\\': '\\\\', "'": "\\'", '"': '\\"' }

function unicode(mark: string): string {
  return `\\u${mark.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`
}

function percent(mark: string): string {
  return `%${mark.charCodeAt(0).toString(16).toUpperCase()}`
}

function joined(call: Call, between: string): string {
  return call.made(call.args.map((value) => textOf(value, call.budget)).join(between))
}

function trimmed(call: Call, left: boolean, right: boolean): string {
  const marks = new Set(call.text(0))
  const text = [...call.text(1)]
  let [from, to] = [0, text.length]
  while (left && from < to && marks.has(text[from] as string)) from++
  while (right && to > from && marks.has(text[to - 1] as string)) to--
  return call.made(text.slice(from, to).join(''))
}

function split(call: Call): Json {
  const [separator, text] = [call.text(0), call.text(1)]
  call.budget.write(text.length)
  const parts = separator === '' ? [...text] : text.split(separator)
  call.budget.step(parts.length)
  return call.budget.made(parts)
}

function replace(call: Call): string {
  const [before, after, text] = [call.text(0), call.text(1), call.text(2)]
  const count = before === '' ? text.length + 1 : occurrences(text, before)
  call.budget.write(text.length + count * after.length)
  return text.replaceAll(before, () => after)
}

function occurrences(text: string, part: string): number {
  let count = 0
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + part.length)) count++
  return count
}

function repeat(call: Call): string {
  const [count, text] = [call.whole(0), call.text(1)]
  if (count < 0) throw new Fault('repeat takes a count of 0 or more')
  call.budget.write(count * text.length)
  return text.repeat(count)
}

function substr(call: Call): string {
  const [from, to, text] = [call.whole(0), call.whole(1), call.text(2)]
  call.budget.write(text.length)
  const characters = [...text]
  return characters.slice(Math.max(0, from), to < 0 ? undefined : to).join('')
}

function trunc(call: Call): string {
  const [count, text] = [call.whole(0), call.text(1)]
  call.budget.write(text.length)
  const characters = [...text]
  return (count < 0 ? characters.slice(count) : characters.slice(0, count)).join('')
}

function indented(call: Call): string {
  const [width, text] = [call.whole(0), call.text(1)]
  if (width < 0 || width > 1_000) throw new Fault(`${call.name} takes a width of 0 to 1000`)
  call.budget.write(text.length + (1 + occurrences(text, '\n')) * width)
  const margin = ' '.repeat(width)
  return margin + text.replaceAll('\n', `\n${margin}`)
}

function searched(call: Call, search: (regex: LinearRegex, text: string) => Json): Json {
  try {
    const [regex, text] = [linearRegex(call.text(0)), call.text(1)]
    // What it takes to compile it, and then to search.
    call.budget.step(regex.size * 10 + ((regex.size * text.length) >> 4))
    return search(regex, text)
  } catch (error) {
    if (error instanceof UnusableRegex) throw new Fault(error.message)
    throw error
  }
}

/** As many as the third argument says; all where it is negative or missing. */
function some(call: Call, found: string[]): Json {
  const most = call.has(2) ? call.whole(2) : -1
  return call.budget.made(most < 0 ? found : found.slice(0, most))
}
