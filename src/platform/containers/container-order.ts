/** One container that is to be started once, by the server and never by a job's author: what an author may ask for is a part of it. */
export interface ContainerOrder {
  /** Of the container. One that has it already is of an earlier attempt and is removed first, if it has the same labels `owned`. */
  name: string
  labels: Readonly<Record<string, string>>
  /** As the runtime has made it ready. */
  image: ReadyImage
  /** Undefined: the image's own. */
  entrypoint?: readonly string[]
  /** Undefined: the image's own. */
  command?: readonly string[]
  /** Secrets do not belong here: whoever may speak to the runtime reads it. */
  env: Readonly<Record<string, string>>
  workdir: string
  mounts: readonly ContainerMount[]
  network: ContainerNetwork
  /** Its root file system is a layer that goes with it; otherwise it can be read alone. */
  rootfsWritable: boolean
  capabilities: readonly string[]
  limits: ContainerLimits
}

/** An image that is here. */
export interface ReadyImage {
  /** What a container is made of, whatever the image's name comes to mean meanwhile. */
  id: string
  /** As whom its programs run. */
  user: Owner
  /** Who must own what they are to write; undefined where that is this server's own user. */
  owner?: Owner
}

export interface Owner {
  uid: number
  gid: number
}

export type ContainerNetwork = 'none' | 'bridge' | 'host'

export interface ContainerMount {
  /** A folder or file of this host, below one of the runtime's `roots`. */
  source: string
  target: string
  readOnly: boolean
}

export interface ContainerLimits {
  /** All of its memory, files in its `/tmp` included; it has no swap. */
  memoryMb: number
  /** Processors, such as 0.5. */
  cpus: number
  /** Processes and threads. */
  processes: number
  /** Of one process. */
  openFiles: number
  /** The largest file that it may write. */
  fileMb: number
  /** Of processor time, for each process. */
  cpuSeconds: number
  /** Time on the clock, from its start on. */
  wallMs: number
  /** How long it may take to end once it is told to. */
  graceMs: number
}

/** How a container ended by itself. */
export interface ContainerEnd {
  exitCode: number
  /** It, or a process in it, was killed for want of memory. */
  outOfMemory: boolean
}

export type OutputChannel = 'stdout' | 'stderr'

/** Is told what it puts out, while it runs. Nothing more is read until what it returns is settled. */
export type OnOutput = (channel: OutputChannel, bytes: Buffer) => void | Promise<void>
