import type { MigrationInterface, QueryRunner } from 'typeorm'

/** Flows, and the revisions of their definitions. */
export class Flows0000000000002 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table flow (
        id text primary key,
        tenant_id text not null,
        account_id text not null references account (id),
        name text not null,
        description text not null default '',
        version text not null,
        tags text[] not null default '{}',
        revision integer not null,
        created_at timestamptz(3) not null,
        updated_at timestamptz(3) not null,
        deleted_at timestamptz(3)
      );
      create index flow_of_account on flow (account_id, id) where deleted_at is null;
      create index flow_tags on flow using gin (tags) where deleted_at is null;

      create table flow_revision (
        flow_id text not null references flow (id),
        number integer not null,
        language text not null,
        definition text not null,
        created_at timestamptz(3) not null,
        created_by text not null,
        primary key (flow_id, number)
      );

      create function flow_revision_is_immutable() returns trigger language plpgsql as $$
      begin
        raise exception 'a flow revision never changes';
      end $$;
      create trigger flow_revision_immutable before update on flow_revision
        for each row execute function flow_revision_is_immutable();
    `)
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      drop table flow_revision;
      drop function flow_revision_is_immutable;
      drop table flow;
    `)
  }
}
