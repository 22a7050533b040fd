/**
 * The host could not answer, or unloads the run. This is no failure of the step, so that no retry and no `error` edge takes it up: the
 * interpretation ends with `cause`.
 */
export class Interruption extends Error {
  constructor(cause: unknown) {
    super('the host interrupted the run', { cause })
    this.name = 'Interruption'
  }
}

/** Waits for the host; what it throws interrupts the run. */
export async function fromHost<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer
  } catch (error) {
    throw error instanceof Interruption ? error : new Interruption(error)
  }
}
