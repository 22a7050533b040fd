import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { PROFILES } from '../../platform/processes/profiles.js'
import { failure } from '../step-context.fake.js'
import { JobUnderTest } from './process-step.fake.js'

const job = new JobUnderTest()
const { secureFault, namespaceFault } = await job.runner.isolation()
const available = PROFILES.filter((profile) => profile !== 'secure' || secureFault === undefined)
const isolated = available.filter((profile) => profile === 'secure' || (profile === 'permissive' && !namespaceFault))
afterAll(() => job.close())
beforeEach(() => {
  job.kept.length = 0
})

const lines = ({ logs }: { logs: readonly { message: string }[] }) => logs.map(({ message }) => message).join('\n')

describe.each(available)('what a job leaves as artifacts under %s', (profile) => {
  it('is a regular file with one name, or is passed over', async () => {
    const { result, step } = await job.run({
      profile,
      artifacts: ['*.txt', 'etc'],
      command: [
        'cd "$FLWD_ARTIFACTS_DIR" || exit 1; echo good > good.txt; ln -s /etc/passwd link.txt; ln -s /etc folder; ln good.txt twice.txt 2>&1',
        'mkfifo pipe.txt; mknod device.txt c 1 5 2>/dev/null; ln -s ../secrets secrets; ln -s good.txt relative.txt; echo fine > fine.txt',
        'cd "$RUN_DIR"; ln -s /etc/shadow shadow.txt; ln -s /etc etc; ln -s artifacts/fine.txt loop.txt; echo own > plan.txt',
      ].join('\n'),
    })
    await result
    expect(job.kept.map(({ path, content }) => [path, content])).toEqual([
      ['/workspace/artifacts/fine.txt', 'fine\n'],
      ['/workspace/plan.txt', 'own\n'],
    ])
    expect(lines(step)).toContain("'artifacts/link.txt' is no regular file with one name")
    expect(lines(step)).toContain("'artifacts/pipe.txt' is no regular file with one name")
  })

  it('is nothing behind a folder that became a link', async () => {
    const { result } = await job.run({
      profile,
      command: 'cd "$RUN_DIR" && rm -rf artifacts && ln -s /etc artifacts',
    })
    await result
    expect(job.kept).toEqual([])
  })

  it('is no more than a bounded number', async () => {
    const { result, step } = await job.run({
      profile,
      command: 'cd "$FLWD_ARTIFACTS_DIR"; for ((i = 0; i < 1100; i++)); do : > $i; done',
    })
    await result
    expect(job.kept).toHaveLength(1_000)
    expect(lines(step)).toContain('too many files')
  })
})

describe.each(available)('a result under %s', (profile) => {
  it.each([
    ['a link', 'ln -s /etc/passwd "$RUN_DIR/result.json"'],
    ['a pipe', 'mkfifo "$RUN_DIR/result.json"'],
    ['a folder', 'mkdir "$RUN_DIR/result.json"'],
  ])('is none where it is %s', async (_, command) => {
    expect(await job.output({ profile, command: `${command}; echo 7` })).toMatchObject({ value: 7 })
  })

  it('is refused where it is too large or too deep', async () => {
    const large = await job.run({ profile, command: 'head -c 2000000 /dev/zero | tr "\\0" 1 > "$RUN_DIR/result.json"' })
    expect(await failure(large.result)).toMatchObject({ code: 'invalid_result' })
    const many = await job.run({ profile, command: 'head -c 900000 /dev/zero | tr "\\0" "["; echo' })
    expect(((await many.result).output as { value: unknown }).value).toBeNull()
  })
})

describe.each(isolated)('a job under %s', (profile) => {
  it('sees neither the data folder of the server nor the folders of other runs', async () => {
    const other = job.newRun()
    await job.output({ profile, command: 'echo private > "$RUN_DIR/note"' }, { run: other })
    mkdirSync(join(job.folder, 'keys'), { recursive: true })
    writeFileSync(join(job.folder, 'keys', 'encryption-key'), 'of the server')
    const { result, step } = await job.run({
      profile,
      command: [
        `cat ${join(job.folder, 'keys', 'encryption-key')} ${join(job.folders.pathOf(other), 'note')}`,
        `find ${job.folder} / -maxdepth 4 -path "${job.folder}/*" \\( -name encryption-key -o -name ${other} \\) 2>/dev/null; ls ${join(job.folder, 'runs')} "$RUN_DIR/.." | grep -c ${other}`,
        `echo x > ${join(job.folder, 'made')}; echo x > "$RUN_DIR/../made"; true`,
      ].join('\n'),
    })
    await result
    expect(lines(step)).not.toMatch(/^(private|of the server|\/.*(encryption-key|run_\d+))$/m)
    expect(lines(step).split('\n')).toContain('0')
    expect(readdirSync(job.folder)).not.toContain('made')
    expect(readdirSync(join(job.folder, 'runs'))).not.toContain('made')
  })

  it('does not change the job itself', async () => {
    job.files({ 'kept/run.sh': 'echo once' })
    const { result, step } = await job.run({
      profile,
      folder: 'kept',
      command: 'echo more >> run.sh; rm -f run.sh; touch new; true',
    })
    await result
    expect(lines(step)).toMatch(/Read-only file system|Permission denied/)
    expect(readdirSync(join(job.folder, 'bundle', 'kept'))).toEqual(['run.sh'])
  })

  it('neither sees nor reaches the server’s process', async () => {
    const { result, step } = await job.run({
      profile,
      command: `kill -9 ${process.pid}; cat /proc/${process.pid}/environ /proc/${process.ppid}/environ | tr '\\0' '\\n' | grep -c VITEST; true`,
    })
    await result
    expect(lines(step).split('\n')).toContain('0')
  })
})

it.skipIf(secureFault)('a job under secure has no network, which one under permissive has', async () => {
  let connections = 0
  const server = createServer((socket) => {
    connections++
    socket.on('error', () => {}).end('hello\n')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const command = `exec 3<>/dev/tcp/127.0.0.1/${port} && head -n 1 <&3`
  const refused = await job.run({ profile: 'secure', command })
  expect(await failure(refused.result)).toMatchObject({ code: 'exit_code' })
  expect(connections).toBe(0)
  const open = await job.run({ profile: 'permissive', command })
  await open.result
  expect(open.stdout()).toEqual(['hello'])
  server.close()
})

it('arguments of whatever kind run nothing and become no options of what starts the program', async () => {
  const args = {
    '--help': '--version',
    '-c': '$(touch pwned)',
    'a;touch pwned': '`touch pwned`',
    '': '',
    x: "'; touch pwned; '",
  }
  for (const profile of available) {
    const { result, stdout, folder } = await job.run(
      { profile, command: 'printf "%s\\n" "$#" "$x"; ls "$RUN_DIR"' },
      { args },
    )
    await result
    expect(stdout().slice(0, 2)).toEqual(['5', args.x])
    expect(readdirSync(folder)).not.toContain('pwned')
  }
  expect(execFileSync('find', [job.folder, '-name', 'pwned']).toString()).toBe('')
})
