import type { MigrationInterface, QueryRunner } from 'typeorm'

/**
 * Runs over many processes: priority, worker tags, limits per key, lineage, large values outside the rows, and what a run did in
 * partitions by week, so that old weeks are dropped instead of deleted row by row.
 */
export class ManyProcesses0000000000005 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(RUN_COLUMNS)
    await runner.query(FLOW_VERSIONS)
    await runner.query(PARTITIONS)
  }

  down(): Promise<void> {
    throw new Error('this migration is not undone: restore a backup instead')
  }
}

/**
 * A run holds a slot of its concurrency key while it is `running`, or `queued` with a time to wake at; a `queued` run without one is held
 * back until it is admitted. Slots are nothing but these states, so none can leak.
 *
 * Ids collate "C", as bytes: they are compared for order alone, and partitions are bounded by them.
 */
const RUN_COLUMNS = `
  alter table run
    alter column id type text collate "C",
    add column priority smallint not null default 0 check (priority between -100 and 100),
    add column tag text not null default 'default',
    add column concurrency_key text,
    add column concurrency_limit integer check (concurrency_limit > 0),
    add column parent_run_id text collate "C",
    add column parent_path text,
    add column parent_attempt integer,
    add column awaited boolean not null default false,
    add column depth smallint not null default 0,
    add column resumed_from text collate "C",
    add column key_base text collate "C",
    add column stalls smallint not null default 0,
    add column progress integer not null default 0,
    add column dead boolean not null default false,
    add column dispatched_at timestamptz(3),
    add column input_ref text,
    add column result_ref text,
    add check ((concurrency_key is null) = (concurrency_limit is null)),
    add check ((parent_run_id is null) = (parent_path is null) and (parent_run_id is null) = (parent_attempt is null));

  drop index run_due;
  create index run_queued on run (tag, priority desc, wake_at) where state = 'queued' and wake_at is not null and stalls < 2;
  create index run_suspect on run (wake_at) where state = 'queued' and wake_at is not null and stalls >= 2;
  create index run_waiting on run (wake_at) where state = 'waiting' and wake_at is not null;
  create index run_dispatched on run (tag) where state = 'queued' and dispatched_at is not null;
  create index run_slot on run (account_id, concurrency_key)
    where concurrency_key is not null and (state = 'running' or state = 'queued' and wake_at is not null);
  create index run_held on run (account_id, concurrency_key, priority desc, id)
    where concurrency_key is not null and state = 'queued' and wake_at is null;
  create unique index run_child on run (parent_run_id, parent_path, parent_attempt) where parent_run_id is not null;
  create index run_live_child on run (account_id) where depth > 0 and state in ('queued', 'running', 'waiting');
  create index run_started_again on run (resumed_from) where resumed_from is not null;
  create unique index run_resumed_once on run (resumed_from) where key_base is not null;
  create index run_dead on run (account_id, id desc) where dead;

  alter table timer alter column run_id type text collate "C";
  alter table signal_wait alter column run_id type text collate "C";

  -- The queues outside the database that a process takes runs from, and how many runs it has room for.
  alter table engine_instance
    add column tags text[] not null default '{}',
    add column capacity integer not null default 0;

  -- What a process still held when it had to stop: for audit only, no run goes on by it.
  create table late_outcome (
    run_id text collate "C" not null,
    path text not null,
    attempt integer not null,
    engine text not null,
    state text not null check (state in ('succeeded', 'failed', 'retrying')),
    at timestamptz(3) not null,
    primary key (run_id, path, attempt, engine)
  );
  create index late_outcome_at on late_outcome (at);

  -- What one process does now and then for all of them, and when one last began to.
  create table chore (
    name text primary key,
    begun_at timestamptz(3) not null
  );

  -- Attempts that may not be repeated, from before they begin.
  create table step_open (
    run_id text collate "C" not null,
    path text not null,
    attempt integer not null,
    started_at timestamptz(3) not null,
    primary key (run_id, path, attempt)
  );
`

/** By what name a revision is asked for. Of those made before, only the current one's own is known; the others go by their number. */
const FLOW_VERSIONS = `
  alter table flow_revision add column version text;
  update flow_revision r set version = case when r.number = f.revision then f.version else 'v' || r.number end
    from flow f where f.id = r.flow_id;
  alter table flow_revision alter column version set not null;
`

/** The ids of runs begin with the time of their making, so a range of ids is a week. Ids that no week holds are kept beside them. */
const PARTITIONS = `
  create function run_id_at(p_at timestamptz) returns text language plpgsql immutable as $$
  declare
    v_left bigint := floor(extract(epoch from p_at) * 1000);
    v_id text := '';
  begin
    for i in 1..10 loop
      v_id := substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', (v_left & 31)::integer + 1, 1) || v_id;
      v_left := v_left >> 5;
    end loop;
    return 'run_' || v_id;
  end $$;

  create function run_partitions(p_from timestamptz, p_weeks integer) returns void language plpgsql as $$
  declare
    v_table text;
    v_week timestamp;
  begin
    perform pg_advisory_xact_lock(7206, 0);
    for i in 0..p_weeks - 1 loop
      v_week := date_trunc('week', p_from at time zone 'UTC') + make_interval(weeks => i);
      foreach v_table in array array['step_outcome', 'run_event_chunk'] loop
        if to_regclass(v_table || to_char(v_week, '_YYYYMMDD')) is null then
          execute format('create table %I partition of %I for values from (%L) to (%L)',
            v_table || to_char(v_week, '_YYYYMMDD'), v_table,
            run_id_at(v_week at time zone 'UTC'), run_id_at((v_week + interval '1 week') at time zone 'UTC'));
        end if;
      end loop;
    end loop;
  end $$;

  alter table step_outcome rename to step_outcome_before;
  alter table step_outcome_before rename constraint step_outcome_pkey to step_outcome_before_pkey;
  create table step_outcome (
    run_id text collate "C" not null,
    path text not null,
    attempt integer not null,
    node text not null,
    node_type text not null,
    state text not null check (state in ('succeeded', 'failed', 'retrying')),
    action text,
    output json,
    output_ref text,
    shared json,
    shared_ref text,
    error json,
    due_at timestamptz(3),
    started_at timestamptz(3) not null,
    finished_at timestamptz(3) not null,
    primary key (run_id, path, attempt)
  ) partition by range (run_id);
  create table step_outcome_rest partition of step_outcome default;
  -- Asked before an object is removed that nothing may refer to any more.
  create index step_output_ref on step_outcome (output_ref) where output_ref is not null;
  create index step_shared_ref on step_outcome (shared_ref) where shared_ref is not null;
  create index run_input_ref on run (input_ref) where input_ref is not null;
  create index run_result_ref on run (result_ref) where result_ref is not null;

  alter table run_event_chunk rename to run_event_chunk_before;
  alter table run_event_chunk_before rename constraint run_event_chunk_pkey to run_event_chunk_before_pkey;
  create table run_event_chunk (
    run_id text collate "C" not null,
    first_seq integer not null,
    last_seq integer not null,
    entries json not null,
    primary key (run_id, first_seq)
  ) partition by range (run_id);
  create table run_event_chunk_rest partition of run_event_chunk default;

  select run_partitions(now() - interval '1 week', 7);
  insert into step_outcome (run_id, path, attempt, node, node_type, state, action, output, shared, error, due_at, started_at,
      finished_at)
    select run_id, path, attempt, node, node_type, state, action, output, shared, error, due_at, started_at, finished_at
    from step_outcome_before;
  insert into run_event_chunk (run_id, first_seq, last_seq, entries)
    select run_id, first_seq, last_seq, entries from run_event_chunk_before;
  drop table step_outcome_before, run_event_chunk_before;
`
