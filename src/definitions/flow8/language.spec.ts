import { describe, expect, test } from 'vitest'
import type { LookUps, Moment } from '../../engine/language.js'
import { StepError } from '../../engine/step.js'
import type { Json, JsonObject } from '../../platform/json.js'
import { flow8Language } from './language.js'

const moment: Moment = {
  run: { id: 'run_1', flowId: 'flow_1', tenantId: 'tenant_1', accountId: 'account_1' },
  runInput: { name: 'Ada', n: 3 },
  input: { last: true },
  results: {
    fetch: { statusCode: 200, body: { items: [{ id: 1 }, { id: 2 }] } },
    'my-layer': 'text',
    gone: null,
    child: { state: 'FAIL', playId: 'run_2' },
    each: { item: { id: 7 }, index: 0, total: 2, isLast: false },
  },
  states: { fetch: 'succeeded', 'my-layer': 'failed', gone: 'filtered', child: 'succeeded', late: 'skipped' },
  now: new Date('2026-01-31T12:00:00Z'),
  shared: {},
  result: null,
  secrets: { TOKEN: 'hunter2-hunter2' },
}

const entries: JsonObject = {
  'flow greeting': 'hello',
  'global greeting': 'hi',
  'flow next': 'greeting',
  'flow list': [1, 2],
}

async function rendered(params: JsonObject, asked: string[] = []): Promise<JsonObject> {
  const template = flow8Language.template(params)
  const variables = flow8Language.variables(moment)
  const lookUps: LookUps = {
    async keyValue(key, scope) {
      asked.push(`${scope} ${key}`)
      return entries[`${scope} ${key}`]
    },
  }
  const values: Json[] = []
  for (const index of template.scripts.keys()) {
    const local = template.local(index, variables)
    values.push(local ? local.value : ((await template.resolve?.(index, variables, lookUps)) as Json))
  }
  return template.render(values)
}

const value = async (text: string) => (await rendered({ x: text })).x as Json

describe('what expressions see', () => {
  test.each<[string, Json]>([
    ['{{ $prev.fetch.statusCode }}', 200],
    ['{{ $prev.fetch.body.items }}', [{ id: 1 }, { id: 2 }]],
    ['{{ $prev.my-layer }}', 'text'],
    ['{{ $prev.args.name }}', 'Ada'],
    ['{{ $prev.input.n }}', 3],
    ['{{ $prev.args }}', { name: 'Ada', n: 3 }],
    ['{{ $prev.each.item.id }}', 7],
    ['{{ $prev.each.isLast }}', false],
    ['{{ $prev.gone.body.x | default "none" }}', 'none'],
    ['{{ $prev.fetch.state }}', 'DONE'],
    ['{{ $prev.my-layer.state }}', 'FAIL'],
    ['{{ $prev.gone.state }}', 'FILTERED'],
    ['{{ $prev.late.state }}', 'SKIP'],
    ['{{ $prev.child.state }}', 'FAIL'],
    ['{{ eq $prev.gone.state "FILTERED" }}', true],
    ['{{ $flowId }}/{{ $playId }}', 'flow_1/run_1'],
    ['{{ $date.now }}', '2026-01-31T12:00:00.000Z'],
    ['{{ date "02.01.2006" now }}', '31.01.2026'],
    ['{{ $secrets.TOKEN }}', 'hunter2-hunter2'],
    ['{{ $kv.get "greeting" }}', 'hello'],
    ['{{ $kv.getGlobal "greeting" }}', 'hi'],
    ['{{ $kv.get ($kv.get "next") }}', 'hello'],
    ['{{ $kv.get "missing" | default "x" }}', 'x'],
    ['{{ "greeting" | $kv.get | upper }}', 'HELLO'],
    ['{{ range $kv.get "list" }}[{{ . }}]{{ end }}', '[1][2]'],
    ["{{ eq $prev.args.name 'Ada' }}", true],
    ['no expression', 'no expression'],
  ])('%s', async (text, expected) => {
    expect(await value(text)).toEqual(expected)
  })

  test('an entry is asked for once, and only where the way leads there', async () => {
    const asked: string[] = []
    const x = '{{ if $kv.get "greeting" }}{{ $kv.get "greeting" }}{{ else }}{{ $kv.get "never" }}{{ end }}'
    expect(await rendered({ x }, asked)).toEqual({ x: 'hello' })
    expect(asked).toEqual(['flow greeting'])
  })

  test('names of an entry that look like members of an object are keys', async () => {
    expect(await value('{{ $kv.get "__proto__" }}')).toBeNull()
  })
})

test('expressions are found at any depth and in names', async () => {
  const params = JSON.parse(
    '{"a": ["{{ $prev.args.n }}", {"{{ $prev.args.name }}": {"deep": "n={{ $prev.args.n }}"}}], "__proto__": "{{ 1 }}", "n": null}',
  )
  const result = await rendered(params)
  expect(result).toEqual(JSON.parse('{"a": [3, {"Ada": {"deep": "n=3"}}], "__proto__": 1, "n": null}'))
  expect(Object.getPrototypeOf(result)).toBe(Object.prototype)
})

describe('what is answered at once', () => {
  const local = (text: string) => flow8Language.template({ x: text }).local(0, flow8Language.variables(moment))

  test.each(['{{ $prev.args.n }}', '{{ add $prev.args.n 1 }}', '{{ $secrets.TOKEN }}'])('%s', (text) => {
    expect(local(text)).toBeDefined()
  })

  test.each(['{{ $kv.get "greeting" }}', '{{ now }}', '{{ $date.now }}'])(
    'not %s, which may come out differently',
    (text) => {
      expect(local(text)).toBeUndefined()
    },
  )
})

describe('faults are those of the step, name the expression and hold no value', () => {
  test.each([
    [
      '{{ add $secrets.TOKEN 1 }}',
      '{{ add $secrets.TOKEN 1 }}: add takes a number, not a text (convert it with int or float)',
    ],
    ['a {{ $secrets.NOPE }}', "{{ $secrets.NOPE }}: secret 'NOPE' is not set"],
    ['{{ $secrets.constructor }}', "{{ $secrets.constructor }}: secret 'constructor' is not set"],
    ['{{ $prev.my-layer.x }}', "{{ $prev.my-layer.x }}: there is no member 'x' in a text"],
    ['{{ $kv.get }}', '{{ $kv.get }}: $kv.get takes one key, a text'],
    ['{{ $kv.get 5 }}', '{{ $kv.get 5 }}: $kv.get takes one key, a text'],
    ['{{ range until 60 }}{{ $kv.get (print "k" .) }}{{ end }}', 'one text may ask for at most 50 entries'],
  ])('%s', async (text, message) => {
    const thrown = await value(text).catch((error: unknown) => error)
    expect(thrown).toBeInstanceOf(StepError)
    expect(thrown).toMatchObject({ message, code: 'expression', retryable: false })
  })

  test('also where the text itself is at fault', () => {
    expect(() => flow8Language.template({ x: '{{' })).toThrow(StepError)
  })
})

test('a failure looks as flow8 words it', () => {
  const error = { message: 'no', code: 'http', node: 'fetch', nodeType: 'curl' }
  expect(flow8Language.failure(error)).toEqual({ message: 'no', code: 'http', ref: 'fetch', appId: 'curl', out: null })
})
