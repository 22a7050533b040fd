import type { Cursor } from '../yaml/cursor.js'
import type { DefinitionFault, FaultList } from '../yaml/faults.js'
import { quote, quoteAll } from '../yaml/faults.js'
import { readYaml } from '../yaml/read-yaml.js'
import { Reader } from '../yaml/reader.js'
import { CONFIG_LIMITS, type JobConfig, type JobStep } from './config.js'
import { normalPath } from './paths.js'
import { readArguments } from './read-arguments.js'
import { readEnv, readErrorPolicy, readExecution, readInheritance, readProfile } from './read-execution.js'
import { scriptsIn } from './scripts.js'

const KEYS = [
  'name',
  'version',
  'description',
  'job',
  'executor',
  'image',
  'container',
  'interpreter',
  'ulc_profile',
  'command',
  'composition',
  'steps',
  'argspec',
  'arguments',
  'env',
  'env_inheritance',
  'security_profile',
  'exec_profile',
  'timeouts',
  'timeout',
  'error_handling',
  'artifacts',
  'serviceBindings',
]
const STEP_ID = {
  pattern: /^[A-Za-z0-9][\w.-]{0,63}$/,
  meaning: 'of letters, digits, _, . and -, and begin with a letter or digit',
}
const PATTERN = { pattern: /^(?!\/)(?!.*(?:^|\/)\.\.(?:\/|$)).+$/, meaning: "a pattern of files in the run's folder" }

export type ConfigReading = { ok: true; config: JobConfig } | { ok: false; faults: DefinitionFault[] }

/**
 * A `config.yaml`, in either of the forms that jobs are written in; or every fault of it, with path and line. `files` are those of the
 * job's folder, by their paths in it.
 */
export function readConfig(text: string, files: ReadonlySet<string>): ConfigReading {
  const reading = readYaml(text, CONFIG_LIMITS, (root, faults) => configOf(root, faults, files))
  return reading.ok ? { ok: true, config: reading.value } : reading
}

function configOf(root: Cursor, faults: FaultList, files: ReadonlySet<string>): JobConfig | undefined {
  const reader = new Reader(faults)
  if (root.value && !root.isMapping)
    return reader.complain(root, 'invalid_yaml', 'invalid YAML: a job configuration is a mapping')
  refuseUnknownKeys(root, reader)
  const steps = readSteps(root, reader, files)
  const command = reader.text(root.member('command'), 'command') ?? null
  if (command !== null && steps)
    reader.complain(root.member('command'), 'conflict', 'a job has either a command or steps', 'key')
  const execution = readExecution(root, reader)
  if (command === null && !root.member('steps').value && scriptsIn(files, execution.interpreter).length === 0)
    reader.complain(root, 'required', 'a job needs a command, steps, or scripts in its folder', 'key')
  const bindings = reader.texts(root.member('serviceBindings'), 'serviceBindings')
  if (bindings.length > 0)
    reader.complain(root.member('serviceBindings'), 'not_offered', 'service bindings are not offered here')
  return {
    ...readHead(root, reader),
    ...readArguments(root, reader),
    ...execution,
    command,
    steps,
    profile: readProfile(root, reader),
    env: readEnv(root.member('env'), reader),
    inheritEnv: readInheritance(root.member('env_inheritance'), reader),
    ...readTimeouts(root, reader),
    onError: readErrorPolicy(root.member('error_handling'), reader),
    artifacts: readArtifacts(root.member('artifacts'), reader),
  }
}

/** Keys that start with `x-` or `.` are the author's own: they hold what anchors share. */
function refuseUnknownKeys(root: Cursor, reader: Reader): void {
  for (const [name, member] of root.members) {
    if (KEYS.includes(name) || name.startsWith('x-') || name.startsWith('.')) continue
    const detail = `unknown key ${quote(name)} (keys of your own start with 'x-' or '.')`
    reader.complain(member, 'unknown_key', detail, 'key')
  }
}

/** With `job` beside it, `version` is that of the form. */
function readHead(root: Cursor, reader: Reader): Pick<JobConfig, 'title' | 'version' | 'description'> {
  const job = root.member('job')
  const inJob = reader.mapping(job, 'job', ['id', 'name', 'summary'])
  const version = reader.text(root.member('version'), 'version', { longest: 100 })
  reader.text(job.member('id'), 'id of job')
  return {
    title: reader.text(root.member('name'), 'name') ?? reader.text(job.member('name'), 'name of job') ?? null,
    version: (inJob && version === 'v1') || version === undefined ? '' : version,
    description:
      reader.text(root.member('description'), 'description') ?? reader.text(job.member('summary'), 'summary') ?? '',
  }
}

function readTimeouts(root: Cursor, reader: Reader): Pick<JobConfig, 'runTimeoutMs' | 'stepTimeoutMs'> {
  const timeouts = root.member('timeouts')
  const timeout = reader.duration(root.member('timeout'), 'timeout')
  reader.mapping(timeouts, 'timeouts', ['run', 'step'])
  const run = reader.duration(timeouts.member('run'), 'timeouts.run')
  if (run !== undefined && timeout !== undefined)
    reader.complain(root.member('timeout'), 'conflict', 'take either timeout or timeouts.run', 'key')
  return {
    runTimeoutMs: run ?? timeout ?? null,
    stepTimeoutMs: reader.duration(timeouts.member('step'), 'timeouts.step') ?? null,
  }
}

/** Either a list of patterns, or what the documented form says of artifacts. */
function readArtifacts(cursor: Cursor, reader: Reader): string[] {
  if (cursor.value?.kind === 'list') return reader.texts(cursor, 'artifacts', PATTERN)
  if (!reader.mapping(cursor, 'artifacts', ['mode', 'default_key_pattern', 'paths'])) return []
  const mode = reader.oneOf(cursor.member('mode'), 'mode', ['immutable', 'mutable'])
  if (mode === 'mutable') reader.complain(cursor.member('mode'), 'not_offered', 'artifacts never change here')
  reader.text(cursor.member('default_key_pattern'), 'default_key_pattern')
  return reader.texts(cursor.member('paths'), 'paths', PATTERN)
}

function readSteps(root: Cursor, reader: Reader, files: ReadonlySet<string>): JobStep[] | null {
  const cursor = root.member('steps')
  const composition = reader.oneOf(root.member('composition'), 'composition', ['single', 'steps'])
  if (!cursor.value) {
    if (composition === 'steps') reader.complain(root.member('composition'), 'required', 'there are no steps')
    return null
  }
  if (composition === 'single') reader.complain(cursor, 'conflict', 'steps need the composition steps', 'key')
  const items = reader.list(cursor, 'steps', CONFIG_LIMITS.nodes)
  if (cursor.value.kind === 'list' && cursor.items.length === 0)
    reader.complain(cursor, 'required', 'there are no steps')
  const read = items.map((item) => ({ item, step: readStep(item, reader, files) }))
  const steps = inListedOrder(
    read.flatMap(({ step }) => (step ? [step] : [])),
    items,
  )
  if (steps.length === items.length) checkNeeds(steps, items, reader)
  return steps
}

function readStep(cursor: Cursor, reader: Reader, files: ReadonlySet<string>): JobStep | undefined {
  if (!reader.mapping(cursor, 'a step', ['id', 'name', 'script', 'command', 'needs'])) {
    if (!cursor.value) reader.complain(cursor, 'type', 'a step must be a mapping')
    return undefined
  }
  const id = reader.text(cursor.member('id'), 'the id of a step', STEP_ID)
  if (!cursor.member('id').value) reader.complain(cursor.member('id'), 'required', 'a step has no id', 'key')
  const command = reader.text(cursor.member('command'), 'command') ?? null
  const script = reader.text(cursor.member('script'), 'script') ?? null
  if (script !== null && command !== null)
    reader.complain(cursor.member('command'), 'conflict', 'a step has either a script or a command', 'key')
  if (script === null && command === null && !cursor.member('script').isUnusable)
    reader.complain(cursor.member('script'), 'required', `step ${quote(id ?? '?')} has no script`, 'key')
  const path = script === null ? null : (normalPath(script) ?? '')
  if (path !== null && !files.has(path))
    reader.complain(
      cursor.member('script'),
      'unknown_script',
      `the script ${quote(script ?? '')} is not in the job's folder`,
    )
  const needs = reader.texts(cursor.member('needs'), 'needs')
  if (id === undefined) return undefined
  return { id, name: reader.text(cursor.member('name'), 'the name of a step') ?? null, script: path, command, needs }
}

/** Where no step says what it needs, each needs the one before: that is the order that they are written in. */
function inListedOrder(steps: readonly JobStep[], items: readonly Cursor[]): JobStep[] {
  if (items.some((item) => item.member('needs').value)) return [...steps]
  return steps.map((step, at) => ({ ...step, needs: steps.slice(Math.max(0, at - 1), at).map(({ id }) => id) }))
}

function checkNeeds(steps: readonly JobStep[], items: readonly Cursor[], reader: Reader): void {
  const known = new Map<string, JobStep>()
  for (const [at, step] of steps.entries()) {
    const item = items[at] as Cursor
    if (known.has(step.id)) reader.complain(item.member('id'), 'duplicate', `there are two steps ${quote(step.id)}`)
    known.set(step.id, step)
  }
  for (const [at, { id, needs }] of steps.entries())
    for (const [place, need] of needs.entries()) {
      const cursor = (items[at] as Cursor).member('needs').items[place] ?? (items[at] as Cursor)
      if (!known.has(need))
        reader.complain(cursor, 'unknown_step', `step ${quote(id)} needs ${quote(need)}, which is no step`)
      else if (needs.indexOf(need) !== place)
        reader.complain(cursor, 'duplicate', `step ${quote(id)} needs ${quote(need)} twice`)
    }
  const circle = known.size === steps.length ? circleIn(known) : undefined
  if (circle) {
    const at = steps.findIndex(({ id }) => id === circle[0])
    const cursor = (items[at] as Cursor).member('needs')
    reader.complain(cursor, 'cycle', `the steps ${quoteAll(circle)} need one another`)
  }
}

/** The steps of one circle, if there is any: what is left once every step is taken away that needs nothing that is left. */
function circleIn(steps: ReadonlyMap<string, JobStep>): string[] | undefined {
  const left = new Map(steps)
  for (let found = true; found; ) {
    found = false
    for (const [id, { needs }] of left)
      if (!needs.some((need) => left.has(need))) {
        left.delete(id)
        found = true
      }
  }
  const [start] = left.keys()
  if (start === undefined) return undefined
  const way: string[] = []
  for (let id: string | undefined = start; id !== undefined; id = left.get(id)?.needs.find((need) => left.has(need))) {
    const seen = way.indexOf(id)
    if (seen >= 0) return way.slice(seen)
    way.push(id)
  }
  return way
}
