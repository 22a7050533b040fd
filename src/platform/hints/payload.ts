/** A message as it travels: JSON `[from, kind, [id, …]]`. */
export interface HintMessage {
  /** The process that sent it. */
  from: string
  kind: string
  ids: string[]
}

/** Postgres refuses payloads of 8,000 bytes and more. */
const MOST_BYTES = 7_900
const LONGEST_ID = 200

/** The messages for these ids, each small enough for every route. Ids that are too long are left out. */
export function payloadsOf(from: string, idsByKind: ReadonlyMap<string, ReadonlySet<string>>): string[] {
  const payloads: string[] = []
  for (const [kind, ids] of idsByKind) {
    const head = `[${JSON.stringify(from)},${JSON.stringify(kind)},[`
    let list = ''
    const end = () => {
      if (list !== '') payloads.push(`${head}${list}]]`)
      list = ''
    }
    for (const id of ids) {
      if (id.length > LONGEST_ID) continue
      const item = JSON.stringify(id)
      if (Buffer.byteLength(head) + Buffer.byteLength(list) + Buffer.byteLength(item) + 3 > MOST_BYTES) end()
      list += list === '' ? item : `,${item}`
    }
    end()
  }
  return payloads
}

/** Anyone with access to the channel can write into it: what is not exactly a message of ours is undefined. */
export function readPayload(payload: string): HintMessage | undefined {
  if (payload.length > MOST_BYTES) return undefined
  let message: unknown
  try {
    message = JSON.parse(payload)
  } catch {
    return undefined
  }
  if (!Array.isArray(message) || message.length !== 3) return undefined
  const [from, kind, ids] = message
  if (typeof from !== 'string' || typeof kind !== 'string' || !Array.isArray(ids)) return undefined
  if (!ids.every((id) => typeof id === 'string' && id.length <= LONGEST_ID)) return undefined
  return { from, kind, ids }
}
