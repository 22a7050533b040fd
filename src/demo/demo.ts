import { readFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { DataServer } from './data-server.js'
import { FlowRunnerClient, Refusal } from './flowrunner-client.js'
import { demoLogin, type Login } from './login.js'
import { Narrator } from './narrator.js'
import { freePort, isFree } from './port.js'
import { ServerProcess } from './server-process.js'

const HOST = '127.0.0.1'
const FLOW = new URL('../../examples/weather-report.yaml', import.meta.url)
const TAG = 'demo'
/** Millimetres of rain from which on a year counts as a wet one. */
const WET_MM = 1_200

const tell = new Narrator()
const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (!stop.signal.aborted) tell.chapter('Stopping')
    stop.abort()
  })
}

try {
  await demo(stop.signal)
  if (stop.signal.aborted) tell.say('everything has ended; the data stays for the next start')
} catch (error) {
  if (!stop.signal.aborted) {
    tell.complaint((error as Error).message)
    process.exitCode = 1
  }
}

/** Serves the product and a small world around it, runs a flow through the public API, and stays until it is stopped. */
async function demo(signal: AbortSignal): Promise<void> {
  const dataDir = resolve(process.env.DATA_DIR || '.data/demo')
  const login = demoLogin(dataDir, process.env)
  const logFile = join(dataDir, 'server.log')

  tell.chapter('Starting')
  await using data = await DataServer.start()
  tell.say(`serving real data sets on http://${data.authority}, the only private address that flows may reach`)
  const port = await choosePort(Number(process.env.PORT || 8080))
  await using server = await ServerProcess.start({
    environment: serverEnvironment(process.env, { dataDir, port, login, allow: data.authority }),
    logFile,
    say: (line) => tell.say(line),
    signal,
  })

  await story(server.url, login, data, signal)
  tell.fact("Server's log", shown(logFile))
  tell.fact('Without a demo', `DATA_DIR=${shown(dataDir)} npm start`)
  tell.fact('End', 'Ctrl-C')

  const gone = server.ended.then(() => 'gone')
  if ((await Promise.race([gone, aborted(signal)])) === 'gone')
    throw new Error(`the server has ended, see ${shown(logFile)}`)
}

async function choosePort(wanted: number): Promise<number> {
  if (await isFree(wanted, HOST)) return wanted
  const port = await freePort(HOST)
  tell.say(`port ${wanted} is taken, so this uses ${port}; PORT=… chooses another`)
  return port
}

/** The demo always works on a database of its own, whatever the environment says about others. */
function serverEnvironment(
  { DATABASE_URL, REDIS_URL, NODE_ENV, OUTBOUND_ALLOW, ...rest }: NodeJS.ProcessEnv,
  { dataDir, port, login, allow }: { dataDir: string; port: number; login: Login; allow: string },
): NodeJS.ProcessEnv {
  return {
    ...rest,
    HOST,
    PORT: String(port),
    DATA_DIR: dataDir,
    ADMIN_EMAIL: login.email,
    ADMIN_PASSWORD: login.password,
    OUTBOUND_ALLOW: [OUTBOUND_ALLOW, allow].filter(Boolean).join(','),
    LOG_LEVEL: 'info',
  }
}

async function story(url: string, login: Login, data: DataServer, signal: AbortSignal): Promise<void> {
  tell.chapter('The flow')
  const client = await FlowRunnerClient.login(url, login).catch((error) => {
    if (!(error instanceof Refusal) || error.status !== 401) throw error
    throw new Error(
      `${login.email} could not log in. Set ADMIN_EMAIL and ADMIN_PASSWORD, or begin anew with another DATA_DIR.`,
    )
  })
  tell.say(`logged in as ${login.email}`)
  const { flow, isNew } = await client.upload('Weather report', readFileSync(FLOW, 'utf8'), TAG)
  tell.say(
    `${isNew ? 'uploaded' : 'updated'} examples/weather-report.yaml as "${flow.name}" ${flow.version}, ${flow.id}`,
  )

  tell.chapter('The run')
  let delivered: unknown
  data.once('report', (body) => {
    delivered = body
  })
  const executionId = await client.run(flow.id, { data: `http://${data.authority}`, wet_mm: WET_MM })
  tell.say(`accepted as ${executionId}; it is on disk and would survive a kill -9 from here on`)
  for await (const message of client.follow(executionId, signal)) tell.message(message)

  tell.chapter('The result')
  const { result, error, duration } = await client.execution(executionId)
  if (error) tell.complaint(error)
  else report(result as Report)
  tell.say(
    `took ${duration} ms${delivered ? `; the webhook has delivered ${JSON.stringify(delivered).length} bytes` : ''}`,
  )

  tell.chapter('Where to look next')
  const curl = `curl -u '${login.email}:${login.password}'`
  const again = JSON.stringify({ input: { data: `http://${data.authority}`, wet_mm: 1_300 } })
  tell.fact('Swagger UI', `${url}/docs`)
  tell.fact('Log in as', `${login.email}, password ${login.password}`)
  tell.fact('Read the log', `${curl} '${url}/api/v1/executions/${executionId}/logs?limit=50'`)
  tell.fact('Run it again', `${curl} ${url}/api/v1/flows/${flow.id}/run \\`)
  tell.fact('', `-H 'Content-Type: application/json' -d '${again}'`)
}

interface Report {
  headline: string
  years: Record<string, number>[]
}

function report({ headline, years }: Report): void {
  tell.say(headline)
  const [first = {}] = years
  const names = Object.keys(first)
  const line = (cells: string[]) => cells.map((cell, i) => cell.padStart((names[i] ?? '').length + 2)).join('')
  tell.say(line(names))
  for (const year of years) tell.say(line(names.map((name) => String(year[name]))))
}

function shown(path: string): string {
  const short = relative(process.cwd(), path)
  return short.startsWith('..') ? path : short
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
