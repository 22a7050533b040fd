import { Injectable } from '@nestjs/common'
import type { Principal } from '../../../platform/auth/principal.js'
import { Sql, type Statement } from '../../../platform/database/sql.js'
import type { Fault } from '../../../platform/errors/domain-error.js'
import { ValidationFailed } from '../../../platform/http/faults.js'
import { isJsonObject, type JsonObject } from '../../../platform/json.js'
import { pointerTo } from '../../../platform/json-pointer.js'
import { HIDDEN_ARGUMENT } from '../../../steps/process/job-step.js'
import { ArgumentsInvalid } from '../../jobs/jobs.errors.js'
import { JobsService, type PreparedRun } from '../../jobs/jobs.service.js'
import { SHORTEST_RUN_SECRET } from '../../secrets/run-secrets.js'
import { JobProcesses } from '../../steps/job-processes.js'
import { fullValue, RunValues } from '../values/run-values.js'
import { CannotStartAgain } from './lineage.errors.js'
import type { EarlierRun } from './starting-points.js'

export interface AskedOfJob {
  /** `latest`, or absent for the earlier run's own. */
  version?: string
  /** Instead of the earlier run's arguments. */
  input?: JsonObject
  /** Values of arguments that are secrets. */
  secrets?: JsonObject
}

/** What runs of jobs need to start again beside a starting point: arguments that fit, and what was secret among them, given anew. */
@Injectable()
export class JobRestarts {
  constructor(
    private readonly sql: Sql,
    private readonly jobs: JobsService,
    private readonly processes: JobProcesses,
    private readonly values: RunValues,
  ) {}

  /** Undefined where the run is of no job. */
  async prepared(caller: Principal, earlier: EarlierRun, asked: AskedOfJob): Promise<PreparedRun | undefined> {
    const [job] = await this.sql.query<object>(IS_JOB, [earlier.flowId])
    if (!job) return undefined
    const { version, secrets = {} } = asked
    if (version !== undefined && version !== 'latest')
      throw new ValidationFailed([
        { pointer: '#/version', detail: "A job's run is done again by its own version or by latest", code: 'version' },
      ])
    const before = asked.input ?? (await this.inputOf(earlier))
    const given = { ...before, ...secrets }
    requireAll(given, secrets)
    const prepared = await this.fitting(caller, earlier, given, secrets, version === 'latest')
    if (!prepared) throw new CannotStartAgain(`Run ${earlier.id} is of a job that is gone`)
    const others = Object.keys(secrets).filter((name) => !Object.hasOwn(prepared.secrets, name))
    refuse(others, (name) => ({ detail: `'${name}' is no secret among the job's arguments`, code: 'unknown_secret' }))
    const short = Object.keys(prepared.secrets).filter(
      (name) => (prepared.secrets[name] ?? '').length < SHORTEST_RUN_SECRET,
    )
    refuse(short, () => ({
      detail: `A secret must have at least ${SHORTEST_RUN_SECRET} characters`,
      code: 'too_short',
    }))
    return prepared
  }

  /** What steps left in the run's folder has to be there for those behind them. */
  async requireWork(earlier: EarlierRun, visits: readonly string[]): Promise<void> {
    if (!(await this.processes.keepsWorkOf(earlier.id, visits)))
      throw new CannotStartAgain(
        `Run ${earlier.id} left files that are not kept any more: replay it from its beginning, or start a new run`,
      )
  }

  private async inputOf({ tenantId, input, inputRef }: EarlierRun): Promise<JsonObject> {
    const full = await fullValue(this.values, tenantId, input, inputRef ?? null)
    return isJsonObject(full) ? full : {}
  }

  /** Faults of what was given as a secret stand there, all others at the input. */
  private async fitting(
    caller: Principal,
    earlier: EarlierRun,
    given: JsonObject,
    secrets: JsonObject,
    newest: boolean,
  ): Promise<PreparedRun | undefined> {
    try {
      return await this.jobs.prepareAgain(caller, earlier, given, { newest })
    } catch (error) {
      if (!(error instanceof ArgumentsInvalid)) throw error
      const isSecret = (pointer: string) =>
        Object.keys(secrets).some((name) => `${pointer}/`.startsWith(`${pointerTo('#/args', name)}/`))
      throw new ValidationFailed(
        error.faults.map((fault) => ({
          ...fault,
          pointer: fault.pointer.replace('#/args', isSecret(fault.pointer) ? '#/secrets' : '#/input'),
        })),
      )
    }
  }
}

/** What was secret ended with the earlier run. */
function requireAll(given: JsonObject, secrets: JsonObject): void {
  const missing = Object.keys(given).filter((name) => given[name] === HIDDEN_ARGUMENT && secrets[name] === undefined)
  refuse(missing, (name) => ({
    detail: `'${name}' was a secret of the earlier run and ended with it: it has to be given again`,
    code: 'required',
  }))
}

function refuse(names: readonly string[], why: (name: string) => Omit<Fault, 'pointer'>): void {
  if (names.length === 0) return
  throw new ValidationFailed(names.map((name) => ({ pointer: pointerTo('#/secrets', name), ...why(name) })))
}

const IS_JOB: Statement = {
  name: 'flow_is_job',
  text: 'select 1 as found from flow where id = $1 and account_id is null',
}
