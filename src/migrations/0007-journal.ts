import type { MigrationInterface, QueryRunner } from 'typeorm'

/**
 * The journal's one statement, for all that the runs of many processes write. The numbers of the advisory locks in this and the other
 * functions are those of `advisory-locks.ts`.
 */
export class Journal0000000000007 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('drop function journal_write')
    await runner.query(JOURNAL_WRITE)
  }

  down(): Promise<void> {
    throw new Error('this migration is not undone: restore a backup instead')
  }
}

/**
 * One flush of a process's journal: any number of records of any number of runs, in one statement and one commit. Every part may be
 * sent again: rows that are there are left alone. Rows are looked up so that only one plan is possible, `any (array[…])` for an update and
 * `offset 0` for a read: a connection keeps its plans, and one made while the tables were small would read all of them later. The shared advisory lock is the fence: a takeover holds it exclusively while it
 * declares the process lost, so a flush either commits before that or sees it and writes nothing.
 */
const JOURNAL_WRITE = `
  create function journal_write(p_engine text, p_fence integer, p json) returns json language plpgsql as $$
  declare
    v_list record;
    v_accepted json;
    v_finished text[];
    v_cancelled text[];
    v_written text[];
    v_over text[];
  begin
    perform pg_advisory_xact_lock_shared(7201, p_fence);
    perform 1 from engine_instance where id = p_engine and lost_at is null;
    if not found then
      return '{"fenced": true}';
    end if;

    -- Taken apart once: each look into the whole document would read all of it.
    select * into v_list from json_to_record(p) as x (accepts json, opens json, outcomes json, timers json, events json, parents json,
      releases json, finishes json);

    if v_list.accepts is not null then
      with accepted as (
        insert into run (id, tenant_id, account_id, flow_id, revision, state, trigger, start_node, input, input_ref, owner, wake_at,
            priority, tag, concurrency_key, concurrency_limit, idempotency_key, request_hash, created_at)
          select id, tenant_id, account_id, flow_id, revision, state, trigger, start_node, input::json, input_ref,
              case when state = 'running' then p_engine end,
              case when state = 'queued' and concurrency_key is null then created_at end,
              coalesce(priority, 0), coalesce(tag, 'default'), concurrency_key, concurrency_limit, idempotency_key, request_hash,
              created_at
          from json_to_recordset(v_list.accepts) as x (id text, tenant_id text, account_id text, flow_id text, revision integer,
            state text, trigger text, start_node text, input text, input_ref text, priority smallint, tag text,
            concurrency_key text, concurrency_limit integer, idempotency_key text, request_hash text, created_at timestamptz)
          on conflict do nothing
          returning id, tenant_id, flow_id, revision)
      insert into audit_entry (id, tenant_id, at, actor_id, actor_email, action, resource_type, resource_id, outcome, ip,
          request_id, after)
        select x.audit_id, a.tenant_id, clock_timestamp(), x.actor_id, x.actor_email, 'run.start', 'run', a.id, 'success',
            x.ip, x.request_id, json_build_object('flowId', a.flow_id, 'revision', a.revision)
        from json_to_recordset(v_list.accepts) as x (id text, audit_id text, actor_id text, actor_email text, ip text,
          request_id text)
        join accepted a on a.id = x.id
        where x.audit_id is not null;
      select json_agg(json_build_object('asked', x.id, 'id', r.id, 'state', r.state, 'request_hash', r.request_hash,
          'created_at', r.created_at))
        into v_accepted
        from json_to_recordset(v_list.accepts) as x (id text, flow_id text, idempotency_key text)
        cross join lateral (
          select id, state, request_hash, created_at from run
            where flow_id = x.flow_id and idempotency_key = x.idempotency_key offset 0) as r
        where x.idempotency_key is not null;
    end if;

    if v_list.opens is not null then
      with written as (
        insert into step_open (run_id, path, attempt, started_at)
          select run_id, path, attempt, started_at
          from json_to_recordset(v_list.opens) as x (run_id text, path text, attempt integer, started_at timestamptz)
          on conflict do nothing
          returning run_id)
      select array_agg(distinct run_id) into v_written from written;
    end if;

    if v_list.outcomes is not null then
      with written as (
        insert into step_outcome (run_id, path, attempt, node, node_type, state, action, output, output_ref, shared, shared_ref,
            error, due_at, started_at, finished_at)
          select run_id, path, attempt, node, node_type, state, action, output::json, output_ref, shared::json, shared_ref,
              error::json, due_at, started_at, finished_at
          from json_to_recordset(v_list.outcomes) as x (run_id text, path text, attempt integer, node text, node_type text,
            state text, action text, output text, output_ref text, shared text, shared_ref text, error text,
            due_at timestamptz, started_at timestamptz, finished_at timestamptz)
          on conflict do nothing
          returning run_id)
      select v_written || array_agg(distinct run_id) into v_written from written;
    end if;

    -- Of a run that is over no further step shall begin, though nobody has told its process yet.
    if v_written is not null then
      select array_agg(id) into v_over from unnest(v_written) as w (id)
        where not exists (select from run where run.id = w.id and owner = p_engine and state = 'running');
    end if;

    -- Of a run that was cancelled meanwhile nobody would come for them; the lock keeps a cancel from coming in between.
    if v_list.timers is not null then
      insert into timer (run_id, path, attempt, ordinal, due_at)
        select x.run_id, x.path, x.attempt, x.ordinal, x.due_at
        from json_to_recordset(v_list.timers) as x (run_id text, path text, attempt integer, ordinal integer,
          due_at timestamptz)
        join run r on r.id = x.run_id
        where r.state = 'running' order by x.run_id for key share of r
        on conflict do nothing;
    end if;

    if v_list.events is not null then
      insert into run_event_chunk (run_id, first_seq, last_seq, entries)
        select run_id, first_seq, last_seq, entries::json
        from json_to_recordset(v_list.events) as x (run_id text, first_seq integer, last_seq integer, entries text)
        on conflict do nothing;
    end if;

    -- A child's end touches its parent's row: every flush that does so locks in the order of ids, the parents before the rest.
    if v_list.parents is not null then
      perform 1 from run where id in (
          select run_id from json_to_recordset(v_list.parents) as x (run_id text)
          union select run_id from json_to_recordset(v_list.releases) as x (run_id text)
          union select run_id from json_to_recordset(v_list.finishes) as x (run_id text))
        order by id for update;
    end if;

    if v_list.releases is not null then
      update run r set state = x.state, wake_at = coalesce(r.wake_at, x.wake_at), owner = null,
          -- A run that came to a wait is not what ends its processes.
          stalls = case when x.state = 'waiting' then 0 else r.stalls end
        from json_to_recordset(v_list.releases) as x (run_id text, epoch integer, state text, wake_at timestamptz)
        where r.id = any (array[x.run_id]) and (r.owner, r.epoch, r.state) is not distinct from (p_engine, x.epoch, 'running');
    end if;

    if v_list.finishes is not null then
      with ended as (
        update run r set state = x.state, result = x.result::json, result_ref = x.result_ref, error = x.error::json,
            finished_at = x.finished_at, wake_at = null
          from json_to_recordset(v_list.finishes) as x (run_id text, epoch integer, state text, result text, result_ref text,
            error text, finished_at timestamptz)
          where r.id = any (array[x.run_id]) and (r.owner, r.epoch, r.state) is not distinct from (p_engine, x.epoch, 'running')
          returning r.id)
      select array_agg(id) into v_finished from ended;
      v_cancelled := run_ended(v_finished, v_list.parents is not null);
      -- Those of a flush that is sent again ended the first time.
      if coalesce(cardinality(v_finished), 0) < json_array_length(v_list.finishes) then
        select array_agg(r.id) into v_finished
          from json_to_recordset(v_list.finishes) as x (run_id text, epoch integer, state text)
          cross join lateral (select id, owner, epoch, state from run where id = x.run_id offset 0) as r
          where r.owner = p_engine and r.epoch = x.epoch and r.state = x.state;
      end if;
    end if;

    return json_build_object('accepted', v_accepted, 'finished', to_json(v_finished), 'cancelled', to_json(v_cancelled),
      'over', to_json(v_over));
  end $$;
`
