import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { dockerPeer } from '../../../test/support/peers/container-runtimes.js'
import { ContainerRuntimes } from '../../platform/containers/container-runtimes.js'
import type { Profile } from '../../platform/processes/profiles.js'
import { failure } from '../step-context.fake.js'
import { containerStep } from './container-step.js'
import type { JobContainer } from './job-step.js'
import { JobUnderTest } from './process-step.fake.js'

/** What differs between runtimes is tried where they are spoken to. */
const docker = await dockerPeer()

// A container takes some seconds to begin and to end on a busy machine; a test has up to five.
vi.setConfig({ testTimeout: 60_000 })

describe.skipIf(!docker)('a step of a job in a container', () => {
  const peer = docker as NonNullable<typeof docker>
  const errors: unknown[] = []
  const job: JobUnderTest = new JobUnderTest({}, (parts) => {
    const roots = ['runs', 'bundle', 'control'].map((folder) => join(job.folder, folder))
    // As it would be from a folder beside those of steps.
    mkdirSync(join(job.folder, 'bundle'), { recursive: true })
    const runtimes = new ContainerRuntimes(
      { socket: peer.socket },
      { roots: [...roots, job.folder], onError: (error) => errors.push(error) },
    )
    return containerStep({ ...parts, runtimes })
  })

  afterAll(async () => {
    const left = await peer.docker.listContainers({ all: true })
    await Promise.all([job.close(), peer.stop()])
    expect(left).toEqual([])
    expect(errors).toEqual([])
  })

  const container = (wanted: Partial<JobContainer> = {}): { container: JobContainer; interpreter: string[] } => ({
    container: {
      image: peer.busybox,
      entrypoint: null,
      cpus: null,
      memoryMb: null,
      network: 'none',
      rootfsWritable: false,
      capabilities: [],
      ...wanted,
    },
    interpreter: ['/bin/sh'],
  })

  it('runs as on this host: arguments, libraries, several scripts, a result, artifacts and a log', async () => {
    job.files({
      'lib/say.sh': 'say() { echo "say $1"; }',
      'c/000.sh': 'say "$name"; echo "$ARG_NAME $1 $(cat "$FLWD_ARGS_FILE")"; echo careful >&2',
      'c/100.sh':
        'pwd; echo data > "$FLWD_ARTIFACTS_DIR/out.csv"; mkdir -p more; echo x > more/a.txt; echo \'{"n":1}\' > result.json',
    })
    const scripts = { folder: 'c', scripts: ['c/000.sh', 'c/100.sh'], libs: ['lib/say.sh'], artifacts: ['more/*'] }
    const { result, step, folder } = await job.run({ ...container(), ...scripts }, { args: { name: 'ada' } })
    const { output } = (await result) as { output: { value: unknown; exitCode: number; artifacts: string[] } }
    expect(output).toMatchObject({ value: { n: 1 }, exitCode: 0, artifacts: [expect.any(String), expect.any(String)] })
    expect(job.kept.map(({ path, content }) => [path, content])).toEqual([
      ['/workspace/artifacts/out.csv', 'data\n'],
      ['/workspace/more/a.txt', 'x\n'],
    ])
    const told = (level: string) => step.logs.filter((line) => line.level === level).map(({ message }) => message)
    expect(told('info')).toEqual(['say ada', 'ada --name=ada {"name":"ada"}', '/workspace'])
    expect(told('error')).toEqual(['careful'])
    expect(readFileSync(join(folder, 'stdout'), 'utf8')).toContain('say ada')
  })

  it('has its secrets in files that it cannot change, and nobody in what it is made of or says', async () => {
    job.secrets = { token: 'hush-hush-hush', 'a b/c': 'second-secret' }
    const script = `cat /run/secrets/token; echo; ls "$FLWD_SECRETS_DIR"; (echo x > /run/secrets/token) 2>&1; env; while [ ! -e "$RUN_DIR/go" ]; do sleep 0.1; done; echo "\\"$(cat /run/secrets/token)\\""`
    const secretArgs = Object.keys(job.secrets)
    const running = await job.run(
      { ...container(), command: script, secretArgs },
      { args: { token: '[secret]', plain: 'p' } },
    )
    await vi.waitUntil(() => running.stdout().some((line) => line.includes('ARG_PLAIN=p')))
    const inspected = JSON.stringify(await peer.docker.getContainer(`${running.run}-step_01`).inspect())
    writeFileSync(join(job.folders.pathOf(running.run), 'go'), '')
    const { output } = await running.result
    expect(inspected).toContain('ARG_PLAIN=p')
    for (const text of [inspected, running.stdout().join('\n'), JSON.stringify(output)])
      expect(text).not.toMatch(/hush|second-secret/)
    expect(running.stdout()[0]).toBe('***')
    expect(running.stdout().slice(1, 3)).toEqual(['a%20b%2Fc', 'token'])
    expect(running.stdout().join('\n')).toContain('Read-only file system')
    job.secrets = {}
  })

  it('tells how it failed: by its exit code, its memory, its time, its disk', async () => {
    const fails = async (command: string, more = {}) =>
      await failure((await job.run({ ...container(), command, ...more })).result)
    expect(await fails('echo "no such table" >&2; exit 3')).toMatchObject({
      code: 'exit_code',
      message: "the step 'step_01' ended with the exit code 3: no such table",
      output: { exitCode: 3 },
    })
    expect(await fails('tail /dev/zero', container({ memoryMb: 16 }))).toMatchObject({
      code: 'limit_memory',
      message: expect.stringContaining('more than 16 MiB of memory'),
    })
    expect(await fails('sleep 1000', { timeoutMs: 1_000 })).toMatchObject({ code: 'timeout' })
    const fill = 'cd "$RUN_DIR"; i=0; while :; do i=$((i+1)); dd if=/dev/zero of=f$i bs=1M count=8 2>/dev/null; done'
    expect(await fails(fill)).toMatchObject({ code: 'limit_disk' })
  })

  it('that is cancelled is stopped, and its container is gone', async () => {
    const abort = new AbortController()
    const running = await job.run(
      { ...container(), command: "trap '' TERM; echo ready; sleep 1000" },
      { signal: abort.signal },
    )
    await vi.waitUntil(() => running.stdout().includes('ready'))
    abort.abort(new Error('cancelled'))
    await expect(running.result).rejects.toThrow('cancelled')
    await vi.waitFor(async () => expect(await peer.docker.listContainers({ all: true })).toEqual([]))
  })

  it('that floods its log is told in part, and its last line counts', async () => {
    const command = 'i=0; while [ $i -lt 30000 ]; do i=$((i+1)); echo line $i; done; echo "[$i]"'
    const { result, step } = await job.run({ ...container(), command })
    expect((await result).output).toMatchObject({ value: [30_000] })
    expect(step.logs.length).toBeLessThan(20_000)
    expect(step.logs.at(-1)?.message).toContain('only the last is told')
  })

  it('whose folder was spoilt by an earlier step is mounted nothing of the host’s', async () => {
    const { result, folder, run } = await job.run({
      ...container(),
      command: 'cd "$RUN_DIR" && rm -rf secrets data && ln -s /etc secrets && ln -s / data && ls -l',
    })
    await result
    expect(existsSync(join(folder, 'secrets/passwd'))).toBe(true)
    job.secrets = { token: 'hush-hush-hush' }
    const next = await job.run(
      { ...container(), command: 'cat /run/secrets/*; ls data/', secretArgs: ['token'] },
      { run },
    )
    expect(await failure(next.result)).toMatchObject({ code: 'run_folder_spoilt' })
    job.secrets = {}
  })

  it.each<{ what: string; settings: Partial<JobContainer>; profile?: Profile }>([
    { what: 'a network under secure', settings: { network: 'bridge' } },
    {
      what: 'the host’s network under permissive',
      settings: { network: 'host' },
      profile: 'permissive' as const,
    },
    { what: 'a capability of administrators', settings: { capabilities: ['SYS_ADMIN'] } },
  ])('is refused $what', async ({ settings, profile = 'secure' }) => {
    const { result } = await job.run({ ...container(settings), profile, command: 'true' })
    expect(await failure(result)).toMatchObject({ code: 'container.refused', retryable: false })
  })

  it('is refused where its image is not to be had, or no runtime is there', async () => {
    const missing = container({ image: `sha256:${'0'.repeat(64)}` })
    const { result } = await job.run({ ...missing, command: 'true' })
    expect(await failure(result)).toMatchObject({ code: 'container.image.unavailable' })
    const elsewhere = new JobUnderTest({}, (parts) => {
      const runtimes = new ContainerRuntimes(
        { socket: join(job.folder, 'none.sock') },
        { roots: [], onError: () => {} },
      )
      return containerStep({ ...parts, runtimes })
    })
    const alone = await elsewhere.run({ ...container(), command: 'true' })
    expect(await failure(alone.result)).toMatchObject({ code: 'container.runtime.unavailable', retryable: true })
    await elsewhere.close()
  })

  it('that is tried again ends what an earlier attempt left at work', async () => {
    const run = job.newRun()
    const Labels = { 'dev.millrace.server': '1.2.3', 'dev.millrace.run': run }
    const left = await peer.docker.createContainer({
      name: `${run}-step_01`,
      Image: peer.busybox,
      Cmd: ['sleep', '1000'],
      Labels,
    })
    await left.start()
    const { result } = await job.run({ ...container(), command: 'echo 1' }, { run })
    expect((await result).output).toMatchObject({ value: 1 })
    await expect(left.inspect()).rejects.toMatchObject({ statusCode: 404 })
  })
})
