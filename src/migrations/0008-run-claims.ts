import type { MigrationInterface, QueryRunner } from 'typeorm'

/**
 * Who gets which run, and when: what is due, what is held back by a limit, what a process takes and what goes to queues.
 */
export class RunClaims0000000000008 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('drop function run_claim')
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
