import type { MigrationInterface } from 'typeorm'
import { Identity0000000000001 } from './0001-identity.js'
import { Flows0000000000002 } from './0002-flows.js'
import { Runs0000000000003 } from './0003-runs.js'
import { KvAndSchedules0000000000004 } from './0004-kv-and-schedules.js'
import { ManyProcesses0000000000005 } from './0005-many-processes.js'
import { RunEndings0000000000006 } from './0006-run-endings.js'
import { Journal0000000000007 } from './0007-journal.js'
import { RunClaims0000000000008 } from './0008-run-claims.js'
import { RunTally0000000000009 } from './0009-run-tally.js'
import { Schedules0000000000010 } from './0010-schedules.js'
import { AuditChain0000000000011 } from './0011-audit-chain.js'
import { Credentials0000000000012 } from './0012-credentials.js'
import { GroupsAndScopedEntries0000000000013 } from './0013-groups-and-scoped-entries.js'
import { LayeredFlows0000000000014 } from './0014-layered-flows.js'
import { Approvals0000000000015 } from './0015-approvals.js'
import { Channels0000000000016 } from './0016-channels.js'
import { Buckets0000000000017 } from './0017-buckets.js'
import { StorageProviders0000000000018 } from './0018-storage-providers.js'
import { AccessKeys0000000000019 } from './0019-access-keys.js'
import { Jobs0000000000020 } from './0020-jobs.js'
import { RunFeed0000000000022 } from './0022-run-feed.js'
import { ArtifactsAndRates0000000000023 } from './0023-artifacts-and-rates.js'
import { JobSchedules0000000000030 } from './0030-job-schedules.js'
import { FairClaims0000000000031 } from './0031-fair-claims.js'
import { BucketUsage0000000000032 } from './0032-bucket-usage.js'
import { CreatedRuns0000000000033 } from './0033-created-runs.js'
import { LeanFlushes0000000000034 } from './0034-lean-flushes.js'

/**
 * The one ordered history of the schema. Append only: a migration that has been published is never edited, renamed or moved.
 *
 * `0042-things.ts` exports `class Things0000000000042 implements MigrationInterface`: TypeORM orders migrations by the last 13
 * digits of the class name, so the file's number is spelled out there. Each runs in a transaction of its own.
 */
export const migrations: (new () => MigrationInterface)[] = [
  Identity0000000000001,
  Flows0000000000002,
  Runs0000000000003,
  KvAndSchedules0000000000004,
  ManyProcesses0000000000005,
  RunEndings0000000000006,
  Journal0000000000007,
  RunClaims0000000000008,
  RunTally0000000000009,
  Schedules0000000000010,
  AuditChain0000000000011,
  Credentials0000000000012,
  GroupsAndScopedEntries0000000000013,
  LayeredFlows0000000000014,
  Approvals0000000000015,
  Channels0000000000016,
  Buckets0000000000017,
  StorageProviders0000000000018,
  AccessKeys0000000000019,
  Jobs0000000000020,
  RunFeed0000000000022,
  ArtifactsAndRates0000000000023,
  JobSchedules0000000000030,
  FairClaims0000000000031,
  BucketUsage0000000000032,
  CreatedRuns0000000000033,
  LeanFlushes0000000000034,
]
