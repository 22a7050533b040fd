import { describe, expect, it } from 'vitest'
import { parseAddress } from './address.js'
import { AllowList, InvalidAllowList } from './allow-list.js'

const address = (allow: string, text: string, port?: number) =>
  AllowList.parse(allow).allowsAddress(parseAddress(text), port)
const host = (allow: string, name: string, port?: number) => AllowList.parse(allow).allowsHost(name, port)

describe('OUTBOUND_ALLOW', () => {
  it('allows nothing when it is empty', () => {
    expect(address('', '127.0.0.1', 80)).toBe(false)
    expect(address(' , ', '127.0.0.1', 80)).toBe(false)
    expect(host('', 'localhost', 80)).toBe(false)
  })

  it.each([
    ['10.0.0.5', '10.0.0.5', 80],
    ['10.0.0.5', '::ffff:10.0.0.5', 80],
    ['::ffff:10.0.0.5', '10.0.0.5', 80],
    ['10.0.0.5:8080', '10.0.0.5', 8080],
    ['10.0.0.0/8', '10.200.3.4', 443],
    ['::ffff:10.0.0.0/104', '10.200.3.4', 443],
    ['::1', '::1', 80],
    ['[::1]', '::1', 80],
    ['[::1]:8080', '::1', 8080],
    ['[0:0:0:0:0:0:0:1]:8080', '::1', 8080],
    ['fd00::/8', 'fd12::9', 80],
    ['192.168.0.1, 10.0.0.5 ,fd00::1', '10.0.0.5', 80],
    ['2130706433', '127.0.0.1', 80],
  ])('%s allows the address %s at port %d', (allow, text, port) => {
    expect(address(allow, text, port)).toBe(true)
  })

  it.each([
    ['10.0.0.5', '10.0.0.6', 80],
    ['10.0.0.5:8080', '10.0.0.5', 8081],
    ['10.0.0.5:8080', '10.0.0.5', undefined],
    ['[::1]:8080', '::1', 80],
    ['10.0.0.0/8', '11.0.0.1', 80],
    ['0.0.0.0/0', '::1', 80],
    ['localhost', '127.0.0.1', 80],
  ])('%s does not allow the address %s at port %s', (allow, text, port) => {
    expect(address(allow, text, port)).toBe(false)
  })

  it('allows hosts by name in any spelling of a URL, with or without a port', () => {
    expect(host('CRM.internal.', 'crm.internal', 443)).toBe(true)
    expect(host('crm.internal:8443', 'crm.internal', 8443)).toBe(true)
    expect(host('crm.internal:8443', 'crm.internal', 443)).toBe(false)
    expect(host('crm.internal', 'evil-crm.internal', 443)).toBe(false)
    expect(host('bücher.internal', 'xn--bcher-kva.internal', 443)).toBe(true)
  })

  it('names every entry that it cannot read', () => {
    const parse = () => AllowList.parse('good.internal, http://x/, host:99999, 10.0.0.0/99, [::1, a b')
    expect(parse).toThrow(InvalidAllowList)
    try {
      parse()
    } catch (error) {
      expect((error as InvalidAllowList).faults).toHaveLength(5)
      expect((error as Error).message).toContain("'host:99999'")
      expect((error as Error).message).not.toContain('good.internal')
    }
  })
})
