import type { MigrationInterface, QueryRunner } from 'typeorm'

/**
 * The embedded object store. Contents are blobs of the object store, named by their hash and length: an object is a row that lists them, so
 * that completing an upload or copying moves no bytes. Names and keys sort by their bytes.
 */
export class Buckets0000000000017 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table bucket (
        tenant_id text not null,
        name text collate "C" not null,
        created_at timestamptz(3) not null,
        primary key (tenant_id, name)
      );

      create table bucket_object (
        tenant_id text not null,
        bucket text collate "C" not null,
        key text collate "C" not null,
        size bigint not null,
        etag text not null,
        -- Its content: blobs in the order in which they are read.
        refs text[] not null,
        content_type text not null,
        headers jsonb not null,
        metadata jsonb not null,
        last_modified timestamptz(3) not null,
        primary key (tenant_id, bucket, key),
        foreign key (tenant_id, bucket) references bucket (tenant_id, name)
      );
      -- Without a pending list, which every look-up would read as a whole.
      create index bucket_object_refs on bucket_object using gin (refs) with (fastupdate = off);

      create table bucket_upload (
        id text primary key,
        tenant_id text not null,
        bucket text collate "C" not null,
        key text collate "C" not null,
        content_type text not null,
        headers jsonb not null,
        metadata jsonb not null,
        begun_at timestamptz(3) not null,
        foreign key (tenant_id, bucket) references bucket (tenant_id, name) on delete cascade
      );
      create index bucket_upload_key on bucket_upload (tenant_id, bucket, key, id);
      create index bucket_upload_begun on bucket_upload (begun_at);

      create table bucket_upload_part (
        upload_id text not null references bucket_upload (id) on delete cascade,
        number integer not null,
        ref text not null,
        size bigint not null,
        etag text not null,
        put_at timestamptz(3) not null,
        primary key (upload_id, number)
      );
      create index bucket_upload_part_ref on bucket_upload_part (ref);

      -- Blobs that a row has let go of. Whoever began to read them before may still be reading; then the sweep removes them.
      create table bucket_released (
        id bigint generated always as identity primary key,
        tenant_id text not null,
        ref text not null,
        released_at timestamptz(3) not null
      );
      create index bucket_released_at on bucket_released (released_at);
      create index bucket_released_ref on bucket_released (ref);
    `)
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table bucket_released, bucket_upload_part, bucket_upload, bucket_object, bucket')
  }
}
