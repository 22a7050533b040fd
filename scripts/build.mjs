/*
 * Builds `dist`. `node scripts/build.mjs` always does, `buildIfNeeded` only when a source is newer. The compiler writes elsewhere
 * and the new build takes the old one's place when it is whole: processes that run from the old one, or start at the same time, never
 * meet half of it.
 */
import './node24.mjs'
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const SETTINGS = ['tsconfig.json', 'tsconfig.build.json', 'package-lock.json']
const STAMP = '.built'

/** Ends the process where the sources do not compile. */
export function buildIfNeeded(folder = root) {
  if (isStale(folder)) build(folder)
}

/** Whether a source, a folder of sources (one was removed) or a setting has changed since the last build. */
export function isStale(folder = root) {
  const sources = join(folder, 'src')
  if (!existsSync(sources)) return false
  const stamp = join(folder, 'dist', STAMP)
  if (!existsSync(stamp)) return true
  const builtAt = statSync(stamp).mtimeMs
  const files = readdirSync(sources, { recursive: true }).filter((file) => !file.endsWith('.spec.ts'))
  const inputs = [sources, ...files.map((file) => join(sources, file)), ...SETTINGS.map((file) => join(folder, file))]
  return inputs.some((path) => existsSync(path) && statSync(path).mtimeMs > builtAt)
}

export function build(folder = root) {
  console.error('building')
  const startedAt = new Date()
  const fresh = join(folder, 'node_modules', '.cache', `millrace-build-${process.pid}`)
  const tsc = createRequire(join(folder, 'package.json')).resolve('typescript/bin/tsc')
  const options = ['-p', 'tsconfig.build.json', '--outDir', fresh, '--noEmitOnError', '--incremental', 'false']
  const { status } = spawnSync(process.execPath, [tsc, ...options, '--tsBuildInfoFile', 'null'], {
    cwd: folder,
    stdio: 'inherit',
  })
  if (status !== 0) {
    rmSync(fresh, { recursive: true, force: true })
    console.error('the sources do not compile')
    process.exit(1)
  }
  const stamp = join(fresh, STAMP)
  writeFileSync(stamp, '')
  // What was changed while the compiler ran must count as newer.
  utimesSync(stamp, startedAt, startedAt)
  replace(join(folder, 'dist'), fresh)
}

function replace(dist, fresh) {
  const old = `${fresh}.old`
  try {
    renameSync(dist, old)
  } catch (error) {
    if (error.code !== 'ENOENT') throw error
  }
  try {
    renameSync(fresh, dist)
  } catch (error) {
    // Another process has just put its own build there.
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
    rmSync(fresh, { recursive: true, force: true })
  }
  rmSync(old, { recursive: true, force: true })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) build()
