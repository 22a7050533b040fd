import type { MigrationInterface, QueryRunner } from 'typeorm'

/**
 * Jobs on disk. Each folder that is one has a row, and a flow of its own that belongs to no account, whose revisions are the states that
 * the folder had. Several processes index the same source: a folder is one row, and the same content is one revision.
 */
export class Jobs0000000000020 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      alter table flow alter column account_id drop not null;

      create table job (
        id text primary key,
        source text not null,
        -- From the source's root; empty for the root itself.
        folder text not null,
        -- What callers know it by. Two folders may come to the same: then neither can be run.
        job_id text collate "C" not null,
        namespace text not null,
        -- The only tenant that sees it; null: every tenant.
        tenant_id text,
        version text not null default '',
        description text not null default '',
        args json not null default '{"type": "object", "properties": {}}',
        -- The last state that could be run, where there was one.
        flow_id text references flow (id),
        revision integer,
        content text,
        -- Why the folder as it is cannot be run.
        error json,
        changed_at timestamptz(3) not null,
        -- Since when the folder is not there any more.
        gone_at timestamptz(3),
        unique (source, folder)
      );
      create index job_by_id on job (job_id) where gone_at is null;
      create unique index job_of_flow on job (flow_id) where flow_id is not null;

      create table job_revision (
        flow_id text not null,
        number integer not null,
        -- The SHA-256 of its definition, and that of the snapshot of its files.
        content text not null,
        bundle text not null,
        primary key (flow_id, number),
        unique (flow_id, content),
        foreign key (flow_id, number) references flow_revision (flow_id, number) on delete cascade
      );
      create index job_revision_bundle on job_revision (bundle);
    `)
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      drop table job_revision, job;
      delete from flow_revision where flow_id in (select id from flow where account_id is null);
      delete from flow where account_id is null;
      alter table flow alter column account_id set not null;
    `)
  }
}
