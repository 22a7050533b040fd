import { execFileSync } from 'node:child_process'
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { BundleStore } from './bundle-store.js'
import { jobFoldersOf, ownNames } from './job-folders.js'
import { idMeantBy, idOf } from './job-ids.js'
import { SourceTree } from './source-tree.js'

let folder: string
let root: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-tree-'))
  root = join(folder, 'source')
  await mkdir(root)
})
afterEach(() => rm(folder, { recursive: true, force: true }))

async function write(path: string, content = ''): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true })
  await writeFile(join(root, path), content)
}

async function listed() {
  const { files, odds } = await (await SourceTree.at(root)).list()
  return {
    files: files.map(({ path }) => path).sort(),
    odds: Object.fromEntries(odds.map(({ path, why }) => [path, why])),
  }
}

describe('a source', () => {
  it('is listed without what is outside it, and without what is no file', async () => {
    await write('job/config.yaml')
    await write('job/.git/config')
    await writeFile(join(folder, 'secret'), 'secret')
    await mkdir(join(folder, 'outside'))
    await symlink(join(folder, 'secret'), join(root, 'job/out'))
    await symlink(join(folder, 'outside'), join(root, 'job/out-folder'))
    await symlink('config.yaml', join(root, 'job/in'))
    await symlink('..', join(root, 'job/loop'))
    await symlink('nowhere', join(root, 'job/nothing'))
    await symlink('/dev/zero', join(root, 'job/zero'))
    execFileSync('mkfifo', [join(root, 'job/pipe')])
    const socket = createServer()
    await new Promise<void>((resolve) => socket.listen(join(root, 'job/socket'), resolve))
    expect(await listed()).toEqual({
      files: ['job/config.yaml', 'job/in'],
      odds: {
        'job/out': 'it is a link that leads out of the source',
        'job/out-folder': 'it is a link that leads out of the source',
        'job/loop': 'it is a link to a folder',
        'job/nothing': 'it is a link that leads nowhere',
        'job/zero': 'it is a link that leads out of the source',
        'job/pipe': 'it is not a file',
        'job/socket': 'it is not a file',
      },
    })
    await new Promise((resolve) => socket.close(resolve))
  })

  it('with hostile names is read by them', async () => {
    for (const name of ['a\nb', 'a b', '-rf', '日本', '%2e%2e', 'a\\b'])
      await write(`${name}/config.yaml`, 'command: x')
    const bad = Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0x62, 0xff])])
    await mkdir(bad)
    const { files, odds } = await listed()
    expect(files).toHaveLength(6)
    expect(Object.values(odds)).toEqual(['its name is not UTF-8'])
  })

  it('is refused where it has too much, and left at a depth', async () => {
    for (let file = 0; file < 20; file++) await write(`${file}.txt`)
    await expect((await SourceTree.at(root, { entries: 10 })).list()).rejects.toThrow(/more than 10 files/)
    await write(`${'d/'.repeat(60)}config.yaml`)
    expect(Object.values((await listed()).odds)).toEqual(['it lies more than 40 folders deep'])
  })

  it('is no file, and nothing that is not there', async () => {
    await write('file')
    await expect(SourceTree.at(join(root, 'file'))).rejects.toThrow(/is no folder/)
    await expect(SourceTree.at(join(root, 'none'))).rejects.toThrow(/cannot be read/)
  })

  it('gives no file that was changed for a link out of it in the meantime', async () => {
    await write('job/file', 'inside')
    await mkdir(join(folder, 'outside'))
    await writeFile(join(folder, 'outside/file'), 'outside')
    const tree = await SourceTree.at(root)
    await rename(join(root, 'job'), join(root, 'aside'))
    await symlink(join(folder, 'outside'), join(root, 'job'))
    await expect(tree.open('job/file')).rejects.toThrow(/leads out/)
    await rm(join(root, 'job'))
    await mkdir(join(root, 'job'))
    execFileSync('mkfifo', [join(root, 'job/file')])
    await expect(tree.open('job/file')).rejects.toThrow(/not a file/)
  })

  it('has texts up to a size, in UTF-8', async () => {
    await write('a', 'x'.repeat(100))
    await writeFile(join(root, 'b'), Buffer.from([0xff, 0xfe]))
    const tree = await SourceTree.at(root)
    expect(await tree.text('a', 100)).toHaveLength(100)
    await expect(tree.text('a', 99)).rejects.toThrow(/at most 99 bytes/)
    await expect(tree.text('b', 99)).rejects.toThrow(/not UTF-8/)
  })
})

describe('the folders of jobs', () => {
  const foldersOf = async () => jobFoldersOf(await (await SourceTree.at(root)).list())

  it('have their own files, without those of jobs in them, and what lies above', async () => {
    await write('config.d/vars/all')
    await write('config.d/libs/sub/no')
    await write('team/config.d/libs/team.sh')
    await write('team/config.yaml')
    await write('team/run.sh')
    await write('team/one/config.yaml')
    await write('team/one/data/x')
    await write('team/notes/y')
    await write('other/config.d/config.yaml')
    const found = Object.fromEntries((await foldersOf()).map((job) => [job.folder, job.files.map(({ path }) => path)]))
    expect(found).toEqual({
      team: ['config.d/vars/all', 'team/config.d/libs/team.sh', 'team/config.yaml', 'team/notes/y', 'team/run.sh'],
      'team/one': ['config.d/vars/all', 'team/config.d/libs/team.sh', 'team/one/config.yaml', 'team/one/data/x'],
      other: ['config.d/vars/all', 'other/config.d/config.yaml'],
    })
  })

  it('may be the root itself, and are never hidden', async () => {
    await write('config.yaml')
    await write('run.sh')
    await write('.hidden/config.yaml')
    const [job, ...others] = await foldersOf()
    expect(others).toEqual([])
    expect([...ownNames(job as never)]).toEqual(['.hidden/config.yaml', 'config.yaml', 'run.sh'])
  })

  it('have another mark once anything of them has changed', async () => {
    await write('a/config.yaml', 'x')
    await write('config.d/vars/v', '1')
    const before = (await foldersOf())[0]?.mark
    expect((await foldersOf())[0]?.mark).toBe(before)
    await write('config.d/vars/v', '22')
    const after = (await foldersOf())[0]?.mark
    expect(after).not.toBe(before)
    await chmod(join(root, 'a/config.yaml'), 0o755)
    expect((await foldersOf())[0]?.mark).not.toBe(after)
  })
})

describe('an id', () => {
  it.each([
    ['', 'backup/daily', 'backup/daily'],
    ['ops', 'Backup/Daily Job', 'ops/backup/daily-job'],
    ['ops', '', 'ops'],
    ['', '__a__b__', 'a-b'],
    ['', 'a\nb', 'a-b'],
    ['', 'a.b', 'a-b'],
  ])('under %j of %j is %s', (mountPath, path, id) => {
    expect(idOf(mountPath, path)).toBe(id)
  })

  it('is there for every name', () => {
    expect(idOf('', '日本')).toMatch(/^x-[0-9a-f]{8}$/)
    expect(idOf('', '日本')).not.toBe(idOf('', '中国'))
    expect(idMeantBy('backup.daily')).toBe('backup/daily')
  })
})

describe('a snapshot', () => {
  const keep = async (limits?: { files: number; bytes: number }) => {
    const tree = await SourceTree.at(root)
    const bundles = new BundleStore(join(folder, 'bundles'), limits)
    const sha256 = await bundles.keep(
      tree,
      (await tree.list()).files.sort((a, b) => (a.path < b.path ? -1 : 1)),
    )
    return { bundles, sha256, path: await bundles.open(sha256) }
  }

  it('holds the files as they were, and is the same for the same files', async () => {
    await write('a/run.sh', 'one')
    await chmod(join(root, 'a/run.sh'), 0o755)
    await write('b', 'two')
    const first = await keep()
    expect(await keep()).toMatchObject({ sha256: first.sha256 })
    await write('b', 'three')
    const second = await keep()
    expect(second.sha256).not.toBe(first.sha256)
    expect(await readFile(join(first.path, 'b'), 'utf8')).toBe('two')
    expect(await readFile(join(first.path, 'a/run.sh'), 'utf8')).toBe('one')
    expect((await stat(join(first.path, 'a/run.sh'))).mode & 0o777).toBe(0o555)
    expect(await readdir(join(folder, 'bundles'))).toHaveLength(2)
  })

  it('is made once, however many make it', async () => {
    for (let file = 0; file < 20; file++) await write(`${file}`, `content ${file}`)
    const made = await Promise.all([1, 2, 3, 4, 5].map(() => keep()))
    expect(new Set(made.map(({ sha256 }) => sha256)).size).toBe(1)
    expect(await readdir(join(folder, 'bundles'))).toEqual([made[0]?.sha256])
  })

  it('has no more than it may have', async () => {
    await write('a', 'x'.repeat(100))
    await write('b', 'y')
    await expect(keep({ files: 1, bytes: 1_000 })).rejects.toThrow(/has 2 files/)
    await expect(keep({ files: 10, bytes: 100 })).rejects.toThrow(/more than 100 bytes/)
    expect(await readdir(join(folder, 'bundles')).catch(() => [])).toEqual([])
  })

  it('is nothing but what was kept', async () => {
    await write('a')
    const { bundles } = await keep()
    for (const name of ['ab'.repeat(32), '..', '../source', '', 'AB'.repeat(32)])
      await expect(bundles.open(name)).rejects.toThrow()
  })

  it('is removed once nobody needs it and nobody has asked for it in an hour', async () => {
    await write('a', '1')
    const first = await keep()
    await write('a', '2')
    const second = await keep()
    await write('a', '3')
    const third = await keep()
    const unfinished = join(folder, 'bundles/.new-left')
    await mkdir(unfinished)
    const longAgo = new Date(Date.now() - 2 * 3_600_000)
    for (const path of [first.path, second.path, unfinished]) await utimes(path, longAgo, longAgo)
    expect(await first.bundles.sweep(async () => new Set([first.sha256]), new Date())).toBe(2)
    expect((await readdir(join(folder, 'bundles'))).sort()).toEqual([first.sha256, third.sha256].sort())
  })
})
