import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, rmdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'

const FOLDER = join(import.meta.dirname, '../../peers')
const INSTALLED = join(FOLDER, 'node_modules/.package-lock.json')
const LOCK = join(FOLDER, '.installing')
const LIMIT_MS = 300_000

/**
 * Loads from the packages of `test/peers`: object stores that are no part of the product, large, and therefore not installed with it.
 * They are installed when a spec first asks for them, without their scripts; undefined where that is not possible.
 */
export async function peerPackages(): Promise<NodeJS.Require | undefined> {
  const deadline = Date.now() + LIMIT_MS
  while (!existsSync(INSTALLED)) {
    if (!takesLock()) {
      // Another spec is at it.
      if (Date.now() > deadline) return undefined
      await delay(250)
      continue
    }
    try {
      await promisify(execFile)('npm', ['ci', '--ignore-scripts', '--fetch-retries=0'], {
        cwd: FOLDER,
        timeout: LIMIT_MS,
      })
    } catch {
      return undefined
    } finally {
      rmdirSync(LOCK)
    }
  }
  return createRequire(join(FOLDER, 'package.json'))
}

function takesLock(): boolean {
  try {
    mkdirSync(LOCK)
    return true
  } catch {
    return false
  }
}
