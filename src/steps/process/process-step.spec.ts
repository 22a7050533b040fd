import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { SharedPlaces } from '../../platform/fairness/shared-places.js'
import { PROFILES } from '../../platform/processes/profiles.js'
import { failure } from '../step-context.fake.js'
import { JobUnderTest } from './process-step.fake.js'

const job = new JobUnderTest()
const { secureFault, namespaceFault } = await job.runner.isolation()
const available = PROFILES.filter((profile) => profile !== 'secure' || secureFault === undefined)
afterAll(() => job.close())

describe.each(available)('a step of a job under %s', (profile) => {
  it('runs its script in the run’s folder, and puts out what result.json says', async () => {
    job.files({
      'jobs/a/main.sh': 'echo hello "$1"; echo careful >&2; pwd > where; echo \'{"done": 3}\' > result.json',
    })
    const { result, step, folder } = await job.run(
      { profile, folder: 'jobs/a', scripts: ['jobs/a/main.sh'] },
      { args: { target: 'world' } },
    )
    expect(await result).toEqual({ output: { value: { done: 3 }, exitCode: 0, artifacts: [] } })
    expect(step.logs).toEqual([
      { level: 'info', message: 'hello --target=world', data: { channel: 'stdout', step: 'step_01' } },
      { level: 'error', message: 'careful', data: { channel: 'stderr', step: 'step_01' } },
    ])
    const file = (name: string) => readFileSync(join(folder, name), 'utf8')
    expect(file('stdout')).toBe('hello --target=world\n')
    expect(file('stderr')).toBe('careful\n')
    expect(file('where').trim()).toBe(profile === 'secure' ? '/workspace' : folder)
    expect(JSON.parse(file('plan.json'))).toMatchObject({
      job: { id: 'ops/backup' },
      args: { target: 'world' },
      profile,
    })
    expect(statSync(folder).mode & 0o777).toBe(0o700)
  })

  it('takes the last line as its result where there is no file, and null where that is no JSON', async () => {
    const command = (text: string) => job.output({ profile, command: text })
    expect(await command('echo one; echo "[1, 2]"')).toMatchObject({ value: [1, 2] })
    expect(await command('echo "[1, 2]"; echo two')).toMatchObject({ value: null })
    expect(await command('true')).toMatchObject({ value: null })
    const { result } = await job.run({ profile, command: 'echo "{" > "$RUN_DIR/result.json"' })
    expect(await failure(result)).toMatchObject({ code: 'invalid_result', retryable: false })
  })

  it('begins commands in the job’s folder, and several scripts one after the other until one fails', async () => {
    job.files({
      'b/run.sh': '#!/bin/sh\necho "run $*"',
      'b/000.sh': 'echo first',
      'b/100.sh': 'echo second; exit 4',
      'b/999.sh': 'echo never',
    })
    const words = await job.run({ profile, folder: 'b', command: './run.sh fast' }, { args: { n: 1 } })
    await words.result
    expect(words.stdout()).toEqual(['run fast --n=1'])
    const scripts = await job.run({ profile, folder: 'b', scripts: ['b/000.sh', 'b/100.sh', 'b/999.sh'] })
    expect(await failure(scripts.result)).toMatchObject({ code: 'exit_code', output: { exitCode: 4 } })
    expect(scripts.stdout()).toEqual(['first', 'second'])
  })

  it('binds arguments as environment, variables and flags, and sources libraries', async () => {
    job.files({
      'config.d/libs/say.sh': 'say() { echo "say $1"; }',
      'c/main.sh': [
        'say "$name"; echo "${list[1]}"; echo "${map[b]}"; echo "$dry_run"',
        'echo "$ARG_NAME $ARG_DRY_RUN ${ARG_LIST-unset}"; printf "%s\\n" "$FLWD_ARGS_JSON"; printf "%s\\n" "$@"',
        '[ "$0" = "${BASH_SOURCE[0]}" ] && echo main; cat "$FLWD_ARGS_FILE"',
      ].join('\n'),
    })
    const args = { name: "it's", list: [1, 'two'], map: { b: 'c' }, 'dry-run': true }
    const step = await job.run({ profile, scripts: ['c/main.sh'], libs: ['config.d/libs/say.sh'] }, { args })
    await step.result
    expect(step.stdout()).toEqual([
      "say it's",
      'two',
      'c',
      'true',
      "it's true unset",
      JSON.stringify(args),
      "--name=it's",
      '--list=[1,"two"]',
      '--map={"b":"c"}',
      '--dry-run=true',
      'main',
      JSON.stringify(args),
    ])
  })

  it('gives secrets as files alone, and tells them nowhere', async () => {
    job.secrets = { token: 'sesame-open-1234', '../up': 'other-secret-5678' }
    const { result, step, folder } = await job.run(
      {
        profile,
        secretArgs: ['token', '../up'],
        command: [
          'cat "$RUN_DIR/secrets/token"; echo; stat -c %a secrets/token "$FLWD_SECRETS_DIR"/* 2>/dev/null',
          'echo "$FLWD_ARGS_JSON"; env | grep -c sesame; echo "${token-none}"; cat "$FLWD_SECRETS_DIR/token" >&2',
          'mkdir -p "$FLWD_ARTIFACTS_DIR"; echo x > "$FLWD_ARTIFACTS_DIR/sesame-open-1234.txt"',
          'echo "{\\"it\\": \\"$(cat "$FLWD_SECRETS_DIR/token")\\"}" > "$RUN_DIR/result.json"',
        ].join('\n'),
      },
      { args: { token: '[secret]', '../up': '[secret]', plain: 'shown' } },
    )
    expect((await result).output).toMatchObject({ value: { it: '***' } })
    expect(step.logs.map(({ message }) => message)).toEqual(
      expect.arrayContaining(['***', '600', '{"token":"[secret]","../up":"[secret]","plain":"shown"}', '0', 'none']),
    )
    expect(job.kept.at(-1)).toMatchObject({ name: '***.txt', path: '/workspace/artifacts/***.txt' })
    for (const name of ['stdout', 'stderr', 'plan.json', 'args.json'])
      expect(readFileSync(join(folder, name), 'utf8')).not.toContain('sesame')
    expect(JSON.stringify(step.logs)).not.toContain('sesame')
    expect(existsSync(join(folder, 'up'))).toBe(false)
    expect(readdirSync(join(folder, 'secrets'))).toEqual([])
    job.secrets = {}
  })

  it('keeps what is left in the folder of artifacts, and what patterns name', async () => {
    job.kept.length = 0
    const output = await job.output({
      profile,
      artifacts: ['out/**/*.csv', 'report.json'],
      command:
        'cd "$RUN_DIR"; mkdir -p artifacts/deep out/a/b; echo 1 > artifacts/deep/log.txt; echo 2 > out/a/b/t.csv; echo 3 > out/a/t.txt; echo {} > report.json; : > artifacts/empty',
    })
    expect(job.kept.map(({ path, mediaType, content }) => [path, mediaType, content])).toEqual([
      ['/workspace/artifacts/deep/log.txt', 'text/plain', '1\n'],
      ['/workspace/artifacts/empty', 'application/octet-stream', ''],
      ['/workspace/out/a/b/t.csv', 'text/csv', '2\n'],
      ['/workspace/report.json', 'application/json', '{}\n'],
    ])
    expect(output.artifacts).toHaveLength(4)
  })

  it('fails with the exit code and the last complaint, with a signal, or with the limit', async () => {
    const failed = (command: string) => job.run({ profile, command }).then(({ result }) => failure(result))
    expect(await failed('echo before >&2; echo "no space" >&2; exit 7')).toMatchObject({
      message: "the step 'step_01' ended with the exit code 7: no space",
      code: 'exit_code',
      output: { exitCode: 7 },
    })
    expect(await failed('kill -SEGV $$')).toMatchObject({ code: 'signal', output: { signal: 'SIGSEGV' } })
    const late = await job.run({ profile, command: 'sleep 60', timeoutMs: 300 })
    expect(await failure(late.result)).toMatchObject({
      code: 'timeout',
      message: "the step 'step_01' was ended: it took longer than 0.3 seconds",
    })
  })

  it('is told to end by its signal, and fails as whoever told it says', async () => {
    const controller = new AbortController()
    const reason = new Error('cancelled')
    const { result, step } = await job.run(
      { profile, command: 'trap "echo bye; exit 0" TERM; echo up; while :; do sleep 0.05; done' },
      { signal: controller.signal },
    )
    await expect.poll(() => step.logs.length, { timeout: 15_000 }).toBeGreaterThan(0)
    controller.abort(reason)
    await expect(result).rejects.toBe(reason)
    expect(step.logs.map(({ message }) => message)).toEqual(expect.arrayContaining(['up', 'bye']))
  })

  it('has the environment that its profile allows, and nothing of the server’s own', async () => {
    const names = async (inheritEnv: boolean | string[]) => {
      const { result, stdout } = await job.run({ profile, command: 'env', env: { MODE: 'x', 'a b': 'y' }, inheritEnv })
      await result
      return stdout().map((line) => line.split('=')[0])
    }
    const [none, one, all] = [await names(false), await names(['COLOUR']), await names(true)]
    expect(none.includes('COLOUR')).toBe(profile === 'disabled')
    expect(one.includes('COLOUR')).toBe(profile !== 'secure')
    expect(all.includes('COLOUR')).toBe(profile !== 'secure')
    for (const known of [none, one, all])
      expect(known).toEqual(
        expect.arrayContaining(['PATH', 'MODE', 'RUN_DIR', 'FLWD_RUN_DIR', 'FLOWD_RUN_DIR', 'DATA_DIR']),
      )
  })
})

describe('steps of one run', () => {
  it('share its folder, and each has its own result', async () => {
    const run = job.newRun()
    const profile = available[0] as (typeof available)[number]
    await job.output({ profile, command: 'cd "$RUN_DIR"; echo 5 > result.json; echo kept > note' }, { run })
    const second = await job.output({ profile, command: 'cat "$RUN_DIR/note"; echo 6' }, { run })
    expect(second.value).toBe(6)
  })

  it('have the secrets until the last of them has ended', async () => {
    job.secrets = { token: 'sesame-open-1234' }
    const run = job.newRun()
    const params = { profile: available[0] as (typeof available)[number], secretArgs: ['token'] }
    const long = await job.run(
      { ...params, command: 'cd "$RUN_DIR"; until [ -e go ]; do sleep 0.05; done; stat -c %s secrets/token' },
      { run },
    )
    await job.output({ ...params, command: 'cat "$FLWD_SECRETS_DIR/token"' }, { run })
    expect(readdirSync(join(long.folder, 'secrets'))).toEqual(['token'])
    await job.output({ ...params, command: 'touch "$RUN_DIR/go"' }, { run })
    expect((await long.result).output).toMatchObject({ value: 16 })
    expect(readdirSync(join(long.folder, 'secrets'))).toEqual([])
    job.secrets = {}
  })

  it('are refused where an earlier one spoilt the folder', async () => {
    const run = job.newRun()
    const profile = available[0] as (typeof available)[number]
    const outside = join(job.folder, 'outside')
    writeFileSync(outside, 'untouched')
    await job.output(
      { profile, command: `cd "$RUN_DIR"; rm -rf secrets stdout; ln -s ${outside} stdout; ln -s /etc secrets` },
      { run },
    )
    const { result } = await job.run({ profile, command: 'true' }, { run })
    expect(await failure(result)).toMatchObject({ code: 'run_folder_spoilt', retryable: false })
    expect(readFileSync(outside, 'utf8')).toBe('untouched')
  })

  it('leave folders that can be removed, however they are', async () => {
    const run = job.newRun()
    const profile = available[0] as (typeof available)[number]
    const { result } = await job.run(
      {
        profile,
        command:
          'cd "$RUN_DIR"; mkdir -p closed/in; chmod 0 closed; for i in $(seq 300); do mkdir d; cd d; done; touch x',
      },
      { run },
    )
    await result.catch(() => {})
    expect(await job.folders.unused(new Date(Date.now() + 60_000))).toContain(run)
    await job.folders.remove(run)
    expect(existsSync(job.folders.pathOf(run))).toBe(false)
    expect(existsSync(`${job.folders.pathOf(run)}.removed`)).toBe(false)
  })
})

describe('places for steps', () => {
  it('are not one account’s alone: its further steps wait, another’s begins', async () => {
    const places = new SharedPlaces(1)
    const busy = new JobUnderTest({ places })
    const stop = new AbortController()
    try {
      const endless = { profile: 'permissive', command: 'echo begun; sleep 600' } as const
      const first = await busy.run(endless, { account: 'account_a', signal: stop.signal })
      await vi.waitUntil(() => first.stdout().includes('begun'), { timeout: 15_000 })
      const second = await busy.run(endless, { account: 'account_a', signal: stop.signal })
      const other = { profile: 'permissive', command: 'echo 1' } as const
      expect(await busy.output(other, { account: 'account_b' })).toMatchObject({ value: 1 })
      expect(places.waiting).toBe(1)
      expect(second.stdout()).toEqual([])
      stop.abort(new Error('cancelled'))
      await expect(second.result).rejects.toThrow('cancelled')
      await expect(first.result).rejects.toThrow('cancelled')
      expect(await busy.output(other, { account: 'account_a' })).toMatchObject({ value: 1 })
    } finally {
      await busy.close()
    }
  })
})

describe('a host that cannot isolate', () => {
  it.skipIf(namespaceFault !== undefined)('refuses secure plainly, and runs the others', async () => {
    const { ProcessRunner } = await import('../../platform/processes/process-runner.js')
    const runner = new ProcessRunner(join(job.folder, 'weak'), { path: '/nowhere' })
    const weak = new JobUnderTest({ runner })
    try {
      const { result } = await weak.run({ profile: 'secure', command: 'true' })
      expect(await failure(result)).toMatchObject({ code: 'isolation_unavailable', retryable: false })
      expect(await weak.output({ profile: 'permissive', command: 'echo 1' })).toMatchObject({ value: 1 })
    } finally {
      await weak.close()
    }
  })
})
