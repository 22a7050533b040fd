import type { MigrationInterface, QueryRunner } from 'typeorm'

/** What the embedded store keeps for each tenant, hashes of the pieces of large blobs, and what S3's clients say of their objects. */
export class BucketUsage0000000000032 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- Changed in the transaction that changes what it counts, last of all: from then to the commit others of the tenant wait for it.
      create table bucket_usage (
        tenant_id text primary key,
        -- Of objects, and of parts of uploads that are not completed.
        bytes bigint not null check (bytes >= 0),
        -- Objects, uploads that are not completed, and their parts.
        objects bigint not null check (objects >= 0)
      ) with (fillfactor = 50);
      insert into bucket_usage (tenant_id, bytes, objects)
        select tenant_id, sum(bytes), sum(objects) from (
            select tenant_id, sum(size) as bytes, count(*) as objects from bucket_object group by tenant_id
            union all
            select tenant_id, 0, count(*) from bucket_upload group by tenant_id
            union all
            select tenant_id, sum(size), count(*)
              from bucket_upload join bucket_upload_part on upload_id = id group by tenant_id) counted
          group by tenant_id;

      -- The SHA-256 of each MiB of a blob that is longer than one, one after the other. Not compressed: a few of them are read at a time.
      create table bucket_blob_hashes (
        tenant_id text not null,
        ref text not null,
        hashes bytea not null,
        primary key (tenant_id, ref)
      );
      alter table bucket_blob_hashes alter column hashes set storage external;

      -- {"algorithm", "type", "value", "parts"}: null where none was told.
      alter table bucket_object add column checksum jsonb, add column tags jsonb not null default '{}';
      alter table bucket_upload add column checksum jsonb, add column tags jsonb not null default '{}';
      alter table bucket_upload_part add column checksum text;
    `)
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      alter table bucket_upload_part drop column checksum;
      alter table bucket_upload drop column checksum, drop column tags;
      alter table bucket_object drop column checksum, drop column tags;
      drop table bucket_blob_hashes, bucket_usage;
    `)
  }
}
