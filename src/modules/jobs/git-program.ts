import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { join } from 'node:path'
import { UnreadableSource } from './source-tree.js'

export interface GitLimits {
  /** Of one call. */
  timeoutMs: number
  /** Of a file that git writes: packs above all. */
  packBytes: number
}

export interface GitCall {
  /** What it means when it fails. */
  what: string
  signal?: AbortSignal
  /** The index file, for calls that have one. */
  index?: string
  /** Where it writes files. */
  workTree?: string
}

const PROTOCOLS = 'file:git:http:https:ssh'
const MOST_OUTPUT = 65_536
/** Nothing that a repository or the host's user says is run. */
const SETTINGS = [
  'core.hooksPath=/dev/null',
  'core.fsmonitor=false',
  'core.attributesFile=/dev/null',
  'core.symlinks=true',
  'submodule.recurse=false',
  'fetch.recurseSubmodules=false',
  'gc.auto=0',
  'maintenance.auto=false',
  'http.followRedirects=initial',
  'credential.helper=',
]
/** Asked by git for what the address held: so it is in no command line, and in no error. */
const HELPER = '!f() { printf "username=%s\\npassword=%s\\n" "$MILLRACE_GIT_USER" "$MILLRACE_GIT_PASSWORD"; }; f'

/** The program `git` with one repository of ours, closed against what it would otherwise read, ask or run. */
export class GitProgram {
  readonly repository: string
  readonly configuration: string
  private readonly environment: Record<string, string>
  private readonly secrets: string[]

  constructor(
    folder: string,
    url: string,
    private readonly limits: GitLimits,
  ) {
    this.repository = join(folder, 'repository.git')
    this.configuration = join(folder, 'gitconfig')
    const { address, user, password } = partsOf(url)
    this.secrets = [password, user].filter((secret) => secret.length > 3)
    const settings = [...SETTINGS, `remote.source.url=${address}`, ...(user ? [`credential.helper=${HELPER}`] : [])]
    this.environment = {
      PATH: '/usr/local/bin:/usr/bin:/bin',
      HOME: folder,
      LC_ALL: 'C',
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: this.configuration,
      GIT_TERMINAL_PROMPT: '0',
      GIT_ASKPASS: '/bin/true',
      GIT_ALLOW_PROTOCOL: PROTOCOLS,
      GIT_NO_LAZY_FETCH: '1',
      GIT_SSH_COMMAND: 'ssh -o BatchMode=yes -o ConnectTimeout=20',
      ...(user && { MILLRACE_GIT_USER: user, MILLRACE_GIT_PASSWORD: password }),
      GIT_CONFIG_COUNT: String(settings.length),
    }
    for (const [at, setting] of settings.entries()) {
      const cut = setting.indexOf('=')
      this.environment[`GIT_CONFIG_KEY_${at}`] = setting.slice(0, cut)
      this.environment[`GIT_CONFIG_VALUE_${at}`] = setting.slice(cut + 1)
    }
  }

  /** What it prints, of which a little is expected. Throws `UnreadableSource` where it fails. */
  async run(args: readonly string[], call: GitCall): Promise<string> {
    let output = ''
    await this.spawned(args, call, (chunk) => {
      output = (output + chunk.toString()).slice(0, MOST_OUTPUT)
    })
    return output
  }

  /** The same, told line by line, each ended by NUL; what `onLine` throws ends it. */
  async lines(args: readonly string[], call: GitCall & { onLine(line: string): void }): Promise<void> {
    let rest = ''
    await this.spawned(args, call, (chunk) => {
      const parts = (rest + chunk.toString()).split('\0')
      rest = parts.pop() ?? ''
      for (const part of parts) call.onLine(part)
    })
  }

  private async spawned(
    args: readonly string[],
    { what, signal, ...places }: GitCall,
    onData: (chunk: Buffer) => void,
  ) {
    const child = this.spawn(args, places)
    const failure = await new Promise<Error | string | undefined>((resolve) => {
      let thrown: Error | undefined
      let complaint = ''
      const end = (error: Error) => {
        thrown ??= error
        killGroup(child)
      }
      const timer = setTimeout(() => end(new UnreadableSource(`${what}: git took too long`)), this.limits.timeoutMs)
      const stop = () => end(new UnreadableSource(`${what}: the server stops`))
      if (signal?.aborted) stop()
      signal?.addEventListener('abort', stop, { once: true })
      child.stdout.on('data', (chunk: Buffer) => {
        try {
          if (!thrown) onData(chunk)
        } catch (error) {
          end(error as Error)
        }
      })
      child.stderr.on('data', (chunk: Buffer) => {
        complaint = (complaint + chunk.toString()).slice(0, 4_000)
      })
      child.on('error', (error: NodeJS.ErrnoException) =>
        end(new UnreadableSource(`${what}: git cannot be started (${error.code})`)),
      )
      child.on('close', (code) => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', stop)
        resolve(thrown ?? (code === 0 ? undefined : complaint || `it ended with ${code}`))
      })
    })
    if (failure instanceof Error) throw failure
    if (failure !== undefined) throw new UnreadableSource(`${what}: ${this.shown(failure)}`)
  }

  /** In a group of its own, so that what it starts ends with it. The shell sets the limit of what it may write. */
  private spawn(
    args: readonly string[],
    { index, workTree }: Pick<GitCall, 'index' | 'workTree'>,
  ): ChildProcessWithoutNullStreams {
    const blocks = Math.ceil(this.limits.packBytes / 512)
    const command = `ulimit -f ${blocks} && exec git "$@"`
    return spawn('/bin/sh', ['-c', command, 'git', ...args], {
      cwd: workTree ?? '/',
      detached: true,
      env: {
        ...this.environment,
        ...(args[0] !== 'init' && { GIT_DIR: this.repository }),
        ...(index && { GIT_INDEX_FILE: index }),
        ...(workTree && { GIT_WORK_TREE: workTree }),
      },
      stdio: 'pipe',
    })
  }

  /** The last lines of what git said, without what no log may hold. */
  private shown(complaint: string): string {
    const words = complaint.trim().split('\n').slice(-3).join(' ')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about
    const plain = words.replace(/[\u0000-\u001f\u007f]+/g, ' ').slice(0, 500)
    return this.secrets.reduce((text, secret) => text.replaceAll(secret, '***'), plain)
  }
}

/** User and password apart from the address, where there are any. */
function partsOf(url: string): { address: string; user: string; password: string } {
  if (!/^https?:/.test(url)) return { address: url, user: '', password: '' }
  const parsed = new URL(url)
  const { username, password } = parsed
  parsed.username = ''
  parsed.password = ''
  return { address: parsed.href, user: decoded(username), password: decoded(password) }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function killGroup({ pid }: ChildProcessWithoutNullStreams): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It is over.
  }
}
