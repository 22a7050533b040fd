import type { ValueTexts } from '../values/run-values.js'
import type { JournalRecord, StoredEvent } from './records.js'

/** Chunks without events, which tell of the run itself; events are numbered from 1 on. */
const FIRST_SEQ = { accepted: 0, ended: -1 } as const

/** In the order of the arguments of `journal_write`. */
const LISTS = ['accepts', 'keyed', 'opens', 'outcomes', 'timers', 'events', 'parents', 'releases', 'finishes'] as const

/** A record as it travels: rows in JSON, by the list of the flush that they go into. */
export interface Row {
  list: (typeof LISTS)[number]
  json: string
}

/** Behind the writer's id and fence. */
export const FLUSH_ARGUMENTS = `$1, $2, ${LISTS.map((_, index) => `$${index + 3}`).join(', ')}`

/** The lists of a flush as JSON texts, each with its rows in the order they were handed in; null where there are none. */
export function flushLists(rows: readonly Row[]): (string | null)[] {
  const texts = new Map<Row['list'], string>()
  for (const { list, json } of rows) {
    const before = texts.get(list)
    texts.set(list, before === undefined ? `[${json}` : `${before},${json}`)
  }
  return LISTS.map((list) => (texts.has(list) ? `${texts.get(list)}]` : null))
}

/**
 * The values of a record as JSON texts, by column. They travel as text inside rows, because Postgres takes a document apart only if no
 * string in it holds U+0000, and what steps return may.
 */
export function valuesOf(record: JournalRecord): ValueTexts {
  if (record.kind === 'accept') return texts({ input: record.run.input })
  if (record.kind === 'outcome') return texts({ output: record.outcome.output, shared: record.outcome.shared })
  if (record.kind === 'finish') return texts({ result: record.ending.result })
  return {}
}

/** The rows of a record; `values` are its own, or stand for them. */
export function rowsOf(record: JournalRecord, values: ValueTexts = valuesOf(record)): Row[] {
  switch (record.kind) {
    case 'accept': {
      const { run } = record
      return [
        ...(run.isTold ? [emptyChunk(FIRST_SEQ.accepted, run.id, run.accountId)] : []),
        row('accepts', {
          id: run.id,
          tenant_id: run.tenantId,
          account_id: run.accountId,
          flow_id: run.flowId,
          revision: run.revision,
          state: run.state,
          trigger: run.trigger,
          start_node: run.startNode,
          // The column is never empty, even where the value is elsewhere.
          input: 'null',
          ...values,
          priority: run.priority,
          tag: run.tag,
          concurrency_key: run.concurrency?.key,
          concurrency_limit: run.concurrency?.limit,
          idempotency_key: run.idempotencyKey,
          request_hash: run.requestHash,
          created_at: run.createdAt,
          audit_id: run.audit?.id,
          actor_id: run.audit?.actorId,
          actor_email: run.audit?.actorEmail,
          ip: run.audit?.ip,
          request_id: run.audit?.requestId,
        }),
        ...(run.idempotencyKey === undefined ? [] : [keyed(run.id, run.flowId, run.idempotencyKey)]),
      ]
    }
    case 'outcome': {
      const { outcome } = record
      return [
        row('outcomes', {
          run_id: record.runId,
          path: outcome.path,
          attempt: outcome.attempt,
          node: outcome.node,
          node_type: outcome.nodeType,
          state: outcome.state,
          action: outcome.action,
          ...values,
          error: text(outcome.error),
          due_at: outcome.dueAt,
          started_at: outcome.startedAt,
          finished_at: outcome.finishedAt,
        }),
      ]
    }
    case 'open':
      return [
        row('opens', {
          run_id: record.runId,
          path: record.open.path,
          attempt: record.open.attempt,
          started_at: record.open.startedAt,
        }),
      ]
    case 'timer':
      return [
        row('timers', {
          run_id: record.runId,
          path: record.timer.path,
          attempt: record.timer.attempt,
          ordinal: record.timer.ordinal,
          due_at: record.timer.dueAt,
        }),
      ]
    case 'events':
      return chunk(record)
    case 'release':
      return [
        row('releases', {
          run_id: record.runId,
          epoch: record.epoch,
          state: record.state,
          wake_at: record.wakeAt,
        }),
      ]
    case 'finish':
      return [
        row('finishes', {
          run_id: record.runId,
          epoch: record.epoch,
          state: record.ending.state,
          ...values,
          error: text(record.ending.error),
          finished_at: record.ending.finishedAt,
        }),
        ...(record.parentId === undefined ? [] : [row('parents', { run_id: record.parentId })]),
        ...endingChunk(record),
      ]
  }
}

/** Asks which run the key stands for. */
function keyed(id: string, flowId: string, idempotencyKey: string): Row {
  return row('keyed', { id, flow_id: flowId, idempotency_key: idempotencyKey })
}

interface Chunk {
  runId: string
  accountId: string
  events: readonly StoredEvent[]
}

function chunk({ runId, accountId, events }: Chunk, ends?: true): Row[] {
  const [first] = events
  const last = events.at(-1)
  if (!first || !last) return []
  const entries = withoutNul(JSON.stringify(events))
  const members = { run_id: runId, first_seq: first.seq, last_seq: last.seq, entries, account_id: accountId, ends }
  return [row('events', members)]
}

/** What tells of the end of a run that this process ends. */
function endingChunk(record: Chunk): Row[] {
  const [last] = chunk(record, true)
  return [last ?? emptyChunk(FIRST_SEQ.ended, record.runId, record.accountId)]
}

function emptyChunk(seq: number, runId: string, accountId: string): Row {
  const ends = seq === FIRST_SEQ.ended
  return row('events', { run_id: runId, first_seq: seq, last_seq: seq, entries: '[]', account_id: accountId, ends })
}

function row(list: Row['list'], members: object): Row {
  return { list, json: JSON.stringify(members) }
}

function texts(values: Readonly<Record<string, unknown>>): ValueTexts {
  const written = Object.entries(values).map(([column, value]) => [column, text(value)] as const)
  return Object.fromEntries(written.filter((entry): entry is [string, string] => entry[1] !== undefined))
}

function text(value: unknown): string | undefined {
  return value === undefined ? undefined : JSON.stringify(value)
}

/** Events are taken apart by queries, so they hold no U+0000: log lines show it as U+FFFD. */
function withoutNul(json: string): string {
  if (!json.includes('\\u0000')) return json
  return json.replace(/\\(?:u0000|.)/g, (found) => (found === '\\u0000' ? '\\ufffd' : found))
}
