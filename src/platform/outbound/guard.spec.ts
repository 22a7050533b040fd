import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { describe, expect, it } from 'vitest'
import { AllowList } from './allow-list.js'
import { OutboundRefused } from './errors.js'
import { Guard, type ResolvedAddress } from './guard.js'

const at = (...addresses: string[]): ResolvedAddress[] =>
  addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
const guard = (allow: string, answers: Record<string, ResolvedAddress[]> = {}) =>
  new Guard(AllowList.parse(allow), async (host) => answers[host] ?? [])

describe('an address that is not public is refused, in plain words', () => {
  it.each([
    ['127.0.0.1', 'a loopback address'],
    ['127.1', 'a loopback address'],
    ['2130706433', 'a loopback address'],
    ['0177.0.0.1', 'a loopback address'],
    ['0x7f.1', 'a loopback address'],
    ['::1', 'a loopback address'],
    ['[::1]', 'a loopback address'],
    ['::ffff:127.0.0.1', 'a loopback address'],
    ['::ffff:7f00:1', 'a loopback address'],
    ['::ffff:0:127.0.0.1', 'an IPv4 address in IPv6 dress'],
    ['::127.0.0.1', 'a reserved address'],
    ['::', 'an unspecified address'],
    ['0.0.0.0', 'an unspecified address'],
    ['0', 'an unspecified address'],
    ['10.1.2.3', 'a private address'],
    ['172.16.0.1', 'a private address'],
    ['192.168.1.1', 'a private address'],
    ['100.64.0.1', 'a carrier-grade NAT address'],
    ['169.254.1.1', 'a link-local address'],
    ['169.254.169.254', 'a cloud metadata address'],
    ['168.63.129.16', 'a cloud metadata address'],
    ['100.100.100.200', 'a cloud metadata address'],
    ['fd00:ec2::254', 'a cloud metadata address'],
    ['224.0.0.1', 'a multicast address'],
    ['ff02::1', 'a multicast address'],
    ['255.255.255.255', 'a broadcast address'],
    ['240.0.0.1', 'a reserved address'],
    ['192.0.2.1', 'a reserved address'],
    ['198.18.0.1', 'a reserved address'],
    ['fd00::1', 'a private address'],
    ['fe80::1', 'a link-local address'],
    ['fec0::1', 'a private address'],
    ['64:ff9b::7f00:1', 'a NAT64 address'],
    ['64:ff9b:1::a00:1', 'a NAT64 address'],
    ['2002:7f00:1::', 'a 6to4 address'],
    ['2001::1', 'a Teredo address'],
    ['2001:db8::1', 'a reserved address'],
    ['100::1', 'a reserved address'],
    ['4000::1', 'a reserved address'],
  ])('%s: %s', async (host, why) => {
    await expect(guard('').vet(host, 80)).rejects.toThrow(OutboundRefused)
    await expect(guard('').vet(host, 80)).rejects.toThrow(`it is ${why}`)
  })

  it('lets public addresses pass', async () => {
    expect(await guard('').vet('93.184.216.34', 80)).toEqual(at('93.184.216.34'))
    expect(await guard('').vet('2606:4700::1111', 443)).toEqual(at('2606:4700::1111'))
  })

  it.each(['', 'a b', 'a/b', 'user@host', 'host:80', 'fe80::1%eth0', '[::1', '\0'])('%j is no host', async (host) => {
    await expect(guard('').vet(host, 80)).rejects.toThrow(/not a host name|is a /)
  })
})

describe('a name is judged by its addresses', () => {
  it('refuses a name that leads to a private address', async () => {
    const names = guard('', { 'rebind.example': at('10.0.0.7'), localhost: at('127.0.0.1', '::1') })
    await expect(names.vet('rebind.example', 80)).rejects.toThrow(
      "request to 'rebind.example' refused: it leads to a private address",
    )
    await expect(names.vet('localhost', 80)).rejects.toThrow('it leads to a loopback address')
    await expect(names.vet('LOCALHOST.', 80)).rejects.toThrow('it leads to a loopback address')
  })

  it('drops the private ones of mixed answers', async () => {
    const names = guard('', { 'mixed.example': at('10.0.0.7', '93.184.216.34', '::ffff:127.0.0.1') })
    expect(await names.vet('mixed.example', 80)).toEqual(at('93.184.216.34'))
  })

  it('refuses a name without addresses', async () => {
    await expect(guard('').vet('nowhere.example', 80)).rejects.toThrow('its name has no address')
  })

  it('takes any address of an allowed name, and any name of an allowed address', async () => {
    const answers = { 'crm.internal': at('10.0.0.7') }
    expect(await guard('crm.internal', answers).vet('crm.internal', 443)).toEqual(at('10.0.0.7'))
    expect(await guard('10.0.0.0/8', answers).vet('crm.internal', 443)).toEqual(at('10.0.0.7'))
    expect(await guard('crm.internal:443', answers).vet('crm.internal', 443)).toEqual(at('10.0.0.7'))
    await expect(guard('crm.internal:443', answers).vet('crm.internal', 80)).rejects.toThrow(OutboundRefused)
  })
})

describe('lookup, for clients with sockets of their own', () => {
  it('connects to what it vetted, and refuses the rest', async () => {
    const server = createServer((socket) => socket.end('hello')).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    const answers = { 'inner.example': at('127.0.0.1') }

    const socket = connect({ host: 'inner.example', port, lookup: guard('127.0.0.1', answers).lookupFor() })
    const [chunk] = await once(socket, 'data')
    expect(String(chunk)).toBe('hello')
    const refused = connect({ host: 'inner.example', port, lookup: guard('', answers).lookupFor() })
    const [error] = await once(refused, 'error')
    expect(error).toBeInstanceOf(OutboundRefused)
    const ofOtherPort = connect({
      host: 'inner.example',
      port,
      lookup: guard(`127.0.0.1:${port}`, answers).lookupFor(),
    })
    expect((await once(ofOtherPort, 'error'))[0]).toBeInstanceOf(OutboundRefused)
    server.close()
  })
})
