/**
 * Begins to measure the work of this process, in milliseconds of a processor: `const spent = processorTime(); …; spent()`. On a busy
 * machine it is what it is on a quiet one, as the time on the wall is not.
 */
export function processorTime(): () => number {
  const before = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 1_000
  }
}
