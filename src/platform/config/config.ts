import { inspect } from 'node:util'
import type { Role } from '../auth/principal.js'
import { type EncryptionKey, encryptionKeys } from './encryption-keys.js'
import { generatedKey } from './generated-keys.js'
import { type TracingSettings, tracingSettings } from './tracing-variables.js'
import { missing, type Variables, variables } from './variables.js'

/** What the operator decided, read once; Nest provides it under its class. Secrets do not show when it is printed. */
export class Config {
  readonly production: boolean
  readonly port: number
  readonly host: string
  /** Addresses and CIDRs of the proxies in front. */
  readonly trustProxy: readonly string[]
  /** Scheme and host for URLs that are handed out. Undefined: those that the caller used. */
  readonly publicUrl?: string
  /** Absolute. */
  readonly dataDir: string
  /** Undefined: the embedded database is used. */
  readonly databaseUrl?: string
  readonly databasePoolSize: number
  /** Undefined: work and hints go from process to process by Postgres alone. */
  readonly redisUrl?: string
  /** The tags of the runs that this process works on. */
  readonly workerTags: readonly string[]
  /** Runs that this process works on at the same time. 0 = none: it leaves them to others. */
  readonly maxActiveRuns: number
  readonly maxJobSteps: number
  /** The first admin. */
  readonly adminEmail?: string
  readonly adminPassword?: string
  readonly jwtSecret: string
  /** The first encrypts, all decrypt. */
  readonly encryptionKeys: readonly EncryptionKey[]
  /** Hosts, CIDRs and `host:port` that users may reach although they are private. */
  readonly outboundAllow: readonly string[]
  /** The mail server for mail that names none, and the sender of all that goes through it. */
  readonly mail?: { url: string; from: string }
  readonly firebaseProjectId?: string
  /** A URL or a file. */
  readonly firebaseJwks?: string
  /** Of accounts that come of ID tokens. */
  readonly firebaseRole: Role
  /** A YAML file. */
  readonly jobSources?: string
  /** Where the container runtime answers. Undefined: where Docker and podman usually do. */
  readonly containerSocket?: string
  /** The folder of this user's sockets. */
  readonly userRuntimeDir?: string
  /** Executables that an mcp step may start. */
  readonly mcpCommands: readonly string[]
  /** Requests per minute and principal. 0 = no limit. */
  readonly rateLimit: number
  readonly scriptTimeoutMs: number
  readonly scriptMemoryMb: number
  readonly httpMaxResponseBytes: number
  readonly bodyLimitBytes: number
  /** Values of runs above this size are kept as objects, not in rows. 0 = all in rows. */
  readonly spillBytes: number
  /** Days that a finished run is kept. 0 = for ever. */
  readonly retentionDays: number
  /** What all objects of a tenant in the embedded store may have together. 0 = no limit. */
  readonly bucketQuotaBytes: number
  /** How many those may be. 0 = no limit. */
  readonly bucketQuotaObjects: number
  /** How long the embedded store keeps the content of what was deleted or overwritten. */
  readonly bucketGraceMinutes: number
  /** What one artifact may have. */
  readonly artifactMaxBytes: number
  /** What all artifacts of a tenant may have together. 0 = no limit. */
  readonly artifactQuotaBytes: number
  /** Days that an artifact is kept, at most as long as its run. 0 = as long as its run. */
  readonly artifactRetentionDays: number
  /** Days that an entry of the audit trail is kept. 0 = for ever. */
  readonly auditRetentionDays: number
  /** The environment without what configures this program or its Node: what programs of jobs may be handed. */
  readonly surroundings: Readonly<Record<string, string | undefined>>
  /** How long programs of jobs may take to end once told to. */
  readonly jobGraceMs: number
  /** Hours that the folder of a run of a job is kept after its last step. */
  readonly jobFolderHours: number
  /** How long running work may take to end on SIGTERM. */
  readonly shutdownGraceMs: number
  /** Reads /metrics without an account. */
  readonly metricsToken?: string
  /** Undefined: a worker listens to nothing. */
  readonly metricsPort?: number
  /** Undefined: no spans. */
  readonly tracing?: TracingSettings
  /** In tests only. */
  readonly crashAt?: Variables['CRASH_AT']
  readonly logLevel: Variables['LOG_LEVEL']
  readonly logFormat: Variables['LOG_FORMAT']

  constructor(set: Variables, environment: Readonly<Record<string, string | undefined>> = {}) {
    this.surroundings = surroundingsOf(environment)
    this.production = set.NODE_ENV === 'production'
    this.port = set.PORT
    this.host = set.HOST
    this.trustProxy = set.TRUST_PROXY
    this.publicUrl = set.PUBLIC_URL && new URL(set.PUBLIC_URL).origin
    this.dataDir = set.DATA_DIR
    this.databaseUrl = set.DATABASE_URL
    this.databasePoolSize = set.DATABASE_POOL_SIZE
    this.redisUrl = set.REDIS_URL
    this.workerTags = set.WORKER_TAGS
    this.maxActiveRuns = set.MAX_ACTIVE_RUNS
    this.maxJobSteps = set.MAX_JOB_STEPS
    this.adminEmail = set.ADMIN_EMAIL
    this.adminPassword = set.ADMIN_PASSWORD
    this.jwtSecret = set.JWT_SECRET ?? generatedKey(set.DATA_DIR, 'jwt-secret')
    this.encryptionKeys = set.ENCRYPTION_KEY ?? encryptionKeys.parse(generatedKey(set.DATA_DIR, 'encryption-key'))
    this.outboundAllow = set.OUTBOUND_ALLOW
    this.mail = set.SMTP_URL && set.SMTP_FROM ? { url: set.SMTP_URL, from: set.SMTP_FROM } : undefined
    this.firebaseProjectId = set.FIREBASE_PROJECT_ID
    this.firebaseJwks = set.FIREBASE_JWKS
    this.firebaseRole = set.FIREBASE_ROLE
    this.jobSources = set.JOB_SOURCES
    this.containerSocket = set.CONTAINER_SOCKET
    this.userRuntimeDir = set.XDG_RUNTIME_DIR
    this.mcpCommands = set.MCP_COMMANDS
    this.rateLimit = set.RATE_LIMIT
    this.scriptTimeoutMs = set.SCRIPT_TIMEOUT_MS
    this.scriptMemoryMb = set.SCRIPT_MEMORY_MB
    this.httpMaxResponseBytes = set.HTTP_MAX_RESPONSE_BYTES
    this.bodyLimitBytes = set.BODY_LIMIT_BYTES
    this.spillBytes = set.SPILL_BYTES
    this.retentionDays = set.RETENTION_DAYS
    this.bucketQuotaBytes = set.BUCKET_QUOTA_BYTES
    this.bucketQuotaObjects = set.BUCKET_QUOTA_OBJECTS
    this.bucketGraceMinutes = set.BUCKET_GRACE_MINUTES
    this.artifactMaxBytes = set.ARTIFACT_MAX_BYTES
    this.artifactQuotaBytes = set.ARTIFACT_QUOTA_BYTES
    this.artifactRetentionDays = set.ARTIFACT_RETENTION_DAYS
    this.auditRetentionDays = set.AUDIT_RETENTION_DAYS
    this.jobGraceMs = set.JOB_GRACE_MS
    this.jobFolderHours = set.JOB_FOLDER_HOURS
    this.shutdownGraceMs = set.SHUTDOWN_GRACE_MS
    this.metricsToken = set.METRICS_TOKEN
    this.metricsPort = set.METRICS_PORT
    this.tracing = tracingSettings(set)
    this.crashAt = set.NODE_ENV === 'test' ? set.CRASH_AT : undefined
    this.logLevel = set.LOG_LEVEL
    this.logFormat = set.LOG_FORMAT
    for (const list of Object.values(this).filter(Array.isArray)) Object.freeze(list)
    Object.freeze(this)
  }

  toJSON(): object {
    return {
      ...this,
      databaseUrl: withoutPassword(this.databaseUrl),
      redisUrl: withoutPassword(this.redisUrl),
      mail: this.mail && { ...this.mail, url: withoutPassword(this.mail.url) },
      adminPassword: this.adminPassword && HIDDEN,
      jwtSecret: HIDDEN,
      surroundings: Object.keys(this.surroundings),
      metricsToken: this.metricsToken && HIDDEN,
      tracing: this.tracing && { ...this.tracing, url: withoutPassword(this.tracing.url) },
      encryptionKeys: this.encryptionKeys.map(({ id }) => id),
    }
  }

  [inspect.custom](): unknown {
    return this.toJSON()
  }
}

/** The configuration cannot be used. Lists everything that is wrong with it. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'

  constructor(readonly faults: readonly string[]) {
    super(
      `The configuration has ${faults.length === 1 ? 'a fault' : `${faults.length} faults`}:\n${faults.map((fault) => `- ${fault}`).join('\n')}`,
    )
  }
}

/** Throws `ConfigError`. Makes the keys that are not given, unless in production. */
export function readConfig(environment: Readonly<Record<string, string | undefined>> = process.env): Config {
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value?.trim()))
  const parsed = variables.safeParse(given)
  const faults = (parsed.error?.issues ?? []).map((issue) => `${issue.path.join('.')} ${inPlainWords(issue)}`)
  faults.push(...missing(given))
  if (!parsed.success || faults.length > 0) throw new ConfigError(faults)
  try {
    return new Config(parsed.data, environment)
  } catch (error) {
    throw new ConfigError([`DATA_DIR cannot hold the generated keys: ${(error as Error).message}`])
  }
}

/** For entry points: says what is wrong and ends the process instead of throwing. */
export function configOrExit(): Config {
  try {
    return readConfig()
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    process.stderr.write(`${error.message}\n`)
    process.exit(1)
  }
}

/** Names that Node reads, beside its `NODE_…`. */
const OF_NODE = /^(NODE_.*|UV_.*|OTEL_.*)$/

function surroundingsOf(environment: Readonly<Record<string, string | undefined>>): Record<string, string | undefined> {
  const entries = Object.entries(environment).filter(
    ([name]) => !Object.hasOwn(variables.shape, name) && !OF_NODE.test(name),
  )
  return Object.freeze(Object.fromEntries(entries))
}

const HIDDEN = '[hidden]'

function withoutPassword(address: string | undefined): string | undefined {
  if (!address) return undefined
  const url = new URL(address)
  if (url.password) url.password = 'hidden'
  for (const name of url.searchParams.keys()) if (/password/i.test(name)) url.searchParams.set(name, 'hidden')
  return url.href
}

function inPlainWords(issue: { code: string; message: string; values?: unknown }): string {
  return issue.code === 'invalid_value' && Array.isArray(issue.values)
    ? `must be one of ${issue.values.join(', ')}`
    : issue.message
}
