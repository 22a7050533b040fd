import type { MigrationInterface, QueryRunner } from 'typeorm'

/** What API keys for S3 sign with. Both sides of a signature need the secret itself, so it is sealed, not hashed. */
export class AccessKeys0000000000019 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table access_key (
        id text primary key,
        api_key_id text not null unique references api_key (id) on delete cascade,
        key_id text not null,
        sealed bytea not null
      )
    `)
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table access_key')
  }
}
