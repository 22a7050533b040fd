import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ScriptRuns } from './process.fake.js'

/*
 * Tries to get out of the sandbox of `secure`, by someone who did not build it. Each attack is shown to work outside, or is one that worked
 * on a sandbox of namespaces alone.
 */

const runs = new ScriptRuns()
const { secureFault } = await runs.runner.isolation()
const perl = existsSync('/usr/bin/perl')
if (secureFault) console.warn(`attacks on the sandbox are skipped: ${secureFault}`)
else if (!perl) console.warn('attacks by system calls are skipped: /usr/bin/perl is missing')

afterAll(() => runs.close())

async function attack(script: string): Promise<string> {
  const { stdout, stderr } = await runs.run('secure', script)
  return [...stdout, ...stderr].join('\n')
}

describe.skipIf(secureFault)('a program under secure', () => {
  it('finds nothing of the host’s secrets, devices, sockets and homes', async () => {
    const paths = ['/etc/shadow', '/root', '/home', '/run', '/var', '/sys', '/boot', '/srv', '/opt', '/mnt', '/media']
    const devices = ['/dev/mem', '/dev/kmsg', '/dev/vda', '/dev/sda', '/dev/kvm', '/dev/fuse', '/dev/net/tun']
    const seen = await attack(
      `for path in ${[...paths, ...devices].join(' ')}; do [ -e $path ] && echo $path; done; echo end`,
    )
    expect(seen).toBe('end')
  })

  it('writes nothing outside of its folders', async () => {
    const text = await attack(`
      for path in / /usr /usr/bin /usr/local/bin /etc /etc/ssl /dev /proc /bin; do touch $path/millrace-probe 2>/dev/null && echo wrote $path; done
      for path in core_pattern hostname modprobe randomize_va_space; do echo x > /proc/sys/kernel/$path && echo set $path; done 2>/dev/null
      for path in vm/drop_caches net/ipv4/ip_forward user/max_user_namespaces fs/protected_hardlinks; do echo 1 > /proc/sys/$path && echo set $path; done 2>/dev/null
      (echo b > /proc/sysrq-trigger) 2>/dev/null && echo sysrq; (echo -1000 > /proc/self/oom_score_adj) 2>/dev/null && echo oom
      echo end`)
    expect(text).toBe('end')
  })

  it('sees no process but its own, and of those that isolate it nothing of the server', async () => {
    const child = spawn('sleep', ['300'], { env: { CANARY: 'of-the-host' }, stdio: 'ignore' })
    try {
      const text = await attack(`
        cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' '\\n'
        kill -0 ${child.pid} && echo "a"live; kill -0 ${process.pid} && echo "a"live; kill -9 -1; echo end`)
      expect(text).not.toMatch(/of-the-host|^alive|JWT|vitest/)
      expect(child.exitCode).toBeNull()
      expect(text).not.toContain(runs.folder)
    } finally {
      child.kill('SIGKILL')
    }
  })

  it('has an environment that other users of the host cannot read either', async () => {
    const folder = await runs.newFolder('secure')
    const env = { PATH: '/usr/bin:/bin', API_TOKEN: 'not-for-ps' }
    const running = runs.run('secure', 'echo "$API_TOKEN" > seen; read -r line < fifo', { folder, env })
    execFileSync('mkfifo', ['-m', '666', join(folder, 'fifo')])
    while (!existsSync(join(folder, 'seen')) || readFileSync(join(folder, 'seen'), 'utf8') === '')
      await new Promise((resolve) => setImmediate(resolve))
    const commands = execFileSync('ps', ['-eo', 'args', 'ww'], { encoding: 'utf8' })
    writeFileSync(join(folder, 'fifo'), 'go on\n')
    await running
    expect(readFileSync(join(folder, 'seen'), 'utf8')).toBe('not-for-ps\n')
    expect(commands).toContain('read -r line < fifo')
    expect(commands).not.toContain('not-for-ps')
  })

  it('gains nothing by programs that are set to run as another', async () => {
    const text = await attack(`
      find / -xdev -perm /6000 -type f 2>/dev/null | head -n 20 | while read -r program; do [ -u "$program" ] && stat -c '%U' "$program"; done | sort -u
      echo | su -c id 2>&1; mount -t tmpfs none /tmp 2>&1; grep NoNewPrivs /proc/self/status; id -u`)
    expect(text).not.toMatch(/uid=0/)
    expect(text).toMatch(/NoNewPrivs:\t1\n65534$/)
  })

  it('makes no namespaces, mounts nothing and enters none', async () => {
    const text = await attack(`
      for flags in -Ur -m -n -p -i -u -C -T 'Urmpf'; do unshare $flags true 2>/dev/null && echo unshare $flags; done
      for kind in mnt net pid user ipc uts cgroup; do nsenter -t 1 --$kind=/proc/1/ns/$kind true 2>/dev/null && echo enter $kind; done
      mount --bind /usr /tmp 2>/dev/null && echo bound; umount /workspace 2>/dev/null && echo unmounted
      bwrap --dev-bind / / true 2>/dev/null && echo nested; echo end`)
    expect(text).toBe('end')
  })

  it('leaves no core, neither here nor with the host', async () => {
    const folder = await runs.newFolder('secure')
    const { stdout } = await runs.run(
      'secure',
      '(ulimit -c unlimited) 2>/dev/null && echo raised; (kill -SEGV $BASHPID); ls; echo end',
      { folder },
    )
    expect(stdout).toEqual(['end'])
  })

  it('cannot read what it says, nor where the server keeps it', async () => {
    const text = await attack(
      'echo said; for fd in 0 1 2; do timeout 1 cat /proc/self/fd/$fd < /dev/null; done >/workspace/got 2>&1; cat /workspace/got',
    )
    expect(text.match(/said/g)).toHaveLength(1)
  })
})

describe.skipIf(secureFault || !perl)('a program under secure that knows the kernel', () => {
  const name = `millrace-canary-${process.pid}`
  let abstract: Server

  beforeAll(async () => {
    abstract = createServer((socket) => void socket.on('error', () => {}).destroy()).listen(`\0${name}`)
    await once(abstract, 'listening')
  })

  afterAll(() => {
    abstract.close()
  })

  it('reaches no abstract socket, no loopback and no hypervisor', async () => {
    const tcp = createServer((socket) => void socket.on('error', () => {}).destroy()).listen(0, '127.0.0.1')
    await once(tcp, 'listening')
    const { port } = tcp.address() as { port: number }
    const code = `
      use Socket;
      socket(U, AF_UNIX, SOCK_STREAM, 0) and connect(U, pack('S', 1) . "\\0" . '${name}') and print "abstract\\n";
      socket(T, AF_INET, SOCK_STREAM, 0) and connect(T, pack_sockaddr_in(${port}, inet_aton('127.0.0.1'))) and print "loopback\\n";
      socket(V, 40, SOCK_STREAM, 0) and print "vsock\\n";
      socket(P, 17, SOCK_RAW, 0) and print "packet\\n";
      socket(R, AF_INET, SOCK_RAW, 1) and print "raw\\n";
      print "end\\n";`
    try {
      // The same outside, so that what is not reached inside is there.
      expect(execFileSync('perl', ['-e', code], { encoding: 'utf8' })).toMatch(/^abstract\nloopback\n/)
      expect(await perlIn(code)).toBe('end')
    } finally {
      tcp.close()
    }
  })

  it('finds no key of the server’s', async () => {
    const [add, keyctl] = process.arch === 'arm64' ? [217, 219] : [248, 250]
    const find = `
      my ($type, $name, $buffer) = ('user', '${name}', "\\0" x 100);
      my $key = syscall(${keyctl}, 10, -3, $type, $name, 0);
      syscall(${keyctl}, 11, $key, $buffer, 100) > 0 and print "found $buffer\\n" if $key > 0;
      syscall(${add}, $type, $name, $type, 4, -3) > 0 and print "added\\n";
      print "end\\n";`
    // A session of keys of its own, with the server's in it, from which the sandbox is started as by the server.
    const child = spawn('perl', [
      '-e',
      `my @words = ('user', '${name}', 'hush'); syscall(${add}, @words, 4, -3) > 0 or die $!; exec @ARGV`,
      'perl',
      '-e',
      find,
    ])
    let outside = ''
    child.stdout.on('data', (text) => {
      outside += text
    })
    await once(child, 'close')
    if (outside.startsWith('found hush')) expect(await perlIn(find)).toBe('end')
    else console.warn('the keyring of this host takes no keys: that it is closed to the sandbox was not shown')
  })

  it('is refused what is made for administrators', async () => {
    const calls = process.arch === 'arm64' ? ARM64 : X64
    const code = Object.entries(calls)
      .map(
        ([call, number]) =>
          `$! = 0; my $r = syscall(${number}, 0, 0, 0, 0, 0, 0); print "${call} $!{EPERM}\\n" if $r != -1 or !$!{EPERM};\n`,
      )
      .join('')
    expect(await perlIn(`use Errno; ${code} print "end\\n";`)).toBe('end')
  })

  it('puts no words into the terminal', async () => {
    const code = `open(my $t, '+<', '/dev/tty') and print "terminal\\n"; my $c = 'x'; ioctl(STDIN, 0x5412, $c) and print "typed\\n"; print "end\\n";`
    expect(await perlIn(code)).toBe('end')
  })

  it('shares no memory and no messages with others', async () => {
    const made = execFileSync('ipcmk', ['-M', '64', '-p', '0666'], { encoding: 'utf8' })
    const id = /(\d+)\s*$/.exec(made)?.[1] as string
    try {
      const text = await attack(
        `ipcs -m | grep -c 0x; ls -A /dev/shm;  ipcrm -m ${id} 2>/dev/null && echo removed; echo end`,
      )
      expect(text).toBe('0\nend')
    } finally {
      execFileSync('ipcrm', ['-m', id])
    }
  })

  async function perlIn(code: string): Promise<string> {
    const folder = await runs.newFolder('secure')
    writeFileSync(join(folder, 'attack.pl'), code)
    const { stdout, stderr } = await runs.run('secure', 'perl /workspace/attack.pl', { folder })
    return [...stdout, ...stderr].join('\n')
  }
})

/** The numbers of calls that a program needs none of, by name. */
const X64 = {
  keyctl: 250,
  bpf: 321,
  perf: 298,
  userfaultfd: 323,
  io_uring: 425,
  mount: 165,
  setns: 308,
  unshare: 272,
  kexec: 246,
  handle: 304,
  fsopen: 430,
  open_tree: 428,
}
const ARM64 = {
  keyctl: 219,
  bpf: 280,
  perf: 241,
  userfaultfd: 282,
  io_uring: 425,
  mount: 40,
  setns: 268,
  unshare: 97,
  kexec: 104,
  handle: 265,
  fsopen: 430,
  open_tree: 428,
}
