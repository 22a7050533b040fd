import { type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'

export const TOKEN = 'a-token-that-is-long-enough'

type Nodes = Parameters<FlowRunnerUser['flow']>[0]

/** A flow whose one step is this script. */
export function scripted(script: string): Nodes {
  return { step: { type: 'transform', params: { script } } }
}

/** Gives back what it got. */
export const ECHO = scripted('return input')
/** Never ends by itself. */
export const WAITS: Nodes = { step: { type: 'delay', params: { duration: '1h' } } }

export interface RouteOf {
  name?: string
  httpMethod?: string
  path?: string
  targetFlowIds?: string[]
  responseMode?: 'sync' | 'async'
  timeoutSeconds?: number
  toolName?: string
}

/** A server with an account that has channels, for the specs of those who call them. */
export class ChannelsInUse {
  private constructor(
    readonly api: ApiUnderTest,
    readonly user: FlowRunnerUser,
    /** Gives back what it got. */
    readonly echo: string,
  ) {}

  static async start(set: Record<string, string> = {}): Promise<ChannelsInUse> {
    const api = await apiUnderTest(set)
    const user = await FlowRunnerUser.login(api)
    return new ChannelsInUse(api, user, await user.flow(ECHO, 'Echo'))
  }

  /** Makes a channel whose routes lead to the echo unless they say where; answers its id. */
  async channel(kind: 'http' | 'websocket' | 'mcp', routes: RouteOf[] = [{}], more: object = {}): Promise<string> {
    const body = {
      name: 'Spec',
      kind,
      authToken: TOKEN,
      ...more,
      routes: routes.map((route, index) => ({
        name: `route ${index}`,
        ...(kind === 'http' && { httpMethod: 'POST', path: '/' }),
        targetFlowIds: [this.echo],
        ...route,
      })),
    }
    return (await this.user.post('/api/channels', body).expect(201)).body.id
  }
}
