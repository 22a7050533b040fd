import type { Metrics } from '../../../platform/telemetry/metrics.js'
import type { Tracing } from '../../../platform/telemetry/tracing.js'
import type { JournalTelemetry } from './run-telemetry.js'

/** Records that one flush may hold. */
const RECORDS = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_000]

/** Counts what the journal does, and draws a span for each flush where tracing is on. */
export function measuredJournal(metrics: Metrics, tracing: Tracing): JournalTelemetry {
  const duration = metrics.distribution({
    name: 'millrace_journal_flush_duration_seconds',
    help: 'From the sending of a batch of records to its commit.',
  })
  const size = metrics.distribution(
    { name: 'millrace_journal_flush_records', help: 'Records that were committed together.' },
    RECORDS,
  )
  const written = metrics.count({
    name: 'millrace_journal_written_characters_total',
    help: 'Characters of the records that were committed.',
  })
  const turnedAway = metrics.counts({
    name: 'millrace_journal_turned_away_total',
    help: 'Runs that were not accepted: too much waited to be written, or the database was away.',
    labels: ['reason'],
  })
  const away = {
    full: turnedAway.with('full'),
    share: turnedAway.with('share'),
    memory: turnedAway.with('memory'),
    unavailable: turnedAway.with('unavailable'),
  }
  const refused = metrics.count({
    name: 'millrace_journal_refused_records_total',
    help: 'Records that the database refused. Each is a fault of the program.',
  })
  const halvings = metrics.count({
    name: 'millrace_journal_halvings_total',
    help: 'Batches that were halved to find the record that the database refused.',
  })
  const resent = metrics.count({
    name: 'millrace_journal_resent_records_total',
    help: 'Records that were sent again, since the database was away or its answer was lost.',
  })
  return {
    flushed: ({ records, chars, startedAt, queued }) => {
      const now = performance.now()
      duration.observe((now - startedAt) / 1000)
      size.observe(records)
      written.add(chars)
      if (!tracing.on) return
      const epoch = Date.now() - now
      tracing
        .begin('journal flush', {
          startTime: epoch + startedAt,
          attributes: {
            'millrace.journal.records': records,
            'millrace.journal.characters': chars,
            'millrace.journal.queued': queued,
          },
        })
        ?.end(epoch + now)
    },
    turnedAway: (reason) => away[reason].add(),
    halved: () => halvings.add(),
    refused: () => refused.add(),
    resent: (records) => resent.add(records),
  }
}
