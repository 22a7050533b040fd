import type { MigrationInterface, QueryRunner } from 'typeorm'

/**
 * What a flush costs however little it holds. Most of it was the beginning and the end of statements, so there are fewer of them: the
 * flush's lists come as arguments of their own, what a run has not left behind is not deleted, and its end is counted in one statement.
 * The numbers of the advisory locks are those of `advisory-locks.ts`.
 */
export class LeanFlushes0000000000034 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(TALLY)
    await runner.query(RUN_ENDED)
    await runner.query('drop function journal_write')
    await runner.query(JOURNAL_WRITE)
    await runner.query(DOCUMENT)
    await runner.query(PLANS)
  }

  down(): Promise<void> {
    throw new Error('this migration is not undone: restore a backup instead')
  }
}

/**
 * As before (see the ninth migration); but each session adds to rows of its own, which it need not look for. The number of those rows is
 * a lock that the session holds until it ends: then they are another's, so there are still no more than there were writers at a time.
 */
const TALLY = `
  create function run_tally_slot() returns integer language plpgsql as $$
  declare
    v_slot text := current_setting('millrace.tally_slot', true);
  begin
    if v_slot <> '' then
      return v_slot::integer;
    end if;
    for v_free in 1 .. 1000000 loop
      if pg_try_advisory_lock(7210, v_free) then
        perform set_config('millrace.tally_slot', v_free::text, false);
        return v_free;
      end if;
    end loop;
  end $$;

  create or replace function run_counted() returns trigger language plpgsql as $$
  declare
    v_slot integer := run_tally_slot();
    v_sign integer := case tg_op when 'DELETE' then -1 else 1 end;
  begin
    insert into run_tally as t (account_id, flow_id, slot, accepted, completed, failed, cancelled)
      select account_id, coalesce(flow_id, ''), v_slot, v_sign * count(*), v_sign * count(*) filter (where state = 'completed'),
          v_sign * count(*) filter (where state = 'failed'), v_sign * count(*) filter (where state = 'cancelled')
        from counted group by grouping sets ((account_id, flow_id), (account_id))
      on conflict (account_id, flow_id, slot) do update set accepted = t.accepted + excluded.accepted,
        completed = t.completed + excluded.completed, failed = t.failed + excluded.failed,
        cancelled = t.cancelled + excluded.cancelled;
    return null;
  end $$;

  create or replace function run_counted_again() returns trigger language plpgsql as $$
  declare
    v_slot integer := run_tally_slot();
    v_told boolean;
  begin
    with delta as (
      select account_id, coalesce(flow_id, '') as flow_id, coalesce(sum(sign) filter (where state = 'completed'), 0) as completed,
          coalesce(sum(sign) filter (where state = 'failed'), 0) as failed,
          coalesce(sum(sign) filter (where state = 'cancelled'), 0) as cancelled
        from (
          select account_id, flow_id, state, -1 as sign from was where state in ('completed', 'failed', 'cancelled')
          union all
          select account_id, flow_id, state, 1 from counted where state in ('completed', 'failed', 'cancelled')) as ended
        group by grouping sets ((account_id, flow_id), (account_id))),
    added as (
      insert into run_tally as t (account_id, flow_id, slot, accepted, completed, failed, cancelled)
        select account_id, flow_id, v_slot, 0, completed, failed, cancelled from delta
        on conflict (account_id, flow_id, slot) do update set completed = t.completed + excluded.completed,
          failed = t.failed + excluded.failed, cancelled = t.cancelled + excluded.cancelled)
    select bool_or(cancelled > 0 or failed > 0) into v_told from delta;
    -- What ends by the journal ends with its last chunk; what is ended by others has nothing else that tells of it.
    if v_told then
      perform pg_advisory_xact_lock_shared(7209, 0);
      insert into run_event_chunk (run_id, first_seq, last_seq, entries, account_id, position, is_last)
        select c.id, -1, -1, '[]', c.account_id, nextval('run_event_position'), true
        from counted c join was w on w.id = c.id
        where c.state <> w.state and (c.state = 'cancelled' or c.state = 'failed' and c.dead)
        order by c.id
        on conflict do nothing;
    end if;
    return null;
  end $$;

  drop function run_tally_add;
`

/** As before; whether the runs have left any of what is to go is asked first, for nearly none has. */
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
      if not (exists (select from timer where run_id = any (v_ids)) or exists (select from signal_wait where run_id = any (v_ids))
          or exists (select from run_secret where run_id = any (v_ids)) or exists (select from step_open where run_id = any (v_ids))
          or exists (select from run where parent_run_id = any (v_ids))) then
        exit;
      end if;
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

/**
 * As before (see the seventh and the twenty-second migration). Each list of the flush is an argument, null where it is empty, and read
 * once; `p_keyed` are those among `p_accepts` that have an idempotency key. What needs no table is an expression and no statement.
 */
const JOURNAL_WRITE = `
  create function journal_write(p_engine text, p_fence integer, p_accepts json, p_keyed json, p_opens json, p_outcomes json,
    p_timers json, p_events json, p_parents json, p_releases json, p_finishes json) returns json language plpgsql as $$
  declare
    v_locked text;
    v_accepted json;
    v_finished text[];
    v_cancelled text[];
    v_over text[];
    v_also_over text[];
  begin
    v_locked := pg_advisory_xact_lock_shared(7201, p_fence);
    perform 1 from engine_instance where id = p_engine and lost_at is null;
    if not found then
      return '{"fenced": true}';
    end if;

    if p_accepts is not null then
      with asked as materialized (
        select * from json_to_recordset(p_accepts) as x (id text, tenant_id text, account_id text, flow_id text, revision integer,
          state text, trigger text, start_node text, input text, input_ref text, priority smallint, tag text,
          concurrency_key text, concurrency_limit integer, idempotency_key text, request_hash text, created_at timestamptz,
          audit_id text, actor_id text, actor_email text, ip text, request_id text)),
      accepted as (
        insert into run (id, tenant_id, account_id, flow_id, revision, state, trigger, start_node, input, input_ref, owner, wake_at,
            priority, tag, concurrency_key, concurrency_limit, idempotency_key, request_hash, created_at)
          select id, tenant_id, account_id, flow_id, revision, state, trigger, start_node, input::json, input_ref,
              case when state = 'running' then p_engine end,
              case when state = 'queued' and concurrency_key is null then created_at end,
              coalesce(priority, 0), coalesce(tag, 'default'), concurrency_key, concurrency_limit, idempotency_key, request_hash,
              created_at
          from asked
          on conflict do nothing
          returning id)
      insert into audit_entry (id, tenant_id, at, actor_id, actor_email, action, resource_type, resource_id, outcome, ip,
          request_id, after)
        select x.audit_id, x.tenant_id, clock_timestamp(), x.actor_id, x.actor_email, 'run.start', 'run', x.id, 'success',
            x.ip, x.request_id, json_build_object('flowId', x.flow_id, 'revision', x.revision)
        from asked x join accepted a on a.id = x.id
        where x.audit_id is not null;
    end if;

    if p_keyed is not null then
      select json_agg(json_build_object('asked', x.id, 'id', r.id, 'state', r.state, 'request_hash', r.request_hash,
          'created_at', r.created_at))
        into v_accepted
        from json_to_recordset(p_keyed) as x (id text, flow_id text, idempotency_key text)
        cross join lateral (
          select id, state, request_hash, created_at from run
            where flow_id = x.flow_id and idempotency_key = x.idempotency_key offset 0) as r
        where x.idempotency_key is not null;
    end if;

    -- Of a run that is over no further step shall begin, though nobody has told its process yet.
    if p_opens is not null then
      with written as (
        insert into step_open (run_id, path, attempt, started_at)
          select run_id, path, attempt, started_at
          from json_to_recordset(p_opens) as x (run_id text, path text, attempt integer, started_at timestamptz)
          on conflict do nothing
          returning run_id)
      select array_agg(run_id) into v_over from (select distinct run_id from written) as w
        where not exists (select from run where run.id = w.run_id and owner = p_engine and state = 'running');
    end if;

    if p_outcomes is not null then
      with written as (
        insert into step_outcome (run_id, path, attempt, node, node_type, state, action, output, output_ref, shared, shared_ref,
            error, due_at, started_at, finished_at)
          select run_id, path, attempt, node, node_type, state, action, output::json, output_ref, shared::json, shared_ref,
              error::json, due_at, started_at, finished_at
          from json_to_recordset(p_outcomes) as x (run_id text, path text, attempt integer, node text, node_type text,
            state text, action text, output text, output_ref text, shared text, shared_ref text, error text,
            due_at timestamptz, started_at timestamptz, finished_at timestamptz)
          on conflict do nothing
          returning run_id)
      select array_agg(run_id) into v_also_over from (select distinct run_id from written) as w
        where not exists (select from run where run.id = w.run_id and owner = p_engine and state = 'running');
      v_over := v_over || v_also_over;
      -- What was left of these runs when they ended is gone, but for the beginnings of steps that had no outcome then.
      if v_also_over is not null then
        delete from step_open o where run_id = any (v_also_over) and exists (
          select from step_outcome s where s.run_id = o.run_id and s.path = o.path and s.attempt = o.attempt);
      end if;
    end if;

    -- Of a run that was cancelled meanwhile nobody would come for them; the lock keeps a cancel from coming in between.
    if p_timers is not null then
      insert into timer (run_id, path, attempt, ordinal, due_at)
        select x.run_id, x.path, x.attempt, x.ordinal, x.due_at
        from json_to_recordset(p_timers) as x (run_id text, path text, attempt integer, ordinal integer, due_at timestamptz)
        join run r on r.id = x.run_id
        where r.state = 'running' order by x.run_id for key share of r
        on conflict do nothing;
    end if;

    -- A child's end touches its parent's row: every flush that does so locks in the order of ids, the parents before the rest.
    if p_parents is not null then
      perform 1 from run where id in (
          select run_id from json_to_recordset(p_parents) as x (run_id text)
          union select run_id from json_to_recordset(p_releases) as x (run_id text)
          union select run_id from json_to_recordset(p_finishes) as x (run_id text))
        order by id for update;
    end if;

    if p_releases is not null then
      update run r set state = x.state, wake_at = coalesce(r.wake_at, x.wake_at), owner = null,
          -- A run that came to a wait is not what ends its processes.
          stalls = case when x.state = 'waiting' then 0 else r.stalls end
        from json_to_recordset(p_releases) as x (run_id text, epoch integer, state text, wake_at timestamptz)
        where r.id = any (array[x.run_id]) and (r.owner, r.epoch, r.state) is not distinct from (p_engine, x.epoch, 'running');
    end if;

    if p_finishes is not null then
      with ended as (
        update run r set state = x.state, result = x.result::json, result_ref = x.result_ref, error = x.error::json,
            finished_at = x.finished_at, wake_at = null
          from json_to_recordset(p_finishes) as x (run_id text, epoch integer, state text, result text, result_ref text,
            error text, finished_at timestamptz)
          where r.id = any (array[x.run_id]) and (r.owner, r.epoch, r.state) is not distinct from (p_engine, x.epoch, 'running')
          returning r.id)
      select array_agg(id) into v_finished from ended;
      v_cancelled := run_ended(v_finished, p_parents is not null);
      -- Those of a flush that is sent again ended the first time.
      if coalesce(cardinality(v_finished), 0) < json_array_length(p_finishes) then
        select array_agg(r.id) into v_finished
          from json_to_recordset(p_finishes) as x (run_id text, epoch integer, state text)
          cross join lateral (select id, owner, epoch, state from run where id = x.run_id offset 0) as r
          where r.owner = p_engine and r.epoch = x.epoch and r.state = x.state;
      end if;
    end if;

    -- Last, for what tells of the end of a run is written only where this flush has ended it, and what tells of its beginning only where
    -- it was accepted. The lock before the positions is what readers wait for (horizon.ts). The join keeps the chunks' order.
    if p_events is not null then
      v_locked := pg_advisory_xact_lock_shared(7209, 0);
      insert into run_event_chunk (run_id, first_seq, last_seq, entries, account_id, position, is_last)
        select x.run_id, x.first_seq, x.last_seq, x.entries::json, x.account_id, nextval('run_event_position'),
            coalesce(x.ends, false) and ended.id is not null
        from json_to_recordset(p_events) as x (run_id text, first_seq integer, last_seq integer, entries text, account_id text,
          ends boolean)
        left join unnest(v_finished) as ended (id) on ended.id = x.run_id
        where case x.first_seq when 0 then exists (select from run where id = x.run_id) when -1 then ended.id is not null else true end
        on conflict do nothing;
    end if;

    return json_build_object('accepted', v_accepted, 'finished', to_json(v_finished), 'cancelled', to_json(v_cancelled),
      'over', to_json(v_over));
  end $$;
`

/** For processes of the version before, which end or hand back their runs while those of this one begin. */
const DOCUMENT = `
  create function journal_write(p_engine text, p_fence integer, p json) returns json language sql as $$
    select journal_write(p_engine, p_fence, accepts, accepts, opens, outcomes, timers, events, parents, releases, finishes)
      from json_to_record(p) as x (accepts json, opens json, outcomes json, timers json, events json, parents json, releases json,
        finishes json);
  $$;
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
