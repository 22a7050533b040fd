import type { JournalRecord, StoredEvent } from './records.js'

/**
 * The argument of `journal_write` as JSON text: one list of rows per kind of record, in the order they were handed in. JSON values travel as
 * text inside it, because Postgres takes a document apart only if no string in it holds U+0000, and what steps return may.
 */
export function flushDocument(records: readonly JournalRecord[]): string {
  const lists: Record<string, object[]> = {}
  const add = (list: string, row: object) => {
    lists[list] ??= []
    lists[list].push(row)
  }
  for (const record of records) {
    switch (record.kind) {
      case 'accept': {
        const { run } = record
        add('accepts', {
          id: run.id,
          tenant_id: run.tenantId,
          account_id: run.accountId,
          flow_id: run.flowId,
          revision: run.revision,
          state: run.state,
          trigger: run.trigger,
          start_node: run.startNode,
          input: text(run.input),
          idempotency_key: run.idempotencyKey,
          request_hash: run.requestHash,
          created_at: run.createdAt,
          audit_id: run.audit?.id,
          actor_id: run.audit?.actorId,
          actor_email: run.audit?.actorEmail,
          ip: run.audit?.ip,
          request_id: run.audit?.requestId,
        })
        break
      }
      case 'outcome': {
        const { outcome } = record
        add('outcomes', {
          run_id: record.runId,
          path: outcome.path,
          attempt: outcome.attempt,
          node: outcome.node,
          node_type: outcome.nodeType,
          state: outcome.state,
          action: outcome.action,
          output: text(outcome.output),
          shared: text(outcome.shared),
          error: text(outcome.error),
          due_at: outcome.dueAt,
          started_at: outcome.startedAt,
          finished_at: outcome.finishedAt,
        })
        break
      }
      case 'timer':
        add('timers', {
          run_id: record.runId,
          path: record.timer.path,
          attempt: record.timer.attempt,
          ordinal: record.timer.ordinal,
          due_at: record.timer.dueAt,
        })
        break
      case 'events':
        add('events', chunk(record.runId, record.events))
        break
      case 'release':
        add('releases', {
          run_id: record.runId,
          epoch: record.epoch,
          state: record.state,
          wake_at: record.wakeAt,
        })
        break
      case 'finish':
        add('finishes', {
          run_id: record.runId,
          epoch: record.epoch,
          state: record.ending.state,
          result: text(record.ending.result),
          error: text(record.ending.error),
          finished_at: record.ending.finishedAt,
        })
        if (record.events.length > 0) add('events', chunk(record.runId, record.events))
        break
    }
  }
  return JSON.stringify(lists)
}

function chunk(runId: string, events: readonly StoredEvent[]): object {
  return {
    run_id: runId,
    first_seq: events[0]?.seq,
    last_seq: events.at(-1)?.seq,
    entries: withoutNul(JSON.stringify(events)),
  }
}

function text(value: unknown): string | undefined {
  return value === undefined ? undefined : JSON.stringify(value)
}

/** Events are taken apart by queries, so they hold no U+0000: log lines show it as U+FFFD. */
function withoutNul(json: string): string {
  if (!json.includes('\\u0000')) return json
  return json.replace(/\\(?:u0000|.)/g, (found) => (found === '\\u0000' ? '\\ufffd' : found))
}
