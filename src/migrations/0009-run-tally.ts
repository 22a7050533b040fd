import type { MigrationInterface, QueryRunner } from 'typeorm'

/**
 * Lists of runs that cost the same at a thousand and at a million: how many there are is counted as they come and go, and each list is
 * read along an index. The functions that run often look along indexes only.
 */
export class RunTally0000000000009 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(INDEXES)
    await runner.query(PAGE)
    await runner.query(TALLY)
    await runner.query(TOTAL)
    await runner.query(PLANS)
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      drop function run_counted cascade;
      drop function run_counted_again cascade;
      drop function run_tally_add;
      drop table run_tally;
      drop function run_page;
      drop function run_total;
      drop index run_of_account, run_of_flow;
      create index run_of_account on run (account_id, id desc);
      create index run_of_flow on run (flow_id, id desc);
      create index run_of_account_by_state on run (account_id, state, id desc);
    `)
  }
}

/**
 * A list of several states, or of all, merges one range for each: no index without the state is needed. The order is by bytes under
 * either name; under its own, no planner takes the primary key for it and looks through all runs for the few that are asked for.
 */
const INDEXES = `
  drop index run_of_account, run_of_flow, run_of_account_by_state;
  create index run_of_account on run (account_id, state, id collate "POSIX" desc);
  create index run_of_flow on run (flow_id, state, id collate "POSIX" desc);
`

/** One page of an account's runs, or of those of one of its flows: the newest of each state, merged. Newest first. */
const PAGE = `
  create function run_page(p_account text, p_flow text, p_states text[], p_limit integer, p_offset integer) returns setof run
  language plpgsql set enable_bitmapscan = off set enable_sort = off as $$
  declare
    v_ids text[];
  begin
    if p_flow is null then
      v_ids := array(
        select newest.id from unnest(p_states) as asked (state) cross join lateral (
            select id from run where account_id = p_account and state = asked.state
              order by id collate "POSIX" desc limit p_limit + p_offset) as newest
          order by newest.id collate "POSIX" desc limit p_limit offset p_offset);
    else
      v_ids := array(
        select newest.id from unnest(p_states) as asked (state) cross join lateral (
            select id from run where flow_id = p_flow and state = asked.state
              order by id collate "POSIX" desc limit p_limit + p_offset) as newest
          order by newest.id collate "POSIX" desc limit p_limit offset p_offset);
    end if;
    return query select * from run where id = any (v_ids) and account_id = p_account order by id desc;
  end $$;
`

/**
 * How many runs an account and each of its flows have, and how many of them have ended how. The sums change in the transaction that
 * changes the runs. Each is split over rows: a transaction adds to one that no other holds, or makes a new one, so none waits for
 * another's commit, and there are never more rows than there were writers at the same time.
 */
const TALLY = `
  create table run_tally (
    account_id text not null,
    -- Empty for all of the account's flows together.
    flow_id text not null,
    slot integer not null,
    accepted bigint not null,
    completed bigint not null,
    failed bigint not null,
    cancelled bigint not null,
    primary key (account_id, flow_id, slot)
  ) with (fillfactor = 40);

  create function run_tally_add(p run_tally[]) returns void language plpgsql as $$
  begin
    with delta as (
      select account_id, coalesce(flow_id, '') as flow_id, sum(accepted) as accepted, sum(completed) as completed,
          sum(failed) as failed, sum(cancelled) as cancelled
        from unnest(p) group by grouping sets ((account_id, flow_id), (account_id))),
    free as (
      select delta.*, slot from delta cross join lateral (
        select slot from run_tally t where t.account_id = delta.account_id and t.flow_id = delta.flow_id
          limit 1 for update skip locked) as t),
    added as (
      update run_tally t set accepted = t.accepted + free.accepted, completed = t.completed + free.completed,
          failed = t.failed + free.failed, cancelled = t.cancelled + free.cancelled
        from free
        where t.account_id = any (array[free.account_id]) and t.flow_id = any (array[free.flow_id]) and t.slot = any (array[free.slot])
        returning t.account_id, t.flow_id)
    insert into run_tally as t (account_id, flow_id, slot, accepted, completed, failed, cancelled)
      select account_id, flow_id, pg_backend_pid(), accepted, completed, failed, cancelled from delta
        where not exists (select from added a where a.account_id = delta.account_id and a.flow_id = delta.flow_id)
      on conflict (account_id, flow_id, slot) do update set accepted = t.accepted + excluded.accepted,
        completed = t.completed + excluded.completed, failed = t.failed + excluded.failed,
        cancelled = t.cancelled + excluded.cancelled;
  end $$;

  create function run_counted() returns trigger language plpgsql as $$
  declare
    v_sign integer := case tg_op when 'DELETE' then -1 else 1 end;
    v_delta run_tally[];
  begin
    select array_agg(row (account_id, flow_id, 0, v_sign * n, v_sign * completed, v_sign * failed, v_sign * cancelled)::run_tally)
      into v_delta
      from (
        select account_id, flow_id, count(*) as n, count(*) filter (where state = 'completed') as completed,
            count(*) filter (where state = 'failed') as failed, count(*) filter (where state = 'cancelled') as cancelled
          from counted group by account_id, flow_id) as d;
    if v_delta is not null then
      perform run_tally_add(v_delta);
    end if;
    return null;
  end $$;

  create function run_counted_again() returns trigger language plpgsql as $$
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
    end if;
    return null;
  end $$;

  create trigger run_counted_in after insert on run referencing new table as counted
    for each statement execute function run_counted();
  create trigger run_counted_out after delete on run referencing old table as counted
    for each statement execute function run_counted();
  create trigger run_counted_again after update on run referencing old table as was new table as counted
    for each statement execute function run_counted_again();

  insert into run_tally
    select account_id, coalesce(flow_id, ''), 0, count(*), count(*) filter (where state = 'completed'),
        count(*) filter (where state = 'failed'), count(*) filter (where state = 'cancelled')
      from run group by grouping sets ((account_id, flow_id), (account_id));
`

/** How many runs in these states an account has, or one of its flows. Of the live states, where not all are asked for, those are counted. */
const TOTAL = `
  create function run_total(p_account text, p_flow text, p_states text[]) returns bigint language plpgsql as $$
  declare
    v_sum record;
    v_total bigint;
    v_live text[] := array(select unnest(array['queued', 'running', 'waiting']) intersect select unnest(p_states));
  begin
    select coalesce(sum(accepted), 0)::bigint as accepted, coalesce(sum(completed), 0)::bigint as completed,
        coalesce(sum(failed), 0)::bigint as failed, coalesce(sum(cancelled), 0)::bigint as cancelled
      into v_sum from run_tally where account_id = p_account and flow_id = coalesce(p_flow, '');
    v_total := case when 'completed' = any (p_states) then v_sum.completed else 0 end
      + case when 'failed' = any (p_states) then v_sum.failed else 0 end
      + case when 'cancelled' = any (p_states) then v_sum.cancelled else 0 end;
    if v_sum.accepted = 0 or cardinality(v_live) = 0 then
      return v_total;
    elsif cardinality(v_live) = 3 then
      return v_total + v_sum.accepted - v_sum.completed - v_sum.failed - v_sum.cancelled;
    elsif p_flow is null then
      return v_total + (select count(*) from run where account_id = p_account and state = any (v_live));
    else
      return v_total + (select count(*) from run where flow_id = p_flow and account_id = p_account and state = any (v_live));
    end if;
  end $$;
`

/**
 * A connection keeps the plans of its functions. Those made while the tables were small read them whole, long after they have grown: on
 * a fresh database that was half of what Postgres did for a run. All that these functions look for has an index. Nor do they plan anew
 * for each array that they are given: with one run in a flush, planning was half of its price.
 */
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
