import { execFile } from 'node:child_process'
import { unlinkSync } from 'node:fs'
import { type FileHandle, lstat, mkdir, readdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { StepError } from '../../engine/step.js'
import type { JsonObject } from '../../platform/json.js'
import { SYSTEM_PATH } from '../../platform/processes/system-path.js'
import { carryOver } from './carry-over.js'
import { ensureFolder, type Owner, openFolder, putFile, within } from './handles.js'

const run = promisify(execFile)

/** How far behind the time of day a file system may be when it says when something changed. */
const TICK_MS = 10

const SECRETS = 'secrets'
const FOLDERS = ['artifacts', 'data', SECRETS] as const

/** Behind the name of a folder that is being removed. */
const REMOVED = '.removed'

export interface OpenOptions {
  /** Who its programs are, where that is not this server's user. */
  owner?: Owner
  /** Where it is made: the runs, the nearest first, of whose work it begins with all that is kept. */
  earlier?: () => Promise<readonly string[]>
  signal?: AbortSignal
}

/**
 * The folders of runs, `<run id>/` each: `plan.json`, `args.json`, `stdout`, `stderr`, `secrets/`, `artifacts/`, `data/` and whatever the job's
 * programs leave there. All steps of a run share it, and it outlives them.
 */
export class RunFolders {
  /** How many steps are at work in each. */
  private readonly users = new Map<string, number>()
  /** Those that are being made. */
  private readonly making = new Map<string, Promise<unknown>>()
  /** When those that were carried over lately were. */
  private readonly carried = new Map<string, number>()

  constructor(private readonly base: string) {}

  pathOf(runId: string): string {
    if (!/^[\w-]{1,100}$/.test(runId)) throw new Error('no id of a run')
    return join(this.base, runId)
  }

  /** Opens the run's folder, which is made where there is none. */
  async open(runId: string, options: OpenOptions = {}): Promise<RunFolder> {
    const { owner } = options
    const path = this.pathOf(runId)
    await mkdir(this.base, { recursive: true, mode: 0o700 })
    const isNew = await this.made(runId, options)
    const handles: FileHandle[] = []
    // Counted before anything is awaited: whoever closes meanwhile leaves the secrets to this one.
    this.users.set(runId, (this.users.get(runId) ?? 0) + 1)
    try {
      const root = await openFolder(path)
      handles.push(root)
      if (owner) await root.chown(owner.uid, owner.gid)
      for (const name of FOLDERS) handles.push(await ensureFolder(root, name, owner))
      return new RunFolder(path, isNew, handles, () => this.left(runId), owner, this.carried.get(runId))
    } catch (error) {
      this.left(runId)
      await Promise.all(handles.map((handle) => handle.close()))
      throw spoilt(error)
    }
  }

  /** Whether any of these runs has one still. */
  async hasOneOf(runIds: readonly string[]): Promise<boolean> {
    return (await this.firstOf(runIds)) !== undefined
  }

  private async firstOf(runIds: readonly string[]): Promise<string | undefined> {
    for (const id of runIds) if (await lstat(this.pathOf(id)).catch(() => undefined)) return id
    return undefined
  }

  /** False where it was there. Steps side by side wait for the one that makes it. */
  private async made(runId: string, options: OpenOptions): Promise<boolean> {
    while (this.making.has(runId)) await this.making.get(runId)
    const making = this.make(runId, options)
    this.making.set(
      runId,
      making.catch(() => {}),
    )
    return await making.finally(() => this.making.delete(runId))
  }

  private async make(runId: string, { earlier = async () => [], ...options }: OpenOptions): Promise<boolean> {
    const path = this.pathOf(runId)
    if (await lstat(path).catch(() => undefined)) return false
    const runs = await earlier()
    if (runs.length > 0) await this.carry(runs, runId, options)
    else await mkdir(path, { mode: 0o700 })
    return true
  }

  /** There as a whole or not at all: until then it is one that is being removed. */
  private async carry(runIds: readonly string[], to: string, { owner, signal }: OpenOptions): Promise<void> {
    const from = await this.firstOf(runIds)
    if (from === undefined) throw notKept()
    await this.remove(to)
    const unfinished = `${this.pathOf(to)}${REMOVED}`
    await mkdir(unfinished, { mode: 0o700 })
    const handles: FileHandle[] = []
    try {
      for (const path of [this.pathOf(from), unfinished]) handles.push(await openFolder(path))
      const [source, target] = handles as [FileHandle, FileHandle]
      await carryOver(source, target, signal)
      await target.chmod(0o700)
      if (owner) await target.chown(owner.uid, owner.gid)
      await target.utimes(new Date(), new Date())
      const now = Date.now()
      for (const [id, at] of this.carried) if (at < now - 60_000) this.carried.delete(id)
      this.carried.set(to, now + TICK_MS)
      await rename(unfinished, this.pathOf(to))
    } catch (error) {
      if (signal?.aborted) throw error
      throw new StepError(`the folder of run ${from} could not be carried over: ${(error as Error).message}`, {
        code: 'run_folder_not_carried',
        retryable: false,
        cause: error,
      })
    } finally {
      await Promise.all(handles.map((handle) => handle.close()))
    }
  }

  /** One step less is at work there; true where that was the last. */
  private left(runId: string): boolean {
    const others = (this.users.get(runId) ?? 1) - 1
    if (others > 0) this.users.set(runId, others)
    else this.users.delete(runId)
    return others === 0
  }

  /** Those of runs that nothing was done in since then, oldest first. */
  async unused(since: Date): Promise<string[]> {
    const names = await readdir(this.base).catch(() => [])
    const ages = await Promise.all(
      names.map(async (name) => ({ name, stat: await lstat(join(this.base, name)).catch(() => undefined) })),
    )
    return ages
      .filter(({ stat }) => stat && stat.mtime < since)
      .sort((one, other) => Number(one.stat?.mtime) - Number(other.stat?.mtime))
      .map(({ name }) => name)
  }

  /** Those where secrets lie: a step is at work, or whoever worked at it was killed. */
  async withSecrets(): Promise<string[]> {
    const found: string[] = []
    for (const name of await readdir(this.base).catch(() => []))
      await this.inSecrets(name, async (names) => names.length > 0 && found.push(name))
    return found
  }

  async removeSecrets(name: string): Promise<void> {
    await this.inSecrets(name, async (names, folder) => {
      for (const one of names) unlinkIfThere(within(folder, one))
    })
  }

  /** Where there is no such folder any more, there is nothing to be done. */
  private async inSecrets(
    name: string,
    then: (names: string[], folder: FileHandle) => Promise<unknown>,
  ): Promise<void> {
    const handles: FileHandle[] = []
    try {
      handles.push(await openFolder(join(this.base, name)))
      const folder = await openFolder(within(handles[0] as FileHandle, SECRETS))
      handles.push(folder)
      await then(await readdir(within(folder, '.')), folder)
    } catch (error) {
      if (!['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    } finally {
      await Promise.all(handles.map((handle) => handle.close()))
    }
  }

  /** Removes the folder with all that is in it, however deep, closed or strange. None of its programs may run any more. */
  async remove(name: string): Promise<void> {
    const path = this.pathOf(name.endsWith(REMOVED) ? name.slice(0, -REMOVED.length) : name)
    const doomed = `${path}${REMOVED}`
    // Out of the way at once: a step that came now would find none.
    await rename(path, doomed).catch(() => {})
    const options = { env: { PATH: SYSTEM_PATH, LC_ALL: 'C' }, maxBuffer: 16 * 1024 * 1024 }
    // These go by descriptors and follow no link.
    await run('chmod', ['-R', 'u+rwX', '--', doomed], options).catch(() => {})
    await run('rm', ['-rf', '--', doomed], options)
  }
}

/** The folder of one run, while a step works in it. */
export class RunFolder {
  private secretFiles: string[] = []

  constructor(
    readonly path: string,
    /** False where a step of the run was here before. */
    readonly isNew: boolean,
    private readonly handles: readonly FileHandle[],
    /** True where no other step is at work in it. */
    private readonly leave: () => boolean,
    readonly owner?: Owner,
    /** When what is in it came from the folder of an earlier run, where that was just now. In milliseconds. */
    readonly carriedAt?: number,
  ) {}

  get root(): FileHandle {
    return this.handles[0] as FileHandle
  }

  get artifacts(): FileHandle {
    return this.handles[1] as FileHandle
  }

  private get secrets(): FileHandle {
    return this.handles[3] as FileHandle
  }

  /** What is known before anything runs, without secrets. */
  async describe(plan: JsonObject, args: JsonObject): Promise<void> {
    const { owner } = this
    await this.put(this.root, 'plan.json', `${JSON.stringify(plan, undefined, 2)}\n`)
    await this.put(this.root, 'args.json', JSON.stringify(args), owner)
  }

  /** They are there while a step of the run is at work, and no longer. */
  async keepSecrets(secrets: Readonly<Record<string, string>>): Promise<void> {
    this.secretFiles = Object.keys(secrets).map(fileNameOf)
    for (const [name, value] of Object.entries(secrets)) await this.put(this.secrets, fileNameOf(name), value)
  }

  async close(): Promise<void> {
    // At once: a step that begins now writes them after this.
    if (this.leave()) for (const name of this.secretFiles) unlinkIfThere(within(this.secrets, name))
    await Promise.all(this.handles.map((handle) => handle.close()))
  }

  private async put(folder: FileHandle, name: string, content: string, owner = this.owner): Promise<void> {
    try {
      await putFile(folder, name, content, { owner })
    } catch (error) {
      throw spoilt(error)
    }
  }
}

/** Any name as one of a file: what cannot be in one is written as in a URL. */
export function fileNameOf(name: string): string {
  const safe = name.replace(/[^\w.-]/gu, (letter) => encodeURIComponent(letter.toWellFormed()).replaceAll("'", '%27'))
  return /^\.{0,2}$/.test(safe) ? safe.replaceAll('.', '%2E') || '%00' : safe.slice(0, 200)
}

/** Where a program put something else in its place, that is its own. */
function unlinkIfThere(path: string): void {
  try {
    unlinkSync(path)
  } catch {}
}

function notKept(): StepError {
  return new StepError(
    'what earlier steps left in the folder of the run is not kept any more: do the whole run again',
    {
      code: 'run_folder_gone',
      retryable: false,
    },
  )
}

function spoilt(error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException
  if (!['ELOOP', 'ENOTDIR', 'EISDIR', 'ENOTEMPTY', 'EACCES', 'EEXIST', 'ENOENT'].includes(code ?? '')) return error
  return new StepError(
    "the run's folder was spoilt by an earlier step: what this server keeps there is no longer what it was",
    {
      code: 'run_folder_spoilt',
      retryable: false,
      cause: error,
    },
  )
}
