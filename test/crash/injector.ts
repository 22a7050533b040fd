import { setTimeout as delay } from 'node:timers/promises'
import { CRASH_POINTS } from '../../src/platform/crash-point/crash-point.js'
import type { Cluster } from './cluster/cluster.js'
import type { ServerUnderFire } from './cluster/server.js'
import { FAULTS, type FaultEntry, type FaultLog, type FaultName } from './fault-log.js'
import { Deck, type Random } from './random.js'
import type { Watcher } from './watcher.js'

/** Longer than the lease of 15 s. */
const FREEZE_MS = 20_000
/** On SIGTERM a server has its grace and, while the database is away, some seconds more. */
const STOP_PATIENCE_MS = 40_000
/** A server that began while the database was away may take so long to end. */
const STARTING_MS = 10_000
/** Passages of places that every run passes, and of those that are rare. */
const OFTEN = [2, 60] as const
const RARELY = [1, 3] as const
const RARE_POINTS = ['takeover', 'cancel', 'schedule', 'timer', 'slot', 'outbox-before-queue']
const CONNECTIONS = { 'cut journal': 'millrace journal', 'cut lease': 'millrace lease', 'cut log': 'millrace log' }

/**
 * Does to the servers what the world does, alone and in pairs, as the seed says. Whatever dies is started again, often armed to end by
 * itself at one of the crash points.
 */
export class Injector {
  kills = 0
  /** Ends of servers that nobody had caused. */
  readonly surprises: string[] = []
  private readonly cards: Deck<FaultName>
  private readonly points: Deck<string>
  /** Decides which faults come together, apart from all that depends on how fast the machine is. */
  private readonly rounds: Random
  private readonly reviving = new Map<ServerUnderFire, Promise<void>>()
  private readonly background = new Set<Promise<void>>()
  /** Processes that a fault has killed. */
  private readonly killed = new Set<number>()
  private frozen?: ServerUnderFire
  private databaseIsBackAt = Number.NEGATIVE_INFINITY
  private isCalm = false

  constructor(
    private readonly cluster: Cluster,
    private readonly log: FaultLog,
    private readonly watcher: Watcher,
    private readonly random: Random,
    private readonly options: { faults?: readonly FaultName[]; say(line: string): void },
  ) {
    const hasWorker = cluster.servers.some(({ role }) => role === 'worker')
    const possible = FAULTS.filter((name) => {
      if (name === 'kill worker') return hasWorker
      return cluster.redis !== undefined || !name.includes('redis')
    })
    this.cards = new Deck(random.fork('faults'), options.faults ?? [...possible, 'kill api', 'kill during recovery'])
    this.points = new Deck(
      random.fork('points'),
      CRASH_POINTS.filter((point) => point !== 'outbox-before-queue' || cluster.redis !== undefined),
    )
    this.rounds = random.fork('rounds')
    for (const server of cluster.servers) server.onDeath = (signal) => this.diedByItself(server, signal)
  }

  /** Until so many processes were killed, and every fault was there at least once. */
  async run(kills: number): Promise<void> {
    for (let dealt = 0; this.kills < kills || dealt < this.cards.size; ) {
      const faults = this.rounds.chance(0.35) ? [this.cards.deal(), this.cards.deal()] : [this.cards.deal()]
      dealt += faults.length
      this.options.say(`${String(this.kills).padStart(4)} kills; ${faults.join(' + ')}`)
      const offset = this.rounds.between(0, 1_500)
      await Promise.all(
        faults.map(async (name, index) => {
          await delay(index * offset)
          await this.inflict(name)
        }),
      )
      await this.someAreUp()
      await delay(this.rounds.between(200, 1_200))
    }
  }

  /** Nothing more happens; everything is up, and nothing armed, when it resolves. */
  async calm(): Promise<void> {
    this.isCalm = true
    await Promise.all(this.background)
    await Promise.all(this.reviving.values())
    for (const server of this.cluster.servers) if (server.armedAt) await this.restart(server)
    await Promise.all(this.reviving.values())
  }

  /** SIGTERM to all. */
  async stopAll(): Promise<void> {
    await Promise.all(this.cluster.servers.map((server) => this.stop(server)))
  }

  private async inflict(name: FaultName): Promise<void> {
    await this.note({ kind: 'fault', at: Date.now(), name })
    switch (name) {
      case 'kill api':
      case 'kill worker':
        return await this.killOne(name, this.someServer(name === 'kill api' ? 'api' : 'worker'))
      case 'kill all':
        return await this.killAll()
      case 'kill during recovery':
        await this.killOne(name, this.someServer())
        await delay(this.random.between(100, 1_500))
        return await this.killOne(name, this.someServer())
      case 'freeze':
        return this.inBackground(this.freeze(this.someServer()))
      case 'restart postgres':
        await this.note({ kind: 'cut', at: Date.now(), connections: 'all' })
        this.kills++
        this.watcher.disturbed(undefined)
        this.databaseIsBackAt = Number.POSITIVE_INFINITY
        await this.cluster.postgres.crash()
        this.databaseIsBackAt = performance.now()
        if (this.someoneIsUp) this.watcher.servedAgain(Date.now())
        return await this.note({ kind: 'restored', at: Date.now() })
      case 'cut journal':
      case 'cut lease':
      case 'cut log':
        await this.note({ kind: 'cut', at: Date.now(), connections: CONNECTIONS[name] })
        await this.cluster.postgres.terminate(CONNECTIONS[name]).catch(() => {})
        return
      case 'rolling restart':
        for (const server of this.cluster.servers) if (server.isUp) await this.restart(server)
        return
      case 'kill redis':
        this.kills++
        await this.cluster.redis?.kill()
        await delay(this.random.between(0, 2_000))
        return await this.cluster.redis?.restart()
      case 'flush redis':
        // Another fault may have it killed: then it is empty anyway.
        return await this.cluster.redis?.flushAll().catch(() => {})
      case 'freeze redis':
        this.cluster.redis?.freeze()
        await delay(this.random.between(1_000, 3_000))
        this.cluster.redis?.thaw()
    }
  }

  private async killOne(cause: string, server: ServerUnderFire | undefined): Promise<void> {
    if (!server?.isThere) return
    const { pid } = server
    this.killed.add(pid)
    await server.kill()
    await this.died(server, pid, cause)
  }

  private async killAll(): Promise<void> {
    await Promise.all(this.cluster.servers.map((server) => this.killOne('kill all', server)))
  }

  private diedByItself(server: ServerUnderFire, signal: NodeJS.Signals | null): void {
    // Whoever begins while the database ends has nothing to begin with, and says so.
    if (signal === null && !server.hasServed && performance.now() < this.databaseIsBackAt + STARTING_MS) {
      this.revive(server)
      return
    }
    if (signal !== 'SIGKILL' || !server.armedAt)
      this.surprises.push(
        `${server.name} ended by itself${signal ? ` by ${signal}` : ''} at ${new Date().toISOString()}`,
      )
    this.inBackground(this.died(server, server.pid, `point:${server.armedAt?.split(':')[0]}`))
  }

  private async died(server: ServerUnderFire, pid: number, cause: string): Promise<void> {
    const at = Date.now()
    this.kills++
    this.watcher.lost(pid, this.someoneIsUp ? 'takeover' : 'restart', at)
    this.revive(server)
    await this.note({ kind: 'death', at, server: server.name, cause })
  }

  /** It may die again before it is quite up: each death has a revival of its own, one after another. */
  private revive(server: ServerUnderFire): void {
    const before = this.reviving.get(server) ?? Promise.resolve()
    const revival = before.then(async () => {
      if (!server.isThere) await this.start(server)
    })
    this.reviving.set(server, revival)
  }

  private async start(server: ServerUnderFire): Promise<void> {
    for (let isUp = false; !isUp; ) {
      await delay(this.random.between(0, 800))
      isUp = await server.start(this.armament())
    }
    this.watcher.servedAgain(Date.now())
    await this.note({ kind: 'up', at: Date.now(), server: server.name })
  }

  /** Where it is to end by itself, if at all. */
  private armament(): string | undefined {
    if (this.isCalm || this.options.faults || this.random.chance(0.3)) return undefined
    const point = this.points.deal()
    const [least, most] = RARE_POINTS.includes(point) ? RARELY : OFTEN
    return `${point}:${this.random.between(least, most)}`
  }

  /** SIGTERM, and up again. */
  private async restart(server: ServerUnderFire): Promise<void> {
    await this.stop(server)
    this.revive(server)
    await this.reviving.get(server)
  }

  private async stop(server: ServerUnderFire): Promise<void> {
    const { armedAt, pid } = server
    const askedAt = Date.now()
    const code = await server.stop(STOP_PATIENCE_MS)
    // Of two faults at the same time one may kill what the other asks to end: that is a death, and noted as such.
    if (code === null && this.killed.has(pid)) return
    // What is armed may end by itself on its way out.
    if (code === null && armedAt) await this.died(server, pid, `point:${armedAt.split(':')[0]}`)
    else await this.note({ kind: 'stopped', at: Date.now(), server: server.name, code, askedAt })
  }

  private async freeze(server: ServerUnderFire | undefined): Promise<void> {
    if (!server || this.frozen) return
    this.frozen = server
    const { pid } = server
    server.freeze()
    const at = Date.now()
    if (this.someoneIsUp) this.watcher.lost(pid, 'lease', at)
    await this.note({ kind: 'frozen', at, server: server.name })
    for (const until = at + FREEZE_MS; Date.now() < until && server.pid === pid && server.isThere; ) await delay(100)
    if (server.pid === pid && server.isThere) {
      await this.note({ kind: 'thawed', at: Date.now(), server: server.name })
      server.thaw()
    }
    this.frozen = undefined
  }

  /** One that is up, and of that role if it is named. */
  private someServer(role?: 'api' | 'worker'): ServerUnderFire | undefined {
    const up = this.cluster.servers.filter((server) => server.isUp && (role ?? server.role) === server.role)
    return up.length > 0 ? this.random.pick(up) : undefined
  }

  /** Faults need something to hit. */
  private async someAreUp(): Promise<void> {
    while (!this.someoneIsUp) await delay(50)
  }

  private get someoneIsUp(): boolean {
    return this.cluster.servers.some(({ isUp }) => isUp)
  }

  private inBackground(work: Promise<void>): void {
    const tracked = work.finally(() => this.background.delete(tracked))
    this.background.add(tracked)
  }

  private async note(entry: FaultEntry): Promise<void> {
    await this.log.append(entry)
  }
}
