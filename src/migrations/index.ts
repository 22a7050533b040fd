import type { MigrationInterface } from 'typeorm'

/** The one ordered history of the schema. Append only: a migration that has been published is never edited or moved. */
export const migrations: (new () => MigrationInterface)[] = []
