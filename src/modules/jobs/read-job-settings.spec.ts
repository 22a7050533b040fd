import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ConfigError } from '../../platform/config/config.js'
import { DEFAULT_LIMITS } from '../../platform/processes/profiles.js'
import { readJobSettings } from './read-job-settings.js'

let folder: string
let file: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-settings-'))
  file = join(folder, 'sources.yaml')
})
afterEach(() => rmSync(folder, { recursive: true }))

function read(text: string, environment: Record<string, string> = {}) {
  writeFileSync(file, text)
  return readJobSettings(file, environment)
}

function faultsOf(text: string): string[] {
  try {
    read(text)
  } catch (error) {
    if (error instanceof ConfigError) return [...error.faults]
    throw error
  }
  return []
}

describe('the file of job sources', () => {
  it('is not needed', () => {
    expect(readJobSettings(undefined)).toMatchObject({
      sources: [],
      limits: DEFAULT_LIMITS,
      profiles: { default: 'secure', jobs: ['secure', 'permissive'], requests: ['secure'] },
    })
  })

  it('lists sources of all types, with paths from its own folder', () => {
    const { sources } = read(`
sources:
  - {name: local-fs, type: fs, path: /opt/flwd/jobs, mountPath: ., watch: false}
  - {name: near, type: fs, path: jobs, mountPath: Team/My Jobs, tenant: acme}
  - {name: repo, type: git, url: "https://example.com/repo.git", ref: main, mountPath: repo, poll_interval: 5m}
  - {name: addons, type: oci, path: layout}
`)
    expect(sources).toEqual([
      { type: 'fs', name: 'local-fs', tenantId: null, mountPath: '', path: '/opt/flwd/jobs', watch: false },
      {
        type: 'fs',
        name: 'near',
        tenantId: 'acme',
        mountPath: 'team/my-jobs',
        path: join(folder, 'jobs'),
        watch: true,
      },
      {
        type: 'git',
        name: 'repo',
        tenantId: null,
        mountPath: 'repo',
        url: 'https://example.com/repo.git',
        ref: 'main',
        pollMs: 300_000,
      },
      { type: 'oci', name: 'addons', tenantId: null, mountPath: '', path: join(folder, 'layout'), watch: true },
    ])
  })

  it('lists images of registries, whose passwords stand in the environment and are no job’s', () => {
    const text = `
sources:
  - {name: a, type: oci, image: "registry.example.com/team/jobs:1", username: robot, password_env: REGISTRY_PASSWORD}
  - {name: b, type: oci, image: "127.0.0.1:5000/jobs", plain_http: true, poll_interval: 10s}
`
    const settings = read(text, { REGISTRY_PASSWORD: 'hunter22' })
    expect(settings.sources).toMatchObject([
      {
        type: 'oci',
        image: { host: 'registry.example.com', name: 'team/jobs', reference: '1' },
        credentials: { username: 'robot', password: 'hunter22', variable: 'REGISTRY_PASSWORD' },
        plainHttp: false,
        pollMs: 60_000,
      },
      { image: { host: '127.0.0.1:5000' }, credentials: null, plainHttp: true, pollMs: 10_000 },
    ])
    expect([...settings.secretVariables]).toEqual(['REGISTRY_PASSWORD'])
  })

  it('sets limits one by one, and which profiles there may be', () => {
    const { limits, profiles } = read(`
limits:
  secure: {cpuSeconds: 60, memoryMb: 128, wall: 10m}
profiles: {default: permissive, jobs: [permissive, disabled], requests: []}
`)
    expect(limits).toEqual({
      ...DEFAULT_LIMITS,
      secure: { ...DEFAULT_LIMITS.secure, cpuSeconds: 60, memoryMb: 128, wallMs: 600_000 },
    })
    expect(profiles).toEqual({ default: 'permissive', jobs: ['permissive', 'disabled'], requests: [] })
  })

  it.each([
    ['no name', 'sources: [{type: fs, path: /x}]', ['JOB_SOURCES, line 1 (/sources/0/name): a source needs name']],
    ['no type', 'sources: [{name: a}]', ['JOB_SOURCES, line 1 (/sources/0/type): a source needs type']],
    ['no path', 'sources: [{name: a, type: fs}]', ['JOB_SOURCES, line 1 (/sources/0/path): a source needs path']],
    [
      'another type',
      'sources: [{name: a, type: ftp}]',
      ['JOB_SOURCES, line 1 (/sources/0/type): type must be one of fs, git, oci'],
    ],
    [
      'one name twice',
      'sources: [{name: a, type: fs, path: /x}, {name: a, type: fs, path: /y}]',
      ["JOB_SOURCES, line 1 (/sources): there are two sources 'a'"],
    ],
    [
      'a mountPath that leads out',
      'sources: [{name: a, type: fs, path: /x, mountPath: ../b}]',
      ["JOB_SOURCES, line 1 (/sources/0/mountPath): mountPath must be '.' or a path such as team/backup"],
    ],
    [
      'a hostile address',
      'sources:\n  - name: a\n    type: git\n    url: "ext::sh -c x"',
      ['JOB_SOURCES, line 4 (/sources/0/url): url must not hold spaces or control characters'],
    ],
    [
      'a hostile ref',
      'sources: [{name: a, type: git, url: /x, ref: --upload-pack=x}]',
      ['JOB_SOURCES, line 1 (/sources/0/ref): ref must be the name of a branch or tag, or a commit'],
    ],
    [
      'an image without its registry',
      'sources: [{name: a, type: oci, image: team/jobs:1}]',
      [
        'JOB_SOURCES, line 1 (/sources/0/image): image must be host/name@sha256:… or host/name:tag, with the host of its registry',
      ],
    ],
    [
      'a path beside an image',
      'sources: [{name: a, type: oci, image: "r.example.com/a:1", path: /x}]',
      [expect.stringContaining("unknown key 'path'")],
    ],
    [
      'a password that is not there',
      'sources: [{name: a, type: oci, image: "r.example.com/a:1", username: robot, password_env: NOT_SET}]',
      ['JOB_SOURCES, line 1 (/sources/0/password_env): NOT_SET is not set in the environment'],
    ],
    [
      'a user without a password',
      'sources: [{name: a, type: oci, image: "r.example.com/a:1", username: robot}]',
      ['JOB_SOURCES, line 1 (/sources/0): username and password_env stand together'],
    ],
    [
      'an unknown key',
      'sources: [{name: a, type: fs, path: /x, paht: /y}]',
      [expect.stringContaining("unknown key 'paht'")],
    ],
    [
      'a wrong limit',
      'limits: {secure: {memoryMb: 0}}',
      [expect.stringContaining('memoryMb must be a whole number from 1')],
    ],
    [
      'an unknown profile',
      'profiles: {default: root}',
      [expect.stringContaining('default must be one of secure, permissive, disabled')],
    ],
    ['no YAML', 'sources: [', [expect.stringContaining('invalid YAML')]],
  ])('with %s is refused in plain words', (_, text, faults) => {
    expect(faultsOf(text)).toEqual(faults)
  })

  it('tells all its faults, and never an address', () => {
    const faults = faultsOf(
      'sources:\n  - {name: -x, type: git, url: "ftp://robot:s3cret@host/x"}\n  - {name: b, type: fs}',
    )
    expect(faults).toHaveLength(3)
    expect(faults.join()).not.toContain('s3cret')
  })

  it('that is not there is refused', () => {
    expect(() => readJobSettings(join(folder, 'none.yaml'))).toThrow(/JOB_SOURCES cannot be read/)
  })
})
