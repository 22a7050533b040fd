import { execFile } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { gitUrlFault, isGitRef, shownUrl } from './git-addresses.js'
import { GitCheckouts } from './git-checkouts.js'

const run = promisify(execFile)
let folder: string
let repository: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-git-'))
  repository = join(folder, 'repository')
  await mkdir(repository)
  await git('init', '--quiet', '--initial-branch=main')
  await commit({ 'backup/config.yaml': 'command: echo one\n' })
})
afterEach(() => rm(folder, { recursive: true, force: true }))

async function git(...args: string[]): Promise<string> {
  const identity = ['-c', 'user.name=A', '-c', 'user.email=a@example.com', '-c', 'protocol.file.allow=always']
  const env = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' }
  return (await run('git', [...identity, ...args], { cwd: repository, env })).stdout.trim()
}

async function commit(files: Record<string, string>): Promise<string> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(repository, path)), { recursive: true })
    await writeFile(join(repository, path), content)
  }
  await git('add', '--all')
  await git('commit', '--quiet', '--message', 'a change')
  return await git('rev-parse', 'HEAD')
}

const checkouts = (ref: string | null = null, url = repository, limits?: object) =>
  new GitCheckouts(
    join(folder, 'checkouts'),
    { name: 'repo', url, ref },
    {
      timeoutMs: 60_000,
      packBytes: 2 ** 30,
      files: 50_000,
      bytes: 2 ** 30,
      ...limits,
    },
  )

describe('a checkout', () => {
  it('is the state that the ref stands for, in a folder of its commit', async () => {
    const kept = checkouts('main')
    const first = await kept.current()
    expect(await readFile(join(first, 'backup/config.yaml'), 'utf8')).toBe('command: echo one\n')
    const second = await commit({ 'backup/config.yaml': 'command: echo two\n' })
    const now = await kept.current()
    expect(now.endsWith(second)).toBe(true)
    expect(await readFile(join(now, 'backup/config.yaml'), 'utf8')).toBe('command: echo two\n')
    // Whoever still reads the earlier one goes on doing so.
    expect(await readFile(join(first, 'backup/config.yaml'), 'utf8')).toBe('command: echo one\n')
  })

  it.each([
    ['a tag', async () => (await git('tag', 'v1', 'HEAD~1')) || 'v1'],
    ['a commit', () => git('rev-parse', 'HEAD~1')],
    ['a branch with a slash', async () => (await git('branch', 'team/old', 'HEAD~1')) || 'team/old'],
  ])('of %s is that of its commit', async (_, refOf) => {
    await commit({ 'backup/config.yaml': 'command: echo two\n' })
    const at = await checkouts(await refOf()).current()
    expect(await readFile(join(at, 'backup/config.yaml'), 'utf8')).toBe('command: echo one\n')
  })

  it('is made once by processes that want it at the same time', async () => {
    const all = await Promise.allSettled([1, 2, 3, 4].map(() => checkouts().current()))
    const made = all.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    expect(new Set(made).size).toBe(1)
    expect(await readdir(join(made[0] as string, '..'))).not.toContainEqual(expect.stringMatching(/^\.(new|index)-/))
  })

  it('says what is wrong with a repository that is not there, or has no such ref', async () => {
    await expect(checkouts('nowhere').current()).rejects.toThrow(/nowhere could not be fetched/)
    await expect(checkouts(null, join(folder, 'none')).current()).rejects.toThrow(/could not be fetched/)
  })

  it('is refused where it has more than is taken', async () => {
    await commit({ 'a.txt': 'x'.repeat(1_000), 'b.txt': 'y' })
    await expect(checkouts(null, repository, { files: 2 }).current()).rejects.toThrow(/more than 2 files/)
    await expect(checkouts(null, repository, { bytes: 500 }).current()).rejects.toThrow(/more than 500 bytes/)
  })

  it('of a few trees that stand for millions of files is refused before anything is written', async () => {
    let tree = (await run('git', ['-C', repository, 'rev-parse', 'HEAD^{tree}'])).stdout.trim()
    for (let level = 0; level < 9; level++) {
      const entries = Array.from({ length: 10 }, (_, at) => `040000 tree ${tree}\td${at}`).join('\n')
      const made = run('git', ['-C', repository, 'mktree'])
      made.child.stdin?.end(`${entries}\n`)
      tree = (await made).stdout.trim()
    }
    await git('update-ref', 'refs/heads/bomb', await git('commit-tree', tree, '-m', 'a bomb'))
    await expect(checkouts('bomb').current()).rejects.toThrow(/more than 50000 files/)
  })
})

describe('a hostile repository', () => {
  it('has no hook, filter or file-system monitor of it run', async () => {
    const witness = join(folder, 'witness')
    const program = join(folder, 'program.sh')
    await writeFile(program, `#!/bin/sh\ntouch ${witness}\ncat\n`)
    await chmod(program, 0o755)
    await commit({ '.gitattributes': '* filter=evil\n', 'file.txt': 'text' })
    for (const [name, value] of [
      ['core.fsmonitor', program],
      ['core.hooksPath', folder],
      ['filter.evil.smudge', program],
      ['uploadpack.packObjectsHook', program],
      ['core.sshCommand', program],
    ] as const)
      await git('config', name, value)
    for (const hook of ['post-checkout', 'reference-transaction', 'pre-auto-gc', 'post-index-change']) {
      await writeFile(join(repository, '.git/hooks', hook), `#!/bin/sh\ntouch ${witness}\n`)
      await chmod(join(repository, '.git/hooks', hook), 0o755)
    }
    const at = await checkouts().current()
    expect(await readFile(join(at, 'file.txt'), 'utf8')).toBe('text')
    await expect(readFile(witness)).rejects.toThrow(/ENOENT/)
  })

  it('has no submodule of it fetched', async () => {
    const other = join(folder, 'other')
    await run('git', ['clone', '--quiet', repository, other])
    await git('submodule', '--quiet', 'add', other, 'sub')
    await git('commit', '--quiet', '--message', 'a submodule')
    const at = await checkouts().current()
    expect(await readdir(join(at, 'sub')).catch(() => [])).toEqual([])
  })

  it('with a link to a folder outside has nothing written there', async () => {
    const outside = join(folder, 'outside')
    await mkdir(outside)
    await symlink(outside, join(repository, 'link'))
    await git('add', '--all')
    await git('commit', '--quiet', '--message', 'a link')
    // A tree that holds both a link and a folder of that name, as no git would write one by itself.
    const below = await git('rev-parse', 'HEAD:backup')
    const link = await git('rev-parse', 'HEAD:link')
    const made = run('git', ['-C', repository, 'mktree'])
    made.child.stdin?.end(`120000 blob ${link}\tlink\n040000 tree ${below}\tlink\n`)
    const tree = (await made).stdout.trim()
    await git('update-ref', 'refs/heads/main', await git('commit-tree', tree, '-m', 'both'))
    await checkouts('main')
      .current()
      .catch(() => {})
    expect(await readdir(outside)).toEqual([])
  })
})

describe('credentials in an address', () => {
  let server: Server
  const asked: (string | undefined)[] = []
  beforeEach(async () => {
    asked.length = 0
    server = createServer((request, response) => {
      asked.push(request.headers.authorization)
      response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  })
  afterEach(() => new Promise((resolve) => server.close(resolve)))

  it('are given to the server, and told in no error', async () => {
    const { port } = server.address() as AddressInfo
    const url = `http://robot:pa55%2Fword@127.0.0.1:${port}/repo.git`
    const error = await checkouts(null, url)
      .current()
      .catch((thrown: Error) => thrown)
    expect(asked).toContain(`Basic ${Buffer.from('robot:pa55/word').toString('base64')}`)
    expect(String(error)).toContain('could not be fetched')
    expect(String(error)).not.toMatch(/pa55|robot/)
  })
})

describe('an address', () => {
  it.each([
    'https://example.com/repo.git',
    'http://user:secret@example.com/repo',
    'ssh://git@example.com:22/repo.git',
    'git@example.com:team/repo.git',
    'file:///srv/repo',
    '/srv/repo.git',
  ])('is taken: %s', (url) => {
    expect(gitUrlFault(url)).toBeUndefined()
  })

  it.each([
    'ext::sh -c touch% /tmp/x',
    'ext::sh',
    'fd::17',
    '--upload-pack=/bin/sh',
    '-u/bin/sh',
    'ssh://-oProxyCommand=touch/repo',
    'ssh://%2doProxyCommand@host/repo',
    'ftp://example.com/repo',
    'relative/path',
    'https:///path',
    'https://example.com/a b',
    'https://example.com/\nx',
    'git@-oProxyCommand=x:repo',
    '',
  ])('is refused: %j', (url) => {
    expect(gitUrlFault(url)).toBeTypeOf('string')
  })

  it('is shown without what must not be known', () => {
    expect(shownUrl('https://user:secret@example.com/repo.git?token=x#y')).toBe('https://example.com/repo.git')
    expect(shownUrl('git@example.com:team/repo.git')).toBe('example.com:team/repo.git')
    expect(shownUrl('/srv/repo')).toBe('/srv/repo')
  })
})

describe('a ref', () => {
  it.each(['main', 'v1.0', 'team/feature-1', 'refs/heads/main', 'a'.repeat(40)])('may be %s', (ref) => {
    expect(isGitRef(ref)).toBe(true)
  })

  it.each([
    '-x',
    '--upload-pack=x',
    'a..b',
    'a:b',
    '+main',
    'a b',
    'a\nb',
    'a~1',
    'a^{}',
    '@{u}',
    '*',
    'a/',
    '.a',
    'a.lock',
    '',
  ])('may not be %j', (ref) => {
    expect(isGitRef(ref)).toBe(false)
  })
})
