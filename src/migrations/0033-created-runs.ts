import type { MigrationInterface, QueryRunner } from 'typeorm'

/** Runs that are made by other statements than the journal's are told of when they are, too. */
export class CreatedRuns0000000000033 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(RUN_TELL_CREATED)
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop function run_tell_created')
  }
}

/**
 * Writes the empty chunk that tells of a run's acceptance. To be called last in a transaction: from here to its end the positions of all
 * who come later wait (`horizon.ts`). The number of the lock is that of `advisory-locks.ts`.
 */
const RUN_TELL_CREATED = `
  create function run_tell_created(p_ids text[]) returns void language plpgsql set enable_seqscan = off
  set plan_cache_mode = force_generic_plan as $$
  begin
    perform pg_advisory_xact_lock_shared(7209, 0);
    insert into run_event_chunk (run_id, first_seq, last_seq, entries, account_id, position, is_last)
      select id, 0, 0, '[]', account_id, nextval('run_event_position'), false
      from (select id, account_id from run where id = any (p_ids) order by id) as made
      on conflict do nothing;
  end $$;
`
