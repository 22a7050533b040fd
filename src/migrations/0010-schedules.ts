import type { MigrationInterface, QueryRunner } from 'typeorm'

/**
 * One table of schedules for people and for flows: names, intervals, a pause, what to do about slots that overlap or were missed, jitter.
 * What flows have planned goes on as before. Each slot that came leaves a row, and has one at most: no slot can start two runs.
 */
export class Schedules0000000000010 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      drop index schedule_due;
      alter table schedule
        alter column cron drop not null,
        add column name text not null default '',
        add column target_type text not null default 'flow' check (target_type = 'flow'),
        -- An interval as it was written, its length, and the moment that it is counted from.
        add column every text,
        add column every_ms double precision check (every_ms >= 1000),
        add column counted_from timestamptz(3) not null default now(),
        add column enabled boolean not null default true,
        add column overlap text not null default 'allow' check (overlap in ('skip', 'allow', 'queue', 'cancel_previous')),
        add column missed text not null default 'last' check (missed in ('skip', 'last', 'all')),
        add column jitter_ms integer not null default 0 check (jitter_ms >= 0),
        -- When to look at it: at its next slot and what jitter adds, or a little later while a queued slot waits.
        add column due_at timestamptz(3),
        add column updated_at timestamptz(3) not null default now(),
        add column idempotency_key text,
        add column request_hash text,
        add check ((cron is null) <> (every is null)),
        add check ((every is null) = (every_ms is null));
      update schedule set name = id, due_at = next_run_at, updated_at = created_at;
      create index schedule_due on schedule (due_at) where due_at is not null;
      create unique index schedule_idempotency on schedule (account_id, idempotency_key) where idempotency_key is not null;
      create index schedule_of_flow on schedule (flow_id);

      create table schedule_slot (
        account_id text not null,
        schedule_id text not null,
        slot timestamptz(3) not null,
        status text not null check (status in ('started', 'skipped', 'failed')),
        -- Why a slot started nothing.
        reason text check (reason in ('overlap', 'missed', 'unplaceable', 'disabled')),
        run_id text collate "C",
        started_at timestamptz(3) not null,
        -- Slots that were left out together are one row: the last of them, and how many they were, unless nobody counted.
        last_slot timestamptz(3) not null,
        slots integer,
        primary key (account_id, schedule_id, slot)
      );
      create index schedule_slot_at on schedule_slot (slot);
      create index run_live_of_schedule on run (account_id, schedule_id)
        where schedule_id is not null and state in ('queued', 'running', 'waiting');
    `)
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      drop index run_live_of_schedule;
      drop table schedule_slot;
      drop index schedule_due, schedule_idempotency, schedule_of_flow;
      delete from schedule where cron is null;
      alter table schedule alter column cron set not null, drop column name, drop column target_type, drop column every,
        drop column every_ms, drop column counted_from, drop column enabled, drop column overlap, drop column missed,
        drop column jitter_ms, drop column due_at, drop column updated_at, drop column idempotency_key, drop column request_hash;
      create index schedule_due on schedule (next_run_at);
    `)
  }
}
