import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Logger } from '@nestjs/common'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { EmbeddedObjectStore } from '../../../platform/objects/embedded-object-store.js'
import { ValueUnavailable } from '../runs.errors.js'
import { fullValue, RunValues } from './run-values.js'

let folder: string
let store: EmbeddedObjectStore

beforeAll(async () => {
  Logger.overrideLogger(false)
  folder = await mkdtemp(join(tmpdir(), 'millrace-run-values-'))
  store = new EmbeddedObjectStore(folder)
})

afterAll(() => rm(folder, { recursive: true, force: true }))

it('keeps small values in the row, and large ones as objects of the tenant', async () => {
  const values = new RunValues(store, { spillBytes: 10 })
  const small = { output: '"12345678"' }
  expect(values.hasLarge(small)).toBe(false)
  // Bytes count, not letters.
  const large = { output: '"1234567é"', shared: '1' }
  expect(values.hasLarge(large)).toBe(true)
  const spilled = await values.spilled('tenant_a', large)
  expect(spilled).toEqual({ output_ref: expect.stringMatching(/^sha256:[0-9a-f]{64}:11$/), shared: '1' })
  const reference = spilled.output_ref as string
  expect(await fullValue(values, 'tenant_a', null, reference)).toBe('1234567é')
  expect(await fullValue(values, 'tenant_a', 'in the row', null)).toBe('in the row')
  await expect(fullValue(values, 'tenant_b', null, reference)).rejects.toThrow(ValueUnavailable)
  await expect(fullValue(undefined, 'tenant_a', null, reference)).rejects.toThrow(ValueUnavailable)
})

it('keeps all in rows where nothing is to be spilled', () => {
  expect(new RunValues(store, { spillBytes: 0 }).hasLarge({ output: 'x'.repeat(1_000_000) })).toBe(false)
})

it('keeps a value in its row that the store does not take', async () => {
  const full = Object.assign(new EmbeddedObjectStore(folder), {
    put: () => Promise.reject(Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })),
  })
  const large = { output: '"a large value"' }
  expect(await new RunValues(full, { spillBytes: 10 }).spilled('tenant_a', large)).toEqual(large)
})
