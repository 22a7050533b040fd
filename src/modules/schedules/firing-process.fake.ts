/* A process that fires what is due, and ends as by `kill -9` in the middle of a batch. `node … databaseUrl now passages` */
import { FakeClock } from '../../platform/clock/clock.fake.js'
import { armCrashPoint } from '../../platform/crash-point/crash-point.js'
import { Sql } from '../../platform/database/sql.js'
import { DueSchedules } from './due-schedules.js'

const [connectionString, now, passages] = process.argv.slice(2)
armCrashPoint({ point: 'schedule', passages: Number(passages) })
await new DueSchedules(new Sql({ connectionString }), new FakeClock(now)).fire(async () => ({}))
