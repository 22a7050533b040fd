/** One field of a message in protobuf's wire format: numbers as they are on the wire, everything else as bytes. */
export interface Field {
  number: number
  value: bigint | Buffer
}

/** Takes a message apart without its schema. Throws where it is cut off or of a wire type that is none. */
export function fields(message: Buffer): Field[] {
  const found: Field[] = []
  let at = 0
  const varint = (): bigint => {
    for (let value = 0n, shift = 0n; ; shift += 7n) {
      const byte = message[at++]
      if (byte === undefined) throw new Error('the message ends within a number')
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }
  const take = (length: number): Buffer => {
    if (at + length > message.length) throw new Error('the message ends within a field')
    at += length
    return message.subarray(at - length, at)
  }
  while (at < message.length) {
    const key = Number(varint())
    const number = key >> 3
    switch (key & 7) {
      case 0:
        found.push({ number, value: varint() })
        break
      case 1:
        found.push({ number, value: take(8).readBigUInt64LE() })
        break
      case 2:
        found.push({ number, value: take(Number(varint())) })
        break
      case 5:
        found.push({ number, value: BigInt(take(4).readUInt32LE()) })
        break
      default:
        throw new Error(`wire type ${key & 7} is none`)
    }
  }
  return found
}
