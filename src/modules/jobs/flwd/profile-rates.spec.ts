import type { Request } from 'express'
import { expect, it } from 'vitest'
import { DEFAULT_LIMITS } from '../../../platform/processes/profiles.js'
import { OwnLimits } from '../../../platform/rates/own-limits.js'
import { JobSettings } from '../job-settings.js'
import { ProfileRates } from './profile-rates.js'

const profiles = { default: 'secure', jobs: ['secure'], requests: ['permissive'] } as const
const limits = new OwnLimits()
new ProfileRates(
  limits,
  new JobSettings([], DEFAULT_LIMITS, profiles, { secure: 5, permissive: 30, disabled: 900 }),
).onModuleInit()

const limitOf = (method: string, path: string, body?: unknown) =>
  limits.of('flwd', { method, path, body } as Request)?.limit

it('counts a request against the profile that it starts a run under, where it may choose that', () => {
  expect(limitOf('POST', '/api/v1/runs', { security_profile: 'permissive' })).toBe(30)
  expect(limitOf('POST', '/api/v1/runs/', { security_profile: 'permissive' })).toBe(30)
  for (const body of [
    undefined,
    null,
    'permissive',
    { security_profile: 'disabled' },
    { security_profile: ['permissive'] },
    {},
  ])
    expect(limitOf('POST', '/api/v1/runs', body)).toBe(5)
  expect(limitOf('POST', '/api/v1/runs/run_1/cancel', { security_profile: 'permissive' })).toBe(5)
  expect(limitOf('GET', '/api/v1/runs', { security_profile: 'permissive' })).toBe(5)
})

it('is for flwd alone, and only where a limit is set', () => {
  expect(limits.of('flow8', { method: 'GET', path: '/api/v1/runs' } as Request)).toBeUndefined()
  const none = new OwnLimits()
  new ProfileRates(none, new JobSettings([], DEFAULT_LIMITS, profiles)).onModuleInit()
  expect(none.of('flwd', { method: 'GET', path: '/api/v1/runs' } as Request)).toBeUndefined()
})
