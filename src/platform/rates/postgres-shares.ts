import type { Sql, Statement } from '../database/sql.js'
import type { RateShares, Share, Wish } from './rate-shares.js'

/** In the order of its keys, so that two processes never wait for each other's rows crosswise. `shareOf`, in SQL. */
const TAKE: Statement = {
  name: 'rate_share_take',
  text: `
    with asked as (
      select * from unnest($1::integer[], $2::text[], $3::integer[], $4::integer[], $5::integer[])
        as asked (minute, key, most, wanted, known))
    insert into rate_share as share (minute, key, taken, granted)
      select minute, key, known + least(wanted, most - known), least(wanted, most - known) from asked order by minute, key
    on conflict (minute, key) do update set (taken, granted) = (
      select before + granted, granted from asked,
        lateral (select greatest(share.taken, known) as before) as known_before,
        lateral (select greatest(0, least(wanted, most - before)) as granted) as share_granted
      where asked.minute = share.minute and asked.key = share.key)
    returning minute, key, taken, granted`,
}

const FORGET: Statement = { name: 'rate_share_forget', text: 'delete from rate_share where minute < $1' }

interface Taken extends Record<string, unknown> {
  minute: number
  key: string
  taken: number
  granted: number
}

/** Shares in an unlogged table: taking one waits for no disk, and a crash of the server forgets a minute's count, nothing else. */
export class PostgresShares implements RateShares {
  readonly name = 'Postgres'

  constructor(private readonly sql: Pick<Sql, 'query'>) {}

  async take(wishes: readonly Wish[]): Promise<Share[]> {
    const rows = await this.sql.query<Taken>(TAKE, [
      wishes.map(({ minute }) => minute),
      wishes.map(({ key }) => key),
      wishes.map(({ limit }) => limit),
      wishes.map(({ wanted }) => wanted),
      wishes.map(({ known }) => known),
    ])
    const found = new Map(rows.map((row) => [`${row.minute} ${row.key}`, row]))
    return wishes.map(({ minute, key }) => {
      const row = found.get(`${minute} ${key}`)
      if (!row) throw new Error('a wish was not answered')
      return { granted: row.granted, taken: row.taken }
    })
  }

  async forget(minute: number): Promise<void> {
    await this.sql.query(FORGET, [minute])
  }

  /** The pool is others' too. */
  async close(): Promise<void> {}
}
