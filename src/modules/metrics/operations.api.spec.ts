import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { parse } from 'yaml'
import { type ApiUnderTest, apiUnderTest } from '../../../test/support/api.js'

interface Rules {
  groups: {
    name: string
    rules: { alert: string; expr: string; for?: string; annotations: Record<string, string> }[]
  }[]
}

const page = read('docs/operations.md')
const rules = [
  read('docs/prometheus/rules.yaml'),
  ...snippets(page, 'yaml').filter((text) => text.startsWith('groups:')),
]

/** Shown only by processes that have a Redis. */
const WITH_REDIS = ['millrace_redis_up', 'millrace_queue_handed_over_runs']

let api: ApiUnderTest
let shown: Set<string>

beforeAll(async () => {
  api = await apiUnderTest({ METRICS_TOKEN: 'a-token-for-prometheus' })
  const { text } = await api.get('/metrics').set('Authorization', 'Bearer a-token-for-prometheus').expect(200)
  shown = new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name as string))
})

afterAll(() => api.close())

it('docs/operations.md explains every metric, and none that there is not', () => {
  const own = [...shown].filter((name) => /^(millrace|http)_/.test(name))
  expect([...named(page)].sort()).toEqual([...own, ...WITH_REDIS].sort())
})

it('the alerts are rules of Prometheus, and ask for metrics that there are', () => {
  expect(rules).toHaveLength(2)
  for (const text of rules) {
    const { groups } = parse(text) as Rules
    for (const { alert, expr, for: lasting, annotations } of groups.flatMap((group) => group.rules)) {
      expect(alert).toMatch(/^[A-Z][A-Za-z]+$/)
      expect(lasting ?? '1m').toMatch(/^\d+[smh]$/)
      expect(annotations.summary).toBeTruthy()
      const asked = [...named(expr), ...(expr.match(/\bnodejs_\w+/g) ?? []), ...(expr.match(/\bup\b/g) ?? [])]
      expect(asked.length, alert).toBeGreaterThan(0)
      expect(
        asked.filter((name) => name !== 'up' && !shown.has(name)),
        alert,
      ).toEqual([])
    }
  }
})

it('each alert leads to what to do', () => {
  const headings = [...page.matchAll(/^#+ (.+)$/gm)].map(([, title]) => anchor(title as string))
  const actions = rules.flatMap((text) =>
    (parse(text) as Rules).groups.flatMap((group) =>
      group.rules.flatMap(({ annotations }) => annotations.action ?? []),
    ),
  )
  expect(actions.length).toBeGreaterThan(5)
  expect(actions.filter((action) => !headings.includes(action.replace('operations.md#', '')))).toEqual([])
})

function named(text: string): Set<string> {
  const names = text.match(/\b(?:millrace|http_server)_[a-z_]+/g) ?? []
  return new Set(names.map((name) => name.replace(/_(bucket|sum|count)$/, '')))
}

function read(path: string): string {
  return readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8')
}

function snippets(markdown: string, language: string): string[] {
  return [...markdown.matchAll(new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, 'gs'))].map(([, text]) => text as string)
}

/** As Markdown makes it of a heading. */
function anchor(title: string): string {
  return title
    .toLowerCase()
    .replace(/[^a-z0-9 -]/g, '')
    .replaceAll(' ', '-')
}
