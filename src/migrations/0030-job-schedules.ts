import type { MigrationInterface, QueryRunner } from 'typeorm'

/** Schedules start jobs, too. */
export class JobSchedules0000000000030 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      alter table schedule
        drop constraint schedule_target_type_check,
        add constraint schedule_target_type_check check (target_type in ('flow', 'job')),
        -- What the job is known by, beside the flow that it is.
        add column job_id text,
        add constraint schedule_job_id_check check ((target_type = 'job') = (job_id is not null));
    `)
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      delete from schedule_slot h using schedule s
        where s.target_type = 'job' and h.account_id = s.account_id and h.schedule_id = s.id;
      delete from schedule where target_type = 'job';
      alter table schedule
        drop column job_id,
        drop constraint schedule_target_type_check,
        add constraint schedule_target_type_check check (target_type = 'flow');
    `)
  }
}
