import type { MigrationInterface, QueryRunner } from 'typeorm'

/** Tenants, accounts with their tokens and secrets, and the audit trail. */
export class Identity0000000000001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table tenant (
        id text primary key,
        name text not null,
        created_at timestamptz(3) not null default now()
      );
      insert into tenant (id, name) values ('default', 'Default');

      -- A deleted account stays as an empty row, so that what it left (flows, runs, audit) still has an owner.
      create table account (
        id text primary key,
        tenant_id text not null references tenant (id),
        name text not null,
        email text not null,
        role text not null check (role in ('admin', 'editor', 'user', 'viewer')),
        password_hash text not null,
        created_at timestamptz(3) not null,
        updated_at timestamptz(3) not null,
        deleted_at timestamptz(3)
      );
      create unique index account_email on account (lower(email), tenant_id) where deleted_at is null;
      create index account_of_tenant on account (tenant_id, id) where deleted_at is null;

      -- An access token counts as long as its row is there and not expired.
      create table access_token (
        id text primary key,
        account_id text not null references account (id),
        created_at timestamptz(3) not null default now(),
        expires_at timestamptz(3) not null
      );
      create index access_token_of_account on access_token (account_id);

      -- One row per account or address that someone tries to log in with or from; the subject is a hash.
      create table login_attempt (
        subject text primary key,
        attempts integer not null,
        window_ends_at timestamptz(3) not null
      );
      create index login_attempt_ended on login_attempt (window_ends_at);

      create table secret (
        account_id text not null references account (id),
        key text not null,
        tenant_id text not null references tenant (id),
        key_id text not null,
        sealed bytea not null,
        created_at timestamptz(3) not null,
        updated_at timestamptz(3) not null,
        primary key (account_id, key)
      );

      -- No foreign keys: an entry outlives all that it names. The hash is for chaining the entries.
      create table audit_entry (
        seq bigint generated always as identity primary key,
        id text not null unique,
        tenant_id text not null,
        at timestamptz(3) not null default now(),
        actor_id text,
        actor_email text,
        action text not null,
        resource_type text not null,
        resource_id text,
        outcome text not null check (outcome in ('success', 'failure')),
        ip text,
        request_id text,
        before json,
        after json,
        hash bytea
      );
      create index audit_entry_of_tenant on audit_entry (tenant_id, seq desc);
      create index audit_entry_of_resource on audit_entry (tenant_id, resource_type, resource_id, seq desc);

      create function audit_entry_is_append_only() returns trigger language plpgsql as $$
      begin
        raise exception 'the audit trail is append-only';
      end $$;
      create trigger audit_entry_append_only before update or delete or truncate on audit_entry
        for each statement execute function audit_entry_is_append_only();
    `)
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      drop table audit_entry;
      drop function audit_entry_is_append_only;
      drop table secret, login_attempt, access_token, account, tenant;
    `)
  }
}
