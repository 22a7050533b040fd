import { type BeforeApplicationShutdown, Injectable, Logger } from '@nestjs/common'
import { SESSION_LIFETIME_S } from '../../platform/auth/session-cookie.js'
import { Sql, type Statement } from '../../platform/database/sql.js'

/** Uses of one credential within this time of one that was noted are not noted again. */
export const NOTED_ANEW_AFTER_S = 60

/** How long noted uses may wait before they are written. */
const WRITE_AFTER_MS = 5_000

/** Rows are locked in the order of their ids, so that two processes never wait for each other's crosswise. */
const EXTEND: Statement = {
  name: 'session_extend',
  text: `
    update session set expires_at = now() + make_interval(secs => ${SESSION_LIFETIME_S + NOTED_ANEW_AFTER_S})
    where id in (select id from session where id = any ($1::text[]) order by id for update)`,
}

const USE: Statement = {
  name: 'api_key_use',
  text: `
    update api_key set last_used_at = now()
    where id in (select id from api_key where id = any ($1::text[]) order by id for update)`,
}

/**
 * That sessions and keys are used: noted here, and written for many at once, so that no request waits for a write. A session's end moves
 * this way: it lasts for an hour after its last use, give or take a minute. What a process notes and does not write before it
 * is killed is lost.
 */
@Injectable()
export class CredentialUses implements BeforeApplicationShutdown {
  private readonly logger = new Logger(CredentialUses.name)
  private sessions = new Set<string>()
  private keys = new Set<string>()
  private timer?: NodeJS.Timeout

  constructor(private readonly sql: Sql) {}

  ofSession(id: string): void {
    this.sessions.add(id)
    this.writeSoon()
  }

  ofKey(id: string): void {
    this.keys.add(id)
    this.writeSoon()
  }

  /** Writes what was noted. What cannot be written now stays noted. */
  async write(): Promise<void> {
    clearTimeout(this.timer)
    this.timer = undefined
    const { sessions, keys } = this
    this.sessions = new Set()
    this.keys = new Set()
    try {
      if (sessions.size > 0) await this.sql.query(EXTEND, [[...sessions]])
      sessions.clear()
      if (keys.size > 0) await this.sql.query(USE, [[...keys]])
    } catch (error) {
      this.logger.warn(
        { err: error },
        'uses of sessions and keys could not be written; they are kept for the next time',
      )
      for (const id of sessions) this.ofSession(id)
      for (const id of keys) this.ofKey(id)
    }
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.write()
    clearTimeout(this.timer)
  }

  private writeSoon(): void {
    this.timer ??= setTimeout(() => void this.write(), WRITE_AFTER_MS).unref()
  }
}
