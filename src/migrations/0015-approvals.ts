import type { MigrationInterface, QueryRunner } from 'typeorm'

/** Steps whose work waits for somebody's word. */
export class Approvals0000000000015 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- Without a foreign key, as all that runs leave. Once it is decided a row never changes.
      create table approval (
        id text primary key,
        run_id text not null,
        path text not null,
        node text not null,
        tenant_id text not null,
        account_id text not null,
        approvers text[] not null,
        created_at timestamptz(3) not null,
        deadline timestamptz(3),
        decision text check (decision in ('approved', 'declined', 'expired')),
        decided_by text,
        decided_by_email text,
        note text,
        decided_at timestamptz(3),
        unique (run_id, path),
        check ((decision is null) = (decided_at is null))
      );
      create index approval_open on approval (tenant_id, run_id) where decision is null;
    `)
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table approval')
  }
}
