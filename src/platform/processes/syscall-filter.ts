/*
 * A seccomp filter: a small program of the kernel's own that looks at each system call of the programs in a sandbox. Namespaces keep apart what
 * is in a namespace. Some is in none, and is reached by a call alone: the server's session keyring (keyctl), the machine's hypervisor
 * (sockets of the family VSOCK), and parts of the kernel that are made for administrators and have been a way out of sandboxes time and again.
 */

interface Architecture {
  /** AUDIT_ARCH of the kernel. */
  audit: number
  socket: number
  ioctl: number
  clone: number
  denied: readonly number[]
}

/** Alike everywhere: what is newer than the agreement to number alike. */
const NEW_CALLS = {
  pidfd_getfd: 438,
  io_uring_setup: 425,
  io_uring_enter: 426,
  io_uring_register: 427,
  open_tree: 428,
  move_mount: 429,
  fsopen: 430,
  fsconfig: 431,
  fsmount: 432,
  fspick: 433,
  mount_setattr: 442,
  quotactl_fd: 443,
  memfd_secret: 447,
}

const CLONE3 = 435

const OF_X64 = {
  add_key: 248,
  request_key: 249,
  keyctl: 250,
  bpf: 321,
  perf_event_open: 298,
  userfaultfd: 323,
  mount: 165,
  umount2: 166,
  pivot_root: 155,
  chroot: 161,
  unshare: 272,
  setns: 308,
  swapon: 167,
  swapoff: 168,
  reboot: 169,
  sethostname: 170,
  setdomainname: 171,
  iopl: 172,
  ioperm: 173,
  init_module: 175,
  finit_module: 313,
  delete_module: 176,
  kexec_load: 246,
  kexec_file_load: 320,
  acct: 163,
  quotactl: 179,
  open_by_handle_at: 304,
  syslog: 103,
  settimeofday: 164,
  clock_settime: 227,
  clock_adjtime: 305,
  lookup_dcookie: 212,
  vhangup: 153,
  modify_ldt: 154,
  uselib: 134,
}

const OF_ARM64 = {
  add_key: 217,
  request_key: 218,
  keyctl: 219,
  bpf: 280,
  perf_event_open: 241,
  userfaultfd: 282,
  mount: 40,
  umount2: 39,
  pivot_root: 41,
  chroot: 51,
  unshare: 97,
  setns: 268,
  swapon: 224,
  swapoff: 225,
  reboot: 142,
  sethostname: 161,
  setdomainname: 162,
  init_module: 105,
  finit_module: 273,
  delete_module: 106,
  kexec_load: 104,
  kexec_file_load: 294,
  acct: 89,
  quotactl: 60,
  open_by_handle_at: 265,
  syslog: 116,
  settimeofday: 170,
  clock_settime: 112,
  clock_adjtime: 266,
  lookup_dcookie: 18,
  vhangup: 58,
}

const ARCHITECTURES: Readonly<Record<string, Architecture>> = {
  x64: { audit: 0xc000003e, socket: 41, ioctl: 16, clone: 56, denied: numbersOf(OF_X64) },
  arm64: { audit: 0xc00000b7, socket: 198, ioctl: 29, clone: 220, denied: numbersOf(OF_ARM64) },
}

function numbersOf(calls: Record<string, number>): number[] {
  return [...Object.values(calls), ...Object.values(NEW_CALLS)]
}

/** UNIX, INET, INET6, NETLINK: those that a namespace of the network holds. */
const FAMILIES = [1, 2, 10, 16]
/** TIOCSTI and TIOCLINUX, which put words into the mouth of a terminal's owner. */
const TERMINAL_REQUESTS = [0x5412, 0x541c]
/** CLONE_NEW* of namespaces. */
const NEW_NAMESPACES = 0x7e020000

const EPERM = 1
const ENOSYS = 38
const EAFNOSUPPORT = 97
/** Numbers of the third way of calling on x86, which no program uses. */
const X32 = 0x40000000

/** Where the kernel puts what a filter sees of a call. */
const NUMBER = 0
const ARCHITECTURE = 4
const argument = (index: number) => 16 + index * 8

const LOAD = 0x20
const IF_EQUAL = 0x15
const IF_AT_LEAST = 0x35
const IF_ANY_BIT = 0x45
const RETURN = 0x06
const ALLOW = 0x7fff0000
const refuse = (error: number) => 0x00050000 | error

type Instruction = [code: number, ifTrue: number, ifFalse: number, value: number]

/**
 * The filter for this machine, as `bwrap --seccomp` reads it; undefined where its kind is not known. Refused calls fail with the errors that
 * programs know to live with: `clone3`, whose arguments no filter sees, is said not to exist, so that libraries fall back on `clone`.
 */
export function syscallFilter(arch: string = process.arch): Buffer | undefined {
  const machine = ARCHITECTURES[arch]
  if (!machine) return undefined
  const program: Instruction[] = [
    [LOAD, 0, 0, ARCHITECTURE],
    [IF_EQUAL, 1, 0, machine.audit],
    [RETURN, 0, 0, refuse(ENOSYS)],
    [LOAD, 0, 0, NUMBER],
    ...(arch === 'x64' ? when([IF_AT_LEAST, X32], refuse(ENOSYS)) : []),
    ...machine.denied.flatMap((call) => when([IF_EQUAL, call], refuse(EPERM))),
    ...when([IF_EQUAL, CLONE3], refuse(ENOSYS)),
    ...inCall(machine.clone, [
      [LOAD, 0, 0, argument(0)],
      ...when([IF_ANY_BIT, NEW_NAMESPACES], refuse(EPERM)),
      [RETURN, 0, 0, ALLOW],
    ]),
    ...inCall(machine.ioctl, [
      [LOAD, 0, 0, argument(1)],
      ...TERMINAL_REQUESTS.flatMap((request) => when([IF_EQUAL, request], refuse(EPERM))),
      [RETURN, 0, 0, ALLOW],
    ]),
    ...inCall(machine.socket, [
      [LOAD, 0, 0, argument(0)],
      ...FAMILIES.flatMap((family) => when([IF_EQUAL, family], ALLOW)),
      [RETURN, 0, 0, refuse(EAFNOSUPPORT)],
    ]),
    [RETURN, 0, 0, ALLOW],
  ]
  return Buffer.concat(program.map(encoded))
}

function when([code, value]: [code: number, value: number], answer: number): Instruction[] {
  return [
    [code, 0, 1, value],
    [RETURN, 0, 0, answer],
  ]
}

/** What is asked of one call alone. Every way through it must end in an answer. */
function inCall(call: number, instructions: Instruction[]): Instruction[] {
  return [[IF_EQUAL, 0, instructions.length, call], ...instructions]
}

/** As `struct sock_filter`. */
function encoded([code, ifTrue, ifFalse, value]: Instruction): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt16LE(code, 0)
  bytes.writeUInt8(ifTrue, 2)
  bytes.writeUInt8(ifFalse, 3)
  bytes.writeUInt32LE(value >>> 0, 4)
  return bytes
}
