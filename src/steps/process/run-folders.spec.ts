import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { RunFolders } from './run-folders.js'

let base: string
let folders: RunFolders

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'millrace-folders-'))
  folders = new RunFolders(base)
})

afterEach(() => rmSync(base, { recursive: true, force: true }))

/** A folder as an earlier run left it, with whatever its programs thought of. */
function leave(run: string): string {
  const path = join(base, run)
  for (const name of ['artifacts', 'data', 'secrets', 'deep/er']) mkdirSync(join(path, name), { recursive: true })
  writeFileSync(join(path, 'deep/er/script.sh'), 'echo kept\n')
  chmodSync(join(path, 'deep/er/script.sh'), 0o750)
  writeFileSync(join(path, 'secrets/token'), 'left by a server that was killed')
  writeFileSync(join(path, '-rf'), 'a name like an option')
  symlinkSync('/etc', join(path, 'out'))
  symlinkSync('../../..', join(path, 'deep/up'))
  execFileSync('mkfifo', [join(path, 'pipe')])
  writeFileSync(join(path, 'holes'), '')
  truncateSync(join(path, 'holes'), 10_000_000_000)
  return path
}

describe('the folder of a run that goes on', () => {
  it('holds what the nearest earlier run left, as it was, but no secret', async () => {
    leave('run_first')
    const folder = await folders.open('run_third', { earlier: async () => ['run_second', 'run_first'] })
    await folder.close()
    expect(folder.isNew).toBe(true)
    expect(folder.carriedAt).toBeGreaterThan(Date.now() - 60_000)
    const at = (name: string) => join(base, 'run_third', name)
    expect(readFileSync(at('deep/er/script.sh'), 'utf8')).toBe('echo kept\n')
    expect(lstatSync(at('deep/er/script.sh')).mode & 0o777).toBe(0o750)
    expect(readFileSync(at('-rf'), 'utf8')).toBe('a name like an option')
    expect([readlinkSync(at('out')), readlinkSync(at('deep/up'))]).toEqual(['/etc', '../../..'])
    expect(lstatSync(at('pipe')).isFIFO()).toBe(true)
    expect(lstatSync(at('holes')).size).toBe(10_000_000_000)
    expect(lstatSync(at('holes')).blocks).toBeLessThan(1_000)
    expect(existsSync(at('secrets/token'))).toBe(false)
    expect(existsSync(join(base, 'run_first/secrets/token'))).toBe(true)
  })

  it('is made once for steps side by side, and is no new one for those that come later', async () => {
    leave('run_first')
    let asked = 0
    const earlier = async () => {
      asked++
      return ['run_first']
    }
    const opened = await Promise.all(Array.from({ length: 4 }, () => folders.open('run_next', { earlier })))
    expect(opened.map(({ isNew }) => isNew).filter(Boolean)).toHaveLength(1)
    expect(asked).toBe(1)
    expect(existsSync(join(base, 'run_next/deep/er/script.sh'))).toBe(true)
    for (const one of opened) await one.close()
  })

  it('begins anew after a copy that was cut off', async () => {
    leave('run_first')
    mkdirSync(join(base, 'run_next.removed'))
    writeFileSync(join(base, 'run_next.removed/half'), '')
    const folder = await folders.open('run_next', { earlier: async () => ['run_first'] })
    await folder.close()
    expect(existsSync(join(base, 'run_next/half'))).toBe(false)
    expect(existsSync(join(base, 'run_next.removed'))).toBe(false)
  })

  it('is refused where none of the earlier ones is kept', async () => {
    const opening = folders.open('run_next', { earlier: async () => ['run_first'] })
    await expect(opening).rejects.toMatchObject({ code: 'run_folder_gone', retryable: false })
    expect(existsSync(join(base, 'run_next'))).toBe(false)
    expect(await folders.hasOneOf(['run_first'])).toBe(false)
  })

  it('is left when the step is told to stop', async () => {
    leave('run_first')
    const earlier = async () => ['run_first']
    const opening = folders.open('run_next', { earlier, signal: AbortSignal.abort(new Error('stop')) })
    await expect(opening).rejects.toThrow('stop')
    expect(existsSync(join(base, 'run_next'))).toBe(false)
  })
})
