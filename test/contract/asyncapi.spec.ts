import 'reflect-metadata'
import { readFileSync } from 'node:fs'
import { Parser } from '@asyncapi/parser'
import { beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { publishedDocuments } from '../../src/app/openapi.js'
import type { AsyncDocument } from '../../src/platform/openapi/asyncapi.js'
import { PublishedMessages } from '../support/published-messages.js'

const committed = readFileSync(new URL('../../asyncapi/asyncapi.yaml', import.meta.url), 'utf8')

describe('the AsyncAPI document', () => {
  let document: AsyncDocument

  beforeAll(async () => {
    document = (await publishedDocuments()).asyncapi
  })

  it('is committed as the code makes it', () => {
    expect(parse(committed)).toEqual(JSON.parse(JSON.stringify(document)))
  })

  it('is valid, without a warning', async () => {
    const { document: parsed, diagnostics } = await new Parser().parse(committed)
    expect(diagnostics.filter(({ severity }) => severity <= 1)).toEqual([])
    expect(parsed?.allOperations().all().length).toBeGreaterThan(0)
  })

  it('has examples that are valid against their schemas', () => {
    const judge = new PublishedMessages(document)
    for (const { address, messages } of Object.values(document.channels)) {
      const shown = Object.entries(messages).flatMap(([name, { $ref }]) => {
        const message = document.components.messages[$ref.split('/').at(-1) ?? '']
        return ((message?.examples ?? []) as { payload: { type: string } }[]).map(({ payload }) => ({ name, payload }))
      })
      expect(shown.length).toBeGreaterThan(0)
      expect(shown.flatMap(({ name, payload }) => judge.faults(address, payload, name))).toEqual([])
    }
  })

  it('refuses what is not published', () => {
    const judge = new PublishedMessages(document)
    const address = '/ws/executions/{execution_id}'
    expect(judge.faults(address, { type: 'progress' })).toHaveLength(1)
    const update = { type: 'execution_update', execution_id: 'run_1', status: 'running', timestamp: 'yesterday' }
    expect(judge.faults(address, update)).toHaveLength(1)
    expect(judge.faults(address, { ...update, timestamp: '2026-01-01T00:00:00Z', extra: 1 } as never)).toHaveLength(1)
  })
})
