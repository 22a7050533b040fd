/**
 * The numbers of the program's advisory locks, so that no two mean the same by accident. Each but `migrations` is the first of two
 * keys; the second says which process, signal or entry. The functions in the migrations spell out their numbers.
 */
export const LOCKS = {
  /** A process's fence: shared by each of its flushes and claims, exclusive while it is declared lost. */
  fence: 7201,
  /** Held for as long as a process's lease connection lives. */
  alive: 7202,
  /** Waits and deliveries of one signal key meet under it. */
  signal: 7203,
  /** Changes of one key-value entry, which may have no row yet. */
  entry: 7204,
  /** Runs are admitted to the slots of one concurrency key. */
  slots: 7205,
  /** Partitions are made or dropped. */
  partitions: 7206,
  /** One attempt at a transactional step, which must not be committed twice. */
  step: 7207,
  /** Old runs and objects are removed. */
  retention: 7208,
  /** Shared by each transaction that gives chunks of events their positions, from before it does. */
  positions: 7209,
  /** A session has these rows of the tally of runs to itself. */
  tally: 7210,
  /** Contents that no bucket needs any more are removed. */
  buckets: 7217,
  /** A blob of the embedded store is named by a row that was not there before, or removed. */
  blobs: 7221,
  /** The jobs of one source are read and written down. */
  jobs: 7220,
  /** The default storage provider of one tenant changes. */
  defaultProvider: 7218,
  /** Migrating: one process at a time. */
  migrations: 7_261_102,
} as const
