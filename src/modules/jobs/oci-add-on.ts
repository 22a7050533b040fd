import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { normalPath } from '../../definitions/flwd/index.js'
import type { Cursor } from '../../definitions/yaml/cursor.js'
import { type FaultList, quote } from '../../definitions/yaml/faults.js'
import { defaultLimits, type Limits } from '../../definitions/yaml/limits.js'
import { toJson } from '../../definitions/yaml/located.js'
import { readYaml } from '../../definitions/yaml/read-yaml.js'
import { Reader } from '../../definitions/yaml/reader.js'
import type { JsonObject } from '../../platform/json.js'
import { isFolder, isThere } from './on-disk.js'
import { UnreadableSource } from './source-tree.js'

const LIMITS: Limits = { ...defaultLimits, noun: 'a manifest of jobs', values: 50_000, faults: 20 }
const FOLDERS = ['flwd-addon', 'addon']
const MANIFEST = 'manifest.yaml'
/** What a manifest says of a job beyond its configuration. */
const ITS_OWN = ['id', 'path', 'summary', 'entrypoint']

interface ListedJob {
  id: string
  path: string
  config: JsonObject
}

/**
 * Makes a source of what an image adds: `manifest.yaml` of the kind AddOn lists jobs, each with its `id`, the folder of its files (`path`;
 * where absent, that of its id, else the whole add-on) and what a `config.yaml` says otherwise; `entrypoint` is its command. Without a
 * manifest the folders are jobs by their own configurations.
 */
export async function writeAddOn(image: string, target: string): Promise<void> {
  for (const folder of FOLDERS) {
    const addOn = join(image, folder)
    if (!(await isFolder(addOn))) continue
    const manifest = await readFile(join(addOn, MANIFEST), 'utf8').catch(() => undefined)
    if (manifest === undefined) await cp(addOn, target, { recursive: true })
    else for (const job of jobsOf(manifest)) await writeJob(addOn, target, job)
    return
  }
  throw new UnreadableSource('the image has neither /flwd-addon nor /addon')
}

function jobsOf(manifest: string): ListedJob[] {
  const reading = readYaml(manifest, LIMITS, listedJobs)
  if (reading.ok) return reading.value
  const [first] = reading.faults
  throw new UnreadableSource(`${MANIFEST}, line ${first?.line}: ${first?.detail}`)
}

function listedJobs(root: Cursor, faults: FaultList): ListedJob[] | undefined {
  const reader = new Reader(faults)
  if (!reader.mapping(root, 'the manifest')) return reader.complain(root, 'type', 'the manifest must be a mapping')
  if (root.member('kind').value && root.member('kind').string !== 'AddOn')
    reader.complain(root.member('kind'), 'enum', 'the kind must be AddOn')
  const version = reader.text(
    root.member('version').value ? root.member('version') : root.member('metadata').member('version'),
    'version',
  )
  const jobs = reader.list(root.member('jobs').value ? root.member('jobs') : root.member('entrypoints'), 'jobs', 1_000)
  return jobs.flatMap((cursor) => listedJob(cursor, version, reader) ?? [])
}

function listedJob(cursor: Cursor, version: string | undefined, reader: Reader): ListedJob | undefined {
  if (!cursor.value || !reader.mapping(cursor, 'a job'))
    return reader.complain(cursor, 'type', 'a job must be a mapping')
  const named = cursor.member('id').value ? cursor.member('id') : cursor.member('name')
  const id = reader.text(named, 'the id of a job')
  const given = reader.text(cursor.member('path'), 'path')
  const folder = id === undefined ? undefined : normalPath(id.replaceAll('.', '/'))
  const path = given === undefined ? folder : normalPath(given)
  if (!folder) return reader.complain(named, 'required', 'a job needs an id, such as backup/daily', 'key')
  if (path === undefined)
    return reader.complain(cursor.member('path'), 'path', `the folder ${quote(given ?? '')} leads out`)
  const config = Object.fromEntries(
    cursor.members.flatMap(([name, { value }]) => (ITS_OWN.includes(name) || !value ? [] : [[name, toJson(value)]])),
  )
  const entry = cursor.member('entrypoint')
  const command = entry.string ?? reader.texts(entry, 'entrypoint').map(shellQuoted).join(' ')
  const summary = reader.text(cursor.member('summary'), 'summary')
  return {
    id: folder,
    path,
    config: {
      ...(version !== undefined && { version }),
      ...(summary !== undefined && { description: summary }),
      ...(command !== '' && { command }),
      ...config,
    },
  }
}

async function writeJob(addOn: string, target: string, { id, path, config }: ListedJob): Promise<void> {
  const own = join(addOn, path)
  const from = (await isFolder(own)) ? own : addOn
  const to = join(target, id)
  await mkdir(dirname(to), { recursive: true })
  await cp(from, to, { recursive: true, filter: (source) => source !== join(addOn, MANIFEST) })
  const file = join(to, 'config.yaml')
  // A configuration of its own says more than the manifest.
  if (await isThere(file)) return
  await writeFile(file, JSON.stringify(config, null, 2), { flag: 'wx' })
}

function shellQuoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`
}
