import type { MigrationInterface, QueryRunner } from 'typeorm'

/**
 * Runs over many processes: priority, worker tags, limits per key, lineage, large values outside the rows, and what a run did in
 * partitions by week, so that old weeks are dropped instead of deleted row by row. The numbers of the advisory locks are those of
 * `advisory-locks.ts`.
 */
export class Engine0000000000005 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(RUN_COLUMNS)
    await runner.query(PARTITIONS)
    await runner.query('drop function journal_write; drop function run_claim')
    await runner.query(RUN_ENDED)
    await runner.query(RUN_FORSAKE)
    await runner.query(RUN_CANCEL)
    await runner.query(FLOW_VERSIONS)
    await runner.query(RUN_START_CHILD)
    await runner.query(RUN_CARRY_OVER)
    await runner.query(JOURNAL_WRITE)
    await runner.query(RUN_WAKE)
    await runner.query(RUN_ADMIT)
    await runner.query(RUN_CLAIM)
    await runner.query(RUN_CLAIM_THESE)
    await runner.query(RUN_DISPATCH)
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

/**
 * What follows from the end of runs, however it came; every statement that ends runs calls this in its transaction. Nobody waits any more
 * in a run that has ended, so the children that it waited for are cancelled, and theirs. A parent that waits for one that has ended is
 * woken; whoever knows that there is none says so. Answers the children that were cancelled.
 *
 * An attempt that may not be repeated and left no outcome stays recorded: who starts again from this run has to know.
 */
const RUN_ENDED = `
  create function run_ended(p_ids text[], p_have_parents boolean default true) returns text[] language plpgsql as $$
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
 * Cancels the children that an attempt at a step, or the items of its batch, waited for: it failed, and nobody waits any more. Answers
 * what ended.
 */
const RUN_FORSAKE = `
  create function run_forsake(p_parent text, p_path text, p_attempt integer, p_now timestamptz) returns setof text language plpgsql as $$
  declare
    v_ended text[];
  begin
    with ended as (
      update run set state = 'cancelled', finished_at = p_now, wake_at = null
        where parent_run_id = p_parent and awaited and state in ('queued', 'running', 'waiting')
          and (parent_path = p_path and parent_attempt <= p_attempt or starts_with(parent_path, p_path || '['))
        returning id)
    select coalesce(array_agg(id), '{}') into v_ended from ended;
    return query select unnest(v_ended || run_ended(v_ended));
  end $$;
`

/**
 * Ends a live run and every live run below it. Level by level: while a run is locked no child of it is started, so those that are found
 * below are all there are. Answers what ended, the run that was asked for among them; nothing when that was not live.
 */
const RUN_CANCEL = `
  create function run_cancel(p_account text, p_id text, p_now timestamptz) returns setof text language plpgsql as $$
  declare
    v_level text[] := array[p_id];
    v_all text[] := '{}';
  begin
    perform 1 from run where id = p_id and account_id = p_account and state in ('queued', 'running', 'waiting') for update;
    if not found then
      return;
    end if;
    while cardinality(v_level) > 0 loop
      perform 1 from run where id = any (v_level) order by id for update;
      with ended as (
        update run set state = 'cancelled', finished_at = p_now, wake_at = null
          where id = any (v_level) and state in ('queued', 'running', 'waiting')
          returning id)
      select v_all || coalesce(array_agg(id), '{}') into v_all from ended;
      select coalesce(array_agg(id), '{}') into v_level from run where parent_run_id = any (v_level);
    end loop;
    perform run_ended(v_all);
    return query select unnest(v_all);
  end $$;
`

/**
 * Starts a run below another, once per path and attempt: whoever asks again is told of the same one. The parent has to be the asker's
 * still; it is locked against its end and its cancel, and not against the start of its other children. A child that goes on from an
 * earlier run is given what that has done. Answers `lost`, `too_many`, or the child's id and state.
 */
const RUN_START_CHILD = `
  create function run_start_child(p_owner text, p_epoch integer, p_most_live integer, p_child json, p_input text)
  returns json language plpgsql as $$
  declare
    v_child run := json_populate_record(null::run, p_child);
    v_parent run;
    v_known json;
  begin
    select * into v_parent from run
      where id = v_child.parent_run_id and owner = p_owner and epoch = p_epoch and state = 'running' for share;
    if not found then
      return '{"lost": true}';
    end if;
    select json_build_object('id', id, 'state', state) into v_known from run
      where parent_run_id = v_parent.id and parent_path = v_child.parent_path and parent_attempt = v_child.parent_attempt;
    if found then
      return v_known;
    end if;
    if (select count(*) from (select from run
        where account_id = v_parent.account_id and depth > 0 and state in ('queued', 'running', 'waiting')
        limit p_most_live) as live) >= p_most_live then
      return '{"too_many": true}';
    end if;
    insert into run (id, tenant_id, account_id, flow_id, revision, state, trigger, input, input_ref, wake_at, priority, tag,
        concurrency_key, concurrency_limit, parent_run_id, parent_path, parent_attempt, awaited, depth, resumed_from, key_base,
        created_at)
      values (v_child.id, v_parent.tenant_id, v_parent.account_id, v_child.flow_id, v_child.revision, 'queued', 'parent',
        p_input::json, v_child.input_ref, case when v_child.concurrency_key is null then v_child.created_at end,
        coalesce(v_child.priority, v_parent.priority), coalesce(v_child.tag, 'default'), v_child.concurrency_key,
        v_child.concurrency_limit, v_parent.id, v_child.parent_path, v_child.parent_attempt, v_child.awaited,
        v_parent.depth + 1, v_child.resumed_from, v_child.key_base, v_child.created_at);
    if v_child.resumed_from is not null then
      perform run_carry_over(v_child.resumed_from, v_child.id,
        array(select json_array_elements_text(p_child -> 'visits')), p_child ->> 'goes_on_at');
    end if;
    if v_child.concurrency_key is not null then
      perform run_admit(array[v_parent.account_id], array[v_child.concurrency_key], v_child.created_at);
    end if;
    return json_build_object('id', v_child.id, 'state', 'queued', 'made', true);
  end $$;
`

/**
 * Gives a run what another has done: the outcomes that settled these visits, and of the visit where it is to go on the items of the batch
 * that succeeded, with the list that they are items of, and the attempt of which nobody knows what came of it.
 */
const RUN_CARRY_OVER = `
  create function run_carry_over(p_from text, p_to text, p_visits text[], p_goes_on_at text) returns void language sql as $$
    -- Not removed before what it shares with the other is that one's too.
    select 1 from run where id = p_from for key share;
    insert into step_outcome (run_id, path, attempt, node, node_type, state, action, output, output_ref, shared, shared_ref, error,
        started_at, finished_at)
      select p_to, path, attempt, node, node_type, state, action, output, output_ref, shared, shared_ref, error, started_at,
          finished_at
      from step_outcome
      where run_id = p_from and (path = any (p_visits) and state <> 'retrying'
        or starts_with(path, p_goes_on_at || '[') and state = 'succeeded');
    insert into step_open (run_id, path, attempt, started_at)
      select p_to, path, attempt, started_at from step_open
      where run_id = p_from and (path = p_goes_on_at or starts_with(path, p_goes_on_at || '['));
  $$;
`

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

/** Puts parked runs whose time has come into the queue; one with a concurrency key is held back there until it is admitted. */
const RUN_WAKE = `
  create function run_wake(p_limit integer, p_now timestamptz) returns integer language sql as $$
    with woken as (
      update run set state = 'queued', wake_at = case when concurrency_key is null then wake_at end
        where id in (
          select id from run where state = 'waiting' and wake_at <= p_now order by wake_at limit p_limit for update skip locked)
        returning 1)
    select count(*)::integer from woken
  $$;
`

/**
 * Gives the free slots of these keys to the runs held back for them, by priority, then in the order of their making. Keys are locked in
 * one order and rows only where nobody has them, so that no two of these statements, nor one and a flush, wait for each other in a ring.
 */
const RUN_ADMIT = `
  create function run_admit(p_accounts text[], p_keys text[], p_now timestamptz) returns table (run_id text, worker_tag text)
  language plpgsql as $$
  declare
    v record;
    v_taken integer;
    v_limit integer;
  begin
    perform pg_advisory_xact_lock(7205, lock) from (
      select distinct hashtext(account || ' ' || key) as lock from unnest(p_accounts, p_keys) as k (account, key) order by 1) as locks;
    for v in select distinct account, key from unnest(p_accounts, p_keys) as k (account, key) loop
      select count(*) into v_taken from run
        where account_id = v.account and concurrency_key = v.key
          and (state = 'running' or state = 'queued' and wake_at is not null);
      -- Each revision of a flow may set another limit: that of the run whose turn it is holds.
      select concurrency_limit into v_limit from run
        where account_id = v.account and concurrency_key = v.key and state = 'queued' and wake_at is null
        order by priority desc, id limit 1;
      continue when v_limit is null or v_limit <= v_taken;
      return query
        update run set wake_at = p_now
          where id in (
            select id from run
              where account_id = v.account and concurrency_key = v.key and state = 'queued' and wake_at is null
              order by priority desc, id limit v_limit - v_taken for update skip locked)
          returning id, tag;
    end loop;
  end $$;
`

/**
 * Takes up to `p_limit` queued runs of these worker tags, by priority, then by the time they have been due. SKIP LOCKED gives each
 * process its own; the fence keeps one that was declared lost from taking any. A run that was taken over again and again without getting
 * further may be what ends its processes: of such suspects only `p_suspects` are taken. What was handed over to a queue is left to those
 * who take from it, unless that was before `p_late`; they in turn leave to the queue what was not handed over yet (`p_fresh`).
 */
const RUN_CLAIM = `
  create function run_claim(p_engine text, p_fence integer, p_limit integer, p_now timestamptz, p_tags text[], p_suspects integer,
    p_late timestamptz, p_fresh boolean) returns setof run language plpgsql as $$
  declare
    v_ids text[];
  begin
    perform pg_advisory_xact_lock_shared(7201, p_fence);
    perform 1 from engine_instance where id = p_engine and lost_at is null;
    if not found then
      return;
    end if;
    perform run_wake(p_limit, p_now);
    if p_fresh then
      v_ids := array(
        select due.id from unnest(p_tags) as t (tag) cross join lateral (
          select id, priority, wake_at from run
            where tag = t.tag and state = 'queued' and wake_at <= p_now and stalls < 2
              and (dispatched_at is null or dispatched_at < p_late)
            order by priority desc, wake_at limit p_limit for update skip locked) as due
        order by due.priority desc, due.wake_at limit p_limit);
    else
      v_ids := array(
        select id from run
          where tag = any (p_tags) and state = 'queued' and wake_at <= p_now and stalls < 2 and dispatched_at < p_late
          order by priority desc, wake_at limit p_limit for update skip locked);
    end if;
    v_ids := v_ids || array(
      select id from run
        where tag = any (p_tags) and state = 'queued' and wake_at <= p_now and stalls >= 2
        order by wake_at limit p_suspects for update skip locked);
    return query
      update run set state = 'running', owner = p_engine, epoch = epoch + 1, wake_at = null, dispatched_at = null
        where id = any (v_ids)
        returning *;
  end $$;
`

/**
 * Takes those of these runs that are queued and due, for a process that was told of them. A run that was taken since, as its epoch shows,
 * is told of anew when it is queued again.
 */
const RUN_CLAIM_THESE = `
  create function run_claim_these(p_engine text, p_fence integer, p_ids text[], p_epochs integer[], p_now timestamptz)
  returns setof run language plpgsql as $$
  begin
    perform pg_advisory_xact_lock_shared(7201, p_fence);
    perform 1 from engine_instance where id = p_engine and lost_at is null;
    if not found then
      return;
    end if;
    return query
      update run set state = 'running', owner = p_engine, epoch = run.epoch + 1, wake_at = null, dispatched_at = null
        where id in (
          select r.id from run r join unnest(p_ids, p_epochs) as told (id, epoch) on told.id = r.id and told.epoch = r.epoch
            where r.state = 'queued' and r.wake_at <= p_now for update of r skip locked)
        returning *;
  end $$;
`

/**
 * Marks due runs as handed over to the queues of their tags, and returns them: again where that was before `p_late`, for then the queue
 * may have lost them. A queue holds about as many runs as those who take from it have room for, so that priority and cancel act late; runs
 * of a higher priority than usual get as many places again.
 */
const RUN_DISPATCH = `
  create function run_dispatch(p_now timestamptz, p_late timestamptz, p_limit integer)
  returns table (run_id text, run_epoch integer, worker_tag text, run_priority smallint) language plpgsql as $$
  declare
    v record;
    v_depth integer;
  begin
    perform run_wake(p_limit, p_now);
    for v in
      select t.tag, sum(e.capacity)::integer as places from engine_instance e cross join unnest(e.tags) as t (tag)
        where e.lost_at is null group by t.tag
    loop
      select count(*) into v_depth from run where tag = v.tag and state = 'queued' and dispatched_at >= p_late;
      continue when v_depth >= 2 * v.places;
      return query
        update run set dispatched_at = p_now
          where id in (
            select id from (
              select id, priority, row_number() over (order by priority desc, wake_at) as place from (
                select id, priority, wake_at from run
                  where tag = v.tag and state = 'queued' and wake_at <= p_now and stalls < 2
                    and (dispatched_at is null or dispatched_at < p_late)
                  order by priority desc, wake_at limit least(p_limit, 2 * v.places - v_depth) for update skip locked) as due
            ) as placed where place <= v.places - v_depth or priority > 0)
          returning id, epoch, tag, priority;
    end loop;
  end $$;
`
