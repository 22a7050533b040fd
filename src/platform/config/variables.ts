import { realpathSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { z } from 'zod'
import { ROLES } from '../auth/principal.js'
import { CRASH_POINTS, type CrashPoint } from '../crash-point/crash-point.js'
import { encryptionKeys } from './encryption-keys.js'
import { tracingVariables } from './tracing-variables.js'

const TEBIBYTE = 1_099_511_627_776

/** Every variable that the program reads. An empty one counts as not set. */
export const variables = z.object({
  NODE_ENV: z.enum(['development', 'production', 'test']).default('development'),
  PORT: whole(0, 65_535).default(8080),
  HOST: z.string().default('127.0.0.1'),
  TRUST_PROXY: list().default([]).describe('addresses and CIDRs of proxies whose X-Forwarded-For is believed'),
  PUBLIC_URL: address('http', 'https').optional().describe('where callers reach this server'),
  DATA_DIR: z
    .string()
    .default('./.data')
    .transform((path) => withoutLinks(resolve(path))),
  DATABASE_URL: address('postgres', 'postgresql').optional(),
  DATABASE_POOL_SIZE: whole(2, 500).default(10).describe('connections of each of the two pools of a process'),
  REDIS_URL: address('redis', 'rediss').optional(),
  WORKER_TAGS: list(/^[\w.-]{1,64}$/, 'must list tags of letters, digits, dots, dashes and underscores')
    .default(['default'])
    .describe('which runs this process works on'),
  MAX_ACTIVE_RUNS: whole(0, 100_000).default(500).describe('runs that this process works on at the same time'),
  MAX_JOB_STEPS: whole(1, 10_000)
    .default(32)
    .describe('steps of jobs whose programs this process has at work at the same time'),
  ADMIN_EMAIL: z.email('must be an e-mail address').optional(),
  ADMIN_PASSWORD: z.string().min(8, 'must have at least 8 characters').optional(),
  JWT_SECRET: z.string().min(32, 'must have at least 32 characters').optional(),
  ENCRYPTION_KEY: encryptionKeys.optional(),
  OUTBOUND_ALLOW: list(/^[\w.:*/[\]-]+$/, 'must list hosts, CIDRs or host:port').default([]),
  FIREBASE_PROJECT_ID: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]*$/, 'must be the id of a project: small letters, digits and dashes')
    .optional()
    .describe('whose ID tokens are taken'),
  FIREBASE_JWKS: z.string().optional().describe('a URL or a file; without it Google’s'),
  FIREBASE_ROLE: z.enum(ROLES).default('user').describe('what accounts may do that come of ID tokens'),
  JOB_SOURCES: z.string().optional().describe('a YAML file'),
  MCP_COMMANDS: list().default([]).describe('executables that an mcp step may start'),
  CONTAINER_SOCKET: z
    .string()
    .regex(/^(\/|unix:\/\/\/|https?:\/\/|tcp:\/\/)/, 'must be a path, or an address with unix://, http:// or https://')
    .optional()
    .describe('where Docker or podman answers; without it where they usually do, podman first'),
  XDG_RUNTIME_DIR: z.string().optional().describe('where podman of an ordinary user answers'),
  RATE_LIMIT: whole(0, 1_000_000).default(600).describe('requests per minute and principal; 0 = off'),
  SCRIPT_TIMEOUT_MS: whole(10, 600_000).default(5_000),
  SCRIPT_MEMORY_MB: whole(8, 2_048).default(64),
  SMTP_URL: address('smtp', 'smtps').optional().describe('the mail server for mail that names none'),
  SMTP_FROM: z
    .string()
    .regex(/^[^\r\n]*@[^\r\n]+$/, 'must be an e-mail address, with a name or without')
    .optional()
    .describe('the sender of all that goes through SMTP_URL'),
  HTTP_MAX_RESPONSE_BYTES: whole(1_024, 1_073_741_824).default(10 * 1_048_576),
  BODY_LIMIT_BYTES: whole(1_024, 1_073_741_824).default(1_048_576),
  SPILL_BYTES: whole(0, 1_073_741_824)
    .default(16_384)
    .describe('values of runs above this size are kept as objects, not in rows; 0 = all in rows'),
  RETENTION_DAYS: whole(0, 36_500).default(30).describe('days that a finished run is kept; 0 = for ever'),
  BUCKET_QUOTA_BYTES: whole(0, 1_024 * TEBIBYTE)
    .default(100 * 1_073_741_824)
    .describe('what all objects of a tenant in the embedded store may have together; 0 = no limit'),
  BUCKET_QUOTA_OBJECTS: whole(0, 1_000_000_000)
    .default(1_000_000)
    .describe(
      'how many objects, and parts of unfinished uploads, a tenant may have in the embedded store; 0 = no limit',
    ),
  BUCKET_GRACE_MINUTES: whole(1, 527_040)
    .default(10)
    .describe('minutes that the embedded store keeps the content of an object that was deleted or overwritten'),
  ARTIFACT_MAX_BYTES: whole(1, TEBIBYTE)
    .default(256 * 1_048_576)
    .describe('what one artifact may have'),
  ARTIFACT_QUOTA_BYTES: whole(0, 1_024 * TEBIBYTE)
    .default(6 * 1_073_741_824)
    .describe('what all artifacts of a tenant may have together; 0 = no limit'),
  ARTIFACT_RETENTION_DAYS: whole(0, 36_500)
    .default(7)
    .describe('days that an artifact is kept, at most as long as its run; 0 = as long as its run'),
  AUDIT_RETENTION_DAYS: whole(0, 36_500).default(0).describe('days that an audit entry is kept; 0 = for ever'),
  JOB_GRACE_MS: whole(0, 600_000)
    .default(10_000)
    .describe('how long the programs of a job may take to end once told to, before they are killed'),
  JOB_FOLDER_HOURS: whole(1, 87_600)
    .default(24)
    .describe('hours that the folder of a run of a job is kept after its last step'),
  SHUTDOWN_GRACE_MS: whole(0, 600_000).default(15_000).describe('how long running work may take to end on SIGTERM'),
  METRICS_TOKEN: z
    .string()
    .min(16, 'must have at least 16 characters')
    .regex(/^[!-~]+$/, 'must be visible ASCII characters without spaces')
    .optional()
    .describe('with it as a bearer token, and no account, /metrics may be read'),
  METRICS_PORT: whole(0, 65_535)
    .optional()
    .describe('where a worker, which serves no HTTP otherwise, answers /metrics'),
  ...tracingVariables,
  CRASH_AT: z
    .string()
    .regex(
      new RegExp(`^(${CRASH_POINTS.join('|')})(:[1-9]\\d{0,8})?$`),
      `must be one of ${CRASH_POINTS.join(', ')}, with :passage or not`,
    )
    .transform((text) => {
      const [point, passages = '1'] = text.split(':')
      return { point: point as CrashPoint, passages: Number(passages) }
    })
    .optional()
    .describe('with NODE_ENV=test, where the process ends as by kill -9'),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  LOG_FORMAT: z.enum(['auto', 'json', 'text']).default('auto').describe('auto: text on a terminal, else JSON'),
})

export type Variables = z.infer<typeof variables>

/** What variables demand of each other. Checked apart from the schema, so that both kinds of faults are reported together. */
export function missing(given: Readonly<Record<string, string | undefined>>): string[] {
  const needs = (name: string, reason: string, applies: boolean) =>
    applies && !given[name] ? [`${name} is required with ${reason}`] : []
  const inProduction = given.NODE_ENV === 'production'
  return [
    ...needs('JWT_SECRET', 'NODE_ENV=production', inProduction),
    ...needs('ENCRYPTION_KEY', 'NODE_ENV=production', inProduction),
    ...needs('ADMIN_EMAIL', 'ADMIN_PASSWORD', !!given.ADMIN_PASSWORD),
    ...needs('SMTP_FROM', 'SMTP_URL', !!given.SMTP_URL),
    ...needs('SMTP_URL', 'SMTP_FROM', !!given.SMTP_FROM),
    ...needs('FIREBASE_PROJECT_ID', 'FIREBASE_JWKS', !!given.FIREBASE_JWKS),
  ]
}

function whole(least: number, most: number) {
  const message = `must be a whole number from ${least} to ${most}`
  return z
    .string()
    .regex(/^\d+$/, message)
    .transform(Number)
    .refine((number) => number >= least && number <= most, message)
}

function list(item = /./, message = 'must be a comma-separated list') {
  return z
    .string()
    .transform((text) =>
      text
        .split(',')
        .map((entry) => entry.trim())
        .filter((entry) => entry !== ''),
    )
    .refine((entries) => entries.every((entry) => item.test(entry)), message)
}

function address(...schemes: string[]) {
  return z
    .string()
    .refine(
      (text) => URL.canParse(text) && schemes.includes(new URL(text).protocol.slice(0, -1)),
      `must be an address that starts with ${schemes.map((scheme) => `${scheme}://`).join(' or ')}`,
    )
}

/** Where links lead, as far as there is anything: sandboxes hide a folder by its own name, and mount nothing over a link. */
function withoutLinks(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    const above = dirname(path)
    return above === path ? path : join(withoutLinks(above), basename(path))
  }
}
