import type { MigrationInterface, QueryRunner } from 'typeorm'

/** Sessions of browsers, API keys, and accounts that an identity provider vouches for. */
export class Credentials0000000000012 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- The id is the hash of what the cookie holds. A session counts as long as its row is there and not expired.
      create table session (
        id text primary key,
        account_id text not null references account (id),
        created_at timestamptz(3) not null default now(),
        expires_at timestamptz(3) not null
      );
      create index session_of_account on session (account_id);

      -- A key counts as long as its row is there and not expired, and its account is.
      create table api_key (
        id text primary key,
        tenant_id text not null references tenant (id),
        account_id text not null references account (id),
        name text not null,
        scopes text[] not null check (cardinality(scopes) > 0),
        token_hash bytea not null,
        created_at timestamptz(3) not null,
        expires_at timestamptz(3),
        last_used_at timestamptz(3)
      );
      create index api_key_of_account on api_key (account_id, id);

      -- Whom an identity provider knows: the id is its issuer, a blank and the name that it has for somebody. It stays when the
      -- account is deleted, so that whoever was shut out does not come back as somebody new.
      create table external_identity (
        id text primary key,
        account_id text not null references account (id),
        created_at timestamptz(3) not null default now()
      );

      -- Whether the address was given by somebody who may know whose it is: an admin, or an identity provider that has checked it. One
      -- that its owner changed alone proves nothing. Of accounts that were ever changed it is not known.
      alter table account add email_vouched boolean not null default true;
      update account set email_vouched = false where updated_at <> created_at;
    `)
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      alter table account drop email_vouched;
      drop table external_identity, api_key, session;
    `)
  }
}
