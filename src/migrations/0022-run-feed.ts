import type { MigrationInterface, QueryRunner } from 'typeorm'

/**
 * The events of all runs of an account as one sequence, and values of arguments that only the run's steps may see. The numbers of the
 * advisory locks are those of `advisory-locks.ts`.
 */
export class RunFeed0000000000022 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(POSITIONS)
    await runner.query(SECRETS)
    await runner.query(RUN_PAGE)
    await runner.query(RUN_ENDED)
    await runner.query(RUN_COUNTED_AGAIN)
    await runner.query('drop function journal_write')
    await runner.query(JOURNAL_WRITE)
    await runner.query(PLANS)
  }

  down(): Promise<void> {
    throw new Error('this migration is not undone: restore a backup instead')
  }
}

/**
 * A chunk has a position among all chunks. Beside those with events, from `first_seq` 1 on, a run may have two that are empty: 0 tells
 * that it was accepted, where that is told before it does anything; -1 that it was ended by others than its process. `is_last` is the
 * chunk that tells of the end. What was written before this migration has no position and is in no sequence.
 */
const POSITIONS = `
  create sequence run_event_position as bigint;
  alter table run_event_chunk
    add column account_id text,
    add column position bigint,
    add column is_last boolean;
  create index run_event_of_account on run_event_chunk (account_id, position);

  -- The last position of an account's runs that were removed: who has not got so far has missed something.
  create table run_event_pruned (
    account_id text primary key,
    position bigint not null
  );
`

/** What a run's arguments hide, sealed: `[secret]` stands for it in the run's input. Gone as soon as the run has ended. */
const SECRETS = `
  create table run_secret (
    run_id text collate "C" not null,
    name text not null,
    tenant_id text not null,
    key_id text not null,
    sealed bytea not null,
    created_at timestamptz(3) not null,
    primary key (run_id, name)
  );
  create index run_secret_at on run_secret (created_at);
`

/**
 * As before, of several flows together: a job that was moved on disk is another flow than it was. A flow may be run by several accounts,
 * and each lists its own runs of it.
 */
const RUN_PAGE = `
  drop index run_of_flow;
  create index run_of_flow on run (flow_id, account_id, state, id collate "POSIX" desc);

  drop function run_page(text, text, text[], integer, integer);
  create function run_page(p_account text, p_flows text[], p_states text[], p_limit integer, p_offset integer) returns setof run
  language plpgsql set enable_bitmapscan = off set enable_sort = off as $$
  declare
    v_ids text[];
  begin
    if p_flows is null then
      v_ids := array(
        select newest.id from unnest(p_states) as asked (state) cross join lateral (
            select id from run where account_id = p_account and state = asked.state
              order by id collate "POSIX" desc limit p_limit + p_offset) as newest
          order by newest.id collate "POSIX" desc limit p_limit offset p_offset);
    else
      v_ids := array(
        select newest.id from unnest(p_states) as asked (state) cross join unnest(p_flows) as flow (id) cross join lateral (
            select id from run where flow_id = flow.id and account_id = p_account and state = asked.state
              order by id collate "POSIX" desc limit p_limit + p_offset) as newest
          order by newest.id collate "POSIX" desc limit p_limit offset p_offset);
    end if;
    return query select * from run where id = any (v_ids) and account_id = p_account order by id desc;
  end $$;

  drop function run_total(text, text, text[]);
  create function run_total(p_account text, p_flows text[], p_states text[]) returns bigint language plpgsql as $$
  declare
    v_sum record;
    v_total bigint;
    v_live text[] := array(select unnest(array['queued', 'running', 'waiting']) intersect select unnest(p_states));
  begin
    select coalesce(sum(accepted), 0)::bigint as accepted, coalesce(sum(completed), 0)::bigint as completed,
        coalesce(sum(failed), 0)::bigint as failed, coalesce(sum(cancelled), 0)::bigint as cancelled
      into v_sum from run_tally where account_id = p_account and flow_id = any (coalesce(p_flows, array['']));
    v_total := case when 'completed' = any (p_states) then v_sum.completed else 0 end
      + case when 'failed' = any (p_states) then v_sum.failed else 0 end
      + case when 'cancelled' = any (p_states) then v_sum.cancelled else 0 end;
    if v_sum.accepted = 0 or cardinality(v_live) = 0 then
      return v_total;
    elsif cardinality(v_live) = 3 then
      return v_total + v_sum.accepted - v_sum.completed - v_sum.failed - v_sum.cancelled;
    elsif p_flows is null then
      return v_total + (select count(*) from run where account_id = p_account and state = any (v_live));
    else
      return v_total + (
        select count(*) from run where flow_id = any (p_flows) and account_id = p_account and state = any (v_live));
    end if;
  end $$;
`

/** As before; what was secret in a run's arguments goes with its end. */
const RUN_ENDED = `
  create or replace function run_ended(p_ids text[], p_have_parents boolean default true) returns text[] language plpgsql as $$
  declare
    v_ids text[] := p_ids;
    v_cancelled text[] := '{}';
  begin
    if p_have_parents then
      update run p set wake_at = c.finished_at from run c
        where c.id = any (v_ids) and c.awaited and p.id = any (array[c.parent_run_id]) and p.state in ('running', 'waiting');
    end if;
    while cardinality(v_ids) > 0 loop
      delete from timer where run_id = any (v_ids);
      delete from signal_wait where run_id = any (v_ids);
      delete from run_secret where run_id = any (v_ids);
      delete from step_open o where run_id = any (v_ids) and exists (
        select from step_outcome s where s.run_id = o.run_id and s.path = o.path and s.attempt = o.attempt);
      with ended as (
        update run c set state = 'cancelled', finished_at = greatest(p.finished_at, c.created_at), wake_at = null from run p
          where c.parent_run_id = any (v_ids) and c.awaited and c.state in ('queued', 'running', 'waiting')
            and p.id = any (array[c.parent_run_id])
          returning c.id)
      select coalesce(array_agg(id), '{}') into v_ids from ended;
      v_cancelled := v_cancelled || v_ids;
    end loop;
    return v_cancelled;
  end $$;
`

/** As before; a run that is cancelled, or given up, gets the chunk that tells of it, whoever ended it. */
const RUN_COUNTED_AGAIN = `
  create or replace function run_counted_again() returns trigger language plpgsql as $$
  declare
    v_delta run_tally[];
  begin
    select array_agg(row (account_id, flow_id, 0, 0, completed, failed, cancelled)::run_tally) into v_delta
      from (
        select account_id, flow_id, coalesce(sum(sign) filter (where state = 'completed'), 0) as completed,
            coalesce(sum(sign) filter (where state = 'failed'), 0) as failed,
            coalesce(sum(sign) filter (where state = 'cancelled'), 0) as cancelled
          from (
            select account_id, flow_id, state, -1 as sign from was where state in ('completed', 'failed', 'cancelled')
            union all
            select account_id, flow_id, state, 1 from counted where state in ('completed', 'failed', 'cancelled')) as ended
          group by account_id, flow_id) as d;
    if v_delta is not null then
      perform run_tally_add(v_delta);
      -- What ends by the journal ends with its last chunk; what is ended by others has nothing else that tells of it.
      if exists (select from unnest(v_delta) where cancelled > 0 or failed > 0) then
        perform pg_advisory_xact_lock_shared(7209, 0);
        insert into run_event_chunk (run_id, first_seq, last_seq, entries, account_id, position, is_last)
          select c.id, -1, -1, '[]', c.account_id, nextval('run_event_position'), true
          from counted c join was w on w.id = c.id
          where c.state <> w.state and (c.state = 'cancelled' or c.state = 'failed' and c.dead)
          order by c.id
          on conflict do nothing;
      end if;
    end if;
    return null;
  end $$;
`

/**
 * As before (see the seventh migration); chunks of events have their account and position, and those that go with the end of a run tell
 * of it if it is this flush that ends the run.
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

    -- Last, for what tells of the end of a run is written only where this flush has ended it, and what tells of its beginning only where
    -- it was accepted. The lock before the positions is what readers wait for (horizon.ts).
    if v_list.events is not null then
      perform pg_advisory_xact_lock_shared(7209, 0);
      insert into run_event_chunk (run_id, first_seq, last_seq, entries, account_id, position, is_last)
        select run_id, first_seq, last_seq, entries::json, account_id, nextval('run_event_position'),
            coalesce(ends, false) and run_id = any (v_finished)
        from json_to_recordset(v_list.events) as x (run_id text, first_seq integer, last_seq integer, entries text, account_id text,
          ends boolean)
        where case first_seq when 0 then exists (select from run where id = x.run_id) when -1 then run_id = any (v_finished) else true end
        on conflict do nothing;
    end if;

    return json_build_object('accepted', v_accepted, 'finished', to_json(v_finished), 'cancelled', to_json(v_cancelled),
      'over', to_json(v_over));
  end $$;
`

/** Replacing a function forgets how it is to be planned. */
const PLANS = `
  do $$
  declare
    v_function regprocedure;
  begin
    for v_function in
      select p.oid from pg_proc p
        where p.pronamespace = current_schema()::regnamespace and (p.proname = 'journal_write' or p.proname like 'run\\_%')
    loop
      execute format('alter function %s set enable_seqscan = off', v_function);
      execute format('alter function %s set plan_cache_mode = force_generic_plan', v_function);
    end loop;
  end $$;
`
