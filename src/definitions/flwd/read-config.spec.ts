import { describe, expect, it } from 'vitest'
import { readConfig } from './read-config.js'

const FILES = new Set(['config.yaml', 'run.sh', 'scripts/a.sh', 'scripts/b.sh', 'main.py'])

function configOf(text: string) {
  const reading = readConfig(text, FILES)
  if (!reading.ok) throw new Error(JSON.stringify(reading.faults))
  return reading.config
}

function faultsOf(text: string, files = FILES) {
  const reading = readConfig(text, files)
  return reading.ok ? [] : reading.faults.map(({ path, line, code }) => `${line} ${path} ${code}`)
}

describe('the documented form', () => {
  const text = `
name: Daily backup
description: Daily backup job
version: 1.0
executor: proc
composition: steps
steps:
  - {id: fetch, name: Fetch, script: scripts/a.sh}
  - {id: pack, script: ./scripts/b.sh, needs: [fetch]}
argspec:
  properties:
    target: {type: string, description: Backup target directory}
    token: {type: string, format: secret}
  required: [target]
ulc_profile: ulc.shell.bash
security_profile: permissive
exec_profile: standard
timeouts: {run: 1h, step: 15m}
artifacts: {mode: immutable, default_key_pattern: "backups/{run_id}", paths: ["out/*.csv"]}
serviceBindings: []
`

  it('is read', () => {
    expect(configOf(text)).toEqual({
      title: 'Daily backup',
      version: '1.0',
      description: 'Daily backup job',
      args: {
        type: 'object',
        properties: {
          target: { type: 'string', description: 'Backup target directory' },
          token: { type: 'string', format: 'secret' },
        },
        required: ['target'],
      },
      secretArgs: ['token'],
      interpreter: ['/bin/bash'],
      command: null,
      steps: [
        { id: 'fetch', name: 'Fetch', script: 'scripts/a.sh', command: null, needs: [] },
        { id: 'pack', name: null, script: 'scripts/b.sh', command: null, needs: ['fetch'] },
      ],
      profile: 'permissive',
      env: {},
      inheritEnv: false,
      runTimeoutMs: 3_600_000,
      stepTimeoutMs: 900_000,
      onError: { policy: 'abort', retries: 0, backoffMs: 0 },
      artifacts: ['out/*.csv'],
      container: null,
    })
  })

  it('of a container names its image', () => {
    const image = `ghcr.io/team/tool@sha256:${'a'.repeat(64)}`
    expect(configOf(`executor: container\nimage: ${image}\ncommand: ./run.sh`)).toMatchObject({
      interpreter: ['/bin/sh'],
      container: { image, network: 'none', rootfsWritable: false, capabilities: [], cpus: null, memoryMb: null },
    })
  })
})

describe('the form of the code', () => {
  it('is read', () => {
    const config = configOf(`
version: v1
job: {id: ignored, name: Report, summary: Makes a report}
interpreter: /usr/bin/env bash
env: {LEVEL: debug, COUNT: 3}
env_inheritance: [LANG]
timeout: 90
error_handling: {policy: retry, retries: 2, retry_backoff: 1.5}
arguments:
  days: {type: int, default: 7, description: How many}
  verbose: {type: bool}
  mode: {type: string, choices: [fast, slow], required: true}
command: ./run.sh
`)
    expect(config).toMatchObject({
      title: 'Report',
      version: '',
      description: 'Makes a report',
      interpreter: ['/usr/bin/env', 'bash'],
      env: { LEVEL: 'debug', COUNT: '3' },
      inheritEnv: ['LANG'],
      runTimeoutMs: 90_000,
      onError: { policy: 'retry', retries: 2, backoffMs: 1_500 },
      args: {
        type: 'object',
        properties: {
          days: { type: 'integer', default: 7, description: 'How many' },
          verbose: { type: 'boolean' },
          mode: { type: 'string', enum: ['fast', 'slow'] },
        },
        required: ['mode'],
      },
    })
  })

  it('lists arguments of all types', () => {
    const { args, secretArgs } = configOf(`
argspec:
  args:
    - {name: dir, type: string, format: directory, required: true}
    - {name: hosts, type: array, items_type: string, items_enum: [a, b], default: [a]}
    - {name: labels, type: object, value_type: string}
    - {name: pin, format: secret}
    - {name: size, type: integer, enum: [1, 2]}
`)
    expect(args).toEqual({
      type: 'object',
      properties: {
        dir: { type: 'string', format: 'directory' },
        hosts: { type: 'array', items: { type: 'string', enum: ['a', 'b'] }, default: ['a'] },
        labels: { type: 'object', additionalProperties: { type: 'string' } },
        pin: { type: 'string', format: 'secret' },
        size: { type: 'integer', enum: [1, 2] },
      },
      required: ['dir'],
    })
    expect(secretArgs).toEqual(['pin'])
  })

  it('takes text alone for a secret, whether its schema says so or not', () => {
    const { args, secretArgs } = configOf('argspec: {properties: {pin: {format: secret}}}')
    expect(args).toMatchObject({ properties: { pin: { type: 'string', format: 'secret' } } })
    expect(secretArgs).toEqual(['pin'])
  })

  it('has its image in the interpreter or under container', () => {
    expect(configOf('interpreter: container:alpine:3.20').container).toMatchObject({ image: 'alpine:3.20' })
    expect(
      configOf(`
container:
  image: alpine
  resources: {cpu: 500m, memory: 512Mi}
  network: bridge
  rootfs_writable: true
  capabilities: [NET_BIND_SERVICE]
  entrypoint: [/bin/tool, --fast]
`).container,
    ).toEqual({
      image: 'alpine',
      entrypoint: ['/bin/tool', '--fast'],
      cpus: 0.5,
      memoryMb: 512,
      network: 'bridge',
      rootfsWritable: true,
      capabilities: ['NET_BIND_SERVICE'],
    })
  })

  it('takes a program from the path of the server’s choosing, and what ulc profiles stand for', () => {
    expect(configOf('interpreter: pwsh\ncommand: x').interpreter).toEqual(['/usr/bin/env', 'pwsh'])
    expect(configOf('ulc_profile: ulc.python.3').interpreter).toEqual(['/usr/bin/env', 'python3'])
  })
})

describe('steps', () => {
  it('that do not say what they need come one after another', () => {
    const { steps } = configOf('steps: [{id: a, script: run.sh}, {id: b, script: run.sh}, {id: c, command: echo}]')
    expect(steps?.map(({ needs }) => needs)).toEqual([[], ['a'], ['b']])
  })

  it('of which one says so need nothing else', () => {
    const { steps } = configOf(
      'steps: [{id: a, script: run.sh}, {id: b, script: run.sh, needs: []}, {id: c, command: x}]',
    )
    expect(steps?.map(({ needs }) => needs)).toEqual([[], [], []])
  })

  it.each([
    ['a script that is not there', 'steps:\n  - id: a\n    script: no.sh', ['3 /steps/0/script unknown_script']],
    ['a script outside', 'steps:\n  - {id: a, script: ../run.sh}', ['2 /steps/0/script unknown_script']],
    ['an absolute script', 'steps:\n  - {id: a, script: /bin/sh}', ['2 /steps/0/script unknown_script']],
    ['a folder', 'steps:\n  - {id: a, script: scripts}', ['2 /steps/0/script unknown_script']],
    ['one id twice', 'steps:\n  - {id: a, script: run.sh}\n  - {id: a, script: run.sh}', ['3 /steps/1/id duplicate']],
    ['an unknown need', 'steps:\n  - {id: a, script: run.sh, needs: [b]}', ['2 /steps/0/needs/0 unknown_step']],
    ['a need of itself', 'steps:\n  - {id: a, script: run.sh, needs: [a]}', ['2 /steps/0/needs cycle']],
    [
      'a circle',
      'steps:\n  - {id: x, script: run.sh, needs: [a]}\n  - {id: a, script: run.sh, needs: [b]}\n  - {id: b, script: run.sh, needs: [a]}',
      ['3 /steps/1/needs cycle'],
    ],
    ['no id', 'steps:\n  - {script: run.sh}', ['2 /steps/0/id required']],
    ['no script', 'steps:\n  - {id: a}', ['2 /steps/0/script required']],
    ['both', 'steps:\n  - {id: a, script: run.sh, command: x}', ['2 /steps/0/command conflict']],
    ['none at all', 'steps: []', ['1 /steps required']],
    ['a command beside them', 'steps: [{id: a, script: run.sh}]\ncommand: x', ['2 /command conflict']],
    ['the wrong composition', 'composition: single\nsteps: [{id: a, script: run.sh}]', ['2 /steps conflict']],
    ['ids that are paths', 'steps: [{id: ../a, script: run.sh}]', ['1 /steps/0/id pattern']],
    ['more than there may be', `steps: [${'{id: a, script: run.sh},'.repeat(201)}]`, ['1 /steps too_many']],
  ])('with %s are a fault where it stands', (_, text, faults) => {
    expect(faultsOf(text)).toEqual(faults)
  })
})

describe('arguments', () => {
  it.each([
    [
      'a default of a secret',
      'argspec:\n  properties:\n    p: {type: string, format: secret, default: x}',
      ['3 /argspec/properties/p/default secret'],
    ],
    [
      'a default of a listed secret',
      'argspec:\n  args:\n    - {name: p, format: secret, default: x}',
      ['3 /argspec/args/0/default secret'],
    ],
    [
      'a secret in an object',
      'argspec:\n  properties:\n    o:\n      properties: {p: {format: secret}}',
      ['4 /argspec/properties/o secret'],
    ],
    [
      'a secret by reference',
      'argspec:\n  properties:\n    p: {$ref: "#/$defs/t"}\n  $defs:\n    t: {type: string, format: secret}',
      ['5 /argspec/$defs/t secret'],
    ],
    [
      'a reference to a secret',
      'argspec:\n  properties:\n    p: {type: string, format: secret}\n    o: {$ref: "#/properties/p"}',
      ['4 /argspec/properties/o secret'],
    ],
    [
      'a reference to all arguments, secrets among them',
      'argspec:\n  properties:\n    p: {type: string, format: secret}\n    o: {$ref: "#"}',
      ['4 /argspec/properties/o secret'],
    ],
    [
      'a secret of another schema for the same argument',
      'argspec:\n  properties:\n    p: {type: string}\n  allOf:\n    - properties: {p: {format: secret}}',
      ['5 /argspec/allOf/0/properties/p secret'],
    ],
    [
      'secrets by any name',
      'argspec:\n  properties: {}\n  additionalProperties: {type: string, format: secret}',
      ['3 /argspec/additionalProperties secret'],
    ],
    [
      'secrets by a pattern of names',
      'argspec:\n  properties: {}\n  patternProperties:\n    ^t: {type: string, format: secret}',
      ['4 /argspec/patternProperties/^t secret'],
    ],
    [
      'a secret that is no text',
      'argspec:\n  properties:\n    p: {type: integer, format: secret}',
      ['3 /argspec/properties/p/type secret'],
    ],
    [
      'a wrong default',
      'argspec:\n  properties:\n    n:\n      type: integer\n      default: x',
      ['5 /argspec/properties/n/default default'],
    ],
    [
      'a wrong default in a list',
      'argspec:\n  args:\n    - {name: n, type: int, default: x}',
      ['3 /argspec/args/0/default default'],
    ],
    ['what is no schema', 'argspec:\n  properties:\n    n: {type: nothing}', ['3 /argspec/properties/n/type enum']],
    ['another type than an object', 'argspec: {type: array}', ['1 /argspec/type type']],
    [
      'a reference elsewhere',
      'argspec:\n  properties:\n    n: {$ref: "http://x/y"}',
      ['3 /argspec/properties/n/$ref ref'],
    ],
    ['a reference to nothing', 'argspec:\n  properties:\n    n: {$ref: "#/$defs/x"}', ['2 /argspec schema']],
    [
      'names that are no variables',
      'argspec:\n  properties: {"a b": {}, "1": {}}',
      ['2 /argspec/properties/a b pattern', '2 /argspec/properties/1 pattern'],
    ],
    ['names that are one variable', 'arguments:\n  a-b: {}\n  A_B: {}', ['3 /arguments/A_B conflict']],
    ['a hostile name', 'argspec:\n  properties: {__proto__: {type: string}}', ['2 /argspec/properties/__proto__ name']],
    [
      'a pattern of endless cost',
      'argspec:\n  properties:\n    n: {type: string, pattern: "(?=a)b"}',
      ['3 /argspec/properties/n/pattern pattern'],
    ],
    ['two descriptions', 'argspec: {properties: {}}\narguments: {a: {}}', ['2 /arguments conflict']],
    ['an unknown type', 'arguments:\n  a: {type: date}', ['2 /arguments/a/type enum']],
    ['unknown members', 'argspec:\n  args: [{name: a, kind: x}]', ['2 /argspec/args/0/kind unknown_key']],
  ])('with %s are a fault where it stands', (_, text, faults) => {
    expect(faultsOf(`${text}\ncommand: x`)).toEqual(faults)
  })
})

describe('a configuration', () => {
  it.each([
    ['nothing to run', 'name: x', ['1  required'], new Set(['config.yaml'])],
    ['an unknown key', 'command: x\nnmae: y', ['2 /nmae unknown_key']],
    ['a text that is none', 'command: [x]', ['1 /command type']],
    ['a wrong profile', 'command: x\nsecurity_profile: root', ['2 /security_profile enum']],
    ['privileges', 'command: x\nexec_profile: privileged', ['2 /exec_profile not_offered']],
    ['a wrong duration', 'command: x\ntimeouts: {run: soon}', ['2 /timeouts/run duration']],
    ['two times', 'command: x\ntimeouts: {run: 1h}\ntimeout: 5', ['3 /timeout conflict']],
    [
      'artifacts outside',
      'command: x\nartifacts: [../x, /etc/passwd, a/../../b]',
      ['2 /artifacts/0 pattern', '2 /artifacts/1 pattern', '2 /artifacts/2 pattern'],
    ],
    ['artifacts that change', 'command: x\nartifacts: {mode: mutable}', ['2 /artifacts/mode not_offered']],
    ['service bindings', 'command: x\nserviceBindings: [postgres]', ['2 /serviceBindings not_offered']],
    [
      'arguments for the engine',
      'container: {image: a, extra_args: [--privileged]}',
      ['1 /container/extra_args not_offered'],
    ],
    ['an image that is an option', 'executor: container\nimage: --privileged\ncommand: x', ['2 /image pattern']],
    ['no image', 'executor: container\ninterpreter: /bin/sh\ncommand: x', ['1 /image required']],
    ['an image for no container', 'executor: proc\nimage: a\ncommand: x', ['2 /image conflict']],
    ['a variable that is none', 'command: x\nenv: {"A=B": c, "": d}', ['2 /env/A=B pattern', '2 /env/ pattern']],
    ['a control character', 'command: "a\\0b"', ['1 /command invalid_yaml']],
    ['an interpreter that is an option', 'interpreter: -x\ncommand: x', ['1 /interpreter pattern']],
    [
      'retries without the policy',
      'command: x\nerror_handling: {policy: abort, retries: 3}',
      ['2 /error_handling/retries conflict'],
    ],
    ['a list', '- a', ['1  invalid_yaml']],
  ])('with %s is a fault where it stands', (_, text, faults, files = FILES) => {
    expect(faultsOf(text, files)).toEqual(faults)
  })

  it('tells all its faults at once', () => {
    expect(faultsOf('command: [x]\nsecurity_profile: root\nx-mine: 1\nother: 1')).toEqual([
      '1 /command type',
      '2 /security_profile enum',
      '4 /other unknown_key',
    ])
  })

  it('of bombs is refused at once', () => {
    const levels = Array.from(
      { length: 30 },
      (_, at) => `x-${at}: &a${at} [${at ? `*a${at - 1}, *a${at - 1}` : 'a, a'}]`,
    )
    expect(faultsOf(`${levels.join('\n')}\ncommand: x`)).toEqual([expect.stringContaining('too_complex')])
    expect(faultsOf('['.repeat(10_000))).toEqual([expect.stringContaining('too_deep')])
    expect(faultsOf(`command: ${'x'.repeat(300_000)}`)).toEqual([expect.stringContaining('too_large')])
    expect(faultsOf(`a: !!js/function x\ncommand: y`)).toContainEqual(expect.stringContaining('invalid_yaml'))
  })
})
