import type { MigrationInterface, QueryRunner } from 'typeorm'

/**
 * Accounts take turns: what is queued is found account by account, and a claim says how many runs of each it takes. Before, the queue had
 * one order for all, and whoever had queued first was served first, however much that was.
 */
export class FairClaims0000000000031 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(QUEUE)
    await runner.query(RUN_WAITING)
    await runner.query(RUN_CLAIM)
    await runner.query(RUN_DISPATCH)
  }

  down(): Promise<void> {
    throw new Error('this migration is not undone: restore a backup instead')
  }
}

/**
 * Planned while the table is small, and with statistics from before a flood, these would rather sort what an index by account alone finds,
 * which is all that a flood has left.
 */
const ALONG_THE_INDEX = 'set enable_sort = off set enable_bitmapscan = off set jit = off'

/** The same entries as before, by account. */
const QUEUE = `
  drop function run_claim, run_claim_these, run_dispatch;
  drop index run_queued;
  create index run_queued on run (tag, account_id, priority desc, wake_at)
    where state = 'queued' and wake_at is not null and stalls < 2;
`

/**
 * The accounts that have queued runs of these tags, up to `p_most` of each tag, from the one behind `p_after` on and round to it. Goes from
 * account to account along the index, one descent for each, so that a backlog of one account costs no more than one run of it.
 */
const RUN_WAITING = `
  create function run_waiting(p_tags text[], p_after text, p_most integer) returns text[] language plpgsql set enable_seqscan = off
  set plan_cache_mode = force_generic_plan ${ALONG_THE_INDEX}
  as $$
  declare
    v_tag text;
    v_last text;
    v_account text;
    v_found record;
    v_is_round boolean;
    v_accounts text[] := '{}';
  begin
    foreach v_tag in array p_tags loop
      v_last := p_after;
      v_is_round := p_after = '';
      for i in 1..p_most loop
        -- By tag and account, though the tag is given: no other index has that order.
        select tag, account_id into v_found from run
          where (tag, account_id) > (v_tag, v_last) and state = 'queued' and wake_at is not null and stalls < 2
          order by tag, account_id limit 1;
        if (v_found.tag is distinct from v_tag) and not v_is_round then
          v_is_round := true;
          select tag, account_id into v_found from run
            where (tag, account_id) > (v_tag, '') and state = 'queued' and wake_at is not null and stalls < 2
            order by tag, account_id limit 1;
        end if;
        v_account := case when v_found.tag = v_tag then v_found.account_id end;
        exit when v_account is null or v_is_round and p_after <> '' and v_account > p_after;
        v_accounts := v_accounts || v_account;
        v_last := v_account;
      end loop;
    end loop;
    return v_accounts;
  end $$;
`

/**
 * Takes of each of these accounts up to so many queued runs of these worker tags, by priority, then by the time they have been due. SKIP
 * LOCKED gives each process its own; the fence keeps one that was declared lost from taking any. A run that was taken over again and again
 * without getting further may be what ends its processes: of such suspects only `p_suspects` are taken, whosever they are. What was handed
 * over to a queue is left to those who take from it, unless that was before `p_late`; they in turn leave to the queue what was not handed
 * over yet (`p_fresh`).
 *
 * Who was told of runs by a queue (`p_told`, as of these epochs) takes those whose turn it is, which may be others. For each that no queue
 * was told of, one that it was told of and leaves goes back among those to be handed over, under a new epoch, for the queue knows the old.
 */
const RUN_CLAIM = `
  create function run_claim(p_engine text, p_fence integer, p_accounts text[], p_quotas integer[], p_now timestamptz, p_tags text[],
    p_suspects integer, p_late timestamptz, p_fresh boolean, p_told text[], p_epochs integer[]) returns setof run
  language plpgsql set enable_seqscan = off set plan_cache_mode = force_generic_plan ${ALONG_THE_INDEX}
  as $$
  declare
    v_ids text[];
    v_untold integer;
  begin
    perform pg_advisory_xact_lock_shared(7201, p_fence);
    perform 1 from engine_instance where id = p_engine and lost_at is null;
    if not found then
      return;
    end if;
    if p_fresh then
      v_ids := array(
        select taken.id from unnest(p_accounts, p_quotas) as turn (account, quota) cross join lateral (
          select due.id from unnest(p_tags) as t (tag) cross join lateral (
            select id, priority, wake_at from run
              where tag = t.tag and account_id = turn.account and state = 'queued' and wake_at <= p_now and stalls < 2
                and (dispatched_at is null or dispatched_at < p_late)
              order by priority desc, wake_at limit turn.quota for update skip locked) as due
          order by due.priority desc, due.wake_at limit turn.quota) as taken);
    else
      -- What was handed over is little, and has an index without an order.
      perform set_config('enable_sort', 'on', true);
      v_ids := array(
        select id from run where id in (
            select late.id from unnest(p_accounts, p_quotas) as turn (account, quota) join (
              select id, account_id, row_number() over (partition by account_id order by priority desc, wake_at) as place from run
                where tag = any (p_tags) and state = 'queued' and wake_at <= p_now and stalls < 2 and dispatched_at < p_late) as late
              on late.account_id = turn.account and late.place <= turn.quota)
          for update skip locked);
    end if;
    if p_suspects > 0 then
      v_ids := v_ids || array(
        select id from run
          where tag = any (p_tags) and state = 'queued' and wake_at <= p_now and stalls >= 2
          order by wake_at limit p_suspects for update skip locked);
    end if;
    if cardinality(p_told) > 0 then
      v_untold := (select count(*) from run where id = any (v_ids) and dispatched_at is null);
      if v_untold > 0 then
        update run set dispatched_at = null, epoch = epoch + 1
          where id in (
            select r.id from unnest(p_told, p_epochs) as told (id, epoch) join run r on r.id = told.id and r.epoch = told.epoch
              where r.state = 'queued' and r.dispatched_at is not null and r.id <> all (v_ids)
              limit v_untold for update of r skip locked);
      end if;
    end if;
    return query
      update run set state = 'running', owner = p_engine, epoch = epoch + 1, wake_at = null, dispatched_at = null
        where id = any (v_ids) and state = 'queued'
        returning *;
  end $$;
`

/**
 * Marks due runs as handed over to the queues of their tags, in turns between accounts from the one behind `p_after` on, and returns them:
 * again where that was before `p_late`, for then the queue may have lost them. A queue holds about as many runs as those who take from it
 * have room for. That is enough: what is taken is the run whose turn it is then.
 */
const RUN_DISPATCH = `
  create function run_dispatch(p_now timestamptz, p_late timestamptz, p_limit integer, p_after text)
  returns table (run_id text, run_epoch integer, worker_tag text, account text) language plpgsql
  set enable_seqscan = off set plan_cache_mode = force_generic_plan ${ALONG_THE_INDEX}
  as $$
  declare
    v record;
    v_accounts text[];
    v_room integer;
    v_count integer;
  begin
    perform run_wake(p_limit, p_now);
    for v in
      select t.tag, sum(e.capacity)::integer as places from engine_instance e cross join unnest(e.tags) as t (tag)
        where e.lost_at is null group by t.tag
    loop
      v_room := least(p_limit, v.places
        - (select count(*) from run where tag = v.tag and state = 'queued' and dispatched_at >= p_late));
      continue when v_room <= 0;
      v_accounts := run_waiting(array[v.tag], p_after, 100);
      while v_room > 0 and cardinality(v_accounts) > 0 loop
        return query
          update run set dispatched_at = p_now
            where id in (
              select due.id from unnest(v_accounts) as turn (account) cross join lateral (
                select id from run
                  where tag = v.tag and account_id = turn.account and state = 'queued' and wake_at <= p_now and stalls < 2
                    and (dispatched_at is null or dispatched_at < p_late and dispatched_at <> p_now::timestamptz(3))
                  order by priority desc, wake_at limit ceil(v_room::numeric / cardinality(v_accounts))::integer
                  for update skip locked) as due
                limit v_room)
            returning id, epoch, tag, account_id;
        get diagnostics v_count = row_count;
        exit when v_count = 0;
        v_room := v_room - v_count;
      end loop;
    end loop;
  end $$;
`
