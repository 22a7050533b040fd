import { describe, expect, it } from 'vitest'
import { syscallFilter } from './syscall-filter.js'

const ALLOWED = 'allowed'
const AUDIT: Readonly<Record<string, number>> = { x64: 0xc000003e, arm64: 0xc00000b7 }

describe.each([
  { arch: 'x64', read: 0, keyctl: 250, socket: 41, ioctl: 16, clone: 56, unshare: 272 },
  { arch: 'arm64', read: 63, keyctl: 219, socket: 198, ioctl: 29, clone: 220, unshare: 97 },
])('the filter of calls on $arch', ({ arch, ...calls }) => {
  const audit = AUDIT[arch] as number
  const answer = (call: number, args: number[] = [], machine = audit) =>
    judged(syscallFilter(arch), call, args, machine)

  it('lets through what programs need', () => {
    expect(answer(calls.read)).toBe(ALLOWED)
    for (const family of [1, 2, 10, 16]) expect(answer(calls.socket, [family])).toBe(ALLOWED)
    // A thread, and a child of fork().
    for (const flags of [0x3d0f00, 0x1200011]) expect(answer(calls.clone, [flags])).toBe(ALLOWED)
    for (const request of [0x5401, 0x5413]) expect(answer(calls.ioctl, [1, request])).toBe(ALLOWED)
  })

  it('refuses what reaches out of namespaces, and namespaces', () => {
    expect(answer(calls.keyctl)).toBe('EPERM')
    expect(answer(calls.unshare, [0x10000000])).toBe('EPERM')
    for (const call of [425, 428, 430, 442]) expect(answer(call)).toBe('EPERM')
    for (const flag of [0x20000, 0x2000000, 0x10000000, 0x20000000, 0x40000000])
      expect(answer(calls.clone, [flag | 17])).toBe('EPERM')
    // VSOCK, ALG, PACKET, and what may come.
    for (const family of [0, 17, 38, 40, 99]) expect(answer(calls.socket, [family])).toBe('EAFNOSUPPORT')
    for (const request of [0x5412, 0x541c]) expect(answer(calls.ioctl, [1, request])).toBe('EPERM')
    expect(answer(435)).toBe('ENOSYS')
  })

  it('refuses every call of another kind of machine', () => {
    for (const machine of [0x40000003, 0xc0000028, 0]) expect(answer(calls.read, [], machine)).toBe('ENOSYS')
  })
})

it('x32 is no way around the filter', () => {
  expect(judged(syscallFilter('x64'), 0x40000000 + 250, [], AUDIT.x64 as number)).toBe('ENOSYS')
})

it('a machine of an unknown kind has no filter', () => {
  expect(syscallFilter('riscv64')).toBeUndefined()
})

/** What the kernel would make of it: the part of its language that filters of ours use. */
function judged(filter: Buffer | undefined, call: number, args: number[], audit: number): string {
  if (!filter) throw new Error('there is no filter')
  const data = Buffer.alloc(64)
  data.writeUInt32LE(call, 0)
  data.writeUInt32LE(audit, 4)
  for (const [index, value] of args.entries()) data.writeUInt32LE(value, 16 + index * 8)
  let accumulator = 0
  for (let at = 0; at < filter.length / 8; at++) {
    const value = filter.readUInt32LE(at * 8 + 4)
    const jump = (isTrue: boolean) => {
      at += filter.readUInt8(at * 8 + (isTrue ? 2 : 3))
    }
    switch (filter.readUInt16LE(at * 8)) {
      case 0x20:
        accumulator = data.readUInt32LE(value)
        break
      case 0x15:
        jump(accumulator === value)
        break
      case 0x35:
        jump(accumulator >= value)
        break
      case 0x45:
        jump((accumulator & value) !== 0)
        break
      case 0x06:
        if (value === 0x7fff0000) return ALLOWED
        return { 1: 'EPERM', 38: 'ENOSYS', 97: 'EAFNOSUPPORT' }[value - 0x50000] ?? `error ${value - 0x50000}`
      default:
        throw new Error('an unknown instruction')
    }
  }
  throw new Error('it came to no end')
}
