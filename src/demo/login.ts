import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Login {
  email: string
  password: string
}

/** The admin of the demo: as the environment says, else one with a password made up at the first start and kept beside the data. */
export function demoLogin(dataDir: string, environment: NodeJS.ProcessEnv): Login {
  const { ADMIN_EMAIL, ADMIN_PASSWORD } = environment
  if (ADMIN_EMAIL && ADMIN_PASSWORD) return { email: ADMIN_EMAIL, password: ADMIN_PASSWORD }
  const path = join(dataDir, 'demo-login.json')
  if (existsSync(path)) return JSON.parse(readFileSync(path, 'utf8')) as Login
  const login = { email: 'admin@millrace.example', password: randomBytes(9).toString('base64url') }
  // Started as root, the database runs as another user, who must be able to pass through.
  mkdirSync(dataDir, { recursive: true, mode: process.getuid?.() === 0 ? 0o711 : 0o700 })
  writeFileSync(path, `${JSON.stringify(login)}\n`, { mode: 0o600 })
  return login
}
