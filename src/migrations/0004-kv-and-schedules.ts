import type { MigrationInterface, QueryRunner } from 'typeorm'

/** What flows keep beyond their runs: key-value entries, and schedules of further runs. */
export class KvAndSchedules0000000000004 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table kv_entry (
        account_id text not null,
        key text not null,
        value json not null,
        expires_at timestamptz(3),
        updated_at timestamptz(3) not null default now(),
        primary key (account_id, key)
      );
      create index kv_entry_expiry on kv_entry (expires_at) where expires_at is not null;

      create table schedule (
        id text not null,
        account_id text not null,
        tenant_id text not null,
        flow_id text not null,
        node text,
        cron text not null,
        timezone text,
        payload json,
        next_run_at timestamptz(3),
        last_run_at timestamptz(3),
        created_at timestamptz(3) not null default now(),
        primary key (account_id, id)
      );
      create index schedule_due on schedule (next_run_at);
    `)
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table schedule, kv_entry')
  }
}
