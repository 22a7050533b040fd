import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { FileHandle } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { SYSTEM_PATH } from '../../platform/processes/system-path.js'

/** The folder that a program was given as its descriptor. */
const GIVEN = '/proc/self/fd/3'
/** The first means that a file changed while it was read. */
const READ = [0, 1]

/**
 * Copies what is in a folder, but secrets, with times, modes, links and holes. A program may still be at work in it: tar follows no link
 * and reaches all by descriptors. Throws where something could not be read.
 */
export async function carryOver(from: FileHandle, to: FileHandle, signal?: AbortSignal): Promise<void> {
  const reader = tar(from, ['--exclude=./secrets', '--sparse', '-cf', '-', '.'], signal)
  const writer = tar(to, ['-xpf', '-'], signal)
  const [read, written] = await Promise.all([ended(reader), ended(writer), piped(reader, writer)])
  signal?.throwIfAborted()
  const failed = [READ.includes(read.code) ? undefined : read, written.code === 0 ? undefined : written]
  for (const end of failed) if (end) throw new Error(end.complaint || `tar ended with ${end.code}`)
}

function tar(folder: FileHandle, args: readonly string[], signal?: AbortSignal): ChildProcess {
  return spawn('tar', ['-C', GIVEN, '--numeric-owner', ...args], {
    env: { PATH: SYSTEM_PATH, LC_ALL: 'C' },
    stdio: ['pipe', 'pipe', 'pipe', folder.fd],
    signal,
    killSignal: 'SIGKILL',
  })
}

/** Where one of the two ends early, the other says why. */
async function piped(reader: ChildProcess, writer: ChildProcess): Promise<void> {
  if (reader.stdout && writer.stdin) await pipeline(reader.stdout, writer.stdin).catch(() => {})
}

async function ended(child: ChildProcess): Promise<{ code: number; complaint: string }> {
  child.once('error', () => {})
  const complaint = child.stderr ? text(child.stderr).catch(() => '') : ''
  const [code] = (await once(child, 'close').catch(() => [null])) as [number | null]
  return { code: code ?? -1, complaint: (await complaint).trim().slice(0, 500) }
}
