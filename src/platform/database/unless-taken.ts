const UNIQUE_VIOLATION = '23505'

/** Throws what `taken` makes where the unique index refuses the write: the index decides, so that of two requests at once one is refused. */
export async function unlessTaken(write: Promise<unknown>, index: string, taken: () => Error): Promise<void> {
  try {
    await write
  } catch (error) {
    const { code, constraint } = (error as { driverError?: { code?: string; constraint?: string } }).driverError ?? {}
    throw code === UNIQUE_VIOLATION && constraint === index ? taken() : error
  }
}
