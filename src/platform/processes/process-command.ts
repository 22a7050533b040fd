import type { Line } from './lines.js'
import type { Channel } from './output.js'
import type { ProcessLimits, Profile } from './profiles.js'
import type { Folder } from './sandbox.js'
import type { Limit } from './watchdog.js'

/** What is to be run. */
export interface ProcessCommand {
  /** Goes into the mark of each process. */
  run: string
  profile: Profile
  /** The program and its arguments, as they are found where it runs. */
  argv: readonly string[]
  /** All of it: nothing is inherited. */
  env: Readonly<Record<string, string>>
  /** As it is found where the program runs. */
  cwd: string
  /** What it needs of the server's folders. `at` is the host's own path unless the profile is `secure`. */
  folders: readonly Folder[]
  limits: ProcessLimits
  /** The folder whose size is limited, by the host's path. */
  measured: string
  /** Lines of each channel that are told; of what comes after them only the last is. */
  maxLines: number
  /** Nothing more is read of the channel until what it returns is settled. */
  onLine(channel: Channel, line: Line): void | Promise<void>
  /** Tells it to end. */
  signal?: AbortSignal
  /** How long it may take to end by itself once told to. */
  graceMs: number
}

/** How it ended. */
export interface ProcessEnd {
  /** As shells tell it: 128 and the number of the signal where one killed it. */
  exitCode: number
  signal?: NodeJS.Signals
  /** What it was ended for. */
  limit?: { limit: Limit; message: string }
  /** True where `signal` of the command told it to end. */
  wasTold: boolean
  /** Channels of which not all lines were told. */
  shortened: Channel[]
  used: { cpuMs: number; memoryBytes: number; processes: number }
  /** Processes that could not be killed: the kernel holds them. */
  left: number
}
