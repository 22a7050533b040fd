import { Injectable, type OnApplicationShutdown } from '@nestjs/common'
import { Sql, type Statement } from '../../../platform/database/sql.js'
import { idsSince, timeOf } from '../../../platform/ids.js'
import { ALL_STATES, FINAL_STATES, LIVE_STATES } from '../run-state.js'

/** How often new runs are looked for while somebody watches: for all accounts that are watched in one statement. */
const LOOK_MS = 250
/**
 * How far each look goes back, and how far a thorough one does now and then: a run's id is older than its row, by what its process's
 * journal took to write it and by how its clock differs.
 */
const BACK_MS = 2_000
const FAR_BACK_MS = 30_000
const LOOKS_PER_FAR_LOOK = 8
/** Of one account in one look. */
const MOST_RUNS = 5_000
/** A run that ended since some moment is looked for among those that were made up to so long before. */
const LONG_MS = 24 * 3_600_000

/** A run of an account, as one who watches the account begins to follow it. */
export interface FoundRun {
  id: string
  flowId: string
  revision: number
  createdAt: Date
}

interface WatchedAccount {
  /** What is known already, as far back as looks go. */
  known: Set<string>
  listeners: Set<(run: FoundRun) => void>
  ready: Promise<void>
}

interface Row extends FoundRun {
  accountId: string
}

const COLUMNS = 'id, flow_id as "flowId", revision, created_at as "createdAt"'

/** One range of the index for each account and state. */
const NEW: Statement = {
  name: 'account_runs_new',
  text: `select a.account as "accountId", r.* from unnest($1::text[]) as a (account)
    cross join unnest($3::text[]) as s (state)
    cross join lateral (
      select ${COLUMNS} from run where account_id = a.account and state = s.state and id collate "POSIX" > $2
        order by id collate "POSIX" desc limit ${MOST_RUNS}) as r
    order by r.id collate "POSIX"`,
}

const SINCE: Statement = {
  name: 'account_runs_since',
  text: `select r.* from unnest($2::text[]) as s (state)
    cross join lateral (
      select ${COLUMNS} from run
        where account_id = $1 and state = s.state and id collate "POSIX" > $3 and (finished_at is null or finished_at >= $4)
        order by id collate "POSIX" desc limit ${MOST_RUNS}) as r
    order by r.id collate "POSIX"`,
}

const NAMED: Statement = {
  name: 'account_runs_named',
  text: `select ${COLUMNS} from run where account_id = $1 and id = any ($2) order by id`,
}

/**
 * Which runs an account has, for those who watch all of them. New ones are found by looking, here and only while somebody watches: so a
 * run costs nothing more where nobody does, whichever process accepts it. Of most that this one accepts it hears before.
 */
@Injectable()
export class AccountRuns implements OnApplicationShutdown {
  private readonly accounts = new Map<string, WatchedAccount>()
  private looking?: NodeJS.Timeout
  private looks = 0
  private underWay = false

  constructor(private readonly sql: Sql) {}

  /** Calls `onRun` for each run that is not there yet when it resolves, once. Resolves with how to leave. */
  async watch(accountId: string, onRun: (run: FoundRun) => void): Promise<() => void> {
    const account = this.accounts.get(accountId) ?? this.join(accountId)
    await account.ready
    account.listeners.add(onRun)
    return () => {
      account.listeners.delete(onRun)
      if (account.listeners.size === 0 && this.accounts.get(accountId) === account) this.accounts.delete(accountId)
      if (this.accounts.size === 0) this.rest()
    }
  }

  /** Tells of a run that was accepted here at once, before a look finds it. */
  accepted(run: FoundRun & { accountId: string }): void {
    if (this.accounts.size > 0) this.tell(run)
  }

  /** Runs that have not ended, or did so since then; the newest of them where there are very many. */
  async since(accountId: string, time: Date): Promise<FoundRun[]> {
    const live = await this.sql.query<FoundRun & object>(SINCE, [accountId, LIVE_STATES, '', time])
    const early = idsSince('run', time.getTime() - LONG_MS)
    const ended = await this.sql.query<FoundRun & object>(SINCE, [accountId, FINAL_STATES, early, time])
    return [...ended, ...live]
  }

  /** Those of these runs that are the account's. */
  async named(accountId: string, ids: readonly string[]): Promise<FoundRun[]> {
    return ids.length === 0 ? [] : await this.sql.query<FoundRun & object>(NAMED, [accountId, ids])
  }

  onApplicationShutdown(): void {
    this.accounts.clear()
    this.rest()
  }

  private join(accountId: string): WatchedAccount {
    const account: WatchedAccount = { known: new Set(), listeners: new Set(), ready: Promise.resolve() }
    account.ready = this.found([accountId], FAR_BACK_MS).then(
      (rows) => {
        for (const { id } of rows) account.known.add(id)
      },
      (error) => {
        this.accounts.delete(accountId)
        throw error
      },
    )
    this.accounts.set(accountId, account)
    this.looking ??= setInterval(() => void this.look(), LOOK_MS)
    return account
  }

  private rest(): void {
    clearInterval(this.looking)
    this.looking = undefined
  }

  private async look(): Promise<void> {
    if (this.underWay) return
    this.underWay = true
    try {
      const back = ++this.looks % LOOKS_PER_FAR_LOOK === 0 ? FAR_BACK_MS : BACK_MS
      const watched = [...this.accounts].filter(([, { listeners }]) => listeners.size > 0)
      for (const row of await this.found(
        watched.map(([id]) => id),
        back,
      ))
        this.tell(row)
      for (const [, account] of watched) forget(account)
    } catch {
      // While the database is away no run is accepted; the next looks find what it missed.
    } finally {
      this.underWay = false
    }
  }

  private tell({ accountId, ...run }: Row): void {
    const account = this.accounts.get(accountId)
    if (!account || account.known.has(run.id)) return
    account.known.add(run.id)
    for (const listener of account.listeners) listener(run)
  }

  private async found(accountIds: readonly string[], backMs: number): Promise<Row[]> {
    if (accountIds.length === 0) return []
    return await this.sql.query<Row & object>(NEW, [accountIds, idsSince('run', Date.now() - backMs), ALL_STATES])
  }
}

/** Lets go of what no look reaches any more. */
function forget({ known }: WatchedAccount): void {
  const oldest = Date.now() - 2 * FAR_BACK_MS
  for (const id of known) {
    // In the order of their finding, which is about that of their making.
    if (timeOf(id) >= oldest) return
    known.delete(id)
  }
}
