import { describe, expect, it } from 'vitest'
import { interpret, stepType } from '../../engine/flow.fake.js'
import type { Graph } from '../../engine/graph.js'
import { FakeHost, FakeJournal } from '../../engine/host.fake.js'
import type { JsonObject } from '../../platform/json.js'
import { compile, type JobDefinition } from './compile.js'
import { flwdLanguage } from './language.js'
import { readConfig } from './read-config.js'
import { librariesFor, scriptsIn } from './scripts.js'

const BUNDLE = 'ab'.repeat(32)

function definitionOf(text: string, files: string[] = []): JobDefinition {
  const own = new Set(['config.yaml', 'run.sh', ...files])
  const reading = readConfig(text, own)
  if (!reading.ok) throw new Error(JSON.stringify(reading.faults))
  const { config } = reading
  const scripts = config.steps || config.command !== null ? [] : scriptsIn(own, config.interpreter)
  return {
    job: { id: 'backup/daily', name: 'daily', version: config.version },
    config,
    profile: config.profile ?? 'secure',
    bundle: BUNDLE,
    folder: 'backup/daily',
    scripts: scripts.map((script) => `backup/daily/${script}`),
    libs: ['config.d/libs/log.sh'],
  }
}

const stepsOf = ({ nodes }: Graph) => nodes.get('#steps')?.branches ?? []

describe('a job', () => {
  it('of scripts is one step that runs them in the order of their names', () => {
    const [step, ...others] = stepsOf(
      compile(definitionOf('version: 1.0.0', ['100_main.sh', '000_init.sh', 'data.csv', 'lib/x.sh'])),
    )
    expect(others).toEqual([])
    expect(step).toMatchObject({ name: 'step_01', type: 'process', guarantee: 'at_most_once' })
    expect(step?.params).toEqual({
      job: { id: 'backup/daily', name: 'daily', version: '1.0.0' },
      step: 'step_01',
      bundle: BUNDLE,
      folder: 'backup/daily',
      scripts: ['backup/daily/000_init.sh', 'backup/daily/100_main.sh', 'backup/daily/run.sh'],
      command: null,
      interpreter: ['/bin/bash'],
      libs: ['config.d/libs/log.sh'],
      env: {},
      inheritEnv: false,
      profile: 'secure',
      timeoutMs: null,
      secretArgs: [],
      artifacts: [],
      container: null,
    })
  })

  it('with a command is one step that runs it', () => {
    expect(stepsOf(compile(definitionOf('command: ./run.sh --all')))[0]?.params).toMatchObject({
      command: './run.sh --all',
      scripts: [],
    })
  })

  it('with steps is as many, which need one another', () => {
    const text = `
timeouts: {run: 1h, step: 5s}
error_handling: {policy: retry, retries: 2, retry_backoff: 3}
steps: [{id: a, name: First, script: run.sh}, {id: b, command: echo, needs: [a]}]`
    const graph = compile(definitionOf(text))
    expect(graph.settings).toEqual({ timeoutMs: 3_600_000 })
    expect(stepsOf(graph)).toMatchObject([
      { name: 'a', needs: [], label: { id: 'a', title: 'First', index: 0 }, retry: { maxAttempts: 3, waitMs: 3_000 } },
      { name: 'b', needs: ['a'], params: { command: 'echo', timeoutMs: 5_000 } },
    ])
    expect(stepsOf(graph)[0]?.params).toMatchObject({ scripts: ['backup/daily/run.sh'], command: null })
    expect(stepsOf(graph)[0]).not.toHaveProperty('guarantee')
  })

  it('may go on after a step that fails', () => {
    const text = 'error_handling: {policy: continue}\nsteps: [{id: a, script: run.sh}]'
    expect(stepsOf(compile(definitionOf(text)))[0]).toMatchObject({ onError: 'continue', guarantee: 'at_most_once' })
  })

  it('of an image runs in a container', () => {
    expect(stepsOf(compile(definitionOf('interpreter: container:alpine\ncommand: ls')))[0]).toMatchObject({
      type: 'container',
      params: { container: { image: 'alpine' }, interpreter: ['/bin/sh'] },
    })
  })

  it('of Python scripts alone is run by Python', () => {
    const definition = definitionOf('name: x', ['main.py'])
    definition.scripts = ['backup/daily/main.py']
    expect(stepsOf(compile(definition))[0]?.params).toMatchObject({ interpreter: ['/usr/bin/env', 'python3'] })
  })

  it('holds nothing that is an expression', () => {
    const definition = definitionOf('command: "echo ${x} {{ y }}"')
    const step = stepsOf(compile(definition))[0]
    const template = flwdLanguage.template(step?.params ?? {})
    expect(template.scripts).toEqual([])
    expect(template.render([])).toMatchObject({ command: 'echo ${x} {{ y }}' })
  })
})

describe('a run of a job', () => {
  const graph = () =>
    compile(definitionOf('steps: [{id: "10", command: a}, {id: "9", command: b}, {id: c, command: c, needs: []}]'))
  const step = (putOut: (name: string) => JsonObject[string] | undefined) =>
    stepType(
      'process',
      (_, { node }) => {
        const value = putOut(node)
        if (value === undefined) throw new Error(`${node} failed`)
        return { output: { value, exitCode: 0, artifacts: [] } }
      },
      { stepClass: 'effect' },
    )

  it.each<[string, Record<string, JsonObject[string]>, JsonObject]>([
    ['the last step', { '10': 1, '9': 2, c: 3 }, { value: 3 }],
    ['the last step that has a value', { '10': 1, '9': { a: [2] }, c: null }, { value: { a: [2] } }],
    ['a step whose value is false', { '10': 1, '9': false, c: null }, { value: false }],
    ['none, where none has a value', { '10': null, '9': null, c: null }, {}],
  ])('results in the value of %s', async (_, values, result) => {
    const ending = await interpret(graph(), { language: flwdLanguage, steps: [step((name) => values[name])] })
    expect(ending).toMatchObject({ state: 'completed', result })
  })

  it('fails with its first failure, and goes on from there when asked to', async () => {
    const ending = await interpret(graph(), { language: flwdLanguage, steps: [step(() => undefined)] })
    expect(ending).toMatchObject({ state: 'failed', error: { message: '10 failed', node: '10' } })
  })

  it('is lost with its host, unless its steps may be repeated', async () => {
    const lost = { path: 'step_01', attempt: 1, startedAt: new Date() }
    const ending = async (text: string) => {
      const journal = new FakeJournal()
      journal.opened.push(lost)
      const host = new FakeHost({ journal })
      return await interpret(compile(definitionOf(text)), { host, language: flwdLanguage, steps: [step(() => 1)] })
    }
    expect(await ending('command: x')).toMatchObject({ state: 'failed', error: { code: 'unknown_outcome' } })
    const retried = await interpret(compile(definitionOf('command: x\nerror_handling: {policy: retry, retries: 1}')), {
      language: flwdLanguage,
      steps: [step(() => 1)],
    })
    expect(retried).toMatchObject({ state: 'completed', result: { value: 1 } })
  })
})

describe('libraries', () => {
  it('are those from the root down to the job, variables first', () => {
    const files = [
      'team/config.d/vars/b',
      'team/config.d/vars/a',
      'config.d/vars/z',
      'config.d/libs/log.sh',
      'team/job/config.d/libs/own.sh',
      'team/job/config.d/libs/deep/er.sh',
      'team/job/config.d/vars/.hidden',
      'other/config.d/vars/no',
      'config.d/config.yaml',
    ]
    expect(librariesFor('team/job', files)).toEqual([
      'config.d/vars/z',
      'config.d/libs/log.sh',
      'team/config.d/vars/a',
      'team/config.d/vars/b',
      'team/job/config.d/libs/own.sh',
    ])
  })
})
