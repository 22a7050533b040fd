import { Inject, Injectable, Logger } from '@nestjs/common'
import { Config } from '../../../platform/config/config.js'
import type { Json } from '../../../platform/json.js'
import { ObjectStore } from '../../../platform/objects/object-store.js'
import { ObjectDamaged, ObjectMissing } from '../../../platform/objects/objects.errors.js'
import { ValueUnavailable } from '../runs.errors.js'
import type { TakenRun } from '../worker/taken-run.js'

/** The area of the object store that is the runs' own. */
export const VALUES_AREA = 'run-values'

/** Values of one row as JSON texts, by column; a value that is kept outside is named by its reference under `<column>_ref`. */
export type ValueTexts = Readonly<Record<string, string>>

/**
 * Inputs, outputs and results that are too large for rows. They are objects of the run's tenant; the row keeps the reference, which says
 * hash and size.
 */
@Injectable()
export class RunValues {
  private readonly logger = new Logger(RunValues.name)
  private readonly most: number

  constructor(
    private readonly store: ObjectStore,
    @Inject(Config) { spillBytes }: Pick<Config, 'spillBytes'>,
  ) {
    this.most = spillBytes === 0 ? Number.POSITIVE_INFINITY : spillBytes
  }

  hasLarge(values: ValueTexts): boolean {
    return Object.values(values).some((text) => this.isLarge(text))
  }

  /** Puts what is large into the store, durably, and refers to it instead. What the store does not take now stays in its row. */
  async spilled(tenantId: string, values: ValueTexts): Promise<ValueTexts> {
    const kept = Object.entries(values).map(async ([column, text]): Promise<[string, string]> => {
      const key = this.isLarge(text) ? await this.put(tenantId, text) : undefined
      return key ? [`${column}_ref`, key] : [column, text]
    })
    return Object.fromEntries(await Promise.all(kept))
  }

  /** Throws `ValueUnavailable` when it is gone or damaged. */
  async read(tenantId: string, reference: string): Promise<Json> {
    try {
      const content = await this.store.read({ area: VALUES_AREA, tenantId }, reference)
      return JSON.parse(content.toString()) as Json
    } catch (error) {
      const isGone = error instanceof ObjectMissing || error instanceof ObjectDamaged
      this.logger.error({ err: error, reference }, 'a value of a run cannot be read')
      throw isGone ? new ValueUnavailable(reference, error) : error
    }
  }

  /** Reads what the rows of a run that was taken only refer to. */
  async restore(run: TakenRun): Promise<void> {
    const fill = async <Target extends object>(target: Target, member: keyof Target, reference: string | undefined) => {
      if (reference !== undefined) Object.assign(target, { [member]: await this.read(run.tenantId, reference) })
    }
    await Promise.all([
      fill(run, 'input', run.inputRef),
      ...run.history.flatMap((outcome) => [
        fill(outcome, 'output', outcome.outputRef),
        fill(outcome, 'shared', outcome.sharedRef),
      ]),
    ])
  }

  private isLarge(text: string): boolean {
    // A UTF-16 unit is at most three bytes.
    return text.length * 3 > this.most && Buffer.byteLength(text) > this.most
  }

  private async put(tenantId: string, text: string): Promise<string | undefined> {
    try {
      return (await this.store.put({ area: VALUES_AREA, tenantId }, Buffer.from(text))).key
    } catch (error) {
      this.logger.error({ err: error }, 'a large value could not be stored as an object: its row keeps it')
      return undefined
    }
  }
}

/** A value from its two columns. Throws `ValueUnavailable` when it is not in its row and cannot be had. */
export async function fullValue<T extends Json | null>(
  values: Pick<RunValues, 'read'> | undefined,
  tenantId: string,
  value: T,
  reference: string | null,
): Promise<T> {
  if (reference === null) return value
  if (!values) throw new ValueUnavailable(reference)
  return (await values.read(tenantId, reference)) as T
}
