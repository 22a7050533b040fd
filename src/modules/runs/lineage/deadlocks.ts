const DEADLOCK = '40P01'
const MOST_ATTEMPTS = 5

/** A transaction over several runs may meet another one in a ring; the database then ends one of them, which has done nothing yet. */
export async function retriedOnDeadlock<T>(transaction: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await transaction()
    } catch (error) {
      if ((error as { code?: unknown }).code !== DEADLOCK || attempt === MOST_ATTEMPTS) throw error
    }
  }
}
