import { Injectable } from '@nestjs/common'
import { Forbidden, Unauthenticated } from '../../../platform/auth/auth.errors.js'
import { Authenticator } from '../../../platform/auth/authenticator.js'
import { WRITERS } from '../../../platform/auth/principal.js'
import { tokenKind } from '../../../platform/auth/token-kind.js'
import { BatchedReads } from '../../../platform/database/batched-reads.js'
import { Sql, type Statement } from '../../../platform/database/sql.js'
import type { Channel } from '../channel.entity.js'
import type { ChannelRoute } from '../channel-route.entity.js'
import { opens } from '../channel-token.js'
import { ChannelNotFound } from '../channels.errors.js'

/** A route as requests meet it. */
export type OpenRoute = Pick<
  ChannelRoute,
  'id' | 'name' | 'httpMethod' | 'path' | 'targetFlowIds' | 'responseMode' | 'timeoutSeconds' | 'toolName'
>

/** A channel that lets a caller in, as it is at this moment. */
export interface OpenChannel extends Pick<Channel, 'id' | 'tenantId' | 'accountId' | 'name' | 'kind' | 'authMode'> {
  routes: OpenRoute[]
}

type Row = OpenChannel & Pick<Channel, 'tokenHash'> & { key: string }

const OPEN: Statement = {
  name: 'channel_open',
  text: `select c.id as key, c.id, c.tenant_id as "tenantId", c.account_id as "accountId", c.name, c.kind,
      c.auth_mode as "authMode", c.token_hash as "tokenHash",
      coalesce((select json_agg(json_build_object('id', r.id, 'name', r.name, 'httpMethod', r.http_method, 'path', r.path,
          'targetFlowIds', r.target_flow_ids, 'responseMode', r.response_mode, 'timeoutSeconds', r.timeout_seconds,
          'toolName', r.tool_name) order by r.id)
        from channel_route r where r.channel_id = c.id), '[]') as routes
    from channel c join account a on a.id = c.account_id and a.deleted_at is null
    where c.id = any ($1::text[]) and c.enabled and a.role in (${WRITERS.map((role) => `'${role}'`).join(', ')})`,
}

/**
 * Who may enter a channel. It is read for each request, so that what its owner has changed holds at once, in every process. A channel
 * that is disabled looks like one that never was, whatever token comes, and so does one whose owner may only look by now: what it
 * starts, its owner does. Only of one that is there a wrong token is told. MCP clients may come with an API key of the channel's account
 * instead of its token, if the key is for MCP.
 */
@Injectable()
export class ChannelDoor {
  private readonly channels: BatchedReads<Row>

  constructor(
    sql: Sql,
    private readonly authenticator: Authenticator,
  ) {
    this.channels = new BatchedReads(sql, OPEN)
  }

  async enter(id: string, token: string | undefined): Promise<OpenChannel> {
    const [row] = await this.channels.rowsOf(id)
    if (!row) throw new ChannelNotFound(id)
    if (!(await this.lets(row, token))) throw new Unauthenticated('The channel asks for its token')
    const { key: _, tokenHash: __, ...channel } = row
    return channel
  }

  private async lets(row: Row, token: string | undefined): Promise<boolean> {
    if (row.authMode === 'public') return true
    if (token === undefined) return false
    return opens(row, token) || (row.kind === 'mcp' && tokenKind(token) === 'api-key' && (await this.isOwn(row, token)))
  }

  /** Whether it is a key of the account that the channel belongs to. One that may only look starts nothing. */
  private async isOwn({ accountId }: Row, key: string): Promise<boolean> {
    try {
      const owner = await this.authenticator.authenticate(key, 'mcp')
      return owner.accountId === accountId && WRITERS.includes(owner.role)
    } catch (error) {
      if (error instanceof Unauthenticated || error instanceof Forbidden) return false
      throw error
    }
  }
}
