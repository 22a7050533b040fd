import { createHash } from 'node:crypto'
import { Injectable } from '@nestjs/common'
import { Sql, type Statement } from '../../platform/database/sql.js'
import { TooManyAttempts } from './auth.errors.js'
import { callerNetwork } from './caller-network.js'

/** Failed attempts in one window of a minute, which begins with the first. */
const PER_ACCOUNT = 5
const PER_ADDRESS = 100

/**
 * Opens a window or counts in the open one. Sorted, so that two attempts never wait for each other's rows crosswise. On the way, rows
 * whose windows ended long ago are removed, a few at a time.
 */
const COUNT: Statement = {
  name: 'login_attempt_count',
  text: `
    with removed as (
      delete from login_attempt where subject in (
        select subject from login_attempt where window_ends_at < now() - interval '1 hour' and subject <> all ($1::text[])
        limit 10 for update skip locked
      )
    )
    insert into login_attempt as known (subject, attempts, window_ends_at)
    select subject, 1, now() + interval '1 minute' from unnest($1::text[]) as subject order by subject
    on conflict (subject) do update set
      attempts = case when known.window_ends_at <= now() then 1 else known.attempts + 1 end,
      window_ends_at = case when known.window_ends_at <= now() then excluded.window_ends_at else known.window_ends_at end
    returning subject, attempts, ceil(extract(epoch from window_ends_at - now()))::integer as ends_in`,
}

const FORGET: Statement = {
  name: 'login_attempt_forget',
  text: `
    update login_attempt set attempts = attempts - 1
    where subject in (select subject from login_attempt where subject = any ($1::text[]) order by subject for update)
      and attempts > 0 and window_ends_at > now()`,
}

interface Counted extends Record<string, unknown> {
  subject: string
  attempts: number
  ends_in: number
}

/** An attempt that was counted as failed, until it is taken back. */
export interface Attempt {
  /** It succeeded after all. */
  forget(): Promise<void>
}

/**
 * Slows the guessing of passwords: at most 5 failures a minute for one account and 100 from one address, counted in the database, so
 * that all processes together allow no more. An attempt counts before its password is looked at, and is taken back when it succeeds:
 * many at once gain nothing. Names are kept as hashes, since people type passwords into the wrong field.
 */
@Injectable()
export class LoginAttempts {
  constructor(private readonly sql: Sql) {}

  /** `name` is the same in all its spellings. Throws `TooManyAttempts`, with the seconds until the window ends. */
  async begin(name: string, address: string): Promise<Attempt> {
    const account = subject('account', name)
    const network = subject('address', callerNetwork(address))
    const counted = await this.sql.query<Counted>(COUNT, [[account, network]])
    const waits = counted
      .filter((row) => row.attempts > (row.subject === account ? PER_ACCOUNT : PER_ADDRESS))
      .map((row) => row.ends_in)
    if (waits.length > 0) throw new TooManyAttempts(Math.max(1, ...waits))
    return { forget: async () => void (await this.sql.query(FORGET, [[account, network]])) }
  }
}

function subject(kind: 'account' | 'address', name: string): string {
  return createHash('sha256').update(`${kind} ${name}`).digest('base64url')
}
