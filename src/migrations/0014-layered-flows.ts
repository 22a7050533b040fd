import type { MigrationInterface, QueryRunner } from 'typeorm'

/** What flow8 knows of a flow beside its revisions. */
export class LayeredFlows0000000000014 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      alter table flow
        add column enabled boolean not null default true,
        add column category text not null default '',
        add column group_id text,
        -- A name for programs: it stays when the flow is renamed.
        add column permanent_id text,
        -- Counts every change, where a revision counts those of the definition.
        add column changes integer not null default 1,
        add column kv_inherit boolean not null default true,
        add column kv_conflict text not null default 'child' check (kv_conflict in ('parent', 'child', 'merge'));
      update flow set changes = revision, permanent_id =
        coalesce(nullif(trim(both '-' from left(regexp_replace(lower(name), '[^a-z0-9]+', '-', 'g'), 60)), ''), 'flow')
          || '-' || lower(right(id, 6));
      alter table flow
        alter column permanent_id set not null,
        alter column permanent_id set default 'flow-' || replace(gen_random_uuid()::text, '-', '');
      create unique index flow_permanent_id on flow (account_id, permanent_id) where deleted_at is null;
      create index flow_of_group on flow (group_id) where group_id is not null and deleted_at is null;
    `)
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      drop index flow_of_group, flow_permanent_id;
      alter table flow drop column enabled, drop column category, drop column group_id, drop column permanent_id,
        drop column changes, drop column kv_inherit, drop column kv_conflict;
    `)
  }
}
