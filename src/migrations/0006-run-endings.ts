import type { MigrationInterface, QueryRunner } from 'typeorm'

/**
 * How runs end, and how they come out of others: what an end leaves behind, cancels that reach everything below, children, and runs
 * that start again where others ended.
 */
export class RunEndings0000000000006 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(RUN_ENDED)
    await runner.query(RUN_FORSAKE)
    await runner.query(RUN_CANCEL)
    await runner.query(RUN_START_CHILD)
    await runner.query(RUN_CARRY_OVER)
  }

  down(): Promise<void> {
    throw new Error('this migration is not undone: restore a backup instead')
  }
}

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
