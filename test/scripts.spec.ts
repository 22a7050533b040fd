import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { isStale } from '../scripts/build.mjs'

// Compiling takes as long as the machine is busy.
vi.setConfig({ testTimeout: 120_000 })

const root = join(import.meta.dirname, '..')
let project: string

/** A project of one file that says which Node runs it, ends with 7 on SIGTERM, and is built by our scripts. */
beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), 'millrace-scripts-'))
  mkdirSync(join(project, 'src/app'), { recursive: true })
  mkdirSync(join(project, 'node_modules'))
  cpSync(join(root, 'scripts'), join(project, 'scripts'), { recursive: true })
  for (const file of ['package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json']) {
    cpSync(join(root, file), join(project, file))
  }
  for (const name of ['typescript', '@types', 'undici-types', `node-${process.platform}-${process.arch}`]) {
    const target = join(root, 'node_modules', name)
    if (existsSync(target)) symlinkSync(target, join(project, 'node_modules', name))
  }
  write('export const asked: string[] = process.argv.slice(3)')
})

afterAll(() => rmSync(project, { recursive: true }))

function write(first: string): void {
  const rest = `
    process.on('SIGTERM', () => process.exit(7))
    console.log(Number.parseInt(process.versions.node, 10), asked.join())
    if (asked.includes('stay')) setInterval(() => {}, 1000)
  `
  writeFileSync(join(project, 'src/app/api.ts'), `${first}\n${rest}`)
}

const start = (node: string, ...args: string[]) =>
  spawnSync(node, ['scripts/start.mjs', 'api', ...args], { cwd: project, encoding: 'utf8' })

describe('npm start', () => {
  it('builds what has changed, and only then', () => {
    expect(start(process.execPath, 'one')).toMatchObject({ status: 0, stdout: '24 one\n', stderr: 'building\n' })
    expect(start(process.execPath, 'two')).toMatchObject({ status: 0, stdout: '24 two\n', stderr: '' })
    write("export const asked: string[] = ['changed']")
    expect(start(process.execPath)).toMatchObject({ status: 0, stdout: '24 changed\n', stderr: 'building\n' })
  })

  it('keeps the last build and says where the fault is when the sources do not compile', () => {
    write('export const asked: string[] = 1')
    const { status, stdout, stderr } = start(process.execPath)
    expect({ status, stderr }).toEqual({ status: 1, stderr: 'building\nthe sources do not compile\n' })
    expect(stdout).toContain('src/app/api.ts(1,14): error')
    expect(existsSync(join(project, 'dist/app/api.js'))).toBe(true)
    write('export const asked: string[] = process.argv.slice(3)')
    expect(start(process.execPath, 'again')).toMatchObject({ status: 0, stdout: '24 again\n' })
  })

  it('knows a build as stale when a source is newer or gone, not when a spec is', () => {
    expect(isStale(project)).toBe(false)
    const later = new Date(Date.now() + 60_000)
    writeFileSync(join(project, 'src/app/api.spec.ts'), '')
    utimesSync(join(project, 'src/app/api.spec.ts'), later, later)
    utimesSync(join(project, 'src/app'), new Date(0), new Date(0))
    expect(isStale(project)).toBe(false)
    utimesSync(join(project, 'src/app'), later, later)
    expect(isStale(project)).toBe(true)
    utimesSync(join(project, 'src/app'), new Date(0), new Date(0))
  })
})

const older = ['/usr/bin/node', '/usr/local/bin/node'].find((node) => {
  const { stdout, status } = spawnSync(node, ['--version'], { encoding: 'utf8' })
  return status === 0 && Number.parseInt(stdout.slice(1), 10) < 24
})

describe.runIf(older && existsSync(join(root, 'node_modules', `node-${process.platform}-${process.arch}`)))(
  'started by an older Node',
  () => {
    it('goes on under Node 24, with the same arguments and exit code', async () => {
      expect(start(older ?? '', 'same')).toMatchObject({ status: 0, stdout: '24 same\n' })
      const running = spawn(older ?? '', ['scripts/start.mjs', 'api', 'stay'], { cwd: project })
      await once(running.stdout, 'data')
      running.kill('SIGTERM')
      expect(await once(running, 'exit')).toEqual([7, null])
    })

    it('says what is missing where Node 24 is not installed', () => {
      // An empty package instead of none, so that folders above are not asked.
      const name = `node-${process.platform}-${process.arch}`
      rmSync(join(project, 'node_modules', name))
      mkdirSync(join(project, 'node_modules', name))
      writeFileSync(join(project, 'node_modules', name, 'package.json'), JSON.stringify({ name, exports: {} }))
      const { status, stderr } = start(older ?? '')
      expect(status).toBe(1)
      expect(stderr).toMatch(/^Millrace needs Node 24; this is v\d+/)
    })
  },
)
