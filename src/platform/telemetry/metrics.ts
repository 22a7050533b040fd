import { Logger } from '@nestjs/common'
import { collectDefaultMetrics, Registry, type RegistryContentType } from 'prom-client'
import type { Family, Sample } from './instruments.js'
import { type Count, CountFamily, type Description, type Distribution, DistributionFamily } from './instruments.js'

/** Seconds, from what a light step takes to what a person waits for. */
export const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

/** How often the event loop's delay is sampled, once somebody scrapes. At prom-client's 10 ms that alone is 0.4 % of a core, at this 0.05 %. */
const LOOP_SAMPLING_MS = 100

const logger = new Logger('Metrics')

/** A value that is looked up when somebody asks; undefined where there is none now. */
type Reading = number | undefined | readonly { value: number; labels: Record<string, string> }[]

export interface Exposition {
  contentType: RegistryContentType
  text: string
}

/**
 * The measurements of this process: those that are counted where things happen, and those that are looked up when somebody asks.
 * Nothing is done about them between two scrapes. Every module names its own.
 */
export class Metrics {
  private readonly local = new Map<string, Family>()
  private readonly remote = new Map<string, Family>()

  counts<Label extends string>(description: Description<Label>): CountFamily {
    return this.add(new CountFamily(description))
  }

  /** A family without labels. */
  count(description: Omit<Description, 'labels'>): Count {
    return this.counts(description).with()
  }

  distributions<Label extends string>(
    description: Description<Label>,
    bounds: readonly number[] = SECONDS,
  ): DistributionFamily {
    return this.add(new DistributionFamily(description, bounds))
  }

  /** A family without labels. */
  distribution(description: Omit<Description, 'labels'>, bounds?: readonly number[]): Distribution {
    return this.distributions(description, bounds).with()
  }

  /** What goes up and down, read at each scrape. */
  gauge(description: Omit<Description, 'labels'>, read: () => Reading): void {
    this.add(new Lookup(description, 'gauge', read))
  }

  /** What somebody else counts already. */
  counted(description: Omit<Description, 'labels'>, read: () => Reading): void {
    this.add(new Lookup(description, 'counter', read))
  }

  /** What the database or another system must be asked for. While it fails, the family has no value. */
  asked(description: Omit<Description, 'labels'>, ask: () => Promise<Reading>): void {
    this.add(new Lookup(description, 'gauge', ask), this.remote)
  }

  /** All of it, in the format that `accept` prefers: OpenMetrics where it is asked for, else Prometheus's own text. */
  async exposition(accept = ''): Promise<Exposition> {
    const contentType = prefersOpenMetrics(accept)
      ? Registry.OPENMETRICS_CONTENT_TYPE
      : Registry.PROMETHEUS_CONTENT_TYPE
    // What is at hand comes first, so that it does not show what the scrape itself asks of others.
    const local = await Promise.all([...this.local.values()].map(snapshot))
    const remote = await Promise.all([...this.remote.values()].map(snapshot))
    // Each scrape has a registry of its own, since prom-client renames its metrics for good when it writes OpenMetrics.
    const page: Registry<RegistryContentType> = new Registry()
    page.setContentType(contentType)
    for (const metric of [...local, ...remote, ...(await processMetrics().getMetricsAsJSON())])
      page.registerMetric(spelled(metric as Snapshot, contentType))
    return { contentType, text: await page.metrics() }
  }

  private add<F extends Family>(family: F, to = this.local): F {
    if (this.local.has(family.name) || this.remote.has(family.name))
      throw new Error(`the metric ${family.name} is there twice`)
    to.set(family.name, family)
    return family
  }
}

class Lookup implements Family {
  readonly name: string
  readonly help: string

  constructor(
    { name, help }: Omit<Description, 'labels'>,
    readonly type: 'counter' | 'gauge',
    private readonly read: () => Reading | Promise<Reading>,
  ) {
    this.name = name
    this.help = help
  }

  async samples(): Promise<Sample[]> {
    const reading = await this.read()
    if (reading === undefined) return []
    return typeof reading === 'number' ? [{ value: reading, labels: {} }] : [...reading]
  }
}

interface Snapshot {
  name: string
  help: string
  type: string
  values: Sample[]
}

/** One source that fails, such as a database that is away, does not take the others with it. */
async function snapshot(family: Family): Promise<Snapshot> {
  const { name, help, type } = family
  try {
    return { name, help, type, values: await family.samples() }
  } catch (error) {
    logger.debug({ err: error, metric: name }, 'a measurement could not be had')
    return { name, help, type, values: [] }
  }
}

/** As prom-client's registry wants it: it asks a metric for nothing but its name and `get()`. OpenMetrics names counters without `_total`. */
function spelled(metric: Snapshot, contentType: RegistryContentType) {
  const open = contentType === Registry.OPENMETRICS_CONTENT_TYPE && metric.type === 'counter'
  const named = open ? { ...metric, name: metric.name.replace(/_total$/, '') } : metric
  return { ...named, get: async () => named } as unknown as Parameters<Registry['registerMetric']>[0]
}

let ofProcess: Registry | undefined

/** Event loop, heap, garbage collection, CPU, descriptors. There is one process, however many applications a test has in it. */
function processMetrics(): Registry {
  if (!ofProcess) {
    ofProcess = new Registry()
    collectDefaultMetrics({ register: ofProcess, eventLoopMonitoringPrecision: LOOP_SAMPLING_MS })
  }
  return ofProcess
}

function prefersOpenMetrics(accept: string): boolean {
  const weights = new Map(
    accept.split(',').map((entry): [string, number] => {
      const [type = '', ...parameters] = entry.split(';').map((part) => part.trim().toLowerCase())
      const weight = parameters.find((parameter) => parameter.startsWith('q='))
      return [type, weight === undefined ? 1 : Number(weight.slice(2)) || 0]
    }),
  )
  const open = weights.get('application/openmetrics-text') ?? 0
  return open > 0 && open >= (weights.get('text/plain') ?? 0)
}
