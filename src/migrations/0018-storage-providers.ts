import type { MigrationInterface, QueryRunner } from 'typeorm'

/** The object stores of tenants beside their embedded one, which has no row: it is the default where no other is. */
export class StorageProviders0000000000018 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table storage_provider (
        id text primary key,
        tenant_id text not null references tenant (id),
        name text not null,
        type text not null check (type in ('minio', 's3', 'azure-blob', 'gcs')),
        -- Scheme, host, port, and a path where Azure needs one.
        endpoint text not null,
        region text,
        -- For tests of the connection, where one is not to be made for them.
        bucket text,
        -- Which of its credentials are set. What they are is sealed.
        credential_names text[] not null,
        key_id text not null,
        sealed bytea not null,
        is_default boolean not null,
        created_at timestamptz(3) not null,
        updated_at timestamptz(3) not null
      );
      create index storage_provider_of_tenant on storage_provider (tenant_id, id);
      create unique index storage_provider_default on storage_provider (tenant_id) where is_default;
    `)
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table storage_provider')
  }
}
