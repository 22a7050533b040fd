import type { MigrationInterface, QueryRunner } from 'typeorm'

/** Files that runs leave, and how many requests of a minute are taken. */
export class ArtifactsAndRates0000000000023 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- The row is there before the object and goes after it: what a crash leaves between them is found by its row.
      create table artifact (
        id text collate "C" primary key,
        run_id text collate "C" not null,
        tenant_id text not null,
        account_id text not null,
        name text not null,
        path text not null,
        media_type text not null,
        size_bytes bigint not null check (size_bytes >= 0),
        sha256 text,
        provider_id text not null,
        bucket text not null,
        key text not null,
        -- uploading: reserved, by whoever has the claim. kept: whole, and never changed. removing: for nobody, until its object is gone.
        state text not null check (state in ('uploading', 'kept', 'removing')),
        claim text,
        claimed_at timestamptz(3),
        created_at timestamptz(3) not null,
        expires_at timestamptz(3),
        unique (run_id, path),
        check (state <> 'kept' or sha256 is not null)
      );
      create index artifact_of_account on artifact (account_id, id desc) where state = 'kept';
      create index artifact_of_provider on artifact (tenant_id, provider_id);
      create index artifact_expiry on artifact (expires_at) where state = 'kept' and expires_at is not null;
      create index artifact_unfinished on artifact (claimed_at) where state <> 'kept';

      -- What the artifacts of a tenant take up, those under way included: one row to ask, and to wait for.
      create table artifact_usage (
        tenant_id text primary key,
        bytes bigint not null check (bytes >= 0)
      );

      -- How many requests of a minute its processes have taken; of no worth after it.
      create unlogged table rate_share (
        minute integer not null,
        key text not null,
        taken integer not null,
        -- To whoever took last.
        granted integer not null,
        primary key (minute, key)
      );
    `)
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table rate_share, artifact_usage, artifact')
  }
}
