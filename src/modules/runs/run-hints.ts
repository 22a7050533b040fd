/** What processes tell each other about runs, by `Hints`; each is about a run's id unless said. */
export const RUN_HINT = {
  /** There are queued runs for a worker tag; the id is the tag, empty where there may be several. */
  due: 'run.due',
  /** A run was cancelled. */
  cancelled: 'run.cancelled',
  /** A run has new events, or has ended. */
  events: 'run.events',
  /** Somebody watches a run: whoever has it shall write its events at once and tell of them. Repeated while it lasts. */
  watched: 'run.watched',
  /** Somebody watches all runs of an account, the id: as `watched`, of each of them. Repeated while it lasts. */
  accountWatched: 'account.watched',
  /** A run of an account, the id, has new events. */
  accountEvents: 'account.events',
} as const
