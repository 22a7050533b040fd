/**
 * How far the programs of a job are trusted.
 *
 * - `secure`: a namespace of their own without network, that sees the system's programs, the job's folder (read-only) and its run's folder.
 * - `permissive`: network and the host's files as the server's user sees them; an environment with what is selected; limits.
 * - `disabled`: as the server's own programs, whole environment included; limits of time and size alone.
 */
export const PROFILES = ['secure', 'permissive', 'disabled'] as const

export type Profile = (typeof PROFILES)[number]

/** What all processes of one step may use together, unless said. */
export interface ProcessLimits {
  /** Of processor time. */
  cpuSeconds: number
  /** Resident memory. */
  memoryMb: number
  /** Processes and threads. */
  processes: number
  /** The largest file that one may write, and the whole run's folder. */
  fileMb: number
  /** Of one process. */
  openFiles: number
  /** Time on the clock. */
  wallMs: number
}

export const DEFAULT_LIMITS: Readonly<Record<Profile, ProcessLimits>> = {
  secure: { cpuSeconds: 600, memoryMb: 512, processes: 64, fileMb: 1_024, openFiles: 256, wallMs: 3_600_000 },
  permissive: {
    cpuSeconds: 3_600,
    memoryMb: 2_048,
    processes: 256,
    fileMb: 4_096,
    openFiles: 1_024,
    wallMs: 6 * 3_600_000,
  },
  disabled: {
    cpuSeconds: 24 * 3_600,
    memoryMb: 8_192,
    processes: 1_024,
    fileMb: 16_384,
    openFiles: 4_096,
    wallMs: 24 * 3_600_000,
  },
}
