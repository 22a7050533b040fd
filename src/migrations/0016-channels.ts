import type { MigrationInterface, QueryRunner } from 'typeorm'

/** Channels, and their routes. Flows are named without a reference: a route outlives them, and says so when it is asked. */
export class Channels0000000000016 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table channel (
        id text primary key,
        tenant_id text not null,
        account_id text not null references account (id),
        name text not null,
        kind text not null check (kind in ('http', 'websocket', 'mcp')),
        auth_mode text not null check (auth_mode in ('public', 'header_token')),
        token_hash bytea,
        enabled boolean not null,
        created_at timestamptz(3) not null,
        updated_at timestamptz(3) not null,
        check (auth_mode = 'public' or token_hash is not null)
      );
      create index channel_of_account on channel (account_id, id);

      create table channel_route (
        id text primary key,
        channel_id text not null references channel (id) on delete cascade,
        name text not null,
        http_method text,
        path text,
        shape text,
        target_flow_ids text[] not null,
        response_mode text not null check (response_mode in ('sync', 'async')),
        timeout_seconds integer not null,
        tool_name text,
        created_at timestamptz(3) not null,
        updated_at timestamptz(3) not null
      );
      create unique index channel_route_name on channel_route (channel_id, name);
      create unique index channel_route_path on channel_route (channel_id, http_method, shape)
        where http_method is not null and shape is not null;
      create unique index channel_route_tool on channel_route (channel_id, tool_name) where tool_name is not null;
    `)
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table channel_route, channel')
  }
}
