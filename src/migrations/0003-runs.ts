import type { MigrationInterface, QueryRunner } from 'typeorm'

/**
 * Runs and their journal. The tables are narrow and insert-mostly; values are `json`, not `jsonb`: they are stored as written, keep
 * their members' order, and may hold the escaped U+0000 that `jsonb` refuses. Nothing here has foreign keys: the journal writes in order.
 */
export class Runs0000000000003 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table engine_instance (
        id text primary key,
        fence integer generated always as identity unique,
        host text not null,
        pid integer not null,
        started_at timestamptz(3) not null default now(),
        lease_until timestamptz(3) not null,
        lost_at timestamptz(3)
      );

      create table run (
        id text primary key,
        tenant_id text not null,
        account_id text not null,
        flow_id text not null,
        revision integer not null,
        state text not null check (state in ('queued', 'running', 'waiting', 'completed', 'failed', 'cancelled')),
        trigger text not null,
        schedule_id text,
        start_node text,
        input json not null,
        result json,
        error json,
        owner text,
        epoch integer not null default 0,
        recoveries integer not null default 0,
        wake_at timestamptz(3),
        idempotency_key text,
        request_hash text,
        created_at timestamptz(3) not null,
        finished_at timestamptz(3)
      );
      create unique index run_idempotency on run (flow_id, idempotency_key) where idempotency_key is not null;
      create index run_of_account on run (account_id, id desc);
      create index run_of_flow on run (flow_id, id desc);
      create index run_of_account_by_state on run (account_id, state, id desc);
      create index run_of_schedule on run (account_id, schedule_id, id desc) where schedule_id is not null;
      create index run_due on run (wake_at) where state in ('queued', 'waiting');
      create index run_owned on run (owner) where state = 'running';

      create table step_outcome (
        run_id text not null,
        path text not null,
        attempt integer not null,
        node text not null,
        node_type text not null,
        state text not null check (state in ('succeeded', 'failed', 'retrying')),
        action text,
        output json,
        shared json,
        error json,
        due_at timestamptz(3),
        started_at timestamptz(3) not null,
        finished_at timestamptz(3) not null,
        primary key (run_id, path, attempt)
      );

      create table timer (
        run_id text not null,
        path text not null,
        attempt integer not null,
        ordinal integer not null,
        due_at timestamptz(3) not null,
        primary key (run_id, path, attempt, ordinal)
      );

      create table run_event_chunk (
        run_id text not null,
        first_seq integer not null,
        last_seq integer not null,
        entries json not null,
        primary key (run_id, first_seq)
      );

      create table signal_wait (
        run_id text not null,
        path text not null,
        attempt integer not null,
        account_id text not null,
        key text not null,
        deadline timestamptz(3),
        created_at timestamptz(3) not null,
        delivered_at timestamptz(3),
        data json,
        primary key (run_id, path, attempt)
      );
      create index signal_wait_open on signal_wait (account_id, key) where delivered_at is null;

      create table signal (
        id text primary key,
        account_id text not null,
        key text not null,
        data json,
        created_at timestamptz(3) not null,
        expires_at timestamptz(3) not null
      );
      create index signal_pending on signal (account_id, key, id);
    `)
    await runner.query(JOURNAL_WRITE)
    await runner.query(RUN_CLAIM)
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      drop function run_claim;
      drop function journal_write;
      drop table signal, signal_wait, run_event_chunk, timer, step_outcome, run, engine_instance;
    `)
  }
}

/**
 * One flush of a process's journal: any number of records of any number of runs, in one statement and one commit. Every part may be
 * sent again: rows that are there are left alone. The shared advisory lock is the fence: a takeover holds it exclusively while it
 * declares the process lost, so a flush either commits before that or sees it and writes nothing.
 */
const JOURNAL_WRITE = `
  create function journal_write(p_engine text, p_fence integer, p json) returns json language plpgsql as $$
  declare
    v_accepted json;
    v_finished json;
  begin
    perform pg_advisory_xact_lock_shared(7201, p_fence);
    perform 1 from engine_instance where id = p_engine and lost_at is null;
    if not found then
      return '{"fenced": true}';
    end if;

    if p -> 'accepts' is not null then
      with accepted as (
        insert into run (id, tenant_id, account_id, flow_id, revision, state, trigger, start_node, input, owner, wake_at,
            idempotency_key, request_hash, created_at)
          select id, tenant_id, account_id, flow_id, revision, state, trigger, start_node, input::json,
              case when state = 'running' then p_engine end, case when state = 'queued' then created_at end,
              idempotency_key, request_hash, created_at
          from json_to_recordset(p -> 'accepts') as x (id text, tenant_id text, account_id text, flow_id text, revision integer,
            state text, trigger text, start_node text, input text, idempotency_key text, request_hash text,
            created_at timestamptz)
          on conflict do nothing
          returning id, tenant_id, flow_id, revision)
      insert into audit_entry (id, tenant_id, at, actor_id, actor_email, action, resource_type, resource_id, outcome, ip,
          request_id, after)
        select x.audit_id, a.tenant_id, clock_timestamp(), x.actor_id, x.actor_email, 'run.start', 'run', a.id, 'success',
            x.ip, x.request_id, json_build_object('flowId', a.flow_id, 'revision', a.revision)
        from json_to_recordset(p -> 'accepts') as x (id text, audit_id text, actor_id text, actor_email text, ip text,
          request_id text)
        join accepted a on a.id = x.id
        where x.audit_id is not null;
      select json_agg(json_build_object('asked', x.id, 'id', r.id, 'state', r.state, 'request_hash', r.request_hash,
          'created_at', r.created_at))
        into v_accepted
        from json_to_recordset(p -> 'accepts') as x (id text, flow_id text, idempotency_key text)
        join run r on r.flow_id = x.flow_id and r.idempotency_key = x.idempotency_key
        where x.idempotency_key is not null;
    end if;

    if p -> 'outcomes' is not null then
      insert into step_outcome (run_id, path, attempt, node, node_type, state, action, output, shared, error, due_at,
          started_at, finished_at)
        select run_id, path, attempt, node, node_type, state, action, output::json, shared::json, error::json, due_at,
            started_at, finished_at
        from json_to_recordset(p -> 'outcomes') as x (run_id text, path text, attempt integer, node text, node_type text,
          state text, action text, output text, shared text, error text, due_at timestamptz, started_at timestamptz,
          finished_at timestamptz)
        on conflict do nothing;
    end if;

    if p -> 'timers' is not null then
      insert into timer (run_id, path, attempt, ordinal, due_at)
        select run_id, path, attempt, ordinal, due_at
        from json_to_recordset(p -> 'timers') as x (run_id text, path text, attempt integer, ordinal integer,
          due_at timestamptz)
        on conflict do nothing;
    end if;

    if p -> 'events' is not null then
      insert into run_event_chunk (run_id, first_seq, last_seq, entries)
        select run_id, first_seq, last_seq, entries::json
        from json_to_recordset(p -> 'events') as x (run_id text, first_seq integer, last_seq integer, entries text)
        on conflict do nothing;
    end if;

    if p -> 'releases' is not null then
      update run r set state = x.state, wake_at = coalesce(r.wake_at, x.wake_at), owner = null
        from json_to_recordset(p -> 'releases') as x (run_id text, epoch integer, state text, wake_at timestamptz)
        where r.id = x.run_id and r.owner = p_engine and r.epoch = x.epoch and r.state = 'running';
    end if;

    if p -> 'finishes' is not null then
      update run r set state = x.state, result = x.result::json, error = x.error::json, finished_at = x.finished_at, wake_at = null
        from json_to_recordset(p -> 'finishes') as x (run_id text, epoch integer, state text, result text, error text,
          finished_at timestamptz)
        where r.id = x.run_id and r.owner = p_engine and r.epoch = x.epoch and r.state = 'running';
      delete from timer t using json_to_recordset(p -> 'finishes') as x (run_id text) where t.run_id = x.run_id;
      delete from signal_wait w using json_to_recordset(p -> 'finishes') as x (run_id text) where w.run_id = x.run_id;
      select json_agg(r.id) into v_finished
        from json_to_recordset(p -> 'finishes') as x (run_id text, epoch integer, state text)
        join run r on r.id = x.run_id
        where r.owner = p_engine and r.epoch = x.epoch and r.state = x.state;
    end if;

    return json_build_object('accepted', v_accepted, 'finished', v_finished);
  end $$;
`

/**
 * Takes up to `p_limit` runs that are due and that nobody has, oldest first. SKIP LOCKED gives each process its own; the fence keeps one
 * that was declared lost from taking any.
 */
const RUN_CLAIM = `
  create function run_claim(p_engine text, p_fence integer, p_limit integer, p_now timestamptz) returns setof run
  language plpgsql as $$
  begin
    perform pg_advisory_xact_lock_shared(7201, p_fence);
    perform 1 from engine_instance where id = p_engine and lost_at is null;
    if not found then
      return;
    end if;
    return query
      update run set state = 'running', owner = p_engine, epoch = epoch + 1, wake_at = null
        where id in (
          select id from run where state in ('queued', 'waiting') and wake_at <= p_now
          order by wake_at limit p_limit for update skip locked)
        returning *;
  end $$;
`
