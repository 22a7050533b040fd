import type { ContainerCreateOptions } from 'dockerode'
import type { ContainerOrder } from './container-order.js'

const MiB = 1_048_576
/** Part of the memory that files in /tmp may take, and at most so much. */
const TMP = { part: 0.5, mostMb: 1_024 }
/** podman asks the kernel for more than a server without CAP_SYS_RESOURCE may give, unless it is told. What counts is `PidsLimit`. */
const PROCESSES_OF_ONE_USER = 16_384

/**
 * The container of an order, as closed as it can be: no capabilities, no new privileges, nothing of the host's processes, network or
 * devices, limits, and no log of the runtime's own, which would fill its disk. Everything is said, so that no default of a runtime's counts.
 */
export function createOptions(order: ContainerOrder, hasInit: boolean): ContainerCreateOptions {
  const { limits } = order
  const tmpMb = Math.max(1, Math.min(TMP.mostMb, Math.floor(limits.memoryMb * TMP.part)))
  return {
    name: order.name,
    Image: order.image.id,
    Labels: { ...order.labels },
    Entrypoint: order.entrypoint && [...order.entrypoint],
    Cmd: order.command && [...order.command],
    Env: Object.entries(order.env).map(([name, value]) => `${name}=${value}`),
    WorkingDir: order.workdir,
    User: `${order.image.user.uid}:${order.image.user.gid}`,
    Hostname: 'job',
    AttachStdin: false,
    AttachStdout: true,
    AttachStderr: true,
    OpenStdin: false,
    Tty: false,
    StopSignal: 'SIGTERM',
    Healthcheck: { Test: ['NONE'] },
    HostConfig: {
      CapDrop: ['ALL'],
      CapAdd: [...order.capabilities],
      SecurityOpt: ['no-new-privileges'],
      Privileged: false,
      ReadonlyRootfs: !order.rootfsWritable,
      NetworkMode: order.network,
      IpcMode: 'private',
      PidMode: '',
      UTSMode: '',
      Memory: limits.memoryMb * MiB,
      MemorySwap: limits.memoryMb * MiB,
      NanoCpus: Math.round(limits.cpus * 1e9),
      PidsLimit: limits.processes,
      ShmSize: tmpMb * MiB,
      Ulimits: [
        ulimit('nofile', limits.openFiles),
        ulimit('fsize', limits.fileMb * MiB),
        ulimit('cpu', limits.cpuSeconds),
        ulimit('core', 0),
        ulimit('nproc', PROCESSES_OF_ONE_USER),
      ],
      Tmpfs: { '/tmp': `rw,nosuid,nodev,exec,size=${tmpMb}m,mode=1777` },
      Mounts: order.mounts.map(({ source, target, readOnly }) => ({
        Type: 'bind' as const,
        Source: source,
        Target: target,
        ReadOnly: readOnly,
        BindOptions: { Propagation: 'rprivate' as const },
      })),
      LogConfig: { Type: 'none', Config: {} },
      RestartPolicy: { Name: 'no' },
      AutoRemove: false,
      // Its first process hands signals on and buries orphans, where the runtime has one.
      Init: hasInit,
    },
  }
}

function ulimit(Name: string, most: number): { Name: string; Soft: number; Hard: number } {
  return { Name, Soft: most, Hard: most }
}
